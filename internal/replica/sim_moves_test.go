package replica

import (
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// moves says whether the partition goes from broker to broker while all else happens.
type moves int

const (
	stays     moves = iota
	wanders         // it is reassigned time and again
	tornAway        // ... and those that go are taken out at once, which is a bug
	forgetful       // ... and brokers drop their replicas by metadata from before they were registered, which is one too
)

// reassign asks for other replicas of the partition, or takes back what is under way.
func (c *control) reassign() {
	a := controller.Reassignment{Topic: "t"}
	if !c.s.chance(5) {
		for _, id := range c.s.rng.Perm(len(c.s.nodes))[:1+c.s.rng.IntN(3)] {
			a.Replicas = append(a.Replicas, int32(id))
		}
	}
	if c.s.moves == tornAway && a.Replicas != nil {
		c.tearAway(a.Replicas)
		return
	}
	r := c.do(&controller.Reassign{Partitions: []controller.Reassignment{a}}).(*controller.ReassignResponse)
	switch code := r.Errors[0].Code; code {
	case protocol.None, protocol.NoReassignmentInProgress, protocol.InvalidReplicaAssignment: // the last one: it would lose records
	default:
		c.s.fail("I20", "reassign to %v: %s", a.Replicas, code)
	}
}

// tearAway gives the partition to others at once, and lets one of them that has some of it lead.
func (c *control) tearAway(replicas []int32) {
	p := c.partition()
	r := &metadata.PartitionChangeRecord{TopicID: c.topic, Replicas: replicas, ISR: []int32{}, ELR: []int32{}, LastKnownELR: []int32{}, Reassignment: &metadata.Reassignment{}}
	for _, id := range replicas {
		r.Directories = append(r.Directories, c.s.nodes[id].directory)
		if metadata.Has(p.ISR, id) {
			r.ISR = append(r.ISR, id)
		}
	}
	if len(r.ISR) > 0 {
		r.Leader = &r.ISR[0]
		c.commit([]metadata.Record{r})
	}
}

// leave drops the replica where the metadata give the partition to others, as the broker's host does: not by metadata from before its registration.
func (n *node) leave(img *metadata.Image) {
	s, p := n.s, img.Partition(n.s.ctl.topic, 0)
	self := img.Broker(n.id)
	if s.moves == stays || p == nil || self == nil || self.Epoch != n.brokerEpoch && s.moves != forgetful || metadata.Has(p.Replicas, n.id) || n.disk.end == 0 && len(n.disk.records) == 0 {
		return
	}
	s.note("leave %d at %d", n.id, n.disk.end)
	cuts := n.disk.cuts + 1
	n.disk, n.checkpoint, n.waits = s.newDisk(), 0, nil
	n.disk.cuts = cuts
	n.altering++
	n.left = p.PartitionEpoch
	n.m = New(n.id, n.disk, s.settings, 0, false)
	n.m.bug = s.bug
	n.m.Registered(n.brokerEpoch)
	s.judge.survives()
}

// gone says that a reassignment took a replica out, of which its leader may not know: it had what counted of it, and need not keep it.
func (j *judge) gone(leader *node, id int32) bool {
	return !metadata.Has(j.s.ctl.partition().Replicas, id) || j.s.nodes[id].left > leader.m.state.PartitionEpoch
}

// reassigned judges I20: a reassignment takes nobody out before all that stay are in sync, and who is taken out hears of it.
func (j *judge) reassigned(was, now *metadata.Partition) {
	gone, cancelled := false, false
	for _, id := range was.Replicas {
		if !metadata.Has(now.Replicas, id) {
			gone = true
			cancelled = cancelled || was.Reassignment != nil && metadata.Has(was.Reassignment.Adding, id)
		}
	}
	if !gone {
		return
	}
	j.s.count.moves++
	if now.LeaderEpoch == was.LeaderEpoch {
		j.s.fail("I20", "%v of %v are left in the leader epoch %d", now.Replicas, was.Replicas, now.LeaderEpoch)
	}
	for _, id := range now.Replicas {
		if !cancelled && !metadata.Has(now.ISR, id) {
			j.s.fail("I20", "%v of %v are left, ISR %v", now.Replicas, was.Replicas, now.ISR)
		}
	}
}
