package quota

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/moldau/moldau/internal/cli/client"
	"github.com/moldau/moldau/internal/cli/output"
)

var (
	alice     = entity{{Kind: "user", Name: "alice"}}
	importers = entity{{Kind: "user", Name: "alice"}, {Kind: "client-id", Default: true}}
	anywhere  = entity{{Kind: "ip", Default: true}}
)

// selected reads the flags of a line.
func selected(t *testing.T, line string) (*selector, *cobra.Command) {
	t.Helper()
	c := &cobra.Command{}
	s := newSelector(c)
	if err := c.ParseFlags(strings.Fields(line)); err != nil {
		t.Fatal(err)
	}
	return s, c
}

func TestWhose(t *testing.T) {
	for line, want := range map[string]entity{
		"": nil, "--user alice": alice, "--client-defaults --user alice": importers, "--ip-defaults": anywhere, "--user-defaults --client c": {{Kind: "user", Default: true}, {Kind: "client-id", Name: "c"}},
	} {
		s, _ := selected(t, line)
		if got, err := s.entity(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", line, got, err)
		}
	}
	for line, want := range map[string]string{
		"":                              "whose quotas? Name them by --user",
		"--user=":                       "--user: a name is needed; --user-defaults",
		"--user a --user-defaults":      "--user and --user-defaults do not go together",
		"--ip 127.0.0.1 --client a":     "an address has quotas of its own",
		"--ip-defaults --user-defaults": "an address has quotas of its own",
	} {
		s, _ := selected(t, line)
		if got, err := s.one(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, %v", line, got, err)
		}
	}
}

func TestCompleteQuotas(t *testing.T) {
	for _, c := range []struct {
		line   string
		before []string
		begun  string
		want   []string
	}{
		{"--user a", nil, "", []string{"consumer_byte_rate=", "controller_mutation_rate=", "producer_byte_rate=", "request_percentage="}},
		{"--user a", []string{"consumer_byte_rate=5"}, "con", []string{"controller_mutation_rate="}},
		{"--ip-defaults", nil, "c", []string{"connection_creation_rate="}},
	} {
		s, cmd := selected(t, c.line)
		if got, _ := s.completeNames("=")(cmd, c.before, c.begun); !slices.Equal(got, c.want) {
			t.Errorf("%s %v: %v, want %v", c.line, c.before, got, c.want)
		}
	}
}

func TestPrintQuotas(t *testing.T) {
	all := []quotas{{anywhere, map[string]float64{"connection_creation_rate": 5}}, {importers, map[string]float64{"request_percentage": 12.5, "producer_byte_rate": 1e21}}}
	for format, want := range map[output.Format]string{
		output.Table: "USER   CLIENT-ID  IP         QUOTA                     VALUE\n" +
			"-      -          <default>  connection_creation_rate  5\n" +
			"alice  <default>  -          producer_byte_rate        1000000000000000000000\n" +
			"alice  <default>  -          request_percentage        12.5\n",
		output.Plain: "-\t-\t<default>\tconnection_creation_rate\t5\nalice\t<default>\t-\tproducer_byte_rate\t1000000000000000000000\nalice\t<default>\t-\trequest_percentage\t12.5\n",
	} {
		var b bytes.Buffer
		if err := printQuotas(&b, format, nil, all); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%s", format, err, b.String())
		}
	}
	for want, with := range map[string]entity{"no quotas are set\n": nil, "no quotas are set for user alice, client-id defaults\n": importers} {
		var b bytes.Buffer
		if err := printQuotas(&b, output.Table, with, []quotas{}); err != nil || b.String() != want {
			t.Errorf("%q, %v", b.String(), err)
		}
	}
}

// TestJSON holds the names that programs read. Changing one breaks them.
func TestJSON(t *testing.T) {
	for _, c := range []struct {
		document any
		want     string
	}{
		{quotas{importers, map[string]float64{"producer_byte_rate": 5}},
			`{"entity":[{"kind":"user","name":"alice"},{"kind":"client-id","default":true}],"quotas":{"producer_byte_rate":5}}`},
		{changed{anywhere, true, []change{{"connection_creation_rate", nil, new(2.0)}}},
			`{"entity":[{"kind":"ip","default":true}],"dryRun":true,"changes":[{"name":"connection_creation_rate","before":null,"after":2}]}`},
	} {
		got, err := json.Marshal(c.document)
		if err != nil || string(got) != c.want {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestParseChanges(t *testing.T) {
	got, err := parseChanges([]string{"producer_byte_rate=1048576", "request_percentage=12.5"})
	if err != nil || len(got) != 2 || *got[0].After != 1048576 || *got[1].After != 12.5 {
		t.Errorf("%v, %v", got, err)
	}
	for bad, want := range map[string]string{
		"a": "a: want QUOTA=VALUE", "=5": "=5: want QUOTA=VALUE", "a=much": "a=much: want a number", "a=": "a=: want a number", "a=NaN": "a=NaN: want a number",
		"a=Inf": "a=Inf: want a number", "a=1 a=2": "a=2: the quota is given twice",
	} {
		if _, err := parseChanges(strings.Fields(bad)); err == nil || err.Error() != want {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestCompare(t *testing.T) {
	changes := []change{{Name: "a", After: new(1.0)}, {Name: "b"}, {Name: "c", After: new(3.0)}}
	if err := compare(alice, map[string]float64{"a": 5, "b": 6}, changes); err != nil || *changes[0].Before != 5 || *changes[1].Before != 6 || changes[2].Before != nil {
		t.Errorf("%+v, %v", changes, err)
	}
	var b bytes.Buffer
	if err := printChanges(&b, output.Table, changed{alice, true, changes}); err != nil || b.String() != "QUOTA  BEFORE  WOULD BE\na      5       1\nb      6       -\nc      -       3\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	if err := compare(alice, nil, []change{{Name: "b"}}); err == nil || err.Error() != "b is not set for user alice, so there is nothing to take away" {
		t.Error(err)
	}
}

func TestExplain(t *testing.T) {
	to := &client.Options{Bootstrap: "h:1"}
	for _, c := range []struct {
		whose entity
		name  string
		want  string
	}{
		{alice, "producer_byte_rat", "; producer_byte_rat: did you mean producer_byte_rate?"},
		{anywhere, "colour", "; the quotas of ip defaults are connection_creation_rate"},
		{alice, "producer_byte_rate", "INVALID_REQUEST: no"},
	} {
		err := explain(to, "set quotas", c.whose, []change{{Name: c.name}}, kerr.InvalidRequest, "no")
		if !errors.Is(err, kerr.InvalidRequest) || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := explain(to, "set quotas", alice, []change{{Name: "colour"}}, nil, ""); err != nil {
		t.Errorf("no error is explained: %v", err)
	}
}
