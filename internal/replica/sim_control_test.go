package replica

import (
	"fmt"
	"slices"
	"time"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// control is the controller: the steps of internal/controller on an image, and beside them what it needs of heartbeats. It does not fail; the quorum has its own simulation.
type control struct {
	s        *sim
	settings controller.Settings
	images   []*metadata.Image // by index: brokers see them late
	topic    uuid.UUID
	replicas []int32
	beats    map[int32]time.Time
}

// rules is the topic's configuration as the controller sees it.
type rules struct {
	controller.Configs
	minISR  int
	unclean bool
}

func (r rules) TopicRules(map[string]string) controller.Rules {
	return controller.Rules{MinISR: r.minISR, Unclean: r.unclean}
}

func newControl(s *sim, factor int) {
	c := &control{s: s, images: []*metadata.Image{metadata.Empty}, topic: uuid.New(s.ids), beats: map[int32]time.Time{}}
	s.ctl = c
	c.settings.Configs = rules{minISR: s.settings.MinISR, unclean: s.bug == uncleanElected}
	c.do(&controller.StartCluster{ClusterID: "sim"})
	p := metadata.Partition{Leader: metadata.NoLeader}
	for _, n := range s.nodes[:factor] {
		p.Replicas, p.ISR, p.Directories = append(p.Replicas, n.id), append(p.ISR, n.id), append(p.Directories, n.directory)
	}
	c.replicas = p.Replicas
	for _, n := range s.nodes {
		c.do(&controller.RegisterBroker{ClusterID: "sim", ID: n.id, Incarnation: uuid.New(s.ids), Directories: []uuid.UUID{n.directory}, Unfence: true})
		c.beats[n.id] = s.now
	}
	p.Leader = p.Replicas[0]
	c.commit([]metadata.Record{&metadata.TopicRecord{Name: "t", ID: c.topic}, &metadata.PartitionRecord{TopicID: c.topic, Partition: p}})
	s.after(50*time.Millisecond, c.tick)

}

func (c *control) img() *metadata.Image { return c.images[len(c.images)-1] }

func (c *control) partition() *metadata.Partition { return c.img().Partition(c.topic, 0) }

// do carries out a request of internal/controller.
func (c *control) do(r controller.Request) controller.Response {
	records, response := controller.Step(c.img(), c.settings, r, c.s.ids)
	if a, ok := r.(*controller.AlterBroker); ok && a.State == controller.Fenced && c.s.bug == fencedStays {
		records = slices.DeleteFunc(records, func(r metadata.Record) bool { _, is := r.(*metadata.PartitionChangeRecord); return is })
	}
	c.commit(records)
	return response
}

func (c *control) commit(records []metadata.Record) {
	if len(records) == 0 {
		return
	}
	before := c.img()
	from := before
	if c.s.bug == recordSkipped && c.partition() != nil && c.s.chance(20) {
		from = c.images[len(c.images)-2]
	}
	img, _, err := metadata.Apply(from, before.Index()+1, records)
	if err != nil {
		c.s.fail("I10", "metadata do not fit: %v", err)
	}
	c.images = append(c.images, img)
	if p := c.partition(); p != nil {
		c.s.note("metadata %d: leader %d of %d, partition epoch %d, isr %v elr %v known %v", img.Index(), p.Leader, p.LeaderEpoch, p.PartitionEpoch, p.ISR, p.ELR, p.LastKnownELR)
		if !c.mutate() {
			changes := int32(0)
			for _, r := range records {
				if _, is := r.(*metadata.PartitionChangeRecord); is {
					changes++
				}
			}
			c.s.judge.changed(before, img, changes)
		}
	}
}

// mutate elects wrongly, or forgets, where a bug says so.
func (c *control) mutate() bool {
	p := c.partition()
	change := &metadata.PartitionChangeRecord{TopicID: c.topic}
	if c.s.bug == elrForgotten && len(p.ELR) > 0 && c.s.chance(4) {
		change.ELR = []int32{}
		c.commit([]metadata.Record{change})
		return true
	}
	for _, id := range p.Replicas {
		wrong := c.s.bug == electAny || c.s.bug == lastKnownElected && len(p.ISR)+len(p.ELR) == 0 && metadata.Has(p.LastKnownELR, id)
		if wrong && p.Leader == metadata.NoLeader && c.img().Broker(id).Active() {
			change.Leader, change.ISR, change.ELR, change.LastKnownELR = new(id), []int32{id}, []int32{}, []int32{}
			c.commit([]metadata.Record{change})
			return true
		}
	}
	return false
}

// register registers a broker; lossy says whether its log went back, whatever the request says.
func (c *control) register(r *controller.RegisterBroker, lossy bool) int64 {
	if c.s.chance(2) {
		r.Unfence = true
	}
	known := c.img().Broker(r.ID)
	response := c.do(r).(*controller.RegisterBrokerResponse)
	if response.Error.Failed() {
		c.s.fail("registration", "broker %d: %s", r.ID, response.Error.Message)
	}
	if known.Incarnation != r.Incarnation {
		c.beats[r.ID] = c.s.now
	}
	c.do(&controller.AssignDirectories{Broker: r.ID, Replicas: []controller.AssignDirectory{{TopicID: c.topic, Directory: r.Directories[0]}}})
	return response.Epoch
}

// beat takes a heartbeat. A broker serves once it has seen its registration.
func (c *control) beat(id int32, e int64, ready bool) {
	b, sent := c.img().Broker(id), e
	if c.s.bug == beatUnchecked {
		e = b.Epoch
	}
	if b.Epoch == e {
		c.beats[id] = c.s.now
	}
	if b.Fenced && ready {
		c.do(&controller.AlterBroker{ID: id, Epoch: e, State: controller.Unfenced})
		c.s.judge.beats(b, c.img().Broker(id), sent)
	}
}

// died fences a broker at once.
func (c *control) died(id int32, e int64) {
	c.do(&controller.AlterBroker{ID: id, Epoch: e, State: controller.Fenced})
}

// tick fences who is silent, and now and then gives the leadership back to the preferred replica, or to another of the ISR.
func (c *control) tick() {
	for _, b := range c.img().Brokers() {
		if !b.Fenced && c.s.now.Sub(c.beats[b.ID]) > c.s.session {
			c.died(b.ID, b.Epoch)
		}
	}
	switch p := c.partition(); {
	case c.s.moves != stays && c.s.fault(6):
		c.reassign()
	case c.s.chance(40):
		c.do(&controller.ElectLeaders{Election: controller.PreferredElection, All: true})
	case c.s.fault(20) && p.Leader != metadata.NoLeader:
		if id := p.ISR[c.s.rng.IntN(len(p.ISR))]; c.img().Broker(id).Active() {
			c.commit([]metadata.Record{&metadata.PartitionChangeRecord{TopicID: c.topic, Leader: &id}})
		}
	}
	c.s.after(50*time.Millisecond, c.tick)
}

// alter has a leader's proposal judged by the controller, whom a bug tells other epochs than the leader's.
func (c *control) alter(a *AlterPartition) (*metadata.Partition, error) {
	proposed := controller.ProposedISR{TopicID: c.topic, LeaderEpoch: int32(a.LeaderEpoch), PartitionEpoch: a.PartitionEpoch}
	if c.s.bug == epochsUnchecked {
		proposed.LeaderEpoch = c.partition().LeaderEpoch
	}
	if c.s.bug == versionUnchecked || c.s.bug == epochsUnchecked {
		proposed.PartitionEpoch = c.partition().PartitionEpoch
	}
	for _, m := range a.ISR {
		if b := c.img().Broker(m.ID); b != nil && c.s.bug == brokerEpochUnchecked {
			m.BrokerEpoch = b.Epoch
		}
		proposed.ISR = append(proposed.ISR, controller.ISRMember{ID: m.ID, Epoch: m.BrokerEpoch})
	}
	request := &controller.AlterPartition{Broker: a.Leader, Epoch: a.BrokerEpoch, Partitions: []controller.ProposedISR{proposed}}
	records, response := controller.Step(c.img(), c.settings, request, c.s.ids)
	r := response.(*controller.AlterPartitionResponse)
	if r.Error.Failed() {
		return nil, refusal(r.Error.Code)
	}
	switch code := r.Partitions[0].Error.Code; {
	case code == protocol.IneligibleReplica && c.s.bug == ineligibleTaken:
		records = []metadata.Record{&metadata.PartitionChangeRecord{TopicID: c.topic, ISR: a.ids()}}
	case code != protocol.None:
		return nil, refusal(code)
	}
	c.s.judge.takes(a, c.partition())
	c.commit(records)
	return c.partition(), nil
}

// refusal is what a leader is told.
func refusal(code protocol.ErrorCode) error {
	switch code {
	case protocol.StaleBrokerEpoch:
		return ErrStaleBrokerEpoch
	case protocol.FencedLeaderEpoch:
		return ErrFencedLeaderEpoch
	case protocol.InvalidUpdateVersion:
		return ErrInvalidUpdateVersion
	case protocol.IneligibleReplica:
		return ErrIneligibleReplica
	case protocol.InvalidRequest:
		return ErrInvalidProposal
	}
	return fmt.Errorf("the controller answers %s", code)
}
