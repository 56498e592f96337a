package replica

import (
	"container/heap"
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
)

var (
	simSeed  = flag.Uint64("seed", 1, "first seed of the simulation")
	simSeeds = flag.Int("seeds", 200, "number of seeds of the simulation")
)

// traced takes the events as text, to look at one seed.
var traced io.Writer

var _ Log = (*commitlog.Log)(nil)
var _ Brokers = (*metadata.Image)(nil)

// Bugs of what is around a Machine: the host, the disk, the controller.
const (
	ackUncommitted       = mutants + 1 + iota // the host acknowledges at the append
	syncLies                                  // a sync is reported that did not happen
	electAny                                  // any live replica is elected
	brokerEpochUnchecked                      // the controller takes a proposal with an earlier incarnation of a member
	versionUnchecked                          // ... of an old partition epoch
	lossKept                                  // the controller is not told of lost data
	lastKnownElected                          // the last known leader is elected by itself
	uncleanElected                            // any live replica is elected, as where a topic allows unclean elections
	epochsUnchecked                           // the controller takes a proposal of an old leader epoch, and old partition epoch
	ineligibleTaken                           // ... with a member that is fenced
	fencedStays                               // a broker that is fenced stays in the ISR
	elrForgotten                              // the controller forgets who is electable beside the ISR, as a snapshot without it would
	recordSkipped                             // ... the last change, as one that takes over would whose log lacks it
	beatUnchecked                             // ... takes a heartbeat of an earlier incarnation for one of this
	endIsHighWatermark                        // a leader tells its log end for the high watermark
	nameUnsynced                              // a power loss takes synced records, since the name of their file was not synced
	epochsUncut                               // a truncation leaves the epochs of what it cuts off
	allMutants
)

const controllerID = int32(-1)

var start = time.Unix(1_000_000_000, 0)

// sim is one partition on a few brokers: disks that sync late and lose, a network that delays, drops, repeats and is cut, clients that
// append, and a controller. One goroutine, one event at a time, all from one seed. The judge looks after every step.
type sim struct {
	rng      *rand.Rand
	ids      random.Source
	seed     uint64
	bug      mutant
	settings Settings
	now      time.Time
	events   events
	sequence int
	trace    hash.Hash64
	nodes    []*node
	ctl      *control
	judge    *judge
	cut      map[[2]int32]time.Time // from, to: nothing arrives until then
	reckless bool                   // more may be lost than the ISR's minimum size allows
	moves    moves                  // whether the partition is reassigned
	quiet    bool                   // no more faults
	mute     bool                   // no more appends
	values   uint64
	session  time.Duration // a broker that is silent so long is fenced
	rough    int           // one message in so many is lost, one repeated, one late
	pause    int           // milliseconds between two harms, at most
	count    counts
}

type counts struct {
	epochs, truncations, rounds, losses, acks, refusals, joins, deaths, resets, moves int
}

type event struct {
	at       time.Time
	sequence int
	do       func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].sequence < e[j].sequence
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

// failure is what the judge panics with.
type failure string

func (s *sim) fail(invariant, format string, args ...any) {
	panic(failure(fmt.Sprintf("%s after %v: ", invariant, s.now.Sub(start)) + fmt.Sprintf(format, args...)))
}

func (s *sim) note(format string, args ...any) {
	fmt.Fprintf(s.trace, format+"\n", args...)
	if traced != nil {
		fmt.Fprintf(traced, "%v "+format+"\n", append([]any{s.now.Sub(start)}, args...)...)
	}
}

func (s *sim) chance(n int) bool { return s.rng.IntN(n) == 0 }

// fault is chance while there are faults.
func (s *sim) fault(n int) bool { return !s.quiet && s.chance(n) }

func (s *sim) between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.rng.Int64N(int64(b-a)))
}

// ms is a duration between two numbers of milliseconds.
func (s *sim) ms(a, b int) time.Duration {
	return s.between(time.Duration(a)*time.Millisecond, time.Duration(b)*time.Millisecond)
}

func (s *sim) after(d time.Duration, do func()) {
	s.sequence++
	heap.Push(&s.events, event{s.now.Add(d), s.sequence, do})
}

// node is one broker: its process, and its disk, which outlives it.
type node struct {
	s           *sim
	id          int32
	life        int // counts starts; odd while the process runs
	frozen      time.Time
	slow        time.Time // until then syncs are slow
	incarnation uuid.UUID
	brokerEpoch int64 // -1: not registered yet
	directory   uuid.UUID
	lossy       bool  // the log went back, and the controller has not been told
	left        int32 // partition epoch in which it had to drop its log last
	disk        *disk
	m           *Machine
	img         *metadata.Image
	fetching    time.Time // until then an answer is waited for
	syncing     bool
	waits       []wait
	checkpoint  int64 // of the high watermark
	altering    int
}

// wait is a producer that waits for the high watermark.
type wait struct {
	batch record
	epoch LeaderEpoch
}

func (n *node) running() bool { return n.life%2 == 1 }

// registered says that the controller knows of this very process.
func (n *node) registered() bool {
	return n.running() && n.s.ctl.img().Broker(n.id).Incarnation == n.incarnation
}

// later runs do on the node unless it dies before. A frozen one runs it when it thaws.
func (n *node) later(d time.Duration, do func()) {
	life := n.life
	var run func()
	run = func() {
		switch {
		case n.life != life:
		case n.frozen.After(n.s.now):
			n.s.after(n.frozen.Sub(n.s.now), run)
		default:
			do()
		}
	}
	n.s.after(d, run)
}

// every runs do again and again while the process lives.
func (n *node) every(a, b int, do func()) {
	n.later(n.s.ms(a, b), func() {
		do()
		n.every(a, b, do)
	})
}

// send carries a message; do runs at the receiver: its present process, or only the one with that life, where life is not 0.
func (s *sim) send(from, to int32, life int, do func()) {
	for copies := 1; copies > 0; copies-- {
		d := s.between(100*time.Microsecond, 2*time.Millisecond)
		if !s.quiet {
			switch s.rng.IntN(s.rough) {
			case 0:
				continue
			case 1:
				d = s.ms(2, 800)
			case 2:
				copies++
				d = s.ms(1, 300)
			case 3, 4, 5:
				d = s.ms(2, 40)
			}
		}
		s.after(d, func() {
			if s.cut[[2]int32{from, to}].After(s.now) {
				return
			}
			if to == controllerID {
				do()
				return
			}
			n := s.nodes[to]
			if n.running() && (life == 0 || n.life == life) {
				n.later(0, do)
			}
		})
	}
}

// step makes one step of the machine, does what comes out, and has it judged.
func (n *node) step(what string, do func(*Out)) { n.stepWith(what, FetchAnswer{}, nil, do) }

func (n *node) stepWith(what string, a FetchAnswer, records []record, do func(*Out)) {
	s := n.s
	for {
		var out Out
		do(&out)
		moved := n.carry(&out, a, records)
		s.judge.judged(n)
		if !moved {
			break
		}
		do = func(out *Out) { n.m.Advance(s.now, out) }
	}
	if s.chance(20) {
		n.checkpoint = n.m.HighWatermark()
	}
	n.complete()
	role, e := n.m.Role()
	s.note("%s %d: %d of %d, hw %d, %d..%d..%d", what, n.id, role, e, n.m.HighWatermark(), n.disk.start, n.disk.synced, n.disk.end)
}

// carry does what a step asks for and says whether the log moved.
func (n *node) carry(out *Out, a FetchAnswer, records []record) (moved bool) {
	s, d := n.s, n.disk
	before := d.start
	if out.Truncate != nil {
		s.judge.truncates(n, *out.Truncate, a)
		d.truncate(*out.Truncate)
		s.count.truncations++
		moved = true
	}
	if out.Reset != nil {
		s.judge.resets(n, *out.Reset, a, out.Append)
		d.reset(*out.Reset)
		s.count.resets++
		moved = true
	}
	for _, r := range records[:out.Append] {
		s.judge.follows(n, r, a)
		d.append(r)
		moved = true
	}
	if out.LogStart != nil && *out.LogStart > d.start {
		d.advance(*out.LogStart)
		moved = true
	}
	if d.start < before {
		s.fail("I18", "broker %d: the log start goes back from %d to %d", n.id, before, d.start)
	}
	if d.start > n.m.HighWatermark() && out.Reset == nil {
		s.fail("I18", "broker %d: the log start %d is past the high watermark %d", n.id, d.start, n.m.HighWatermark())
	}
	if moved {
		n.sync()
	}
	if out.Alter != nil {
		s.judge.proposes(n, out.Alter)
		n.alter(out.Alter)
	}
	return moved
}

// alter sends a proposal, and waits so long for the answer.
func (n *node) alter(a *AlterPartition) {
	s := n.s
	n.altering++
	asked, life := n.altering, n.life
	answer := func(p *metadata.Partition, err error) {
		if n.altering == asked {
			n.altering++
			if err != nil {
				s.count.refusals++
			}
			n.step("altered", func(out *Out) { n.m.Altered(s.now, a, p, err, out) })
		}
	}
	ask := func() {
		p, err := s.ctl.alter(a)
		s.send(controllerID, n.id, life, func() { answer(p, err) })
	}
	member := s.nodes[a.ISR[s.rng.IntN(len(a.ISR))].ID]
	switch {
	case s.fault(4): // a copy comes when much may have changed
		s.send(n.id, controllerID, 0, ask)
		s.after(s.ms(5, 400), ask)
	case s.fault(8) && member != n && member.running(): // a member is another incarnation by the time it comes
		member.die(false)
		s.after(s.ms(0, 20), member.revive())
		s.after(s.ms(20, 200), ask)
	default:
		s.send(n.id, controllerID, 0, ask)
	}
	n.later(s.ms(100, 300), func() { answer(nil, ErrNoAnswer) })
}

// sync makes what is in the log now durable, a little later.
func (n *node) sync() {
	if n.syncing {
		return
	}
	s := n.s
	n.syncing = true
	end, cuts, d := n.disk.end, n.disk.cuts, s.between(200*time.Microsecond, 6*time.Millisecond)
	if n.slow.After(s.now) {
		d = s.ms(50, 600)
	}
	n.later(d, func() {
		n.syncing = false
		if n.disk.cuts == cuts {
			n.disk.sync(end, s.bug == syncLies && s.chance(2))
		}
		n.step("synced", func(out *Out) { n.m.Advance(s.now, out) })
		if n.disk.SyncedEnd() < n.disk.end {
			n.sync()
		}
		if s.settings.Durable {
			n.fetch(true)
		}
	})
}

// fetch asks the leader, unless an answer is waited for; with its synced end alone it does not wait.
func (n *node) fetch(synced bool) {
	s := n.s
	leader, r, ok := n.m.NextFetch()
	if !ok || !synced && n.fetching.After(s.now) {
		return
	}
	if !synced {
		n.fetching = s.now.Add(100 * time.Millisecond)
	}
	life := n.life
	s.send(n.id, leader, 0, func() {
		to := s.nodes[leader]
		var a FetchAnswer
		to.step("fetch", func(out *Out) {
			a = to.m.Fetch(s.now, r, out)
			s.judge.fetched(to, r, a)
		})
		n.answer(to, life, r, a, synced)
	})
}

// answer reads for the follower, sometimes late, and sends the answer.
func (n *node) answer(from *node, life int, r FetchRequest, a FetchAnswer, synced bool) {
	s := n.s
	most := 1 + s.rng.IntN(6)
	if s.bug == endIsHighWatermark {
		a.HighWatermark = a.LogEnd
	}
	reply := func() {
		var records []record
		if a.Err == nil && a.Diverging == nil {
			records = from.disk.read(r.Offset, most)
		}
		for _, b := range records {
			a.Batches = append(a.Batches, Batch{b.base, b.end, b.epoch})
		}
		s.send(from.id, n.id, life, func() {
			if !synced {
				n.fetching = time.Time{}
			}
			if a.Diverging != nil {
				s.count.rounds++
			}
			n.stepWith("answered", a, records, func(out *Out) { n.m.Answered(s.now, r, a, out) })
			if len(records) > 0 || a.Diverging != nil {
				n.fetch(false)
			}
		})
	}
	switch {
	case s.fault(15):
		from.later(s.ms(1, 300), reply)
	default:
		reply()
	}
}

// append appends as a producer's batch, with acks=all.
func (n *node) append() {
	s := n.s
	if err := n.m.CheckAppend(NoEpoch, true); err != nil {
		return
	}
	_, e := n.m.Role()
	s.values++
	r := record{base: n.disk.end, end: n.disk.end + 1 + int64(s.rng.IntN(3)), epoch: e, value: s.values}
	s.judge.appends(n, r)
	n.disk.append(r)
	n.waits = append(n.waits, wait{r, e})
	if s.bug == ackUncommitted {
		s.judge.acked(n, r)
	}
	n.sync()
	n.step("append", func(out *Out) { n.m.Advance(s.now, out) })
}

// complete answers the producers whose records are committed, and those whom this leader cannot answer any more.
func (n *node) complete() {
	role, e := n.m.Role()
	n.waits = slices.DeleteFunc(n.waits, func(w wait) bool {
		if role != Leader || w.epoch != e {
			return true
		}
		if w.batch.end <= n.m.HighWatermark() {
			n.s.judge.acked(n, w.batch)
			n.s.count.acks++
			return true
		}
		return false
	})
}

// start starts the process on what the disk has.
func (n *node) start() {
	s := n.s
	n.life++
	n.incarnation, n.brokerEpoch, n.img = uuid.New(s.ids), -1, metadata.Empty
	n.fetching, n.syncing, n.waits, n.frozen = time.Time{}, false, nil, time.Time{}
	n.m = New(n.id, n.disk, s.settings, n.checkpoint, n.lossy)
	n.m.bug = s.bug
	s.note("start %d lossy %v at %d", n.id, n.lossy, n.disk.end)
	n.sync()
	n.register()
	n.every(5, 60, n.pull)
	n.every(50, 100, n.beat)
	n.every(2, 25, func() { n.fetch(false) })
	n.every(100, 250, func() { n.step("tick", func(out *Out) { n.m.Tick(s.now, out) }) })
}

func (n *node) register() {
	s := n.s
	r := &controller.RegisterBroker{ClusterID: "sim", ID: n.id, Incarnation: n.incarnation, Directories: []uuid.UUID{n.directory}}
	if n.lossy && s.bug != lossKept {
		r.Lossy = r.Directories
	}
	life, lossy := n.life, n.lossy
	s.send(n.id, controllerID, 0, func() {
		if n.life != life {
			return // its connection went with it
		}
		e := s.ctl.register(r, lossy)
		s.send(controllerID, n.id, life, func() {
			if n.brokerEpoch < 0 {
				n.brokerEpoch, n.lossy = e, false
				n.m.Registered(e)
			}
		})
	})
	n.later(s.ms(200, 400), func() {
		if n.brokerEpoch < 0 {
			n.register()
		}
	})
}

// pull fetches metadata: one image after the other, or several at once.
func (n *node) pull() {
	s, life := n.s, n.life
	have := n.img.Index()
	s.send(n.id, controllerID, 0, func() {
		img := s.ctl.images[min(int(have)+1+s.rng.IntN(3), len(s.ctl.images)-1)]
		s.send(controllerID, n.id, life, func() {
			if img.Index() <= n.img.Index() || n.brokerEpoch < 0 && s.bug != unregisteredLeads {
				return
			}
			n.img = img
			n.leave(img)
			n.step("image", func(out *Out) { n.m.Apply(s.now, img, img.Partition(s.ctl.topic, 0), out) })
			n.pull()
		})
	})
}

// beat tells the controller that the process lives, and whether it has seen its registration.
func (n *node) beat() {
	e, s := n.brokerEpoch, n.s
	if e >= 0 {
		b := n.img.Broker(n.id)
		ready := b != nil && b.Epoch == e
		s.send(n.id, controllerID, 0, func() { s.ctl.beat(n.id, e, ready) })
	}
}

// die ends the process. The log keeps what a killed process leaves; of a power loss only what is synced is sure.
func (n *node) die(power bool) {
	s := n.s
	s.note("die %d power %v", n.id, power)
	s.count.deaths++
	n.life++
	n.altering++
	if power {
		if n.disk.crash(s.rng); !s.settings.Durable { // what counted may be gone
			n.loses()
		}
		if s.bug == nameUnsynced {
			n.disk.cut(s.rng.IntN(min(len(n.disk.records), 6) + 1))
		}
	}
	e := n.brokerEpoch
	if s.chance(2) { // connection lost and dial refused: everybody knows at once
		s.after(s.ms(1, 20), func() { s.ctl.died(n.id, e) })
		for _, other := range s.nodes {
			if other != n && other.running() {
				other.later(s.ms(1, 20), func() { other.step("died", func(out *Out) { other.m.Died(s.now, n.id, e, out) }) })
			}
		}
	}
	s.judge.survives()
}

// loses notes that the log does not have what it had.
func (n *node) loses() {
	n.lossy = true
	n.s.judge.lost[n.id] = true
	n.s.count.losses++
}

// mayLose says whether another replica may lose data while all that is committed must survive.
func (s *sim) mayLose(n *node) bool {
	if s.reckless || s.judge.lost[n.id] {
		return true
	}
	if s.moves != stays { // there may be one replica alone
		return false
	}
	others := 0
	for _, lost := range s.judge.lost {
		if lost {
			others++
		}
	}
	return others+1 <= s.minISR(s.ctl.partition())-1
}

func (s *sim) minISR(p *metadata.Partition) int { return p.MinISR(s.settings.MinISR) }

func newSim(seed uint64, bug mutant, how moves) *sim {
	s := &sim{seed: seed, bug: bug, rng: rand.New(rand.NewPCG(seed, 7)), ids: random.Seeded(seed), now: start, trace: fnv.New64a(), cut: map[[2]int32]time.Time{}}
	s.settings = Settings{Durable: !s.chance(4), MinISR: 2, LagMax: s.ms(300, 2000)}
	if s.chance(4) {
		s.settings.MinISR = s.rng.IntN(4) // 0: by the number of replicas, which a reassignment changes
	}
	s.reckless = s.chance(8) && how == stays
	s.moves = how
	s.session, s.rough, s.pause = s.ms(300, 2000), []int{12, 60, 300}[s.rng.IntN(3)], []int{150, 500, 1500}[s.rng.IntN(3)]
	brokers, factor := 3+s.rng.IntN(2), 3
	if s.chance(6) {
		brokers, factor = 5, 5
	}
	s.judge = newJudge(s)
	for id := range brokers {
		s.nodes = append(s.nodes, &node{s: s, id: int32(id), disk: s.newDisk(), directory: uuid.New(s.ids)})
	}
	newControl(s, factor)
	for _, n := range s.nodes {
		n.start()
	}
	return s
}

func (s *sim) newDisk() *disk { return &disk{uncut: s.bug == epochsUncut} }

// run lets the time pass.
func (s *sim) run(d time.Duration) {
	for end := s.now.Add(d); len(s.events) > 0 && !s.events[0].at.After(end); {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
	}
}

// simulate runs one seed.
func simulate(seed uint64, bug mutant) (*sim, error) { return simulateAs(seed, bug, stays) }

// simulateAs is simulate with reassignments, or without.
func simulateAs(seed uint64, bug mutant, how moves) (s *sim, err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case failure:
			err = fmt.Errorf("seed %d: %s", seed, string(v))
		default:
			if bug == noMutant {
				panic(fmt.Sprintf("seed %d: %v", seed, v))
			}
			err = fmt.Errorf("seed %d: %v", seed, v)
		}
	}()
	s = newSim(seed, bug, how)
	s.clients()
	s.nemesis()
	s.run(5 * time.Second)
	s.heal()
	s.run(6 * time.Second)
	s.mute = true
	s.run(3 * time.Second)
	s.judge.converged()
	return s, nil
}
