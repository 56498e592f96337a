package group

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moldau/moldau/internal/protocol"
)

// phase is what a client does at the moment.
type phase string

const (
	joining phase = "joining" // to send a join, or waits for its answer
	syncing phase = "syncing"
	reading phase = "reading" // has an assignment
	gone    phase = "gone"    // is not there, perhaps for a while
)

// client is a consumer as one of the ages of the protocol wrote it.
type client struct {
	s        *sim
	name     string
	group    int
	instance *string // static
	old      bool    // before KIP-394: joins without an id first
	skips    bool    // KIP-814
	session  time.Duration
	names    []string // of its protocols, by preference
	version  int      // of its metadata

	phase      phase
	member     string
	generation int32
	protocol   *string
	assign     []Assignment // what it has to send as the leader
	owned      []int32
	dead       bool // for good

	waits    int       // number of the request it waits for
	deadline time.Time // of that
	next     time.Time // when it does something
	beat     time.Time // next heartbeat
	heard    time.Time // last answer
	past     []past
}

// past is somebody it once was, whose late requests may still be on their way.
type past struct {
	member     string
	generation int32
}

func (s *sim) addClient() *client {
	n := len(s.clients)
	c := &client{s: s, name: fmt.Sprint("c", n), group: n % simGroups, generation: -1, phase: joining, session: s.between(6*time.Second, 10*time.Second).Truncate(time.Millisecond)}
	c.names = [][]string{{"range", "rr"}, {"rr", "range"}}[s.rng.IntN(2)]
	switch s.rng.IntN(5) {
	case 0:
		c.old = true
	case 1, 2:
		c.instance, c.skips = new(fmt.Sprint("i", n)), s.chance(2)
	}
	c.next = s.now.Add(s.between(0, 5*time.Second))
	s.clients = append(s.clients, c)
	return c
}

// metadata is opaque to the machine but for its topics.
func (c *client) protocols() (all []Protocol) {
	for _, name := range c.names {
		all = append(all, Protocol{name, append(subscriptionOf(simTopic), fmt.Sprint(c.name, c.version)...)})
	}
	return all
}

// ask sends a request and waits for its answer.
func (c *client) ask(body any) {
	c.waits = c.s.send(c, body)
	c.deadline = c.s.now.Add(c.s.between(c.s.timeout+2*time.Second, c.s.timeout+8*time.Second))
}

// tell sends a request whose answer does not matter to the client.
func (c *client) tell(body any) { c.s.send(c, body) }

// act does what is to be done now.
func (c *client) act() {
	s := c.s
	if s.now.Before(c.next) || c.dead {
		return
	}
	if c.phase == gone {
		c.wake()
	}
	if !s.quiet && s.chance(60) {
		c.mischief()
		return
	}
	if c.waits != 0 {
		if s.now.Before(c.deadline) {
			return
		}
		c.waits = 0 // nobody answers: begin anew, as the same member
		if c.phase == syncing {
			c.phase = joining
		}
	}
	switch c.phase {
	case joining:
		c.ask(&JoinRequest{Group: simGroup[c.group], Member: c.member, Instance: c.instance, ClientID: c.name, ClientHost: "/h", SessionTimeout: c.session,
			RebalanceTimeout: s.timeout, ProtocolType: consumerType, Protocols: c.protocols(), RequireMemberID: !c.old, SkipAssignment: c.skips})
	case syncing:
		r := &SyncRequest{Group: simGroup[c.group], Generation: c.generation, Member: c.member, Instance: c.instance, Assignments: c.assign}
		if !c.old {
			r.ProtocolType, r.Protocol = new(consumerType), c.protocol
		}
		c.ask(r)
	case reading:
		if !s.now.Before(c.beat) {
			c.beat = s.now.Add(c.session / 4)
			c.ask(&HeartbeatRequest{Group: simGroup[c.group], Generation: c.generation, Member: c.member, Instance: c.instance})
		} else if len(c.owned) > 0 && s.chance(4) {
			c.ask(c.commit(c.member, c.generation, c.owned[s.rng.IntN(len(c.owned))]))
		} else if s.chance(8) {
			c.tell(c.fetch())
		}
		c.next = s.now.Add(s.between(50*time.Millisecond, 500*time.Millisecond))
	}
}

// commit makes a commit of an offset that nobody else commits.
func (c *client) commit(member string, generation int32, partition int32) *CommitRequest {
	return &CommitRequest{Group: simGroup[c.group], Generation: generation, Member: member, Instance: c.instance, Retention: -1,
		Topics: []CommitTopic{{Topic: simTopic, Partitions: []CommitPartition{{Partition: partition, Offset: int64(c.s.requests) + 1, LeaderEpoch: -1}}}}}
}

func (c *client) fetch() *FetchRequest {
	f := FetchTopic{Topic: simTopic}
	for p := range int32(simPartitions) {
		f.Partitions = append(f.Partitions, p)
	}
	return &FetchRequest{Group: simGroup[c.group], Topics: []FetchTopic{f}}
}

// mischief is what happens to clients, and what they do to others.
func (c *client) mischief() {
	s, id := c.s, simGroup[c.group]
	old := past{c.member, c.generation}
	victim := s.clients[s.rng.IntN(len(s.clients))]
	if len(victim.past) > 0 {
		old = victim.past[s.rng.IntN(len(victim.past))]
	}
	c.next = s.now.Add(s.between(0, time.Second))
	switch s.rng.IntN(15) {
	case 0, 1: // killed: comes back as somebody new, or as the same instance
		c.end()
		c.next = s.now.Add(s.between(0, 15*time.Second))
	case 2: // frozen: goes on as if nothing had happened
		c.next = s.now.Add(s.between(time.Second, 20*time.Second))
	case 3:
		c.leave()
		c.next = s.now.Add(s.between(0, 10*time.Second))
	case 4: // subscribes to something else
		c.version++
		if c.phase == reading {
			c.phase, c.waits = joining, 0
		}
	case 5, 6: // late requests of somebody who was
		c.tell(victim.commit(old.member, old.generation, int32(s.rng.IntN(simPartitions))))
	case 7:
		c.tell(&HeartbeatRequest{Group: simGroup[victim.group], Generation: old.generation, Member: old.member, Instance: victim.instance})
	case 8:
		c.tell(&SyncRequest{Group: simGroup[victim.group], Generation: old.generation, Member: old.member, Instance: victim.instance})
	case 9: // a tool
		c.tell(&CommitRequest{Group: id, Generation: -1, Retention: -1, Topics: []CommitTopic{{Topic: simTopic, Partitions: []CommitPartition{{Partition: int32(s.rng.IntN(simPartitions)), Offset: int64(s.requests) + 1}}}}})
	case 10: // an administrator
		c.tell([]any{&DeleteRequest{Group: id}, &DeleteRequest{Group: simGroup[s.rng.IntN(simGroups)]}, &DescribeRequest{Group: id}, &ListRequest{}}[s.rng.IntN(4)])
	case 11:
		if victim.instance != nil {
			c.tell(&LeaveRequest{Group: simGroup[victim.group], Members: []LeaveMember{{Instance: victim.instance}}})
		}
	case 12:
		c.tell(&DeleteOffsetsRequest{Group: id, Topics: []FetchTopic{{Topic: simTopic, Partitions: []int32{0, 1}}}})
	case 13:
		c.tell(c.fetch())
	case 14: // all go away for a while
		if !s.chance(3) {
			return
		}
		back := s.between(0, 25*time.Second)
		for _, other := range s.clients {
			if other.group == c.group {
				if s.chance(2) {
					other.leave()
				} else {
					other.end()
				}
				other.next = s.now.Add(back + s.between(0, 5*time.Second))
			}
		}
		for range 3 {
			s.post(message{due: s.now.Add(s.between(0, 30*time.Second)), request: &request{from: c, body: &DeleteRequest{Group: id}}})
		}
	}
}

// end forgets everything, as a process that is killed does.
func (c *client) end() {
	if c.member != "" {
		c.past = append(c.past, past{c.member, c.generation})
	}
	c.phase, c.waits, c.member, c.generation, c.owned, c.assign = gone, 0, "", -1, nil, nil
}

func (c *client) die() { c.end(); c.dead = true }

func (c *client) wake() {
	if c.phase == gone {
		c.phase = joining
	}
	c.next = c.s.now
}

// leave says good-bye. Static members do not, but as an administrator would.
func (c *client) leave() {
	if c.dead {
		return
	}
	l := LeaveMember{Member: c.member, Instance: c.instance}
	if c.member != "" {
		c.tell(&LeaveRequest{Group: simGroup[c.group], Members: []LeaveMember{l}})
	}
	if c.s.quiet {
		c.die()
	} else {
		c.end()
	}
}

// reset makes the client nobody.
func (c *client) reset() {
	c.end()
	c.phase = joining
}

// receive takes an answer.
func (c *client) receive(r *request, response any, code protocol.ErrorCode) {
	if r.number != c.waits || c.dead {
		return
	}
	c.waits = 0
	s := c.s
	c.heard = s.now
	if response != nil {
		code = codeOf(response)
	}
	switch code {
	case protocol.CoordinatorLoadInProgress, protocol.NotCoordinator:
		c.next = s.now.Add(s.between(100*time.Millisecond, time.Second))
		return
	case protocol.UnknownMemberID, protocol.GroupIDNotFound:
		c.reset()
	case protocol.IllegalGeneration:
		if c.phase = joining; s.chance(2) {
			c.reset()
		}
	case protocol.RebalanceInProgress:
		c.phase = joining
	case protocol.FencedInstanceID: // somebody else is this instance: this process ends
		c.reset()
		c.next = s.now.Add(s.between(0, 5*time.Second))
	case protocol.MemberIDRequired:
		c.member = response.(*JoinResponse).Member
	case protocol.InconsistentGroupProtocol:
		// A generation that was never stored came again after a change of the coordinator, with another protocol.
		if _, ok := r.body.(*SyncRequest); !ok || s.quiet {
			s.fail("%s is answered %v to %+v", c.name, code, r.body)
		}
		c.phase = joining
	case protocol.GroupMaxSizeReached:
		c.reset()
		c.next = s.now.Add(s.between(time.Second, 5*time.Second))
	case protocol.UnknownServerError:
		s.fail("%s is answered %v to %+v", c.name, code, r.body)
	case protocol.None:
		switch a := response.(type) {
		case *JoinResponse:
			c.joined(a)
		case *SyncResponse:
			c.phase, c.owned, c.beat = reading, parseAssignment(a.Assignment), s.now
		}
	}
}

// joined takes the answer to a join. The leader deals the partitions out.
func (c *client) joined(a *JoinResponse) {
	if c.member != "" {
		c.past = append(c.past, past{c.member, c.generation})
		c.past = c.past[max(0, len(c.past)-8):]
	}
	c.phase, c.member, c.generation, c.protocol, c.assign, c.owned = syncing, a.Member, a.Generation, a.Protocol, nil, nil
	if a.Leader != a.Member || a.SkipAssignment {
		return
	}
	ids := make([]string, 0, len(a.Members))
	for _, m := range a.Members {
		ids = append(ids, m.Member)
	}
	slices.Sort(ids)
	for i, id := range ids {
		var own []string
		for p := i; p < simPartitions; p += len(ids) {
			own = append(own, strconv.Itoa(p))
		}
		c.assign = append(c.assign, Assignment{id, []byte(strings.Join(own, ","))})
	}
}

func parseAssignment(b []byte) (all []int32) {
	for p := range strings.SplitSeq(string(b), ",") {
		if n, err := strconv.Atoi(p); err == nil {
			all = append(all, int32(n))
		}
	}
	return all
}

// codeOf is the error of a response.
func codeOf(response any) protocol.ErrorCode {
	switch a := response.(type) {
	case *JoinResponse:
		return a.Code
	case *SyncResponse:
		return a.Code
	case *HeartbeatResponse:
		return a.Code
	case *CommitResponse:
		return a.Topics[0].Partitions[0].Code
	case *FetchResponse:
		return a.Code
	default:
		return protocol.None
	}
}
