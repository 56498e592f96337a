// Package partition is one hosted partition replica: its role and leader epoch, its offsets, its high watermark, and the
// readers and producers that wait for it to move. It owns when a record counts as committed; it never touches a file (that is
// commitlog), never speaks Kafka's protocol (that is handler) and never decides who leads (that is controller).
//
// A leader appends, and the record is in the log at once. It is committed when the high watermark passes it: on a durable
// topic when every in-sync replica has synced it, on a memory topic when every in-sync replica has it. Ordinary readers see
// committed records only.
//
// Lock order: Partition.roleMu, then the log's lock; Partition.mu is taken last and nothing is called under it.
package partition

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metrics"
	"github.com/moldau/moldau/internal/record"
)

// NoEpoch is the leader epoch of a request that does not name one.
const NoEpoch = commitlog.LeaderEpoch(-1)

// Settings are the topic settings that a partition acts on. They are replaced whole.
type Settings struct {
	Log           *commitlog.Config
	Rules         record.Rules // what a batch must obey
	MinISR        int          // min.insync.replicas as configured; it is clipped to the replication factor
	DeleteAllowed bool         // records may be deleted by offset: the topic does not only compact
	Zstd          bool         // compression.type is zstd, which old readers do not know
}

// Assignment is what the metadata log says of a partition.
type Assignment struct {
	Leader         int32
	LeaderEpoch    commitlog.LeaderEpoch
	PartitionEpoch int32
	Replicas       []int32
	ISR            []int32
}

// role is what the replica is at the moment. It is replaced whole.
type role struct {
	Assignment
	leader  bool
	lone    bool          // nobody else is in the ISR
	deleted bool          // served no more
	failed  error         // why nothing more can become durable; reads go on
	moving  chan struct{} // closed when the log has moved: until then nothing is changed in it; nil: it does not move
}

// idle is the role before the first assignment.
var idle = &role{lone: true}

// Partition is one hosted replica. All methods are safe for concurrent use.
type Partition struct {
	id       commitlog.ID
	brokerID int32
	log      atomic.Pointer[commitlog.Log] // replaced, under roleMu, when it moves to another data directory
	settings atomic.Pointer[Settings]

	// roleMu is held for reading while a request relies on the role and for writing while it changes. Whoever only follows the
	// log takes the role as it stands, without the lock: the log tells of synced records from within an append too.
	roleMu sync.RWMutex
	role   atomic.Pointer[role]

	traffic Traffic

	highWatermark atomic.Int64 // a copy of mu.offsets.highWatermark for readers that take no lock

	// mu guards the offsets and everyone who waits for them.
	mu struct {
		sync.Mutex
		offsets  offsets
		waits    []*Wait    // producers, by end, smallest first
		watchers []*Watcher // readers
	}
}

// New returns the replica of a partition, not yet leading. The high watermark is the one that was checkpointed; it counts as
// far as the log reaches.
func New(id commitlog.ID, brokerID int32, log *commitlog.Log, settings *Settings, highWatermark int64) *Partition {
	p := &Partition{id: id, brokerID: brokerID}
	p.log.Store(log)
	p.settings.Store(settings)
	p.role.Store(idle)
	start, end := log.LogStart(), log.LogEnd()
	hw := min(max(highWatermark, start), end)
	p.mu.offsets = offsets{logStart: start, lastStable: hw, highWatermark: hw, logEnd: end}
	p.mu.offsets.check()
	p.highWatermark.Store(hw)
	return p
}

// ID names the partition.
func (p *Partition) ID() commitlog.ID { return p.id }

// Log is the replica's log, for those who describe it; appends go through Append.
func (p *Partition) Log() *commitlog.Log { return p.log.Load() }

// Settings returns the settings in force.
func (p *Partition) Settings() *Settings { return p.settings.Load() }

// Configure replaces the settings.
func (p *Partition) Configure(s *Settings) {
	p.settings.Store(s)
	p.Log().Configure(s.Log)
	p.advance() // durability or min.insync.replicas may have changed
}

// Apply takes over an assignment from the metadata log. An older partition epoch than the present one is ignored.
func (p *Partition) Apply(a Assignment) {
	p.roleMu.Lock()
	was := p.role.Load()
	if a.PartitionEpoch < was.PartitionEpoch || was.deleted {
		p.roleMu.Unlock()
		return
	}
	now := &role{Assignment: a, leader: a.Leader == p.brokerID, failed: was.failed, moving: was.moving,
		lone: !slices.ContainsFunc(a.ISR, func(id int32) bool { return id != p.brokerID })}
	p.role.Store(now)
	p.roleMu.Unlock()

	if was.leader && !now.leader {
		p.fail(ErrNotLeader)
	}
	p.advance()
}

// State returns the assignment and whether this replica leads.
func (p *Partition) State() (a Assignment, leader bool) {
	r := p.role.Load()
	return r.Assignment, r.leader
}

// checkLeaderLocked answers whether a request that names a leader epoch (or NoEpoch) may be served. roleMu is held.
func (p *Partition) checkLeaderLocked(epoch commitlog.LeaderEpoch) error {
	switch r := p.role.Load(); {
	case r.deleted:
		return ErrDeleted
	case epoch != NoEpoch && epoch < r.LeaderEpoch:
		return ErrFencedLeaderEpoch
	case epoch != NoEpoch && epoch > r.LeaderEpoch:
		return ErrUnknownLeaderEpoch
	case !r.leader:
		return ErrNotLeader
	}
	return nil
}

// minISR is min.insync.replicas as it applies: never more than there are replicas.
func (p *Partition) minISR(r *role) int { return min(p.settings.Load().MinISR, len(r.Replicas)) }

// Append writes a validated batch as leader. With allReplicas (acks=all) it refuses with ErrNotEnoughReplicas, and writes
// nothing, while the ISR is too small. The caller of acks=all then waits with Await for info.Last+1.
func (p *Partition) Append(b record.Batch, allReplicas bool) (commitlog.AppendInfo, error) {
	return p.append(b, NoEpoch, allReplicas)
}

// AppendAs is Append for acks=all of a writer inside the broker, which relies on leading in a certain epoch.
func (p *Partition) AppendAs(b record.Batch, epoch commitlog.LeaderEpoch) (commitlog.AppendInfo, error) {
	return p.append(b, epoch, true)
}

func (p *Partition) append(b record.Batch, epoch commitlog.LeaderEpoch, allReplicas bool) (commitlog.AppendInfo, error) {
	p.enter()
	if err := p.checkAppendLocked(epoch, allReplicas); err != nil {
		p.roleMu.RUnlock()
		return commitlog.AppendInfo{}, err
	}
	info, err := p.Log().Append(b, p.role.Load().LeaderEpoch)
	p.roleMu.RUnlock()
	if err != nil || info.Duplicate {
		return info, err
	}
	p.traffic.RecordsIn.Add(info.Last - info.First + 1)
	p.traffic.BytesIn.Add(int64(len(b)))
	p.advance()
	return info, nil
}

// enter takes roleMu for reading, for who is going to change the log, once that does not move.
func (p *Partition) enter() {
	p.roleMu.RLock()
	for p.role.Load().moving != nil {
		moved := p.role.Load().moving
		p.roleMu.RUnlock()
		<-moved
		p.roleMu.RLock()
	}
}

// Move puts another log in the place of the replica's, which finish returns: one that is the same in another data directory. From
// before finish is called until the other is there nothing is appended, and those who want to wait for it, without a lock; readers go on with
// the log that there is. The old one is not used any more when Move returns, unless finish failed.
func (p *Partition) Move(finish func() (*commitlog.Log, error)) error {
	moved := make(chan struct{})
	p.change(func(r *role) { r.moving = moved })
	log, err := finish()
	p.change(func(r *role) {
		if r.moving = nil; err == nil {
			p.log.Store(log)
			log.Configure(p.settings.Load().Log) // after the log is seen: Configure has told the one or the other
		}
	})
	close(moved)
	p.advance()
	return err
}

// Traffic is what a replica counts since it was opened.
type Traffic struct {
	RecordsIn, BytesIn metrics.Counter // appended, as leader
	BytesOut           metrics.Counter // in answers to readers
}

// Traffic returns the replica's counters, which go on.
func (p *Partition) Traffic() *Traffic { return &p.traffic }

// Fetched notes that bytes of record batches which Read has found are sent to a reader.
func (p *Partition) Fetched(bytes int64) { p.traffic.BytesOut.Add(bytes) }

func (p *Partition) checkAppendLocked(epoch commitlog.LeaderEpoch, allReplicas bool) error {
	if err := p.checkLeaderLocked(epoch); err != nil {
		return err
	}
	if r := p.role.Load(); allReplicas && len(r.ISR) < p.minISR(r) {
		return ErrNotEnoughReplicas
	}
	return nil
}

// CheckAppend says why AppendAs would refuse a batch at the moment: the leadership, too few replicas in sync, a disk that is
// full or gone.
func (p *Partition) CheckAppend(epoch commitlog.LeaderEpoch) error {
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	if err := p.checkAppendLocked(epoch, true); err != nil {
		return err
	}
	return p.Log().CheckAppend()
}

// Synced is called by the log when more of it has become durable.
func (p *Partition) Synced(int64) { p.advance() }

// advance moves the offsets to where the log and the ISR allow, and wakes those who waited for it. It does not take roleMu: an
// append that syncs (flush.messages) comes here while it holds it.
func (p *Partition) advance() {
	r := p.role.Load()
	if r.deleted {
		return
	}
	m := leaderMarks{isr: len(r.ISR), minISR: p.minISR(r), followersEnd: math.MaxInt64}
	if !r.lone {
		m.followersEnd = 0 // until followers report, nothing they hold counts
	}
	m.durable = p.settings.Load().Log.Durable
	log := p.Log()
	// The synced end is read first: it never passes the log end, which may move between the two reads.
	m.syncedEnd = log.SyncedEnd()
	m.logEnd = log.LogEnd()

	var ready []*Wait
	p.mu.Lock()
	o := &p.mu.offsets
	before := *o
	o.logEnd = max(o.logEnd, m.logEnd) // only TruncateTo lowers it, under roleMu
	o.logStart = max(o.logStart, log.LogStart())
	if r.leader {
		o.highWatermark = m.highWatermark(o.highWatermark)
	}
	o.highWatermark = max(o.highWatermark, o.logStart) // the log start passes it only when all records are gone
	o.lastStable = max(o.logStart, min(o.highWatermark, log.LastStable(o.highWatermark)))
	o.check()
	// The log end alone is nothing to readers: they see it when it is committed.
	moved := before.highWatermark != o.highWatermark || before.lastStable != o.lastStable || before.logStart != o.logStart
	if before.highWatermark != o.highWatermark {
		p.highWatermark.Store(o.highWatermark)
		n := 0
		for n < len(p.mu.waits) && p.mu.waits[n].End <= o.highWatermark {
			n++
		}
		if n > 0 {
			ready = slices.Clone(p.mu.waits[:n])
			p.mu.waits = slices.Delete(p.mu.waits, 0, n)
		}
	}
	if moved {
		for _, w := range p.mu.watchers {
			w.wake()
		}
	}
	p.mu.Unlock()
	for _, w := range ready {
		w.Done(nil)
	}
}

// Offsets returns the log start offset, the last stable offset, the high watermark and the log end offset.
func (p *Partition) Offsets() (logStart, lastStable, highWatermark, logEnd int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.mu.offsets
	return o.logStart, o.lastStable, o.highWatermark, o.logEnd
}

// HighWatermark is the end of the committed records.
func (p *Partition) HighWatermark() int64 { return p.highWatermark.Load() }

// ApplyRetention deletes the segments that retention by time, size and log start allows to go, and returns how many went, and why.
func (p *Partition) ApplyRetention(now time.Time) (commitlog.Deleted, error) {
	deleted, err := p.Log().DeleteOld(now, p.HighWatermark())
	if deleted.Segments() > 0 {
		p.advance()
	}
	return deleted, err
}

// DeleteRecords moves the log start to the offset, or to the high watermark where it is negative, and returns the new log
// start, which is Kafka's low watermark on a single replica (KIP-107).
func (p *Partition) DeleteRecords(offset int64) (lowWatermark int64, err error) {
	p.enter()
	defer p.roleMu.RUnlock()
	if err := p.checkLeaderLocked(NoEpoch); err != nil {
		return 0, err
	}
	if !p.Settings().DeleteAllowed {
		return 0, ErrPolicy
	}
	hw := p.HighWatermark()
	if offset < 0 {
		offset = hw
	}
	if offset > hw {
		return 0, commitlog.ErrOffsetOutOfRange
	}
	if err := p.Log().AdvanceLogStart(offset); err != nil {
		return 0, err
	}
	p.advance()
	return p.Log().LogStart(), nil
}

// Close ends the replica's service: everyone who waits is answered with err, and later requests too. The log stays open; it
// belongs to whoever opened it.
func (p *Partition) Close(err error) {
	p.change(func(r *role) { r.deleted, r.leader = true, false })
	p.fail(err)
}

// Fail says that nothing more of the log will become durable: producers that wait are answered with err, and so are those to come.
// Reads go on.
func (p *Partition) Fail(err error) {
	p.change(func(r *role) { r.failed = err })
	p.fail(err)
}

// change replaces the role by what f makes of a copy.
func (p *Partition) change(f func(*role)) {
	p.roleMu.Lock()
	defer p.roleMu.Unlock()
	r := *p.role.Load()
	f(&r)
	p.role.Store(&r)
}
