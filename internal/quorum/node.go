package quorum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/invariant"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/vfs"
)

// StateMachine is what the committed log drives. One goroutine calls it, in the order of the log, and an error ends the node.
type StateMachine interface {
	// Apply takes the entry at index. Every index comes once, those of the quorum's own entries with a nil entry.
	Apply(index uint64, entry []byte) error
	// Restore replaces the state by the snapshot of index.
	Restore(index uint64, snapshot []byte) error
	// Snapshot returns the state and the index of the last entry in it.
	Snapshot() (index uint64, snapshot []byte)
}

// Transport carries messages to the other voters. It may lose, repeat and reorder them, and it never blocks.
type Transport interface {
	Send(to uint64, message []byte)
}

// Options configures a Node. FS, Dir and StateMachine are required; a zero field means its default.
type Options struct {
	FS           vfs.FS
	Clock        clock.Clock   // default clock.Real
	Random       random.Source // default random.Real
	Dir          string        // made when it is not there
	StateMachine StateMachine
	Transport    Transport // nil for the only voter
	Log          *slog.Logger

	// MustExist refuses to make a directory: Open returns ErrMissing.
	MustExist bool

	Tick            time.Duration // default 50 ms
	ElectionTicks   int           // ticks without a leader before an election, up to twice as many; default 10
	SnapshotEntries uint64        // entries between two snapshots; default 10,000
	SnapshotBytes   int64         // what the entries between two snapshots take in memory, or as much as the last one had; default 512 KiB
	SegmentBytes    int64         // size at which a log segment is full; default 4 MiB

	// OnFull hears when an entry is refused for lack of space, and when there is space again. It must not block.
	OnFull func(full bool)

	// For tests, of a new directory.
	voters []uint64 // nil: this node alone; empty: none yet, it waits to be added to a cluster
	newID  uint64   // 0: one is drawn
}

func (o Options) withDefaults() Options {
	set(&o.Clock, clock.Real)
	set(&o.Random, random.Real)
	set(&o.Log, slog.New(slog.DiscardHandler))
	set(&o.Tick, 50*time.Millisecond)
	set(&o.ElectionTicks, 10)
	set(&o.SnapshotEntries, 10_000)
	set(&o.SnapshotBytes, 512<<10)
	set(&o.SegmentBytes, 4<<20)
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Bounds of the node's queues.
const (
	inboxMax    = 1024 // messages from other voters; more are dropped
	proposeMax  = 1024 // proposals; more wait outside
	applyAhead  = 64   // batches committed and not yet applied; more stop the node's part in the quorum
	proposeOnce = 256  // proposals of one batch
)

// lookForSpace is how often a node without space looks whether there is some again.
const lookForSpace = time.Second

// Node is one voter of the quorum.
type Node struct {
	options Options
	core    *core
	status  status
	applier applier

	inbox     chan *pb.Message
	proposals chan *proposal
	calls     chan func() // run by the main goroutine, between two batches
	waiting   map[uint64]*proposal
	full      bool // an entry was refused for lack of space, and there is none yet
	looking   <-chan time.Time
	apply     chan applyBatch
	taken     chan *snapshot // written by the applier, to be taken note of
	applied   chan error     // receives once, when the applier ends
	done      chan struct{}
}

// Open reads the directory, or makes it, and restores the state machine from the newest snapshot. Run does the rest.
func Open(options Options) (*Node, error) {
	o := options.withDefaults()
	id, err := ReadID(o.FS, o.Dir)
	if errors.Is(err, ErrMissing) && !o.MustExist {
		if id = o.newID; id == 0 {
			id = newID(o.Random)
		}
		voters := o.voters
		if voters == nil {
			voters = []uint64{id}
		}
		err = format(o.FS, o.Dir, id, voters, o.SegmentBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("open quorum directory: %w", err)
	}
	c, err := newCore(o.FS, o.Dir, id, o.SegmentBytes, o.ElectionTicks, o.Log)
	if err != nil {
		return nil, fmt.Errorf("open quorum directory: %w", err)
	}
	n := &Node{options: o, core: c, inbox: make(chan *pb.Message, inboxMax), proposals: make(chan *proposal, proposeMax), calls: make(chan func()),
		waiting: make(map[uint64]*proposal), apply: make(chan applyBatch, applyAhead), taken: make(chan *snapshot, 1),
		applied: make(chan error, 1), done: make(chan struct{})}
	n.status.init()
	n.applier = applier{node: n, machine: o.StateMachine}
	newest := c.storage.newest
	if newest.index > 0 {
		full, err := readSnapshot(o.FS, o.Dir, newest.index)
		if err == nil {
			err = n.applier.restore(full)
		}
		if err != nil {
			c.close()
			return nil, fmt.Errorf("restore metadata snapshot %d: %w", newest.index, err)
		}
		n.status.apply(n.applier.index, n.applier.term) // there may be nothing behind it
	}
	return n, nil
}

// newID draws the raft id of a new directory.
func newID(rnd random.Source) uint64 {
	for {
		if id := rnd.Uint64(); id != 0 && id != ^uint64(0) { // the library keeps both for itself
			return id
		}
	}
}

// ID is the raft id of the directory.
func (n *Node) ID() uint64 { return n.core.id }

// Run takes part in the quorum until the context ends, which is no error, or something fails. The node is closed afterwards.
func (n *Node) Run(ctx context.Context) (err error) {
	go func() { n.applied <- n.applier.run() }()
	defer func() {
		if v := recover(); v != nil {
			violation, ok := v.(*invariant.Violation)
			if !ok {
				panic(v)
			}
			err = violation
		}
		err = n.stop(err)
	}()
	return n.run(ctx)
}

// Close closes a node that was opened and will not Run.
func (n *Node) Close() error {
	n.applied <- nil
	return n.stop(nil)
}

// stop waits for the applier, closes the files and ends all that waits. What was committed before is applied and answered.
func (n *Node) stop(err error) error {
	close(n.apply)
	for waiting := true; waiting; {
		select {
		case <-n.taken: // so that the applier can end
		case applyErr := <-n.applied:
			err, waiting = errors.Join(err, applyErr), false
		}
	}
	if closeErr := n.core.close(); err == nil {
		err = closeErr
	}
	n.status.stop(n, err)
	close(n.done)
	return err
}

func (n *Node) run(ctx context.Context) error {
	if n.core.alone() {
		if err := n.core.raft.Campaign(); err != nil {
			return fmt.Errorf("stand for election: %w", err)
		}
	}
	for {
		if err := n.handle(); err != nil {
			return err
		}
		var tick <-chan time.Time
		if !n.core.alone() { // alone, nothing ever times out
			tick = n.ticks()
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-n.applied:
			n.applied <- nil
			return err
		case <-tick:
			n.tick()
		case <-n.look():
			if err := n.refill(); err != nil {
				return err
			}
		case m := <-n.inbox:
			if err := n.receiveAll(m); err != nil {
				return err
			}
		case p := <-n.proposals:
			if err := n.proposeAll(p); err != nil {
				return err
			}
		case call := <-n.calls:
			call()
		case snap := <-n.taken:
			if err := n.core.storage.compacted(snap); err != nil {
				return err
			}
		}
	}
}

// ticks returns the channel of the next tick; one stays armed however often the loop turns.
func (n *Node) ticks() <-chan time.Time {
	if n.status.tick == nil {
		n.status.tick = n.options.Clock.After(n.options.Tick)
	}
	return n.status.tick
}

func (n *Node) tick() {
	n.status.tick = nil
	n.core.raft.Tick()
}

// receiveAll takes in the message and those behind it, so that they share one sync.
func (n *Node) receiveAll(m *pb.Message) error {
	for range inboxMax {
		if err := n.core.receive(m); err != nil {
			return err
		}
		select {
		case m = <-n.inbox:
		default:
			return nil
		}
	}
	return nil
}

// handle does what is ready and hands on what came of it.
func (n *Node) handle() error {
	for first := true; first || n.core.raft.HasReady(); first = false {
		out, err := n.core.handle(n.send)
		if err != nil {
			return err
		}
		n.send(out.messages)
		n.lostLeadership()
		if out.restore != nil || len(out.committed) > 0 {
			if err := n.push(applyBatch{restore: out.restore, entries: out.committed, conf: n.core.conf, members: out.members}); err != nil {
				return err
			}
		}
		n.status.lead(n.core)
	}
	return nil
}

// push gives a batch to the applier. While that is behind, nothing else is done: a voter that cannot apply must not go on.
func (n *Node) push(batch applyBatch) error {
	for {
		select {
		case n.apply <- batch:
			return nil
		case snap := <-n.taken: // else the applier could wait for us
			if err := n.core.storage.compacted(snap); err != nil {
				return err
			}
		case err := <-n.applied:
			n.applied <- nil
			return err
		}
	}
}

func (n *Node) send(messages []*pb.Message) {
	for _, m := range messages {
		if n.options.Transport == nil {
			continue
		}
		b, err := proto.Marshal(m)
		invariant.Check(err == nil, "encode raft message: %v", err)
		n.options.Transport.Send(m.GetTo(), b)
		if m.GetType() == pb.MsgSnap {
			// The transport tells nobody whether it arrived; the follower's answer to the next probe does.
			n.core.raft.ReportSnapshot(m.GetTo(), snapshotSent)
		}
	}
}

// Receive takes in a message that another voter's Transport carried. It never blocks; a full node drops it.
func (n *Node) Receive(message []byte) error {
	m := &pb.Message{}
	if err := proto.Unmarshal(message, m); err != nil {
		return fmt.Errorf("decode raft message: %w", err)
	}
	select {
	case n.inbox <- m:
	default:
	}
	return nil
}

// Done is closed when the node has stopped; Err then says why.
func (n *Node) Done() <-chan struct{} { return n.done }

func stopped(err error) error {
	if err == nil {
		return ErrStopped
	}
	return fmt.Errorf("%w: %w", ErrStopped, err)
}
