package partition_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/vfs"
)

var (
	firstSeed = flag.Uint64("seed", 0, "first seed of TestRandomFaultsSim")
	seeds     = flag.Int("seeds", 60, "number of seeds of TestRandomFaultsSim")
)

// TestRandomFaultsSim lets three brokers live through deaths, power losses, silence, false alarms, elections and deleted records, in an order that
// a seed gives. What was acknowledged and not deleted is there afterwards, the same on all of them. What the rules themselves are worth the
// simulation of internal/replica shows; here it is logs, locks and syncs that follow them.
func TestRandomFaultsSim(t *testing.T) {
	var all struct{ acked, epochs, diverged, deaths, cuts, deletions int }
	for i := range *seeds {
		seed := *firstSeed + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newCluster(t, true)
			f := &faults{c, rand.New(rand.NewPCG(seed, 9)), &acknowledged{values: map[int64]string{}}, 0, 0, 0, 0}
			for range 150 {
				f.step(t)
			}
			for _, n := range c.nodes {
				if n.mute = false; n.p == nil {
					n.start()
				}
				if b := c.img.Broker(n.id); b.Fenced {
					c.do(&controller.AlterBroker{ID: n.id, Epoch: b.Epoch, State: controller.Unfenced})
				}
			}
			c.until("all to be in sync", func() bool {
				return c.state().Leader != metadata.NoLeader && len(c.state().ISR) == 3 && c.allCommitted()
			})
			c.same()
			start := c.leader().p.Log().LogStart()
			if start > f.deleted {
				t.Errorf("the log starts at %d, and records were deleted below %d", start, f.deleted)
			}
			all.acked += f.acked.count()
			f.acked.forget(f.deleted)
			f.acked.check(t, c.leader().p.Log())
			t.Logf("%d sent, %d acknowledged and not deleted, %d leader epochs, log from %d on", f.acked.sent, f.acked.count(), c.state().LeaderEpoch, start)
			all.epochs, all.diverged = all.epochs+int(c.state().LeaderEpoch), all.diverged+c.diverged
			all.deaths, all.cuts, all.deletions = all.deaths+f.deaths, all.cuts+f.cuts, all.deletions+f.deletions
		})
	}
	t.Logf("%+v", all)
	if n := *seeds; n >= 20 && !t.Failed() && (all.acked < 10*n || all.epochs < 8*n || all.diverged < 2*n || all.deaths < 4*n || all.cuts < 8*n || all.deletions < n/2) {
		t.Error("too little happened for the test to mean anything")
	}
}

type faults struct {
	*cluster
	rng   *rand.Rand
	acked *acknowledged

	deleted                 int64 // the highest offset below which records were deleted
	deaths, cuts, deletions int
}

// leading is the broker that leads and lives, or nil.
func (f *faults) leading() *node {
	if l := f.state().Leader; l != metadata.NoLeader && f.nodes[l].p != nil {
		return f.nodes[l]
	}
	return nil
}

func (f *faults) step(t *testing.T) {
	n, lead := f.nodes[f.rng.IntN(3)], f.leading()
	for range f.rng.IntN(6) {
		if lead != nil {
			f.acked.send(t, lead.p, f.rng.IntN(900))
		}
		f.nodes[f.rng.IntN(3)].fetch()
		if f.rng.IntN(2) == 0 {
			f.alter()
		}
	}
	e := f.img.Broker(n.id).Epoch
	switch k := f.rng.IntN(16); {
	case n.p == nil:
		n.start()
	case k == 0:
		n.kill()
		f.deaths++
		f.do(&controller.AlterBroker{ID: n.id, Epoch: e, State: controller.Fenced})
	case k == 1:
		n.cut(vfs.AllSurvivors[f.rng.IntN(len(vfs.AllSurvivors))], f.rng.Uint64())
		n.start() // before anybody noticed
		f.cuts++
	case k == 2 && f.rng.IntN(3) == 0:
		for _, n := range f.nodes {
			if n.p != nil {
				n.cut(vfs.AllSurvivors[f.rng.IntN(len(vfs.AllSurvivors))], f.rng.Uint64())
				f.cuts++
			}
		}
	case k < 6:
		n.mute = !n.mute
	case k == 6:
		f.do(&controller.AlterBroker{ID: n.id, Epoch: e, State: controller.Fenced})
	case k < 9:
		f.do(&controller.AlterBroker{ID: n.id, Epoch: e, State: controller.Unfenced})
	case k == 9:
		f.do(&controller.ElectLeaders{Election: controller.PreferredElection, All: true})
	case k == 10 && lead != nil:
		lead.p.Died(n.id, e)
	case k == 11 && lead != nil && f.rng.IntN(3) == 0:
		start, err := lead.p.DeleteRecords(-1)
		if err != nil {
			t.Error(err)
		}
		if start > f.deleted {
			f.deleted = start
			f.deletions++
		}
	case k == 12:
		f.clock.passed.Add(int64(2 * lag))
	case lead != nil:
		lead.p.Tick()
	}
}
