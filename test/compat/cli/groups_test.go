package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
)

type listedGroup struct {
	Group, State, Type, ProtocolType string
	Coordinator                      int32
}

type describedGroup struct {
	Group, State, Type, ProtocolType, Assignor string
	Coordinator                                struct {
		ID   int32
		Host string
		Port int32
	}
	Members []struct {
		MemberID   string
		InstanceID *string
		ClientID   string
		Host       string
		Assignment []struct {
			Topic      string
			Partitions []int32
		}
	}
	Offsets []struct {
		Topic                      string
		Partition                  int32
		Committed, Start, End, Lag *int64
		Metadata                   string
		MemberID                   *string
		Error                      string
	}
	Lag     int64
	Unknown int
}

type laggedGroup struct {
	Group, State string
	Lag          int64
	Unknown      int
	Partitions   []struct {
		Topic               string
		Partition           int32
		Committed, End, Lag *int64
		Error               string
	}
}

type deletedGroups struct {
	DryRun bool
	Groups []struct {
		Group, State string
		Offsets      int
	}
}

type deletedOffsets struct {
	Group   string
	DryRun  bool
	Offsets []struct {
		Topic     string
		Partition int32
		Committed int64
	}
}

func (c command) describe(t *testing.T, group string) describedGroup {
	t.Helper()
	found := answer[[]describedGroup](t, c, "group", "describe", group)
	if len(found) != 1 || found[0].Group != group {
		t.Fatalf("group %s described as %+v", group, found)
	}
	return found[0]
}

// committed are the offsets of a group by partition, of its one topic.
func (c command) committed(t *testing.T, group string) map[int32]int64 {
	t.Helper()
	found := map[int32]int64{}
	for _, o := range c.describe(t, group).Offsets {
		if o.Committed != nil {
			found[o.Partition] = *o.Committed
		}
	}
	return found
}

// groups lists, describes and measures groups, and deletes them and what they have committed.
func groups(t *testing.T, c command) {
	orders, returns, billing, shipping := c.prefix+"orders", c.prefix+"returns", c.prefix+"billing", c.prefix+"shipping"
	c.create(t, orders, "--partitions", "2")
	c.create(t, returns)
	c.run(t, "a\nb\nc\n", "produce", orders, "--partition", "0")
	c.run(t, "d\n", "produce", orders, "--partition", "1")
	c.run(t, "e\n", "produce", returns)
	if out := c.run(t, "", "consume", orders, returns, "--group", billing); strings.Count(out, "\n") != 5 {
		t.Errorf("consumed %q", out)
	}
	c.run(t, "", "consume", returns, "--group", shipping)
	c.run(t, "f\ng\n", "produce", orders, "--partition", "1")

	ours := func(args ...string) []string {
		var found []string
		for _, g := range answer[[]listedGroup](t, c, append([]string{"group", "list"}, args...)...) {
			if strings.HasPrefix(g.Group, c.prefix) {
				found = append(found, strings.TrimPrefix(g.Group, c.prefix)+" "+g.State+" "+g.Type+" "+g.ProtocolType)
			}
		}
		return found
	}
	both := []string{"billing Empty Classic consumer", "shipping Empty Classic consumer"}
	for filter, want := range map[string][]string{"": both, "--state=empty,stable": both, "--state=Stable": nil, "--type=classic": both, "--type=Share": nil} {
		if got := ours(strings.Fields(filter)...); !slices.Equal(got, want) {
			t.Errorf("groups listed with %q: %q", filter, got)
		}
	}
	d := c.describe(t, billing)
	if d.State != "Empty" || d.Type != "Classic" || d.ProtocolType != "consumer" || len(d.Members) != 0 || d.Coordinator.Port == 0 || d.Lag != 2 || len(d.Offsets) != 3 {
		t.Errorf("described as %+v", d)
	}
	if o := d.Offsets[1]; o.Topic != orders || o.Partition != 1 || *o.Committed != 1 || *o.End != 3 || *o.Lag != 2 || *o.Start != 0 || o.MemberID != nil {
		t.Errorf("offset %+v", o)
	}
	c.run(t, "", "group", "describe", billing, shipping)

	lags := answer[[]laggedGroup](t, c, "group", "lag", billing, shipping)
	if len(lags) != 2 || lags[0].Lag != 2 || lags[1].Lag != 0 || len(lags[0].Partitions) != 3 || *lags[0].Partitions[1].Lag != 2 {
		t.Errorf("lag %+v", lags)
	}
	if out := c.run(t, "", "group", "lag", "--format", "plain"); !strings.Contains(out, "total\t"+billing+"\tEmpty\t2\n") || !strings.Contains(out, "partition\t"+billing+"\t"+orders+"\t1\t1\t3\t2\n") {
		t.Errorf("lag of all groups: %s", out)
	}
	c.run(t, "", "group", "lag", billing, "--max-lag", "2")
	c.refused(t, 2, []string{"group", "lag", billing, shipping, "--max-lag", "1"}, "group "+billing+" is 2 records behind in all, --max-lag is 1")
	c.refused(t, 1, []string{"group", "lag", billing, billing + "x", "--max-lag", "1"}, "GROUP_ID_NOT_FOUND")
	typo := c.prefix + "biling"
	c.refused(t, 1, []string{"group", "describe", typo}, "describe group "+typo+" on "+c.addr, "GROUP_ID_NOT_FOUND", "did you mean "+billing+"?")
	for line, want := range map[string][]string{
		"group describe " + c.prefix + "b":           {billing},
		"group lag " + billing + " " + c.prefix:      {shipping},
		"consume " + orders + " --group " + c.prefix: {billing, shipping},
	} {
		if got := c.complete(t, strings.Fields(line)...); !slices.Equal(got, want) {
			t.Errorf("%s: completed with %q", line, got)
		}
	}

	dry := answer[deletedOffsets](t, c, "group", "delete-offsets", billing, "--topic", orders+":1")
	if !dry.DryRun || len(dry.Offsets) != 1 || dry.Offsets[0].Partition != 1 || dry.Offsets[0].Committed != 1 || len(c.describe(t, billing).Offsets) != 3 {
		t.Errorf("a dry run: %+v", dry)
	}
	gone := answer[deletedOffsets](t, c, "group", "delete-offsets", billing, "--topic", orders+":1", "--topic", returns, "--yes")
	if gone.DryRun || gone.Group != billing || len(gone.Offsets) != 2 {
		t.Errorf("deleted %+v", gone)
	}
	if d := c.describe(t, billing); len(d.Offsets) != 1 || d.Offsets[0].Partition != 0 {
		t.Errorf("left: %+v", d.Offsets)
	}
	c.refused(t, 1, []string{"group", "delete-offsets", billing, "--topic", returns, "--yes"}, "delete offsets of group "+billing+" on "+c.addr, "it has committed nothing for topic "+returns, "moldau group describe")
	c.refused(t, 1, []string{"group", "delete-offsets", typo, "--topic", returns}, "GROUP_ID_NOT_FOUND", "did you mean "+billing+"?")
	if out := c.run(t, "", "consume", orders, "--group", billing); out != "d\nf\ng\n" {
		t.Errorf("the deleted partition is read again: %q", out)
	}

	if dry := answer[deletedGroups](t, c, "group", "delete", billing); !dry.DryRun || len(dry.Groups) != 1 || dry.Groups[0].Offsets != 2 {
		t.Errorf("a dry run: %+v", dry)
	}
	if got := ours(); !slices.Equal(got, both) {
		t.Errorf("a dry run has deleted something: %q", got)
	}
	if gone := answer[deletedGroups](t, c, "group", "delete", billing, shipping, "--yes"); gone.DryRun || len(gone.Groups) != 2 || gone.Groups[0].Group != billing || gone.Groups[0].State != "Empty" {
		t.Errorf("deleted %+v", gone)
	}
	broker.Eventually(t, "the deleted groups are no longer listed", func() bool { return ours() == nil })
	c.refused(t, 1, []string{"group", "delete", billing, "--yes"}, "GROUP_ID_NOT_FOUND", "moldau group list")
	if out := c.run(t, "", "consume", orders, "--group", billing, "--from", "latest"); out != "" {
		t.Errorf("a new group that starts at the end has read %q", out)
	}
}
