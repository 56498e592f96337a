// Package partition is one hosted partition replica: its log, what it is to the partition at the moment, and the readers and
// producers that wait for records to be committed. Package replica decides what it is and how far records are committed; this one carries
// that out, gives every goroutine its turn and keeps who waits. It never touches a file (that is commitlog), never speaks Kafka's
// protocol (that is handler), never sends anything to another broker and never decides who leads (that is controller).
//
// A leader appends, and the record is in the log at once. It is committed when the high watermark passes it: on a durable
// topic when every in-sync replica has synced it, on a memory topic when every in-sync replica has it. Ordinary readers see
// committed records only.
//
// Lock order: Partition.turn, Partition.roleMu, then the log's lock; Partition.mu is taken last, and under it the log is only asked for
// where it stands.
package partition

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/metrics"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/replica"
)

// NoEpoch is the leader epoch of a request that does not name one.
const NoEpoch = replica.NoEpoch

// Host is what all replicas of a broker share.
type Host struct {
	Broker int32
	Clock  clock.Clock // default clock.Real
	// Alter takes a leader's proposal of an ISR to the controller; the result comes to Partition.Altered. It is called with the
	// proposals of one partition in their order, must not block, and must not call Altered itself. Nil: nobody is asked.
	Alter func(*Partition, *replica.AlterPartition)
	// Changed is told when NextFetch may say something new though the replica itself appended nothing: of another leader or leader epoch, that
	// it left the ISR, a higher synced end, or nothing any more. It is called without a lock of the partition, not always in order, and must not block.
	Changed func(*Partition)
}

func (h *Host) changed(p *Partition) {
	if h.Changed != nil {
		h.Changed(p)
	}
}

// Settings are the topic settings that a partition acts on. They are replaced whole, and many share them.
type Settings struct {
	Log           *commitlog.Config
	Rules         record.Rules  // what a batch must obey, but for the name of the partition
	MinISR        int           // min.insync.replicas as configured, 0 where nobody did; see metadata.MinISR
	LagMax        time.Duration // a follower that was not caught up for so long leaves the ISR
	DeleteAllowed bool          // records may be deleted by offset: the topic does not only compact
	Zstd          bool          // compression.type is zstd, which old readers do not know
}

// Assignment is what the metadata say of a partition, as far as the replica goes by it.
type Assignment struct {
	Leader         int32
	LeaderEpoch    commitlog.LeaderEpoch
	PartitionEpoch int32
	Replicas       []int32
	ISR            []int32
}

// role is what the replica is at the moment: what the machine made of the metadata, for those who take no lock, and what its broker
// made of it. It is replaced whole.
type role struct {
	is      replica.Role
	epoch   commitlog.LeaderEpoch
	of      *metadata.Partition // nil: the metadata make nothing of it
	deleted bool                // served no more
	left    bool                // because other brokers have the partition now
	failed  error               // why nothing more can become durable; reads go on
	moving  chan struct{}       // closed when the log has moved: until then nothing is changed in it; nil: it does not move
}

// idle is the role before the first assignment.
var idle = &role{epoch: NoEpoch}

// Partition is one hosted replica. All methods are safe for concurrent use.
type Partition struct {
	id       commitlog.ID
	host     *Host
	log      atomic.Pointer[commitlog.Log] // replaced, under roleMu, when it moves to another data directory
	settings atomic.Pointer[Settings]

	// turn is held while the role changes, and while a follower changes the log by what its leader answered, syncs included. So the one
	// never comes into the middle of the other. Requests of clients do without it.
	turn sync.Mutex

	// roleMu is held for reading while a request relies on the role and for writing while it changes. Whoever only follows the
	// log takes the role as it stands, without the lock: the log tells of synced records from within an append too.
	roleMu sync.RWMutex
	role   atomic.Pointer[role]

	traffic Traffic

	highWatermark atomic.Int64 // a copy of mu.offsets.highWatermark for readers that take no lock

	refused atomic.Pointer[time.Time] // when a batch was refused last that its producer sends again, or would have been, by another leader; nil: never

	// mu guards the offsets and everyone who waits for them.
	mu struct {
		sync.Mutex
		machine  *replica.Machine
		carrying bool // a follower changes the log as the machine said; it makes the next step itself
		offsets  offsets
		waits    []*Wait    // producers, by end, smallest first
		watchers []*Watcher // readers
	}
}

// New returns the replica of a partition, which does nothing before Registered and Apply. The high watermark is the one that was
// checkpointed; it counts as far as the log reaches. lossy says that the log may have less than when its broker was registered last:
// then nothing is done with it until the metadata show that nobody counts on it.
func New(id commitlog.ID, host *Host, log *commitlog.Log, settings *Settings, highWatermark int64, lossy bool) *Partition {
	p := &Partition{id: id, host: host}
	p.log.Store(log)
	p.settings.Store(settings)
	p.role.Store(idle)
	p.mu.machine = replica.New(host.Broker, (*asLog)(p), settings.replication(), highWatermark, lossy)
	start, hw, end := log.LogStart(), p.mu.machine.HighWatermark(), log.LogEnd()
	p.mu.offsets = offsets{logStart: start, lastStable: hw, highWatermark: hw, logEnd: end}
	p.mu.offsets.check()
	p.highWatermark.Store(hw)
	return p
}

// replication is what of the settings replication goes by.
func (s *Settings) replication() replica.Settings {
	return replica.Settings{Durable: s.Log.Durable, MinISR: s.MinISR, LagMax: s.LagMax}
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
	p.step(func(m *replica.Machine, now time.Time, out *replica.Out) { m.Configure(now, s.replication(), out) })
}

// State returns the assignment and whether this replica leads.
func (p *Partition) State() (a Assignment, leader bool) {
	r := p.role.Load()
	if r.of == nil {
		return Assignment{Leader: metadata.NoLeader}, false
	}
	return Assignment{Leader: r.of.Leader, LeaderEpoch: r.epoch, PartitionEpoch: r.of.PartitionEpoch, Replicas: r.of.Replicas, ISR: r.of.ISR},
		r.is == replica.Leader
}

// checkLeaderLocked answers whether a request that names a leader epoch (or NoEpoch) may be served. roleMu is held.
func (p *Partition) checkLeaderLocked(epoch commitlog.LeaderEpoch) error {
	return p.checkLocked(epoch, false)
}

// checkLocked is checkLeaderLocked that takes a follower too, where the request is one that followers serve.
func (p *Partition) checkLocked(epoch commitlog.LeaderEpoch, follower bool) error {
	r := p.role.Load()
	switch {
	case r.left:
		return ErrNotLeader
	case r.deleted:
		return ErrDeleted
	}
	err := replica.CheckLeader(r.is, r.epoch, epoch)
	if follower && r.is == replica.Follower && err == ErrNotLeader {
		return nil
	}
	return err
}

// Under says whether a partition that this replica leads has fewer replicas in sync than it is to have, and fewer than acks=all needs.
func (p *Partition) Under() (replicated, minISR bool) {
	r := p.role.Load()
	if r.of == nil || r.is != replica.Leader {
		return false, false
	}
	return len(r.of.ISR) < r.of.Factor(), replica.CheckInSync(r.of, p.settings.Load().MinISR) != nil
}

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
	err := p.checkAppendLocked(epoch, allReplicas)
	if err != nil {
		p.Refused()
	} else if !p.inTurn(b) {
		err = ErrNotItsTurn
	}
	if err != nil {
		p.roleMu.RUnlock()
		return commitlog.AppendInfo{}, err
	}
	led := p.role.Load().epoch
	info, err := p.Log().Append(b, led)
	p.roleMu.RUnlock()
	info.Epoch = led
	if errors.Is(err, commitlog.ErrReadOnly) {
		p.Refused() // until there is space
	}
	if err != nil || info.Duplicate {
		return info, err
	}
	p.traffic.RecordsIn.Add(info.Last - info.First + 1)
	p.traffic.BytesIn.Add(int64(len(b)))
	p.advance()
	return info, nil
}

// turnTime is for how long after a refusal an unknown producer must begin at its beginning: somewhat longer than clients wait for an answer (Kafka's request.timeout.ms,
// 30 s), of a broker that is frozen for example, before they send a batch again.
const turnTime = 35 * time.Second

// Refused notes that a batch was refused which its producer sends again.
func (p *Partition) Refused() { p.refused.Store(new(p.now())) }

// inTurn says whether a batch may be appended of a producer of whom nothing is known here. Of one who is known the sequence tells; but the first batches of another may be on their
// way to several leaders, or one of them was refused and the next one came when there was nothing to refuse it for. Appended as it comes that would never let in the one that it was
// to follow. Of producers who were forgotten, or whose batches were, some wait here for nothing; so it is for a time only.
func (p *Partition) inTurn(b record.Batch) bool {
	if !b.HasProducerID() || b.BaseSequence() <= 0 {
		return true
	}
	last := p.refused.Load()
	return last == nil || len(p.role.Load().of.Replicas) == 1 || p.now().Sub(*last) > turnTime || p.Log().KnowsProducer(b.ProducerID())
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
	if err := p.checkLeaderLocked(epoch); err != nil || !allReplicas {
		return err
	}
	return replica.CheckInSync(p.role.Load().of, p.settings.Load().MinISR)
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
// start (KIP-107). It is done with once LowWatermark gets there, which on a single replica it has.
func (p *Partition) DeleteRecords(offset int64) (logStart int64, err error) {
	p.enter()
	defer p.roleMu.RUnlock()
	if err := p.checkLeaderLocked(NoEpoch); err != nil {
		return 0, err
	}
	if !p.Settings().DeleteAllowed {
		return 0, ErrPolicy
	}
	p.mu.Lock()
	offset, err = p.mu.machine.DeleteRecords(offset)
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if err := p.Log().AdvanceLogStart(offset); err != nil {
		return 0, err
	}
	p.advance()
	return p.Log().LogStart(), nil
}

// LowWatermark is the smallest log start of the replicas whose brokers are alive.
func (p *Partition) LowWatermark() (int64, error) {
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	if err := p.checkLeaderLocked(NoEpoch); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.machine.LowWatermark()
}

// Close ends the replica's service: everyone who waits is answered with err, and later requests too. The log stays open; it
// belongs to whoever opened it.
func (p *Partition) Close(err error) {
	p.change(func(r *role) { r.deleted, r.is = true, replica.Offline })
	p.fail(err)
	p.host.changed(p)
}

// Leave is Close for a replica whose partition went to other brokers: the clients look for those.
func (p *Partition) Leave() {
	p.change(func(r *role) { r.deleted, r.left, r.is = true, true, replica.Offline })
	p.fail(ErrNotLeader)
	p.host.changed(p)
}

// Fail says that nothing more of the log will become durable: producers that wait are answered with err, and so are those to come.
// Reads go on.
func (p *Partition) Fail(err error) {
	p.change(func(r *role) { r.failed = err })
	p.fail(err)
}

// change replaces the role by what f makes of a copy.
func (p *Partition) change(f func(*role)) {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.roleMu.Lock()
	defer p.roleMu.Unlock()
	r := *p.role.Load()
	f(&r)
	p.role.Store(&r)
}
