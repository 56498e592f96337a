package broker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/vfs"
)

// TestCompaction writes to a compacted topic, over the network, until its records shrink to the newest ones; what the policy is changed
// to acts at once; and a restart knows what was compacted.
func TestCompaction(t *testing.T) {
	const properties = "log.cleaner.backoff.ms=5\nlog.cleaner.threads=2\nlog.cleaner.dedupe.buffer.size=8000000"
	disk := vfs.NewMem()
	n := start(t, disk, properties)
	set := func(values ...string) map[string]*string {
		m := map[string]*string{}
		for i := 0; i < len(values); i += 2 {
			m[values[i]] = &values[i+1]
		}
		return m
	}
	n.create("table", 1, set("cleanup.policy", "delete", "internal.segment.bytes", "2000", "min.cleanable.dirty.ratio", "0"))
	c := n.client(kgo.DefaultProduceTopic("table"), kgo.ProducerBatchMaxBytes(1200))
	const keys, records = 7, 300
	for i := range records {
		r := &kgo.Record{Key: fmt.Appendf(nil, "%d", i%keys), Value: fmt.Appendf(nil, "%d of %d", i, records)}
		if err := c.ProduceSync(n.context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	log := func() (first, last string, count int) {
		reader := n.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"table": {0: kgo.NewOffset().AtStart()}}))
		for end := false; !end; {
			fetches := reader.PollFetches(n.context())
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			for r := range fetches.RecordsAll() {
				if want := fmt.Sprintf("%d of %d", r.Offset, records); string(r.Value) != want || string(r.Key) != fmt.Sprint(r.Offset%keys) {
					t.Fatalf("offset %d holds %s=%s", r.Offset, r.Key, r.Value)
				}
				if count++; first == "" {
					first = string(r.Value)
				}
				last, end = string(r.Value), r.Offset == records-1
			}
		}
		return first, last, count
	}
	if _, _, count := log(); count != records {
		t.Fatalf("%d records of a topic that is not compacted", count)
	}
	admin := kadm.NewClient(n.client())
	policy := "compact"
	if _, err := admin.AlterTopicConfigs(n.context(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: &policy}}, "table"); err != nil {
		t.Fatal(err)
	}
	// What is left is as it should be when the pass over it has ended, and not only put its segments in place.
	cleaned := func() (offset int64) {
		for p := range n.replicas.all() {
			if p.ID().Topic == "table" {
				offset = p.Log().Cleaned()
			}
		}
		return offset
	}
	few := func() int {
		deadline := time.Now().Add(20 * time.Second)
		for {
			_, _, count := log()
			if count < 60 && cleaned() > 0 || time.Now().After(deadline) { // those of the active segment and the newest before
				return count
			}
		}
	}
	count := few()
	if count >= 60 || count < keys {
		t.Fatalf("%d records are left of %d keys", count, keys)
	}
	n.stop()
	n = start(t, disk, properties)

	if _, _, again := log(); again > count {
		t.Errorf("%d records after a restart, there were %d", again, count)
	}
	if cleaned() == 0 {
		t.Error("the restart forgot what was compacted")
	}
}

// TestCleanerLooksAtCompactedTopics: and at no others, whoever says that they are, and for as long as they are.
func TestCleanerLooksAtCompactedTopics(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	looks := func(when string, want ...string) {
		t.Helper()
		var got []string
		for p := range n.cleanable() {
			got = append(got, p.ID().String())
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s it looks at %q, want %q", when, got, want)
		}
	}
	admin := kadm.NewClient(n.client())
	alter := func(topic, policy string) {
		t.Helper()
		if _, err := admin.AlterTopicConfigs(n.context(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: &policy}}, topic); err != nil {
			t.Fatal(err)
		}
	}
	compact := "compact"
	n.create("table", 1, map[string]*string{"cleanup.policy": &compact})
	n.create("plain", 2, nil)
	n.create("other", 1, nil)
	looks("at first", "table-0")
	alter("plain", "compact,delete")
	looks("after a topic has changed", "plain-0", "plain-1", "table-0")
	alter("table", "delete")
	looks("after another has", "plain-0", "plain-1")
	n.set("", "log.cleanup.policy", "compact")
	looks("after the broker has", "other-0", "plain-0", "plain-1")
	if _, err := admin.DeleteTopics(n.context(), "plain"); err != nil {
		t.Fatal(err)
	}
	looks("after a topic is gone", "other-0")
	n.set("", "log.cleanup.policy", "delete")
	looks("after the broker has changed back")
}
