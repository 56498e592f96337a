package files

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
)

// contents is what a topic holds: a line for each record, and its ends.
type contents struct {
	start, end int64
	records    []string
}

// line is everything that a consumer sees of a record.
func line(r *kgo.Record) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "offset %d epoch %d time %d type %d codec %d producer %d/%d key %q value %.10q %d %08x",
		r.Offset, r.LeaderEpoch, r.Timestamp.UnixMilli(), r.Attrs.TimestampType(), r.Attrs.CompressionType(), r.ProducerID, r.ProducerEpoch, r.Key, r.Value, len(r.Value), crc32.ChecksumIEEE(r.Value))
	if r.Value == nil {
		b.WriteString(" null")
	}
	for _, h := range r.Headers {
		fmt.Fprintf(&b, " %s=%q", h.Key, h.Value)
	}
	return b.String()
}

// readAll reads every topic from its start to its end.
func readAll(t *testing.T, addr string) map[string]*contents {
	t.Helper()
	admin := kadm.NewClient(broker.ClientOf(t, addr))
	all := map[string]*contents{}
	assigned := map[string]map[int32]kgo.Offset{}
	var names []string
	for _, topic := range topics() {
		names = append(names, topic.name)
		assigned[topic.name] = map[int32]kgo.Offset{0: kgo.NewOffset().AtStart()}
	}
	broker.Eventually(t, "all topics have their ends", func() bool {
		starts, err := admin.ListStartOffsets(broker.Context(t), names...)
		if err != nil || starts.Error() != nil {
			return false
		}
		ends, err := admin.ListEndOffsets(broker.Context(t), names...)
		if err != nil || ends.Error() != nil {
			return false
		}
		for _, name := range names {
			all[name] = &contents{start: starts[name][0].Offset, end: ends[name][0].Offset}
		}
		return len(all) == len(names)
	})
	cl := broker.ClientOf(t, addr, kgo.ConsumePartitions(assigned))
	ctx := broker.Context(t)
	for left := len(names); left > 0; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			c := all[r.Topic]
			c.records = append(c.records, line(r))
			if r.Offset == c.end-1 {
				left--
			}
		})
	}
	return all
}

// compare fails where two brokers do not serve the same.
func compare(t *testing.T, want, got map[string]*contents) {
	t.Helper()
	n := 0
	for name, w := range want {
		g := got[name]
		if g.start != w.start || g.end != w.end || len(g.records) != len(w.records) {
			t.Errorf("%s: offsets %d to %d, %d records, want %d to %d, %d records", name, g.start, g.end, len(g.records), w.start, w.end, len(w.records))
			continue
		}
		for i := range w.records {
			if g.records[i] != w.records[i] {
				t.Errorf("%s: record %d is\n%s\nwant\n%s", name, i, g.records[i], w.records[i])
				break
			}
			n++
		}
		if n == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	t.Logf("%d records of %d topics are served alike", n, len(want))
}

// appended checks that the records of before are followed by those of goOn: a batch of our producer, and a record.
func (w *writer) appended(t *testing.T, before, after map[string]*contents) {
	t.Helper()
	for name, b := range before {
		a := after[name]
		if a.end != b.end+3 || a.start != b.start {
			t.Errorf("%s: offsets %d to %d became %d to %d", name, b.start, b.end, a.start, a.end)
		}
		if p := w.producers[name]; p.last != b.end+1 {
			t.Errorf("%s: our producer's batch ends at %d, and the log ended at %d before it", name, p.last, b.end)
		}
	}
}
