package partition_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// acknowledged are the values that a producer with acks=all was told to be safe, by offset.
type acknowledged struct {
	mu     sync.Mutex
	values map[int64]string
	sent   int
}

// send appends a value to who leads, and notes it once it is acknowledged.
func (a *acknowledged) send(t *testing.T, p *partition.Partition, size int) {
	t.Helper()
	a.sent++
	value := fmt.Sprintf("%d/%0*d", a.sent, size, a.sent)
	b := record.NewBuilder(record.Compression{})
	b.Append(record.Record{Timestamp: 1000, Value: []byte(value)})
	info, err := p.Append(b.Build(), true)
	if err != nil {
		return // too few in sync
	}
	safe := func(err error) {
		if err == nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.values[info.Last] = value
		}
	}
	if committed, err := p.Await(&partition.Wait{End: info.Last + 1, Epoch: info.Epoch, Done: safe}); committed {
		safe(err)
	}
}

// count is how many are acknowledged.
func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.values)
}

// forget takes those off the list that were deleted: all below an offset.
func (a *acknowledged) forget(below int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for offset := range a.values {
		if offset < below {
			delete(a.values, offset)
		}
	}
}

// check looks for all of them in a log.
func (a *acknowledged) check(t *testing.T, l *commitlog.Log) {
	t.Helper()
	found := map[int64]string{}
	for rest := contents(t, l, l.LogStart()); len(rest) > 0; {
		b, behind, err := record.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		for r, err := range b.Records(1 << 20) {
			if err != nil {
				t.Fatal(err)
			}
			found[r.Offset] = string(r.Value)
		}
		rest = behind
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for offset, value := range a.values {
		if found[offset] != value {
			t.Errorf("offset %d has %.20q, %.20q was acknowledged", offset, found[offset], value)
		}
	}
}

// cut takes the power from a broker: of its disk there is what a model of survivors leaves.
func (n *node) cut(model vfs.Survivors, seed uint64) {
	n.p.Close(partition.ErrDeleted) // nobody is answered from here on
	left := n.disk.Peek(model, seed)
	n.kill()
	n.disk = left
}

// TestPowerLoss cuts the power of all three brokers at once, in the middle of work, again and again: what was acknowledged is there afterwards,
// the same on all of them.
func TestPowerLoss(t *testing.T) {
	for _, model := range vfs.AllSurvivors {
		t.Run(model.String(), func(t *testing.T) {
			c := newCluster(t, true)
			rng := rand.New(rand.NewPCG(3, 5))
			acked := &acknowledged{values: map[int64]string{}}
			for round := range 6 {
				goal := acked.count() + 15 + rng.IntN(10)
				c.until("acknowledgements", func() bool {
					acked.send(t, c.leader().p, rng.IntN(900))
					return acked.count() >= goal
				})
				for range rng.IntN(4) { // for some, or nobody
					acked.send(t, c.leader().p, rng.IntN(900))
					c.nodes[rng.IntN(3)].fetch()
				}
				if round%2 == 1 { // its leader alone, first
					out := c.leader()
					out.cut(model, uint64(round))
					c.do(&controller.AlterBroker{ID: out.id, Epoch: c.img.Broker(out.id).Epoch, State: controller.Fenced})
					for range 3 {
						acked.send(t, c.leader().p, 100)
						c.nodes[rng.IntN(3)].fetch()
					}
				}
				for _, n := range c.nodes {
					if n.p != nil {
						n.cut(model, uint64(round))
					}
				}
				c.alter() // what was under way comes too late, or not
				for _, id := range rng.Perm(3) {
					c.nodes[id].start()
				}
				c.until("all to be in sync", func() bool { return len(c.state().ISR) == 3 && c.allCommitted() })
				c.same()
				acked.check(t, c.leader().p.Log())
			}
			t.Logf("%d sent, %d acknowledged, %d leader epochs", acked.sent, acked.count(), c.state().LeaderEpoch)
		})
	}
}
