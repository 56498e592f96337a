// Package quota is "moldau quota": the quotas of users, client ids and addresses, one file per verb. It owns their flags and what they print; the
// cluster decides what may be set, and its answer is shown as it is.
package quota

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/complete"
)

// Command returns "moldau quota".
func Command(to *client.Options) *cobra.Command {
	c := &cobra.Command{
		Use:   "quota",
		Short: "Show and change the quotas of users, client ids and addresses",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(listCommand(to), setCommand(to), unsetCommand(to))
	return c
}

// whose is the text that both verbs that change have about their flags.
const whose = `--user, --client and --ip say whose; a user and a client id may go together, and the narrower quota counts. --user-defaults,
--client-defaults and --ip-defaults are those of everybody without an own one. Without authentication every client is the user ANONYMOUS.`

// kinds are the parts of an entity, in the order in which they are shown: as the protocol and as flags name them.
var kinds = []struct{ name, flag, help string }{
	{"user", "user", "of this user"},
	{"client-id", "client", "of clients with this client id"},
	{"ip", "ip", "of clients at this address"},
}

// names are the quotas that clients and addresses may have, for completion.
var (
	clientQuotas  = []string{"consumer_byte_rate", "controller_mutation_rate", "producer_byte_rate", "request_percentage"}
	addressQuotas = []string{"connection_creation_rate"}
)

// part is one part of an entity: a name, or the default.
type part struct {
	Kind    string `json:"kind"`
	Name    string `json:"name,omitempty"`
	Default bool   `json:"default,omitempty"`
}

func (p part) String() string {
	if p.Default {
		return p.Kind + " defaults"
	}
	return p.Kind + " " + p.Name
}

// entity is whose quotas they are. Parts are in the order of kinds.
type entity []part

func (e entity) String() string {
	texts := make([]string, len(e))
	for i, p := range e {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

// cells are the entity in a table: a column for each kind.
func (e entity) cells() []string {
	cells := make([]string, len(kinds))
	for i, k := range kinds {
		cells[i] = "-"
		for _, p := range e {
			if p.Kind == k.name {
				if cells[i] = p.Name; p.Default {
					cells[i] = "<default>"
				}
			}
		}
	}
	return cells
}

func (e entity) compare(other entity) int { return slices.Compare(e.cells(), other.cells()) }

// wire is the entity as requests have it.
func (e entity) wire() (to kadm.ClientQuotaEntity) {
	for _, p := range e {
		c := kadm.ClientQuotaEntityComponent{Type: p.Kind}
		if !p.Default {
			c.Name = &p.Name
		}
		to = append(to, c)
	}
	return to
}

// selector is the flags that say whose quotas are meant.
type selector struct {
	flags    *pflag.FlagSet
	names    [3]string // by kind
	defaults [3]bool
}

func newSelector(c *cobra.Command) *selector {
	s := &selector{flags: c.Flags()}
	for i, k := range kinds {
		s.flags.StringVar(&s.names[i], k.flag, "", k.help)
		s.flags.BoolVar(&s.defaults[i], k.flag+"-defaults", false, "of all without an own one, by "+k.name)
		_ = c.RegisterFlagCompletionFunc(k.flag, complete.Nothing)
	}
	return s
}

// entity returns what the flags name; nothing where there are none.
func (s *selector) entity() (e entity, err error) {
	for i, k := range kinds {
		named := s.flags.Changed(k.flag)
		switch {
		case named && s.defaults[i]:
			return nil, fmt.Errorf("--%s and --%s-defaults do not go together", k.flag, k.flag)
		case named && s.names[i] == "":
			return nil, fmt.Errorf("--%s: a name is needed; --%s-defaults is for all without an own one", k.flag, k.flag)
		case named || s.defaults[i]:
			e = append(e, part{k.name, s.names[i], s.defaults[i]})
		}
	}
	if len(e) > 1 && e[len(e)-1].Kind == "ip" {
		return nil, errors.New("an address has quotas of its own: --ip does not go with a user or a client id")
	}
	return e, nil
}

// one is entity where a quota cannot be without.
func (s *selector) one() (entity, error) {
	e, err := s.entity()
	if err == nil && len(e) == 0 {
		err = errors.New("whose quotas? Name them by --user, --client, --ip, or the defaults by --user-defaults, --client-defaults, --ip-defaults")
	}
	return e, err
}

// completeNames completes the quotas of what the flags name.
func (s *selector) completeNames(suffix string) complete.Func {
	return func(c *cobra.Command, before []string, begun string) ([]string, cobra.ShellCompDirective) {
		names := clientQuotas
		if s.flags.Changed("ip") || s.defaults[2] {
			names = addressQuotas
		}
		var found []string
		for _, n := range names {
			given := slices.ContainsFunc(before, func(w string) bool { return w == n || strings.HasPrefix(w, n+"=") })
			if !given && strings.HasPrefix(n, begun) {
				found = append(found, n+suffix)
			}
		}
		directive := cobra.ShellCompDirectiveNoFileComp
		if suffix != "" {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		return found, directive
	}
}

// quotas are those of one entity.
type quotas struct {
	Entity entity             `json:"entity"`
	Quotas map[string]float64 `json:"quotas"`
}

// ask returns what is set of entities that have these parts, and with strict no others, in order.
func ask(ctx context.Context, to *client.Options, cl *kgo.Client, with entity, strict bool) ([]quotas, error) {
	var filter []kadm.DescribeClientQuotaComponent
	for _, p := range with {
		f := kadm.DescribeClientQuotaComponent{Type: p.Kind, MatchType: 1}
		if !p.Default {
			f.MatchType, f.MatchName = 0, &p.Name
		}
		filter = append(filter, f)
	}
	found, err := kadm.NewClient(cl).DescribeClientQuotas(ctx, strict, filter)
	if err != nil {
		return nil, to.Explain("describe quotas", err, "")
	}
	all := []quotas{}
	for _, f := range found {
		q := quotas{Quotas: map[string]float64{}}
		for _, c := range f.Entity {
			p := part{Kind: c.Type, Default: c.Name == nil}
			if c.Name != nil {
				p.Name = *c.Name
			}
			q.Entity = append(q.Entity, p)
		}
		slices.SortFunc(q.Entity, func(a, b part) int { return cmp.Compare(place(a.Kind), place(b.Kind)) })
		for _, v := range f.Values {
			q.Quotas[v.Key] = v.Value
		}
		all = append(all, q)
	}
	slices.SortFunc(all, func(a, b quotas) int { return a.Entity.compare(b.Entity) })
	return all, nil
}

func place(kind string) int {
	for i, k := range kinds {
		if k.name == kind {
			return i
		}
	}
	return len(kinds)
}

// number is a quota as people write one: digits, no exponent.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
