package group

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
)

var (
	simSeed  = flag.Uint64("seed", 1, "first seed of the simulation")
	simSeeds = flag.Int("seeds", 500, "number of seeds of the simulation")
)

// sim is a machine on a log that commits late and loses its tail, clients of every age and temper, and a network that delays, drops
// and repeats. One goroutine, one seed. The judge watches.
type sim struct {
	rng      *rand.Rand
	seed     uint64
	bug      mutant
	settings Settings
	timeout  time.Duration // every client's rebalance time-out
	now      time.Time
	m        *Machine
	judge    *judge
	current  *decision // what the step under way decides
	trace    hash.Hash64

	log      []coordinator.Record // committed
	tail     []*decision          // decided, not committed
	unread   []coordinator.Record // of the log, while a machine loads
	loading  bool
	open     []*request // in the machine, not answered
	net      []message
	clients  []*client
	requests int
	stalled  time.Time // until then nothing is committed
	quiet    bool      // no more faults
	count    struct{ loads, lost, joins, assigned, commits, fenced, deleted, expired, refused int }
}

const (
	simGroups     = 2
	simPartitions = 5
	simTopic      = "t"
)

// simGroup names the groups.
var simGroup = [simGroups]string{"g0", "g1"}

// request is one request of a client.
type request struct {
	from   *client
	number int
	body   any
	at     time.Time // when the machine got it
}

// message is something under way: a request, or the response to one.
type message struct {
	due      time.Time
	request  *request
	response any
	code     protocol.ErrorCode // of the shard: the request did not get to the machine, or its answer got lost with the tail
	back     bool
}

// decision is what came out of one step of the machine.
type decision struct {
	at          time.Time
	records     []coordinator.Record
	answers     []answered
	before      [simGroups]State
	peopled     [simGroups]bool      // has members
	rebalancing [simGroups]time.Time // since when it waits for joins
}

type answered struct {
	request  *request
	response any
	waiting  bool // another request of the same member is held
}

// failure is what the judge panics with.
type failure string

func (s *sim) fail(format string, args ...any) {
	panic(failure(fmt.Sprintf("%v after the start: ", s.now.Sub(start)) + fmt.Sprintf(format, args...)))
}

func (s *sim) note(format string, args ...any) { fmt.Fprintf(s.trace, format+"\n", args...) }

// chance is true once in n times.
func (s *sim) chance(n int) bool { return s.rng.IntN(n) == 0 }

func (s *sim) between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.rng.Int64N(int64(b-a)))
}

func newSim(seed uint64, bug mutant) *sim {
	s := &sim{seed: seed, bug: bug, rng: rand.New(rand.NewPCG(seed, 5)), now: start, trace: fnv.New64a()}
	s.settings = Settings{MinSessionTimeout: 6 * time.Second, MaxSessionTimeout: 30 * time.Minute, MaxSize: 1000, MaxMetadataBytes: 4096,
		OffsetsRetention: 30 * time.Second, RetentionCheck: 5 * time.Second,
		InitialRebalanceDelay: []time.Duration{0, 500 * time.Millisecond, 3 * time.Second}[s.rng.IntN(3)]}
	if s.chance(2) {
		s.settings.OffsetsRetention = 24 * time.Hour
	}
	s.timeout = s.between(3*time.Second, 12*time.Second).Truncate(time.Millisecond)
	if s.chance(4) {
		s.settings.MaxSize = 3
	}
	s.judge = newJudge(s)
	s.m = s.newMachine()
	s.m.Loaded(s.now, &coordinator.Out{})
	for range 5 + s.rng.IntN(4) {
		s.addClient()
	}
	return s
}

func (s *sim) newMachine() *Machine {
	m := New(s.settings, random.Seeded(s.rng.Uint64()), nil)
	m.bug = s.bug
	return m
}

// states are the states of the groups; one that is not there is Dead.
func (s *sim) states() (all [simGroups]State) {
	for i, id := range simGroup {
		all[i] = Dead
		if g := s.m.find(id); g != nil {
			all[i] = g.state
		}
	}
	return all
}

// do runs one step of the machine and takes what comes out.
func (s *sim) do(f func(out *coordinator.Out)) {
	d := &decision{at: s.now, before: s.states()}
	for i, id := range simGroup {
		g := s.m.find(id)
		if d.peopled[i] = g != nil && len(g.members) > 0; d.before[i] == PreparingRebalance {
			d.rebalancing[i] = time.UnixMilli(g.since)
		}
	}
	out := &coordinator.Out{}
	s.current = d
	f(out)
	d.records = out.Records
	out.Deliver() // to the decision: see call
	s.tail = append(s.tail, d)
}

// step gives a request to the machine.
func (s *sim) step(r *request) {
	if s.loading {
		if _, ok := r.body.(*FetchRequest); !ok || s.bug != answersWhileLoading {
			s.back(r, nil, protocol.CoordinatorLoadInProgress)
			return
		}
	}
	r = &request{from: r.from, number: r.number, body: r.body, at: s.now}
	s.open = append(s.open, r)
	want, known := s.judge.expect(r.body)
	call := coordinator.NewCall(r.body, func(response any, _ error) {
		s.current.answers = append(s.current.answers, answered{r, response, s.waits(r)})
		i := slices.Index(s.open, r)
		if i < 0 {
			s.fail("%T is answered a second time", r.body)
		}
		s.open = slices.Delete(s.open, i, i+1)
		if commit, ok := response.(*CommitResponse); ok && known && commit.Topics[0].Partitions[0].Code != want {
			s.fail("G3: commit %+v is answered %v, want %v", r.body, commit.Topics[0].Partitions[0].Code, want)
		}
	})
	s.do(func(out *coordinator.Out) { s.m.Step(s.now, call, out) })
}

// waits says whether the machine holds another request of the member that sent r.
func (s *sim) waits(r *request) bool {
	id := memberOf(r.body)
	return slices.ContainsFunc(s.open, func(o *request) bool { return o != r && memberOf(o.body) == id })
}

func memberOf(body any) string {
	switch r := body.(type) {
	case *JoinRequest:
		return r.Member
	case *SyncRequest:
		return r.Member
	case *HeartbeatRequest:
		return r.Member
	case *CommitRequest:
		return r.Member
	}
	return ""
}

// commit commits the first n decisions of the tail and answers.
func (s *sim) commit(n int) {
	for _, d := range s.tail[:n] {
		s.keep(d)
		for _, a := range d.answers {
			s.back(a.request, a.response, protocol.None)
		}
	}
	s.tail = slices.Delete(s.tail, 0, n)
}

// keep writes a decision to the log: it is a fact now.
func (s *sim) keep(d *decision) {
	for _, r := range d.records {
		r.Timestamp = d.at.UnixMilli()
		s.log = append(s.log, r)
	}
	s.judge.decided(d)
	for _, a := range d.answers {
		s.note("%v %s", d.at.Sub(start), show(a.response))
	}
}

// reload ends the machine, as a change of the leader does: some of the tail is lost with its answers, the rest only with these.
func (s *sim) reload() {
	s.count.loads++
	kept := s.rng.IntN(len(s.tail) + 1)
	if s.chance(2) {
		kept = len(s.tail)
	}
	if kept == len(s.tail) && !s.loading {
		s.replayEquals()
	}
	for i, d := range s.tail {
		if i < kept {
			s.keep(d)
		}
		for _, a := range d.answers {
			s.back(a.request, nil, protocol.NotCoordinator)
		}
	}
	s.count.lost += len(s.tail) - kept
	for _, r := range s.open {
		s.back(r, nil, protocol.NotCoordinator)
	}
	s.tail, s.open = nil, nil
	s.note("reload %d", kept)
	if s.chance(3) {
		s.compact()
	}
	s.m = s.newMachine()
	s.unread, s.loading = s.log, true
}

// load reads some of the log, at its end all is ready.
func (s *sim) load() {
	n := min(len(s.unread), 1+s.rng.IntN(1+len(s.log)/2))
	s.replay(s.m, s.unread[:n])
	if s.unread = s.unread[n:]; len(s.unread) > 0 {
		return
	}
	s.loading = false
	s.judge.loaded()
	s.do(func(out *coordinator.Out) { s.m.Loaded(s.now, out) })
}

func (s *sim) replay(m *Machine, log []coordinator.Record) {
	for _, r := range log {
		if err := m.Replay(r); err != nil {
			s.fail("replay: %v", err)
		}
	}
}

// compact leaves the last record of each key, as the cleaner does.
func (s *sim) compact() {
	last := map[string]int{}
	for i, r := range s.log {
		last[string(r.Key)] = i
	}
	var log []coordinator.Record
	for i, r := range s.log {
		if last[string(r.Key)] == i && !(r.Value == nil && s.chance(2)) {
			log = append(log, r)
		}
	}
	s.log = log
}

// replayEquals checks that what was written gives the state that there is (G10).
func (s *sim) replayEquals() {
	fresh := s.newMachine()
	fresh.begin(s.now, &coordinator.Out{})
	s.replay(fresh, s.log)
	for _, d := range s.tail {
		s.replay(fresh, d.records)
	}
	for _, id := range simGroup {
		if live, again := durable(s.m.find(id), s.m.find(id)), durable(fresh.find(id), s.m.find(id)); live != again {
			s.fail("G10: the log of %s gives\n%s\nthe machine has\n%s", id, again, live)
		}
	}
}

// durable prints what of a group the log must know. While it rebalances, as like may do, its membership is as stored before, and
// nothing is said of it.
func durable(g, like *group) string {
	var b bytes.Buffer
	switch {
	case g == nil:
		return ""
	case like != nil && like.state == Stable:
		fmt.Fprintf(&b, "%v generation %d type %s protocol %s leader %s\n", g.state, g.generation, g.protocolType, *cmp.Or(g.protocol, new("")), g.leader)
		for _, m := range g.members {
			fmt.Fprintf(&b, "%s %s %s %s %v %v %q %q\n", m.id, *cmp.Or(m.instance, new("dynamic")), m.clientID, m.clientHost, m.rebalanceTimeout, m.sessionTimeout,
				m.metadata(*like.protocol), m.assignment)
		}
	case (like == nil || like.state == Empty) && g.generation > 0:
		fmt.Fprintf(&b, "%v generation %d type %s protocol %v members %d since %d\n", g.state, g.generation, g.protocolType, g.protocol, len(g.members), g.since)
	}
	for _, t := range g.offsets.fetchAll().Topics {
		for _, p := range t.Partitions {
			fmt.Fprintf(&b, "%s-%d at %d\n", t.Topic, p.Partition, p.Offset)
		}
	}
	return b.String()
}

// send puts a request on the network and returns its number.
func (s *sim) send(c *client, body any) int {
	s.requests++
	for copies := 1; copies > 0; copies-- {
		delay := s.between(time.Millisecond, 20*time.Millisecond)
		if !s.quiet {
			delay *= time.Duration(1 + s.rng.IntN(15))
			switch s.rng.IntN(40) {
			case 0:
				continue // lost
			case 1:
				delay += s.between(0, 20*time.Second)
			case 2:
				copies++
			}
		}
		s.post(message{due: s.now.Add(delay), request: &request{from: c, number: s.requests, body: body}})
	}
	return s.requests
}

// back answers a client.
func (s *sim) back(r *request, response any, code protocol.ErrorCode) {
	if !s.quiet && s.chance(40) {
		return // lost
	}
	delay := s.between(time.Millisecond, 100*time.Millisecond)
	s.post(message{due: s.now.Add(delay), request: r, response: response, code: code, back: true})
}

// post keeps the messages in the order of their arrival.
func (s *sim) post(m message) {
	i, _ := slices.BinarySearchFunc(s.net, m, func(a, b message) int {
		if a.due.After(b.due) {
			return 1
		}
		return -1 // those of the same time stay in order
	})
	s.net = slices.Insert(s.net, i, m)
}

// run lets some time pass.
func (s *sim) run(steps int) {
	for range steps {
		step := s.between(20*time.Millisecond, 160*time.Millisecond)
		if s.quiet {
			step *= 2
		}
		s.now = s.now.Add(step)
		if s.loading {
			s.load()
		}
		if due := s.m.Due(); !s.loading && !due.IsZero() && !due.After(s.now) && (s.quiet || !s.chance(4)) {
			s.do(func(out *coordinator.Out) { s.m.Tick(s.now, out) })
		}
		for len(s.net) > 0 && !s.net[0].due.After(s.now) {
			m := s.net[0]
			s.net = s.net[1:]
			if m.back {
				m.request.from.receive(m.request, m.response, m.code)
			} else {
				s.step(m.request)
			}
		}
		for _, c := range s.clients {
			c.act()
		}
		if !s.quiet && s.chance(60) {
			s.stalled = s.now.Add(s.between(0, 4*time.Second))
		}
		if len(s.tail) > 0 && (s.quiet || s.now.After(s.stalled) && !s.chance(3)) {
			n := len(s.tail)
			if !s.quiet && s.chance(3) {
				n = s.rng.IntN(n)
			}
			s.commit(n)
		}
		if !s.loading && s.chance(50) {
			s.replayEquals()
		}
		if !s.quiet && s.chance(150) {
			s.reload()
		}
	}
}

// answersWhileLoading is a bug of the shard, not of the machine: a fetch is answered before all is read.
const answersWhileLoading mutant = 100

// simulate runs one seed and returns the trace and, if something is wrong, what.
func simulate(seed uint64, bug mutant) (s *sim, err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case failure:
			err = fmt.Errorf("seed %d: %s", seed, string(v))
		default:
			if bug == noMutant {
				panic(v)
			}
			err = fmt.Errorf("seed %d: %v", seed, v)
		}
	}()
	s = newSim(seed, bug)
	s.run(600)
	s.calm()
	return s, nil
}

// calm ends the faults and checks that all comes to rest (G8).
func (s *sim) calm() {
	s.quiet = true
	net := s.net
	s.net = nil
	for _, m := range net { // what is still under way arrives now
		if m.back {
			m.request.from.receive(m.request, m.response, m.code)
		} else {
			s.step(m.request)
		}
	}
	for i, c := range s.clients {
		if i%3 == 2 {
			c.die()
		} else {
			c.wake()
		}
	}
	s.run(300)
	for i := range simGroup { // somebody comes: everything is assigned anew
		s.addClient().group = i
	}
	s.run(250)
	s.judge.atRest()
	for _, c := range s.clients {
		c.leave()
	}
	s.run(200)
	s.judge.atEnd()
}

func TestSim(t *testing.T) {
	var all sim
	for i := range uint64(*simSeeds) {
		s, err := simulate(*simSeed+i, noMutant)
		if err != nil {
			t.Fatal(err)
		}
		if i < 10 {
			again, _ := simulate(*simSeed+i, noMutant)
			if again.trace.Sum64() != s.trace.Sum64() {
				t.Fatalf("seed %d gave two traces", *simSeed+i)
			}
		}
		c := &all.count
		c.loads, c.lost, c.joins, c.assigned = c.loads+s.count.loads, c.lost+s.count.lost, c.joins+s.count.joins, c.assigned+s.count.assigned
		c.commits, c.fenced, c.deleted, c.expired = c.commits+s.count.commits, c.fenced+s.count.fenced, c.deleted+s.count.deleted, c.expired+s.count.expired
		c.refused += s.count.refused
	}
	t.Logf("%+v", all.count)
	c, n := all.count, *simSeeds
	if n >= 100 && (c.loads < n || c.lost < n/3 || c.joins < 20*n || c.assigned < 20*n || c.commits < 20*n || c.fenced < n/10 || c.deleted < n/20 || c.expired < n/20 || c.refused < n/10) {
		t.Fatal("too little happened for the test to mean anything")
	}
}

// TestSimMutants shows that the judge sees what it is for.
func TestSimMutants(t *testing.T) {
	names := map[mutant]string{commitOfLastGeneration: "a commit of the previous generation is accepted", twoOwners: "two owners", generationKept: "generation not bumped",
		fencedAccepted: "fenced instance accepted", expiredKept: "expired member kept", replayDropsMember: "replay drops a member", joinedTooEarly: "join answered before all rejoined",
		heartbeatIgnored: "heartbeat does not renew", staticNotStored: "static member not stored", leftKept: "member that left kept", syncLost: "sync never answered",
		activeDeleted: "active group deleted", pendingKept: "pending member kept", loadedForever: "loaded members never expire", leaderAssigns: "returning leader assigns",
		answersWhileLoading: "fetch answered while loading"}
	for bug, name := range names {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				if _, err := simulate(1+seed, bug); err != nil {
					t.Log(err)
					return
				}
			}
			t.Fatal("nobody noticed")
		})
	}
	if len(names) != int(mutants) {
		t.Fatalf("%d mutants are tried, there are %d", len(names)-1, mutants-1)
	}
}
