package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// verifier reads the topics from where it last stopped and compares them with what was acknowledged.
type verifier struct {
	client  *kgo.Client
	at      map[string]*[partitions]int64   // next offset to read
	read    map[uint32]*[partitions][]int64 // by producer: the offset of each number that was read, -1 where that was not the acknowledged one
	found   map[uint32]*[partitions]int     // by producer: so many of its numbers are read and compared
	mayMiss bool                            // acknowledged records may be missing at the end of a partition
	missing int
}

func newVerifier(t *testing.T, addr string) *verifier {
	t.Helper()
	cl, err := kgo.NewClient(seeds(addr), kgo.MetadataMinAge(20*time.Millisecond), kgo.AlwaysRetryEOF(), kgo.FetchMaxPartitionBytes(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &verifier{client: cl, at: map[string]*[partitions]int64{}, read: map[uint32]*[partitions][]int64{}, found: map[uint32]*[partitions]int{}}
}

// verify reads up to the ends and checks the records read, then that no acknowledged one is missing.
func (v *verifier) verify(t *testing.T, l *load) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(v.client).ListEndOffsets(ctx, l.idempotent, l.plain)
	for ; err != nil || ends.Error() != nil; ends, err = kadm.NewClient(v.client).ListEndOffsets(ctx, l.idempotent, l.plain) {
		// A connection from before a kill may still fail once.
		if refused := (*kerr.Error)(nil); ctx.Err() != nil || errors.As(errors.Join(err, ends.Error()), &refused) && !refused.Retriable {
			t.Fatalf("list ends: %v", errors.Join(err, ends.Error()))
		}
		<-time.After(20 * time.Millisecond)
	}
	left, from := 0, map[string]map[int32]kgo.Offset{}
	for _, topic := range []string{l.idempotent, l.plain} {
		if v.at[topic] == nil {
			v.at[topic] = &[partitions]int64{}
		}
		from[topic] = map[int32]kgo.Offset{}
		for part := range int32(partitions) {
			if end := ends[topic][part].Offset; end < v.at[topic][part] {
				t.Fatalf("%s-%d ends at offset %d and was read up to %d", topic, part, end, v.at[topic][part])
			} else if end > v.at[topic][part] {
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
	if len(r.Value) < 12 {
		t.Fatalf("%s-%d: the record at offset %d has %d bytes", r.Topic, r.Partition, r.Offset, len(r.Value))
	}
	id, number := binary.BigEndian.Uint32(r.Value), binary.BigEndian.Uint64(r.Value[4:])
	if v.read[id] == nil {
		v.read[id], v.found[id] = &[partitions][]int64{}, &[partitions]int{}
	}
	read := &v.read[id][r.Partition]
	next := uint64(len(*read))
	switch {
	case number == next:
		*read = append(*read, -1)
	case number > next:
		t.Fatalf("%s-%d: at offset %d producer %d goes from before its record %d to %d", r.Topic, r.Partition, r.Offset, id, next, number)
	case r.Topic == l.idempotent:
		t.Errorf("%s-%d: at offset %d the idempotent producer %d repeats its record %d", r.Topic, r.Partition, r.Offset, id, number)
	}
	if acked := l.producers[id].offset(r.Partition, number); acked < 0 || acked == r.Offset {
		(*read)[number] = r.Offset // of copies, the acknowledged one
	}
}

// offset returns where an acknowledged record lies, -1 if it was not acknowledged.
func (p *producer) offset(part int32, number uint64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if number >= uint64(len(p.acked[part])) {
		return -1
	}
	return p.acked[part][number]
}

// compare expects every acknowledged record where its acknowledgement said.
func (v *verifier) compare(t *testing.T, l *load) {
	t.Helper()
	missing, misplaced := 0, 0
	for _, p := range l.producers {
		if v.read[p.id] == nil {
			v.read[p.id], v.found[p.id] = &[partitions][]int64{}, &[partitions]int{}
		}
		p.mu.Lock()
		for part, acked := range p.acked {
			read := v.read[p.id][part]
			for number := v.found[p.id][part]; number < len(acked); number++ {
				switch offset := acked[number]; {
				case offset < 0:
				case number >= len(read):
					if missing++; missing <= 10 && !v.mayMiss {
						t.Errorf("%s-%d: record %d of producer %d, acknowledged at offset %d, is not there", p.topic, part, number, p.id, offset)
					}
				case read[number] != offset:
					if misplaced++; misplaced <= 10 {
						t.Errorf("%s-%d: record %d of producer %d is not at offset %d, where it was acknowledged, but at %d", p.topic, part, number, p.id, offset, read[number])
					}
				}
			}
			v.found[p.id][part] = len(read)
		}
		p.mu.Unlock()
	}
	if v.missing += missing; missing > 0 && !v.mayMiss || misplaced > 0 {
		t.Errorf("%d acknowledged records are missing, %d elsewhere", missing, misplaced)
	}
}
