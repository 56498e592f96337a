package group

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
	"github.com/moldau/moldau/internal/random"
)

func commitOf(group string, partitions int) *CommitRequest {
	r := &CommitRequest{Group: group, Generation: -1, Retention: -1, Topics: []CommitTopic{{Topic: "some-topic", ID: idOf(1)}}}
	for i := range partitions {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, CommitPartition{Partition: int32(i), Offset: 1 << 40, LeaderEpoch: 3})
	}
	return r
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("partitions=%d", n), func(b *testing.B) {
			m := newTestMachine(Settings{})
			const groups = 1000
			calls := make([]*CommitRequest, groups)
			for i := range calls {
				calls[i] = commitOf(fmt.Sprint("group-", i), n)
			}
			out := &coordinator.Out{}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Step(start, coordinator.NewCall(calls[i%groups], nil), out)
				clear(out.Records)
				clear(out.Answers)
				out.Records, out.Answers = out.Records[:0], out.Answers[:0]
			}
		})
	}
}

func BenchmarkFetch(b *testing.B) {
	m := newTestMachine(Settings{})
	m.Step(start, coordinator.NewCall(commitOf("g", 100), nil), &coordinator.Out{})
	r := &FetchRequest{Group: "g", Topics: []FetchTopic{{Topic: "some-topic"}}}
	for i := range 100 {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, int32(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		m.fetch(r)
	}
}

// million is the log of a million commits, by 1,000 groups of 100 partitions each.
func million() (log []coordinator.Record, bytes int64) {
	log = make([]coordinator.Record, 0, 1_000_000)
	for round := range 10 {
		for g := range 1000 {
			for p := range int32(100) {
				o := stored.Offset{Offset: int64(round), LeaderEpoch: 1, CommittedMs: start.UnixMilli(), ExpiresMs: stored.None, TopicID: idOf(1)}
				r := coordinator.Record{Key: stored.AppendOffsetKey(nil, fmt.Sprint("group-", g), "some-topic", p), Value: o.Append(nil)}
				bytes += int64(len(r.Key) + len(r.Value))
				log = append(log, r)
			}
		}
	}
	return log, bytes
}

func BenchmarkReplayMillion(b *testing.B) {
	log, bytes := million()
	b.SetBytes(bytes)
	b.ReportAllocs()
	for b.Loop() {
		m := New(Settings{}, random.Seeded(1), nil)
		for i := range log {
			if err := m.Replay(log[i]); err != nil {
				b.Fatal(err)
			}
		}
		m.Loaded(start, &coordinator.Out{})
	}
}

// What a look over a million offsets for expired ones, of which there are none, takes.
func BenchmarkExpiryCheck(b *testing.B) {
	m := newTestMachine(Settings{})
	for i := range 10_000 {
		m.Step(start, coordinator.NewCall(commitOf(fmt.Sprint("group-", i), 100), nil), &coordinator.Out{})
	}
	b.ReportAllocs()
	for b.Loop() {
		m.upkeep.check = start
		for now := start; len(m.upkeep.sweeps) > 0 || m.upkeep.check.Equal(start); now = now.Add(sweepPause) {
			m.begin(now, &coordinator.Out{})
			m.expireOffsets(now, &coordinator.Out{})
		}
	}
}

// filled returns a machine with committed offsets, or one that loaded the log of such a machine.
func filled(t *testing.T, groups, partitions int, metadata string, loaded bool) *Machine {
	m := newTestMachine(Settings{})
	var log []coordinator.Record
	for i := range groups {
		r := commitOf(fmt.Sprint("group-", i), partitions)
		for j := range r.Topics[0].Partitions {
			r.Topics[0].Partitions[j].Metadata = metadata
		}
		out := &coordinator.Out{}
		m.Step(start, coordinator.NewCall(r, nil), out)
		if loaded {
			log = append(log, out.Records...)
		}
	}
	if !loaded {
		m.begin(start, &coordinator.Out{}) // what the last step put out is not the machine's
		return m
	}
	m = New(m.settings, random.Seeded(1), nil)
	for _, r := range log {
		if err := m.Replay(r); err != nil {
			t.Fatal(err)
		}
	}
	m.Loaded(start.Add(time.Second), &coordinator.Out{})
	return m
}

// A committed offset takes little memory, with its share of the group and the topic.
func TestOffsetMemory(t *testing.T) {
	inUse := func() int64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	for _, c := range []struct {
		groups, partitions, limit int
		metadata                  string
		loaded                    bool
	}{
		{500, 100, 45, "", false},
		{500, 100, 36, "", true},
		{5, 10_000, 44, "", false},
		{500, 100, 170, "some metadata of a stream", false},
		{4000, 1, 800, "", false},
	} {
		before := inUse()
		m := filled(t, c.groups, c.partitions, c.metadata, c.loaded)
		each := int(inUse()-before) / (c.groups * c.partitions)
		runtime.KeepAlive(m)
		if t.Logf("%d groups of %d partitions, metadata %q, loaded %v: %d bytes an offset", c.groups, c.partitions, c.metadata, c.loaded, each); each > c.limit {
			t.Errorf("%+v: an offset takes %d bytes", c, each)
		}
	}
}
