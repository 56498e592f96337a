package controller

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/uuid"
)

// change works out the next state of one partition: what becomes of ISR and ELR when the ISR becomes the target, who leads, and whether that
// ends a reassignment.
//
// The rules are KIP-966's, less the one that elects the last known leader: after a loss that is silent data loss, so it is an
// operator's to decide. While the ISR has the minimum size the ELR is empty; what leaves the ISR below it stays electable, unless
// it lost data. A leader comes from the ISR, or from the ELR when the ISR is empty; anybody else only where the topic allows
// unclean elections. Nobody is elected whose data directory is offline; a leader stays in spite of that where no other replica can
// lead, so that what can be read of it is read.
type change struct {
	topic  *metadata.Topic
	number int32
	isr    []int32     // the target
	to     *assignment // the target; nil: the one that there is
	lossy  int32       // broker that lost data of this partition, or metadata.NoLeader
	leader func(broker int32) bool
	online func(p *metadata.Partition, broker int32) bool
	rules  Rules
}

// record returns the change as a record, or nil where nothing changes.
func (c *change) record() *metadata.PartitionChangeRecord {
	p := c.topic.Partitions[c.number]
	r := &metadata.PartitionChangeRecord{TopicID: c.topic.ID, Number: c.number}
	to := assigned(p)
	if c.to != nil {
		to = *c.to
	}
	to, isr := to.complete(c.isr)
	elr, known := c.eligible(p, to, isr)
	leader, unclean := c.elect(p, to, isr, elr)
	if leader != metadata.NoLeader && !metadata.Has(isr, leader) {
		// The ISR is empty, or the election unclean: the leader is all that is in sync.
		isr = []int32{leader}
		if unclean || c.whole(p, isr, to.factor()) {
			elr, known = []int32{}, []int32{}
		} else {
			elr = slices.DeleteFunc(slices.Clone(elr), func(id int32) bool { return id == leader })
		}
	}
	changed := false
	set := func(field *[]int32, was, now []int32) {
		if !slices.Equal(was, now) {
			*field, changed = append([]int32{}, now...), true
		}
	}
	set(&r.Replicas, p.Replicas, to.replicas)
	set(&r.ISR, p.ISR, isr)
	set(&r.ELR, p.ELR, elr)
	set(&r.LastKnownELR, p.LastKnownELR, known)
	if r.Replicas != nil {
		r.Directories = to.directories
	}
	if was := assigned(p); !slices.Equal(was.Adding, to.Adding) || !slices.Equal(was.Removing, to.Removing) {
		r.Reassignment, changed = &metadata.Reassignment{Adding: to.Adding, Removing: to.Removing}, true
	}
	// Who was taken out must hear that it is: the leader epoch rises, whoever leads.
	left := slices.ContainsFunc(p.Replicas, func(id int32) bool { return !metadata.Has(to.replicas, id) })
	if leader != p.Leader || left {
		r.Leader, changed = &leader, true
	}
	if unclean && !p.Recovering {
		r.Recovering, changed = new(true), true
	}
	if !changed {
		return nil
	}
	return r
}

// whole says that an ISR commits records, with no need of an ELR. A leader whose data directory is offline commits nothing: who had every record has every
// record still.
func (c *change) whole(p *metadata.Partition, isr []int32, factor int) bool {
	commit := filter(isr, func(id int32) bool { return c.online(p, id) })
	return len(commit) >= metadata.MinISR(c.rules.MinISR, factor)
}

// eligible returns the ELR and the last known ELR beside an ISR.
func (c *change) eligible(p *metadata.Partition, to assignment, isr []int32) (elr, known []int32) {
	if c.whole(p, isr, to.factor()) {
		return nil, nil
	}
	for _, id := range to.replicas {
		was := metadata.Has(p.ISR, id) || metadata.Has(p.ELR, id)
		switch {
		case metadata.Has(isr, id):
		case was && id != c.lossy:
			elr = append(elr, id)
		case was || metadata.Has(p.LastKnownELR, id):
			known = append(known, id)
		}
	}
	return elr, known
}

func (c *change) elect(p *metadata.Partition, to assignment, isr, elr []int32) (leader int32, unclean bool) {
	candidates := isr
	if len(isr) == 0 {
		candidates = elr
	}
	there := func(id int32) bool { return c.leader(id) && c.online(p, id) }
	may := func(id int32) bool { return metadata.Has(candidates, id) && there(id) }
	if may(p.Leader) {
		return p.Leader, false
	}
	for _, id := range to.replicas {
		if may(id) {
			return id, false
		}
	}
	any := func(may func(int32) bool) int32 {
		for _, added := range []bool{false, true} { // those that are being added may have nothing at all
			for _, id := range to.replicas {
				if c.rules.Unclean && metadata.Has(to.Adding, id) == added && may(id) {
					return id
				}
			}
		}
		return metadata.NoLeader
	}
	if leader = any(there); leader != metadata.NoLeader {
		return leader, true
	}
	if metadata.Has(candidates, p.Leader) && c.leader(p.Leader) {
		return p.Leader, false
	}
	leader = any(c.leader) // it may have another directory, and not have said so yet
	return leader, leader != metadata.NoLeader
}

// rules are those of a topic. What is set for all brokers is taken from the image of the step: the configuration in force may be an earlier one.
func (s *step) rules(t *metadata.Topic) Rules {
	rules := s.settings.Configs.TopicRules(t.Configs)
	all := s.img.Config(metadata.Resource{Type: metadata.ResourceBroker})
	if _, own := t.Configs[minISR]; !own {
		if n, err := strconv.Atoi(all[minISR]); err == nil && n > 0 {
			rules.MinISR = n
		}
	}
	if _, own := t.Configs[uncleanElection]; !own {
		if yes, err := strconv.ParseBool(strings.ToLower(all[uncleanElection])); err == nil {
			rules.Unclean = yes
		}
	}
	return rules
}

const (
	minISR          = "min.insync.replicas" // that the ELR goes by
	uncleanElection = "unclean.leader.election.enable"
)

type (
	// ReviseELRs lets the ELRs follow min.insync.replicas as the node has it that decides this: its file may say otherwise than that of the one that decided
	// before. Response: ReviseELRsResponse.
	ReviseELRs struct{}

	// ReviseELRsResponse says of how many partitions the ELR is another now.
	ReviseELRsResponse struct{ Revised int }
)

// urgent: beside an ELR nothing is committed.
func (*ReviseELRs) urgent() bool { return true }

func (r *ReviseELRs) step(s *step) Response {
	s.revise()
	return &ReviseELRsResponse{Revised: len(s.records)}
}

// revise lets the ELRs follow what has changed beside the ISRs: min.insync.replicas, and where the replicas are. Where the ISR is large enough now records are
// committed without those that are in an ELR.
func (s *step) revise() {
	s.settle()
	s.sweep(func(p *metadata.Partition) bool { return len(p.ELR)+len(p.LastKnownELR) > 0 }, func(_ *metadata.Partition, c *change) {
		c.rules.Unclean = false // nobody asked for that
	})
}

// permit holds the elections that a change of unclean.leader.election.enable allows, of partitions that wait for a leader. Who allows them while a partition has none wants
// one now, and no broker may come back to bring one about.
func (s *step) permit() {
	s.settle()
	s.sweep(s.wanting, func(p *metadata.Partition, c *change) { c.isr = s.able(p) })
}

// active says which brokers may lead as the image stands.
func (s *step) active(broker int32) bool { return s.img.Broker(broker).Active() }

// online says whether the data directory of a replica is.
func (s *step) online(p *metadata.Partition, broker int32) bool {
	return p.Online(s.img.Broker(broker))
}

// sweep adds the changes of all partitions that touched picks; the function fills in what is asked of a partition.
func (s *step) sweep(touched func(*metadata.Partition) bool, ask func(*metadata.Partition, *change)) {
	for t := range s.img.Topics() {
		var rules *Rules // of the topic, once a partition needs them
		for i, p := range t.Partitions {
			if !touched(p) {
				continue
			}
			if rules == nil {
				rules = new(s.rules(t))
			}
			c := change{topic: t, number: int32(i), isr: p.ISR, lossy: metadata.NoLeader, leader: s.active, online: s.online, rules: *rules}
			ask(p, &c)
			if r := c.record(); r != nil {
				s.add(r)
			}
		}
	}
}

// shrink takes the broker out of every ISR and away from every leadership.
func (s *step) shrink(broker int32) {
	others := func(id int32) bool { return id != broker && s.active(id) }
	s.sweep(func(p *metadata.Partition) bool { return metadata.Has(p.ISR, broker) }, func(p *metadata.Partition, c *change) {
		c.isr, c.leader = without(p.ISR, broker), others
	})
}

// restart is what shrink and then lead would do for a broker that died and is back with its data. Where the broker is all there is, it takes one change
// instead of two: it leads on, in a new leader epoch, because what it appended last may not have survived. These changes it returns, to be added
// last. There may be a hundred thousand, and nothing else that a registration decides goes by a leader epoch.
func (s *step) restart(broker int32, lost func(directory uuid.UUID) bool) (onward []metadata.Record) {
	others := func(id int32) bool { return id != broker && s.active(id) }
	for t := range s.img.Topics() {
		var rules *Rules
		for i, p := range t.Partitions {
			if !metadata.Has(p.ISR, broker) {
				continue
			}
			if len(p.ISR) == 1 && p.Leader == broker && len(p.ELR)+len(p.LastKnownELR) == 0 && !lost(p.Directories[slices.Index(p.Replicas, broker)]) {
				onward = append(onward, &metadata.PartitionChangeRecord{TopicID: t.ID, Number: int32(i), Leader: &broker})
				continue
			}
			if rules == nil {
				rules = new(s.rules(t))
			}
			c := change{topic: t, number: int32(i), isr: without(p.ISR, broker), lossy: metadata.NoLeader, leader: others, online: s.online, rules: *rules}
			if r := c.record(); r != nil {
				s.add(r)
			}
		}
	}
	return onward
}

// strike takes the broker out of ISR and ELR of every partition whose data it lost.
func (s *step) strike(broker int32, lost func(directory uuid.UUID) bool) {
	others := func(id int32) bool { return id != broker && s.active(id) }
	s.sweep(func(p *metadata.Partition) bool {
		at := slices.Index(p.Replicas, broker)
		return at >= 0 && (metadata.Has(p.ISR, broker) || metadata.Has(p.ELR, broker)) && lost(p.Directories[at])
	}, func(p *metadata.Partition, c *change) {
		c.isr, c.lossy, c.leader = without(p.ISR, broker), broker, others
	})
}

// holds says whether the broker is in ISR or ELR of a partition whose data it lost.
func (s *step) holds(broker int32, lost func(directory uuid.UUID) bool) bool {
	for t := range s.img.Topics() {
		for _, p := range t.Partitions {
			if at := slices.Index(p.Replicas, broker); at >= 0 && lost(p.Directories[at]) && (metadata.Has(p.ISR, broker) || metadata.Has(p.ELR, broker)) {
				return true
			}
		}
	}
	return false
}

// lead elects leaders for partitions that wait for one and have a replica on the broker, which counts as active.
func (s *step) lead(broker int32) {
	with := func(id int32) bool { return id == broker || s.active(id) }
	s.sweep(func(p *metadata.Partition) bool { return metadata.Has(p.Replicas, broker) && s.wanting(p) },
		func(p *metadata.Partition, c *change) { c.isr, c.leader = s.able(p), with })
}

// wanting says that a partition waits for a leader: it has none, or one whose data directory is offline, which stays because nobody else could lead.
func (s *step) wanting(p *metadata.Partition) bool {
	return p.Leader == metadata.NoLeader || !s.online(p, p.Leader)
}

// able is the ISR without a leader whose data directory is offline. It is in the ELR then, and stays the leader where still nobody else can lead.
func (s *step) able(p *metadata.Partition) []int32 {
	if p.Leader != metadata.NoLeader && !s.online(p, p.Leader) {
		return without(p.ISR, p.Leader)
	}
	return p.ISR
}

func without(ids []int32, id int32) []int32 {
	return slices.DeleteFunc(slices.Clone(ids), func(x int32) bool { return x == id })
}
