package cli

import (
	"reflect"
	"strings"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
)

type quotaPart struct {
	Kind, Name string
	Default    bool
}

type listedQuotas struct {
	Entity []quotaPart
	Quotas map[string]float64
}

type changedQuotas struct {
	Entity  []quotaPart
	DryRun  bool
	Changes []struct {
		Name          string
		Before, After *float64
	}
}

// quotas sets, lists and takes away quotas of users, client ids and addresses. Those of everybody are so high that no other story notices.
func quotas(t *testing.T, c command) {
	alice, importer := c.prefix+"alice", c.prefix+"importer"
	both := []quotaPart{{Kind: "user", Name: alice}, {Kind: "client-id", Name: importer}}
	lists := func(args []string, want ...listedQuotas) {
		t.Helper()
		var got []listedQuotas
		broker.Eventually(t, strings.Join(args, " ")+" lists what was set", func() bool {
			got = answer[[]listedQuotas](t, c, append([]string{"quota", "list"}, args...)...)
			return len(got) == len(want) && (len(want) == 0 || reflect.DeepEqual(got, want))
		})
	}
	lists([]string{"--user", alice})
	dry := answer[changedQuotas](t, c, "quota", "set", "--user", alice, "producer_byte_rate=1048576", "--dry-run")
	if !dry.DryRun || len(dry.Changes) != 1 || dry.Changes[0].Before != nil || *dry.Changes[0].After != 1048576 {
		t.Errorf("a dry run: %+v", dry)
	}
	if out := c.run(t, "", "quota", "list", "--user", alice); out != "no quotas are set for user "+alice+"\n" {
		t.Errorf("after a dry run: %s", out)
	}
	c.run(t, "", "quota", "set", "--user", alice, "producer_byte_rate=1048576", "request_percentage=12.5")
	lists([]string{"--user", alice}, listedQuotas{both[:1], map[string]float64{"producer_byte_rate": 1048576, "request_percentage": 12.5}})
	c.run(t, "", "quota", "set", "--client", importer, "--user", alice, "consumer_byte_rate=5")
	lists([]string{"--client", importer}, listedQuotas{both, map[string]float64{"consumer_byte_rate": 5}})
	lists([]string{"--user", alice}, listedQuotas{both[:1], map[string]float64{"producer_byte_rate": 1048576, "request_percentage": 12.5}},
		listedQuotas{both, map[string]float64{"consumer_byte_rate": 5}})
	if out := c.run(t, "", "quota", "list", "--format", "plain"); !strings.Contains(out, alice+"\t"+importer+"\t-\tconsumer_byte_rate\t5\n") {
		t.Errorf("all quotas: %s", out)
	}
	done := answer[changedQuotas](t, c, "quota", "set", "--user", alice, "producer_byte_rate=2000000")
	if len(done.Changes) != 1 || *done.Changes[0].Before != 1048576 || *done.Changes[0].After != 2000000 {
		t.Errorf("set again: %+v", done)
	}
	gone := answer[changedQuotas](t, c, "quota", "unset", "--user", alice, "request_percentage")
	if len(gone.Changes) != 1 || *gone.Changes[0].Before != 12.5 || gone.Changes[0].After != nil {
		t.Errorf("unset: %+v", gone)
	}
	lists([]string{"--user", alice}, listedQuotas{both[:1], map[string]float64{"producer_byte_rate": 2000000}}, listedQuotas{both, map[string]float64{"consumer_byte_rate": 5}})
	c.run(t, "", "quota", "unset", "--user", alice, "producer_byte_rate")
	c.run(t, "", "quota", "unset", "--user", alice, "--client", importer, "consumer_byte_rate")
	lists([]string{"--user", alice})

	for _, kind := range []string{"user", "client", "ip"} {
		name, defaults := "producer_byte_rate", "--"+kind+"-defaults"
		if kind == "ip" {
			name = "connection_creation_rate"
		}
		c.run(t, "", "quota", "set", defaults, name+"=1000000000")
		wire := map[string]string{"client": "client-id"}[kind]
		if wire == "" {
			wire = kind
		}
		lists([]string{defaults}, listedQuotas{[]quotaPart{{Kind: wire, Default: true}}, map[string]float64{name: 1000000000}})
		c.run(t, "", "quota", "unset", defaults, name)
		lists([]string{defaults})
	}

	c.refused(t, 1, []string{"quota", "set", "--user", alice, "producer_byte_rate=0"}, "set quotas of user "+alice, "INVALID_REQUEST", "must be greater than 0")
	c.refused(t, 1, []string{"quota", "set", "--user", alice, "producer_byte_rat=5"}, "did you mean producer_byte_rate?")
	c.refused(t, 1, []string{"quota", "set", "--ip", "not an address", "connection_creation_rate=5"}, "not an address is not a valid IP or resolvable host")
	c.refused(t, 1, []string{"quota", "unset", "--user", alice, "producer_byte_rate"}, "nothing to take away")
	c.refused(t, 1, []string{"quota", "set", "producer_byte_rate=5"}, "whose quotas?")
	c.refused(t, 1, []string{"quota", "set", "--user", alice}, "want QUOTA=VALUE")
}
