package crash

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// verifier reads the topics from where it last stopped and compares them with what was acknowledged.
type verifier struct {
	client *kgo.Client
	at     map[string]*[partitions]int64            // next offset to read
	last   map[uint32]*[partitions]int64            // by producer: the greatest number read, -1 before the first
	read   map[uint32]*[partitions]map[uint64]int64 // by producer: the offsets of the numbers read and not yet compared
}

func newVerifier(t *testing.T, addr string) *verifier {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MetadataMinAge(20*time.Millisecond), kgo.FetchMaxPartitionBytes(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &verifier{client: cl, at: map[string]*[partitions]int64{}, last: map[uint32]*[partitions]int64{}, read: map[uint32]*[partitions]map[uint64]int64{}}
}

// verify reads up to the ends and checks the records read, then that no acknowledged one is missing.
func (v *verifier) verify(t *testing.T, l *load) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(v.client).ListEndOffsets(ctx, l.idempotent, l.plain)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("list ends: %v", err)
	}
	left, from := 0, map[string]map[int32]kgo.Offset{}
	for _, topic := range []string{l.idempotent, l.plain} {
		if v.at[topic] == nil {
			v.at[topic] = &[partitions]int64{}
		}
		from[topic] = map[int32]kgo.Offset{}
		for part := range int32(partitions) {
			if ends[topic][part].Offset > v.at[topic][part] {
				from[topic][part] = kgo.NewOffset().At(v.at[topic][part])
				left++
			}
		}
	}
	v.client.AddConsumePartitions(from)
	for left > 0 {
		fs := v.client.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("%d partitions left: %v", left, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			at := &v.at[r.Topic][r.Partition]
			if r.Offset != *at {
				t.Errorf("%s-%d: offset %d follows offset %d", r.Topic, r.Partition, r.Offset, *at-1)
			}
			*at = r.Offset + 1
			if *at == ends[r.Topic][r.Partition].Offset {
				left--
			}
			v.check(t, l, r)
		})
	}
	v.client.PurgeTopicsFromConsuming(l.idempotent, l.plain)
	v.compare(t, l)
}

// check is for each record in the order of the log: numbers of a producer go up. Those of an idempotent one never
// repeat; those of another may come again, but not before their time.
func (v *verifier) check(t *testing.T, l *load, r *kgo.Record) {
	t.Helper()
	id, number := binary.BigEndian.Uint32(r.Value), binary.BigEndian.Uint64(r.Value[4:])
	if v.last[id] == nil {
		v.last[id], v.read[id] = &[partitions]int64{}, &[partitions]map[uint64]int64{}
		for p := range partitions {
			v.last[id][p], v.read[id][p] = -1, map[uint64]int64{}
		}
	}
	last := &v.last[id][r.Partition]
	switch {
	case int64(number) == *last+1:
		*last++
	case int64(number) > *last:
		t.Errorf("%s-%d: at offset %d producer %d goes from its record %d to %d", r.Topic, r.Partition, r.Offset, id, *last, number)
		*last = int64(number)
	case r.Topic == l.idempotent:
		t.Errorf("%s-%d: at offset %d the idempotent producer %d repeats its record %d", r.Topic, r.Partition, r.Offset, id, number)
	}
	if acked, ok := l.producers[id].offset(r.Partition, number); !ok || acked == r.Offset {
		v.read[id][r.Partition][number] = r.Offset // of copies, the acknowledged one
	}
}

// offset returns where an acknowledged record lies.
func (p *producer) offset(part int32, number uint64) (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, ok := p.acked[part][number]
	return o, ok
}

// compare expects every acknowledged record where its acknowledgement said.
func (v *verifier) compare(t *testing.T, l *load) {
	t.Helper()
	missing := 0
	for _, p := range l.producers {
		for part := range p.acked {
			for number, offset := range p.acked[part] {
				if v.read[p.id] == nil || v.read[p.id][part] == nil {
					missing++
					continue
				}
				if _, ok := v.read[p.id][part][number]; !ok {
					if missing++; missing <= 10 {
						t.Errorf("%s-%d: record %d of producer %d, acknowledged at offset %d, is not there", p.topic, part, number, p.id, offset)
					}
				}
			}
		}
	}
	if missing > 0 {
		t.Errorf("%d acknowledged records are missing", missing)
	}
}
