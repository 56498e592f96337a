package dump

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/java"
)

// served lists every group with its state, its members and its committed offsets, a line each.
func served(t *testing.T, addr string) (lines []string) {
	t.Helper()
	ctx, admin := broker.Context(t), kadm.NewClient(broker.ClientOf(t, addr))
	listed, err := admin.ListGroups(ctx)
	if err != nil {
		t.Fatalf("list groups: %v", err)
	}
	described, err := admin.DescribeGroups(ctx, listed.Groups()...)
	if err != nil {
		t.Fatalf("describe groups: %v", err)
	}
	for _, g := range listed.Sorted() {
		if g.Group == newer {
			continue // described by other means
		}
		d := described[g.Group]
		lines = append(lines, fmt.Sprintf("group %q: %q, %s, %q %v", g.Group, g.ProtocolType, d.State, d.Protocol, d.Err))
		for _, m := range d.Members {
			a, _ := m.Assigned.AsConsumer()
			j, _ := m.Join.AsConsumer()
			lines = append(lines, fmt.Sprintf("group %q member %q instance %q of %q at %q: %+v %+v", g.Group, m.MemberID, *m.InstanceID, m.ClientID, m.ClientHost, a.Topics, j.Topics))
		}
	}
	for group, os := range admin.FetchManyOffsets(ctx, listed.Groups()...) {
		if os.Err != nil {
			t.Fatalf("offsets of %s: %v", group, os.Err)
		}
		for _, o := range os.Fetched.Sorted() {
			lines = append(lines, fmt.Sprintf("group %q offset of %s-%d: %d epoch %d %q %v", group, o.Topic, o.Partition, o.At, o.LeaderEpoch, o.Metadata, o.Err))
		}
	}
	slices.Sort(lines)
	return lines
}

// kafkaDecode has kafka-dump-log decode the topic of offsets. What it shows must come to the offsets that were served.
func kafkaDecode(t *testing.T, data string, want []string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(data, offsetsTopic+"-*", "*.log"))
	if err != nil || len(logs) < 10 {
		t.Fatalf("%d segments of offsets: %v", len(logs), err)
	}
	slices.Sort(logs) // a partition's segments in their order
	out := java.Run(t, "", "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--offsets-decoder", "--files", strings.Join(logs, ","))
	if c := complaint.FindAllString(out, 10); c != nil {
		t.Errorf("complaints:\n%.2000s", strings.Join(c, "\n"))
	}
	type key struct {
		Type string
		Data struct {
			Group, Topic string
			Partition    int32
		}
	}
	offsets, groups, members := map[key]string{}, map[string]string{}, 0
	for _, m := range regexp.MustCompile(`(?m) key: (\{.*?\}\}) payload: (.*)$`).FindAllStringSubmatch(out, -1) {
		var k key
		if err := json.Unmarshal([]byte(m[1]), &k); err != nil {
			t.Fatalf("key %s: %v", m[1], err)
		}
		switch k.Type {
		case "0", "1":
			k.Type = "offset"
			var v struct {
				Data struct {
					Offset      int64
					LeaderEpoch int32
					Metadata    string
				}
			}
			if delete(offsets, k); m[2] == "<DELETE>" {
				continue
			}
			if err := json.Unmarshal([]byte(m[2]), &v); err != nil {
				t.Fatalf("value %s: %v", m[2], err)
			}
			offsets[k] = fmt.Sprintf("group %q offset of %s-%d: %d epoch %d %q <nil>", k.Data.Group, k.Data.Topic, k.Data.Partition, v.Data.Offset, v.Data.LeaderEpoch, v.Data.Metadata)
		case "2":
			groups[k.Data.Group] = m[2]
			members = max(members, strings.Count(m[2], "memberId"))
		}
	}
	var got []string
	for _, line := range offsets {
		got = append(got, line)
	}
	compare(t, "kafka-dump-log decoded", only(got, "offset of"), only(want, "offset of"))
	if members != 2 || groups["static"] == "" || groups["deleted"] != "<DELETE>" {
		t.Errorf("of the groups it decoded %v", groups)
	}
	t.Logf("kafka-dump-log decoded %d offsets and %d groups of %d segments", len(offsets), len(groups), len(logs))
}

// only keeps the lines that contain the text, and none of transactions, whose ends the tool does not follow.
func only(lines []string, text string) (out []string) {
	for _, l := range lines {
		if strings.Contains(l, text) && !strings.Contains(l, `"transaction `) {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

// compare fails the test with what one has and the other has not.
func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(want) < 10 {
		t.Fatalf("%s: only %d lines are wanted", what, len(want))
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("%s not: %.200s", what, l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("%s besides: %.200s", what, l)
		}
	}
}
