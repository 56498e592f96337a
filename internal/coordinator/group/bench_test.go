package group

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/random"
)

func newTestMachine(s Settings) *Machine {
	if s.MaxSessionTimeout == 0 {
		s.MinSessionTimeout, s.MaxSessionTimeout, s.MaxSize, s.MaxMetadataBytes = 6*time.Second, 30*time.Minute, 1<<31-1, 4096
		s.OffsetsRetention, s.RetentionCheck = 7*24*time.Hour, 10*time.Minute
	}
	m := New(s, random.Seeded(1), nil)
	m.Loaded(start, &coordinator.Out{})
	return m
}

// stable makes a stable group of n members and returns their ids and the records that were written.
func stable(m *Machine, id string, n int) (ids []string, records []coordinator.Record) {
	now := start
	out := &coordinator.Out{}
	ids = make([]string, n)
	for i := range n {
		m.Step(now, coordinator.NewCall(&JoinRequest{Group: id, ClientID: "consumer-1", ClientHost: "/127.0.0.1", SessionTimeout: 45 * time.Second, RebalanceTimeout: 5 * time.Minute,
			ProtocolType: consumerType, Protocols: []Protocol{{"range", subscriptionOf("topic")}, {"cooperative-sticky", subscriptionOf("topic")}}},
			func(response any, _ error) { ids[i] = response.(*JoinResponse).Member }), out)
	}
	m.Tick(m.Due(), out)
	out.Deliver()
	assignments := make([]Assignment, n)
	for i, member := range ids {
		assignments[i] = Assignment{member, []byte("twenty-five bytes or so  ")}
	}
	for i := range ids {
		m.Step(now, coordinator.NewCall(&SyncRequest{Group: id, Generation: 1, Member: ids[n-1-i], Assignments: assignments}, nil), out)
	}
	if g := m.find(id); g.state != Stable {
		panic(g.state.String())
	}
	return ids, out.Records
}

func BenchmarkHeartbeat(b *testing.B) {
	for _, groups := range []int{1, 10000} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			m := newTestMachine(Settings{})
			calls := make([]*HeartbeatRequest, groups)
			for i := range calls {
				id := fmt.Sprint("group-", i)
				ids, _ := stable(m, id, 1)
				calls[i] = &HeartbeatRequest{Group: id, Generation: 1, Member: ids[0]}
			}
			out := &coordinator.Out{}
			now := start
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				now = now.Add(3 * time.Second / time.Duration(groups)) // every member every 3 seconds
				if !m.Due().After(now) {
					m.Tick(now, out)
				}
				m.Step(now, coordinator.NewCall(calls[i%groups], nil), out)
				if out.Answers[0].Response.(*HeartbeatResponse).Code != 0 {
					b.Fatal(out.Answers[0].Response)
				}
				out.Answers = out.Answers[:0]
			}
		})
	}
}

func BenchmarkJoin1000(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		stable(newTestMachine(Settings{}), "group", 1000)
	}
}

func BenchmarkReplay10000Groups(b *testing.B) {
	m := newTestMachine(Settings{})
	var log []coordinator.Record
	size := 0
	for i := range 10000 {
		_, records := stable(m, fmt.Sprint("group-", i), 2)
		for _, r := range records {
			size += len(r.Key) + len(r.Value)
		}
		log = append(log, records...)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		m := New(m.settings, random.Seeded(1), nil)
		for _, r := range log {
			if err := m.Replay(r); err != nil {
				b.Fatal(err)
			}
		}
		m.Loaded(start, &coordinator.Out{})
	}
}

// TestMemory measures what a member of an idle group takes, its metadata and its assignment included.
func TestMemory(t *testing.T) {
	inUse := func() int64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	measure := func(groups, members int) int64 {
		m := newTestMachine(Settings{})
		before := inUse()
		for i := range groups {
			stable(m, fmt.Sprint("group-", i), members)
		}
		used := inUse() - before
		runtime.KeepAlive(m)
		return used / int64(groups*members)
	}
	if alone, many := measure(5000, 1), measure(5, 1000); alone > 1536 || many > 900 {
		t.Errorf("a member takes %d bytes, one that has a group for itself %d", many, alone)
	} else {
		t.Logf("a member takes %d bytes, one that has a group for itself %d", many, alone)
	}
}
