package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/handler"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/uuid"
)

// moves lets replicas move between the data directories of this broker (KIP-113): a few threads copy piece by piece, each move in its
// turn, while the replicas are in use. How a copy is made and takes its place is logdir's.
type moves struct {
	clock    clock.Clock
	log      *slog.Logger
	throttle *moveThrottle
	wake     chan struct{}

	mu struct { // taken after replicas.mu, and held for moments
		sync.Mutex
		all       map[movedReplica]*move // under way
		queue     []*move                // to go on with
		preferred map[string]uint16      // where partitions that this broker does not host are to be made, by the name of their folder
	}
}

type movedReplica struct {
	topic uuid.UUID
	index int32
}

// move is a replica on its way.
type move struct {
	p        *partition.Partition
	from, to uint16
	began    time.Time
	copy     *commitlog.Log // for those who describe it
	over     chan struct{}  // closed when it is to end before it is done

	// mu is held while the copy is worked on: for a piece and its sync.
	mu     sync.Mutex
	future *logdir.Future // nil: it is over
	warned bool
}

func newMoves(live *liveConfig, clk clock.Clock, log *slog.Logger) *moves {
	m := &moves{clock: clk, log: log, wake: make(chan struct{}, 1)}
	m.throttle = &moveThrottle{clock: clk, rate: func() int64 { return live.now().Number("replica.alter.log.dirs.io.max.bytes.per.second") }}
	m.mu.all = map[movedReplica]*move{}
	m.mu.preferred = map[string]uint16{}
	return m
}

func replicaOf(id commitlog.ID) movedReplica { return movedReplica{id.TopicID, id.Partition} }

// maxPreferred bounds how many partitions that are not here a place is kept in mind for.
const maxPreferred = 10_000

// Move moves a replica to the data directory of that path, or keeps the directory in mind for when the broker gets the partition. A move to
// another directory that is under way ends; to move a replica to where it is does no more than that.
func (r *replicas) Move(topic string, number int32, path string) error {
	id := commitlog.ID{Topic: topic, Partition: number}
	if logdir.FutureNameLength(id) > maxFileName {
		return fmt.Errorf("%w: %s", handler.ErrTopicTooLong, topic)
	}
	to := -1
	for i, d := range r.dirs {
		if absolute(d.Path()) == path {
			to = i
		}
	}
	for _, a := range r.absent {
		if absolute(a.path) == path {
			return a.err
		}
	}
	if to < 0 {
		return fmt.Errorf("%w: %s", handler.ErrNoLogDir, path)
	}
	if err := r.dirs[to].Err(); errors.Is(err, commitlog.ErrOffline) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.applied.Topic(topic)
	if t == nil || number < 0 || int(number) >= len(t.Partitions) {
		r.moves.prefer(id, uint16(to))
		return fmt.Errorf("%w: %s", handler.ErrNoPartition, id)
	}
	id.TopicID = t.ID
	p, at := r.Placed(t.ID, number)
	if p == nil {
		r.moves.prefer(id, uint16(to))
		return fmt.Errorf("%w: %s", handler.ErrNoReplica, id)
	}
	if under := r.moves.of(id); under != nil {
		if int(under.to) == to {
			return nil
		}
		r.moves.cancel(under)
		r.log.Info("a replica does not move any more", "partition", id.String(), "to", r.dirs[under.to].Path())
	}
	if err := r.dirs[at].Err(); errors.Is(err, commitlog.ErrOffline) {
		return err
	}
	if at == to {
		return nil
	}
	return r.beginMoveLocked(p, uint16(at), uint16(to))
}

// maxFileName is the longest file name that file systems take.
const maxFileName = 255

// beginMoveLocked begins to copy a replica to another directory; mu is held.
func (r *replicas) beginMoveLocked(p *partition.Partition, from, to uint16) error {
	p.Log().Copying(true)
	f, err := r.dirs[to].Begin(p.ID(), p.Settings().Log, p.Log())
	if err != nil {
		p.Log().Copying(false)
		return err
	}
	r.log.Info("a replica moves to another data directory", "partition", p.ID().String(), "from", r.dirs[from].Path(), "to", r.dirs[to].Path())
	m := &move{p: p, from: from, to: to, future: f, copy: f.Log(), began: r.moves.clock.Now(), over: make(chan struct{})}
	r.moves.mu.Lock()
	r.moves.mu.all[replicaOf(p.ID())] = m
	r.moves.mu.Unlock()
	r.moves.put(m)
	return nil
}

// Copied returns the copy of a replica that is being made in another directory, and the number of that; nil where none is.
func (r *replicas) Copied(topic uuid.UUID, index int32) (*commitlog.Log, int) {
	r.moves.mu.Lock()
	m := r.moves.mu.all[movedReplica{topic, index}]
	r.moves.mu.Unlock()
	if m == nil {
		return nil, 0
	}
	return m.copy, int(m.to)
}

// of returns the move of a replica that is under way, or nil.
func (m *moves) of(id commitlog.ID) *move {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.all[replicaOf(id)]
}

// prefer keeps in mind where a partition is to be made.
func (m *moves) prefer(id commitlog.ID, dir uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mu.preferred) >= maxPreferred {
		for name := range m.mu.preferred { // any of them
			delete(m.mu.preferred, name)
			break
		}
	}
	m.mu.preferred[id.DirName()] = dir
}

// preferred tells where a partition is to be made, once.
func (m *moves) preferred(id commitlog.ID) (dir uint16, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, ok = m.mu.preferred[id.DirName()]
	delete(m.mu.preferred, id.DirName())
	return dir, ok
}

// forget takes a move off the list, so that another may begin.
func (m *moves) forget(mv *move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id := replicaOf(mv.p.ID()); m.mu.all[id] == mv {
		delete(m.mu.all, id)
	}
}

// cancel ends a move and removes the copy. It waits for the piece under way.
func (m *moves) cancel(mv *move) {
	m.forget(mv)
	mv.mu.Lock()
	defer mv.mu.Unlock()
	m.drop(mv) // before it is told that it is over: a thread would leave the copy where it is
	close(mv.over)
}

// drop removes the copy; the move's mu is held.
func (m *moves) drop(mv *move) {
	if mv.future == nil {
		return
	}
	if err := mv.future.Drop(); err != nil {
		m.log.Warn("remove a copy of a replica: the next start does", "partition", mv.p.ID().String(), "error", err)
		mv.future.Leave()
	}
	mv.future = nil
	m.compact(mv)
}

// leave ends a move and leaves the copy where it is.
func (m *moves) leave(mv *move) {
	if mv.future != nil {
		mv.future.Leave()
		mv.future = nil
		m.compact(mv)
	}
}

// compact lets compaction in again after a move, unless the replica is on its way to a third directory by now.
func (m *moves) compact(mv *move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if under := m.mu.all[replicaOf(mv.p.ID())]; under == nil || under == mv {
		mv.p.Log().Copying(false)
	}
}

// lost ends the moves from and to a directory that is offline. It waits for nothing.
func (m *moves) lost(dir int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, mv := range m.mu.all {
		if int(mv.from) == dir || int(mv.to) == dir {
			delete(m.mu.all, id)
			close(mv.over)
			m.log.Error("a replica cannot move: one of the data directories is offline", "partition", mv.p.ID().String())
		}
	}
}

// put says that there is something to do for a move.
func (m *moves) put(mv *move) {
	m.mu.Lock()
	m.mu.queue = append(m.mu.queue, mv)
	m.mu.Unlock()
	m.signal()
}

func (m *moves) signal() {
	select {
	case m.wake <- struct{}{}:
	default: // one signal is enough
	}
}

// take waits for a move to go on with; nil when ctx ends.
func (m *moves) take(ctx context.Context) *move {
	for {
		m.mu.Lock()
		var mv *move
		if len(m.mu.queue) > 0 {
			mv, m.mu.queue = m.mu.queue[0], m.mu.queue[1:]
		}
		more := len(m.mu.queue) > 0
		m.mu.Unlock()
		if more {
			m.signal() // to the other threads
		}
		if mv != nil {
			return mv
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		}
	}
}

// moveReplicas lets the threads work until ctx ends. Copies that are not complete then are closed with their directories, and the
// next start goes on with them.
func (b *Broker) moveReplicas(ctx context.Context) {
	threads := cmp.Or(int(b.opts.Config.Number("num.replica.alter.log.dirs.threads")), len(b.dirs))
	var wait sync.WaitGroup
	for range max(threads, 1) {
		wait.Go(func() {
			for ctx.Err() == nil {
				mv := b.replicas.moves.take(ctx)
				if mv == nil {
					return
				}
				again, later := b.replicas.moveOn(ctx, mv)
				switch {
				case again && later > 0:
					b.opts.Clock.AfterFunc(later, func() { b.replicas.moves.put(mv) })
				case again:
					b.replicas.moves.put(mv)
				}
			}
		})
	}
	wait.Wait()
}

const (
	movePiece  = 1 << 20                // read and written at once
	movePieces = 8                      // of one move, before another has its turn
	moveSoon   = 10 * time.Millisecond  // until a pass of compaction has given up
	moveLater  = 500 * time.Millisecond // until there may be room on the disk, or a descriptor
)

// moveOn does the next part of a move. It says whether there is more to do, and when.
func (r *replicas) moveOn(ctx context.Context, mv *move) (again bool, later time.Duration) {
	for range movePieces {
		n, caught, err := r.copyPiece(mv)
		if errors.Is(err, errCompacting) {
			return true, moveSoon
		}
		if err != nil || mv.isOver() {
			return r.moveFailed(mv, err)
		}
		if caught {
			return r.finishMove(mv)
		}
		if !r.moves.throttle.take(ctx, n, mv.over) {
			return true, 0 // the caller sees whether it is over, or the broker stops
		}
	}
	return true, 0
}

func (mv *move) isOver() bool {
	select {
	case <-mv.over:
		return true
	default:
		return false
	}
}

var errCompacting = errors.New("a pass of compaction is under way")

// copyPiece copies a piece. caught says that the copy has reached what the log's end was before.
func (r *replicas) copyPiece(mv *move) (n int64, caught bool, err error) {
	mv.mu.Lock()
	defer mv.mu.Unlock()
	if mv.future == nil || mv.isOver() {
		return 0, false, nil
	}
	if !mv.p.Log().Copying(true) {
		return 0, false, errCompacting
	}
	defer mv.future.Rest()
	end := mv.p.Log().LogEnd()
	n, err = mv.future.Copy(movePiece)
	return n, n == 0 || mv.future.Log().LogEnd() >= end, err
}

// moveFailed decides what becomes of a move that is over or met an error.
func (r *replicas) moveFailed(mv *move, err error) (again bool, later time.Duration) {
	mv.mu.Lock()
	defer mv.mu.Unlock()
	id := mv.p.ID().String()
	switch {
	case mv.isOver(): // whoever ended it has dropped the copy, unless a directory is offline
		r.moves.leave(mv)
		return false, 0
	case errors.Is(err, commitlog.ErrOffline), errors.Is(err, commitlog.ErrClosed), errors.Is(err, logdir.ErrClosed):
		r.moves.forget(mv)
		r.moves.leave(mv)
		r.log.Error("a replica cannot move", "partition", id, "to", r.dirs[mv.to].Path(), "error", err)
		return false, 0
	case errors.Is(err, commitlog.ErrNoRoom), errors.Is(err, logdir.ErrBehind), logdir.Passes(err):
		if !mv.warned && !errors.Is(err, logdir.ErrBehind) {
			mv.warned = true
			r.log.Warn("a replica cannot move on now: it is tried again from time to time", "partition", id, "to", r.dirs[mv.to].Path(), "error", err)
		}
		return true, moveLater
	}
	r.moves.forget(mv)
	r.moves.drop(mv)
	r.log.Error("a replica cannot move: it stays where it is", "partition", id, "at", r.dirs[mv.from].Path(), "error", err)
	return false, 0
}

// finishMove puts a copy that is as good as complete in the place of the replica's log, and removes that.
func (r *replicas) finishMove(mv *move) (again bool, later time.Duration) {
	from, to := r.dirs[mv.from], r.dirs[mv.to]
	err := mv.ready(from)
	if err == nil && !mv.isOver() {
		err = r.exchange(mv)
	}
	if err != nil || mv.isOver() {
		return r.moveFailed(mv, err)
	}
	id := mv.p.ID()
	if err := from.RemoveMoved(id); err != nil { // the next start does it
		r.log.Warn("remove a replica that has moved", "partition", id.String(), "directory", from.Path(), "error", err)
	}
	for _, d := range []*logdir.Dir{to, from} {
		if err := d.Checkpoint(); err != nil {
			r.log.Warn("write checkpoints", "directory", d.Path(), "error", err)
		}
	}
	r.log.Info("a replica has moved to another data directory", "partition", id.String(), "from", from.Path(), "to", to.Path(),
		"bytes", mv.p.Log().Size(), "took", r.moves.clock.Now().Sub(mv.began))
	return false, 0
}

func (mv *move) ready(from *logdir.Dir) error {
	mv.mu.Lock()
	defer mv.mu.Unlock()
	if mv.future == nil {
		return nil
	}
	defer mv.future.Rest()
	return mv.future.Ready(from)
}

// exchange puts the copy in the place of the log. Changes of the metadata, other moves and lost directories wait for it, as do producers of
// this partition.
func (r *replicas) exchange(mv *move) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	mv.mu.Lock()
	defer mv.mu.Unlock()
	if mv.isOver() {
		return nil
	}
	p := mv.p
	if err := r.dirs[mv.from].Err(); errors.Is(err, commitlog.ErrOffline) {
		return err
	}
	err := p.Move(func() (*commitlog.Log, error) {
		return mv.future.Finish(r.dirs[mv.from], p.Settings().Log, p.Synced)
	})
	if err != nil {
		return err
	}
	mv.future = nil
	r.moves.forget(mv)
	id := p.ID()
	h, _ := r.topics.Load(id.TopicID) // a topic that is deleted ends its moves
	parts := append([]hosted(nil), *h.(*hostedTopic).partitions.Load()...)
	parts[id.Partition].dir = mv.to
	h.(*hostedTopic).partitions.Store(&parts)
	r.load[mv.from]--
	r.load[mv.to]++
	r.places.add(controller.AssignDirectory{TopicID: id.TopicID, Number: id.Partition, Directory: r.dirs[mv.to].ID()})
	return nil
}

// resumeMovesLocked goes on with the moves that a stop interrupted, and removes copies that are worth nothing; mu is held. A copy is never
// taken for the log of a partition whose folder is in none of the directories.
func (r *replicas) resumeMovesLocked() {
	for i, d := range r.dirs {
		for _, id := range d.Futures() {
			t := r.applied.Topic(id.Topic)
			at, known := r.found[nameOf(id)]
			if t == nil || !known || id.TopicID != t.ID {
				continue
			}
			p, dir := r.Placed(t.ID, id.Partition)
			if p == nil || dir != int(at) || dir == i || r.moves.of(p.ID()) != nil {
				continue
			}
			if err := r.beginMoveLocked(p, at, uint16(i)); err != nil {
				r.log.Error("go on with the move of a replica", "partition", id.String(), "to", d.Path(), "error", err)
			}
		}
		err := d.DropFutures(func(id commitlog.ID) (copyOf, wanted bool) {
			_, known := r.found[nameOf(id)]
			return known, false
		})
		if err != nil {
			r.log.Warn("remove copies of replicas", "directory", d.Path(), "error", err)
		}
	}
}

// moveThrottle lets so many bytes pass in a second, of all moves together (replica.alter.log.dirs.io.max.bytes.per.second). The rate may
// change at any time.
type moveThrottle struct {
	clock clock.Clock
	rate  func() int64

	mu   sync.Mutex
	owed float64   // bytes that passed and are not paid for
	at   time.Time // when owed was true
}

// throttleLook is how soon a change of the rate is seen.
const throttleLook = 200 * time.Millisecond

// take notes that n bytes have passed, and waits until they are paid for. It is false where ctx or over ended first.
func (t *moveThrottle) take(ctx context.Context, n int64, over <-chan struct{}) bool {
	t.mu.Lock()
	t.settleLocked()
	t.owed += float64(n)
	t.mu.Unlock()
	for {
		t.mu.Lock()
		t.settleLocked()
		wait := time.Duration(min(t.owed/max(float64(t.rate()), 1)*float64(time.Second), math.MaxInt64/2))
		t.mu.Unlock()
		if wait < time.Millisecond {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-over:
			return false
		case <-t.clock.After(min(wait, throttleLook)):
		}
	}
}

func (t *moveThrottle) settleLocked() {
	now := t.clock.Now()
	t.owed = max(0, t.owed-now.Sub(t.at).Seconds()*float64(t.rate()))
	t.at = now
}
