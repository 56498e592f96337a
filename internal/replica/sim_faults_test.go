package replica

import (
	"time"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/uuid"
)

// clients append to whoever takes itself for the leader.
func (s *sim) clients() {
	s.after(s.ms(1, 15), func() {
		if n := s.nodes[s.rng.IntN(len(s.nodes))]; !s.mute {
			if n.running() && !n.frozen.After(s.now) {
				if role, _ := n.m.Role(); role == Leader {
					n.append()
				}
			}
		}
		s.clients()
	})
}

// nemesis does harm until heal.
func (s *sim) nemesis() {
	s.after(s.ms(20, s.pause), func() {
		if s.quiet {
			return
		}
		s.harm()
		s.nemesis()
	})
}

func (s *sim) harm() {
	some := len(s.ctl.replicas)
	if s.moves != stays {
		some = len(s.nodes)
	}
	n := s.nodes[s.rng.IntN(some)]
	if p := s.ctl.partition(); s.chance(2) && p.Leader != metadata.NoLeader {
		n = s.nodes[p.Leader]
	}
	switch k := s.rng.IntN(14); {
	case k < 2 && n.running():
		n.die(false)
		s.back(n)
	case k == 2 && n.running() && (s.settings.Durable || s.mayLose(n)):
		n.die(true)
		s.back(n)
	case k == 3:
		s.blackout()
	case k == 4 && n.running() && s.mayLose(n):
		n.die(false)
		s.wreck(n)
		s.back(n)
	case k == 5 && n.running():
		n.frozen = s.now.Add(s.ms(20, 3000))
		s.note("freeze %d", n.id)
	case k < 9:
		s.partition(n)
	case k == 9:
		n.slow = s.now.Add(s.ms(100, 2000))
	case k == 10:
		s.deleteRecords()
	case k == 11 && n.running():
		s.stop(n)
	case k == 12: // taken for dead by the controller, until its next heartbeat
		for range 1 + s.rng.IntN(4) {
			s.after(s.ms(0, 400), func() { s.ctl.died(n.id, s.ctl.img().Broker(n.id).Epoch) })
		}
	default: // taken for dead by the leader
		for _, other := range s.nodes {
			if other.running() && other != n {
				e := n.brokerEpoch
				other.later(s.ms(1, 20), func() { other.step("alarm", func(out *Out) { other.m.Died(s.now, n.id, e, out) }) })
			}
		}
	}
}

// back starts a dead node again, after a while.
func (s *sim) back(n *node) { s.after(s.ms(5, []int{50, 1500}[s.rng.IntN(2)]), n.revive()) }

// revive starts the dead node unless it was started before.
func (n *node) revive() func() {
	life := n.life
	return func() {
		if n.life == life {
			n.start()
		}
	}
}

// blackout is a power loss of all at once.
func (s *sim) blackout() {
	if !s.settings.Durable && !s.reckless {
		return
	}
	for _, n := range s.nodes {
		if n.running() {
			n.die(true)
			s.back(n)
		}
	}
}

// wreck takes the log of a dead node, or its end.
func (s *sim) wreck(n *node) {
	n.loses()
	if s.chance(2) {
		n.disk, n.directory, n.checkpoint, n.lossy = s.newDisk(), uuid.New(s.ids), 0, true
		s.note("wipe %d", n.id)
	} else {
		n.disk.cut(s.rng.IntN(len(n.disk.records) + 1))
		s.note("roll back %d to %d", n.id, n.disk.end)
	}
	s.judge.survives()
}

// partition cuts a node from some others, one way or both.
func (s *sim) partition(n *node) {
	until, both := s.now.Add(s.ms(50, 2500)), s.chance(2)
	all := s.chance(2)
	for id := controllerID; int(id) < len(s.nodes); id++ {
		if id == n.id || !all && s.chance(2) {
			continue
		}
		s.cut[[2]int32{n.id, id}] = until
		if both {
			s.cut[[2]int32{id, n.id}] = until
		}
	}
	s.note("partition %d", n.id)
}

// deleteRecords asks every leader to delete, up to anywhere.
func (s *sim) deleteRecords() {
	for _, n := range s.nodes {
		if !n.running() || n.frozen.After(s.now) {
			continue
		}
		n.step("delete", func(out *Out) {
			if to, err := n.m.DeleteRecords(n.disk.start - 1 + s.rng.Int64N(n.disk.end-n.disk.start+2)); err == nil {
				out.LogStart = &to
			}
		})
	}
}

// stop is a controlled shutdown.
func (s *sim) stop(n *node) {
	e := n.brokerEpoch
	if e < 0 {
		return
	}
	s.ctl.do(&controller.AlterBroker{ID: n.id, Epoch: e, State: controller.ControlledShutdown})
	n.later(s.ms(10, 400), func() {
		n.die(false)
		s.back(n)
	})
}

// heal ends all faults.
func (s *sim) heal() {
	s.quiet = true
	clear(s.cut)
	for _, n := range s.nodes {
		n.frozen, n.slow = time.Time{}, time.Time{}
		if !n.running() {
			n.start()
		}
	}
}
