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

// Partition is one hosted replica. All methods are safe for concurrent use.
type Partition struct {
	id       commitlog.ID
	brokerID int32
	log      *commitlog.Log
	settings atomic.Pointer[Settings]

	// roleMu is held for reading while a request relies on the role and for writing while it changes.
	roleMu     sync.RWMutex
	assignment Assignment
	leader     bool
	deleted    bool

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
	p := &Partition{id: id, brokerID: brokerID, log: log}
	p.settings.Store(settings)
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
func (p *Partition) Log() *commitlog.Log { return p.log }

// Settings returns the settings in force.
func (p *Partition) Settings() *Settings { return p.settings.Load() }

// Configure replaces the settings.
func (p *Partition) Configure(s *Settings) {
	p.settings.Store(s)
	p.log.Configure(s.Log)
	p.advance() // durability or min.insync.replicas may have changed
}

// Apply takes over an assignment from the metadata log. An older partition epoch than the present one is ignored.
func (p *Partition) Apply(a Assignment) {
	p.roleMu.Lock()
	if a.PartitionEpoch < p.assignment.PartitionEpoch || p.deleted {
		p.roleMu.Unlock()
		return
	}
	led := p.leader
	p.assignment = a
	p.leader = a.Leader == p.brokerID
	p.roleMu.Unlock()

	if led && !p.leader {
		p.fail(ErrNotLeader)
	}
	p.advance()
}

// State returns the assignment and whether this replica leads.
func (p *Partition) State() (a Assignment, leader bool) {
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	return p.assignment, p.leader
}

// checkLeaderLocked answers whether a request that names a leader epoch (or NoEpoch) may be served. roleMu is held.
func (p *Partition) checkLeaderLocked(epoch commitlog.LeaderEpoch) error {
	switch {
	case p.deleted:
		return ErrDeleted
	case epoch != NoEpoch && epoch < p.assignment.LeaderEpoch:
		return ErrFencedLeaderEpoch
	case epoch != NoEpoch && epoch > p.assignment.LeaderEpoch:
		return ErrUnknownLeaderEpoch
	case !p.leader:
		return ErrNotLeader
	}
	return nil
}

// minISRLocked is min.insync.replicas as it applies: never more than there are replicas. roleMu is held.
func (p *Partition) minISRLocked() int {
	return min(p.settings.Load().MinISR, len(p.assignment.Replicas))
}

// Append writes a validated batch as leader. With allReplicas (acks=all) it refuses with ErrNotEnoughReplicas, and writes
// nothing, while the ISR is too small. The caller of acks=all then waits with Await for info.Last+1.
func (p *Partition) Append(b record.Batch, allReplicas bool) (commitlog.AppendInfo, error) {
	p.roleMu.RLock()
	if err := p.checkLeaderLocked(NoEpoch); err != nil {
		p.roleMu.RUnlock()
		return commitlog.AppendInfo{}, err
	}
	if allReplicas && len(p.assignment.ISR) < p.minISRLocked() {
		p.roleMu.RUnlock()
		return commitlog.AppendInfo{}, ErrNotEnoughReplicas
	}
	info, err := p.log.Append(b, p.assignment.LeaderEpoch)
	p.roleMu.RUnlock()
	if err != nil || info.Duplicate {
		return info, err
	}
	p.advance()
	return info, nil
}

// Synced is called by the log when more of it has become durable.
func (p *Partition) Synced(int64) { p.advance() }

// advance moves the offsets to where the log and the ISR allow, and wakes those who waited for it.
func (p *Partition) advance() {
	p.roleMu.RLock()
	leader, deleted := p.leader, p.deleted
	m := leaderMarks{isr: len(p.assignment.ISR), minISR: p.minISRLocked(), followersEnd: math.MaxInt64}
	lone := !slices.ContainsFunc(p.assignment.ISR, func(id int32) bool { return id != p.brokerID })
	p.roleMu.RUnlock()
	if deleted {
		return
	}
	if !lone {
		m.followersEnd = 0 // until followers report, nothing they hold counts
	}
	m.durable = p.settings.Load().Log.Durable
	// The synced end is read first: it never passes the log end, which may move between the two reads.
	m.syncedEnd = p.log.SyncedEnd()
	m.logEnd = p.log.LogEnd()

	var ready []*Wait
	p.mu.Lock()
	o := &p.mu.offsets
	before := *o
	o.logEnd = max(o.logEnd, m.logEnd) // only TruncateTo lowers it, under roleMu
	o.logStart = max(o.logStart, p.log.LogStart())
	if leader {
		o.highWatermark = m.highWatermark(o.highWatermark)
	}
	o.highWatermark = max(o.highWatermark, o.logStart) // the log start passes it only when all records are gone
	o.lastStable = max(o.logStart, min(o.highWatermark, p.log.LastStable(o.highWatermark)))
	o.check()
	moved := before != *o
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

// ApplyRetention deletes the segments that retention by time, size and log start allows to go, and returns how many went.
func (p *Partition) ApplyRetention(now time.Time) (int, error) {
	n, err := p.log.DeleteOld(now, p.HighWatermark())
	if n > 0 {
		p.advance()
	}
	return n, err
}

// DeleteRecords moves the log start to the offset, or to the high watermark where it is negative, and returns the new log
// start, which is Kafka's low watermark on a single replica (KIP-107).
func (p *Partition) DeleteRecords(offset int64) (lowWatermark int64, err error) {
	p.roleMu.RLock()
	err = p.checkLeaderLocked(NoEpoch)
	p.roleMu.RUnlock()
	if err != nil {
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
	if err := p.log.AdvanceLogStart(offset); err != nil {
		return 0, err
	}
	p.advance()
	return p.log.LogStart(), nil
}

// Close ends the replica's service: everyone who waits is answered with err, and later requests too. The log stays open; it
// belongs to whoever opened it.
func (p *Partition) Close(err error) {
	p.roleMu.Lock()
	p.deleted = true
	p.leader = false
	p.roleMu.Unlock()
	p.fail(err)
}
