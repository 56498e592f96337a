// Package logdir owns one data directory: its lock, its identity, its checkpoints, the journal, and the goroutines that make the
// logs in it durable. It opens logs, recovers them after a crash, syncs them for the acknowledgement, deletes their files in the
// background, and takes the directory offline when the disk fails. It never looks into a record batch, knows no high
// watermark of its own (a source is given to it), no replica and no topic configuration but commitlog's.
//
// # How an append becomes durable
//
// A log writes to the page cache of its segment and says Dirty. One goroutine, the committer, takes all logs that said so. Those
// with little unsynced data go into the journal as one group, with one write and one sync. Those with much are synced in
// their segment files by parallel workers; but while the disk can bear to write all twice they go into the journal, too, which is
// sooner done (see economy). While a sync runs the next group gathers, so no timer is needed. Both ways end in
// commitlog's SyncedEnd. What the journal made durable is synced in the segment files later, a journal file at a time, and
// then that file is used again. docs/decisions/0001-durability.md has the measurements.
//
// # Recovery
//
// Invariant: at any moment, for each log, these give together everything that was acknowledged:
//
//   - the segment files up to the checkpointed recovery point;
//   - then the whole batches that follow it in the segment files;
//   - then the journal's entries of that log after its last settle entry, in their order, without batches that are there.
//
// So recovery has one order for both ways: commitlog scans from the recovery point and cuts the tail to the last whole batch; then the
// entries are replayed. Where the log then ends as its last entry does, and nothing was cut, its files need not be synced before it is
// served: the journal is synced and stays, and the log is as any other with entries in it. All other logs are synced at once. Each step may be repeated after a crash in it, and no crash, however
// many there were before, finds another state than the invariant's.
//
// A log that could not be opened, or not be written to, keeps its entries until it can be, however far the journal goes on meanwhile: before a file of it
// is used again they are copied into a second one. Where space or descriptors were missing it is tried again by whoever asks for the log, else by the next start.
//
// A log that is cut back or removed is first settled in the journal: earlier entries are void. Hence replay only ever adds.
//
// Compaction changes what lies below the durable recovery point, and nothing else. So a scan never meets it, and neither does the
// replay, which passes over what lies there.
//
// # Moves between directories
//
// A log moves by a copy that takes its place with one rename; see Future. At any moment, whatever a crash leaves, one directory has the log
// with all that was acknowledged: of two folders the one that was moved more often.
//
// # Logs at rest
//
// Most logs are idle. The file logs-at-rest says of those whose files are synced where they end. Recovery point, times and sizes of the
// files show whether that is still so. Then no start opens the log, after a clean stop or not; whoever needs it first does.
// So a start looks at two names of each log, and opens those that something was written to since.
//
// A crash may lose the high watermarks, log starts and cleaner offsets since their last checkpoint, as in Kafka.
package logdir

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// Options configures a Dir. A zero field means its default; Path is required.
type Options struct {
	FS        vfs.FS
	Clock     clock.Clock
	Random    random.Source
	Path      string
	NodeID    int32  // must be the one in meta.properties, if that exists
	ClusterID string // likewise; empty: take the one that is there, or make one

	Claim *Claim               // what Take returned for this directory; default: Open takes it
	Files *commitlog.FileCache // open segment files, shared by all directories; default one of its own

	OnFailure func(error)                         // hears once that the directory is offline for good; called in a goroutine of the Dir
	OnFull    func(bool)                          // hears that the disk is full and the directory read-only, and when that is over
	OnSlow    func(slow bool, took time.Duration) // hears that syncs are slow, or do not return, and when that is over, with the longest so far
	Warn      func(error)                         // hears of what was survived: damage that recovery repaired, a file that could not be removed

	// JournalMax is the number of unsynced bytes from which a log is synced in its own files instead of the journal, unless the disk
	// has time to spare; default 128 KiB, which docs/decisions/0001-durability.md explains.
	JournalMax int64
	// JournalMost is what the journal takes of a log even then; default 4 MiB.
	JournalMost int64
	// GroupMax bounds the bytes of one journal group; default 8 MiB.
	GroupMax int
	// SyncWorkers sync segment files in parallel, and open and close logs; default 16.
	SyncWorkers int
	// CheckpointInterval and CheckpointBytes bound what a recovery scans; defaults 5 s and 256 MiB.
	CheckpointInterval time.Duration
	CheckpointBytes    int64
	// FlushBytes and FlushAge are how much, and how long, a log's files stay unsynced when nothing else asks for it:
	// logs with durability=memory, and what the journal holds. Defaults 64 MiB and 30 s.
	FlushBytes int64
	FlushAge   time.Duration
	// FreeMin is the free space from which a full directory is written again; default 16 MiB. Producers are refused while there is less than
	// twice as much, or a 16th of the file system where that is less: the rest is for groups, metadata and what makes room.
	FreeMin uint64

	// manyUnsynced is from how many logs on that are not synced a clean stop syncs the whole file system instead of their files: there are eight
	// syncs for each log otherwise. Default 64.
	manyUnsynced int

	journal   journal.Options // sizes, for tests
	finishMax int64           // what is copied at most while producers wait for the end of a move; default 128 MiB
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Clock == nil {
		o.Clock = clock.Real
	}
	if o.Random == nil {
		o.Random = random.Real
	}
	if o.Files == nil {
		o.Files = commitlog.NewFileCache(0, 0)
	}
	if o.OnFailure == nil {
		o.OnFailure = func(error) {}
	}
	if o.OnFull == nil {
		o.OnFull = func(bool) {}
	}
	if o.OnSlow == nil {
		o.OnSlow = func(bool, time.Duration) {}
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	setDefault(&o.JournalMax, 128<<10)
	setDefault(&o.JournalMost, 4<<20)
	setDefault(&o.GroupMax, 8<<20)
	setDefault(&o.SyncWorkers, 16)
	setDefault(&o.CheckpointInterval, 5*time.Second)
	setDefault(&o.CheckpointBytes, 256<<20)
	setDefault(&o.FlushBytes, 64<<20)
	setDefault(&o.FlushAge, 30*time.Second)
	setDefault(&o.FreeMin, 16<<20)
	setDefault(&o.finishMax, 128<<20)
	setDefault(&o.manyUnsynced, 64)
	return o
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Answers of Open and Log.
var (
	// ErrKafkaMetadata: the directory holds Kafka's own metadata log; nothing was touched.
	ErrKafkaMetadata = errors.New("directory holds the metadata log of an Apache Kafka node")
	// ErrNotDirectory: something else stands where the directory should.
	ErrNotDirectory = errors.New("data directory is not a directory")
	// ErrLocked: another process, or another Dir of this one, has the directory.
	ErrLocked = errors.New("directory is in use by another process")
	// ErrWrongNode: meta.properties names another node or cluster.
	ErrWrongNode = errors.New("directory belongs to another node")
	// ErrClosed: the Dir was closed.
	ErrClosed = errors.New("log directory is closed")
)

// Dir is one open data directory. Its methods are safe for concurrent use.
type Dir struct {
	stats Stats
	slow  slowness
	opts  Options
	env   *commitlog.Env
	lock  vfs.Lock
	meta  meta
	clean bool  // the last stop was
	epoch int64 // the broker epoch in the clean-shutdown file; -1

	marked   atomic.Bool // the clean-shutdown file is there
	doubtful atomic.Bool // a copy is left that is not synced: the stop is not clean
	touching sync.Mutex  // one removes it

	report      Report
	committer   *committer
	unopened    unopened
	background  *background
	checkpoints checkpoints
	rests       rests
	sweeper     *sweeper

	full  atomic.Bool // the disk is
	low   atomic.Bool // there is less space than is kept for groups and metadata
	ample atomic.Bool // there is so much that the journal may grow as it likes
	told  fullness    // what OnFull was told

	measuring chan struct{} // the room for appends is used up
	failure   struct {
		sync.Once
		err atomic.Pointer[error]
	}

	// mu guards the fields below. It is never held across a call of a log that may block, nor across a file operation.
	mu struct {
		sync.Mutex
		logs  map[partitionKey]*state
		order []*state // the same, for sweeping by parts
		// futures are the copies of logs of other directories, by directory name: those of this run, and those that it found.
		futures map[string]*Future
		closed  bool
	}
	highWatermarks atomic.Pointer[iter.Seq[Offset]]
	brokerEpoch    atomic.Int64
}

// Open opens the data directory, makes it if it is not there, and recovers its logs if the last stop was not clean. What the options claim
// belongs to it from then on, whatever comes of it.
func Open(opts Options) (_ *Dir, err error) {
	d := &Dir{opts: opts.withDefaults(), epoch: -1, measuring: make(chan struct{}, 1)}
	d.brokerEpoch.Store(-1)
	d.mu.logs = map[partitionKey]*state{}
	d.mu.futures = map[string]*Future{}
	d.rests.candidates = map[*state]struct{}{}
	claim := d.opts.Claim
	if claim == nil {
		if claim, err = Take(d.opts); err != nil {
			return nil, err
		}
	}
	d.lock = claim.lock
	defer func() {
		if err != nil {
			d.stop()
			d.lock.Close()
		}
	}()
	if err := d.openMeta(); err != nil {
		return nil, err
	}
	if err := d.readCleanShutdown(); err != nil {
		return nil, err
	}
	if err := d.readCheckpoints(); err != nil {
		return nil, err
	}
	d.background = newBackground(d)
	if err := d.newEnv(); err != nil {
		return nil, err
	}
	if err := d.discover(); err != nil {
		return nil, err
	}
	if err := d.recover(); err != nil {
		return nil, err
	}
	d.measure()
	d.committer.start()
	d.sweeper = newSweeper(d)
	return d, nil
}

func (d *Dir) newEnv() error {
	d.committer = newCommitter(d)
	env, err := commitlog.NewEnv(commitlog.EnvOptions{
		FS: d.opts.FS, Clock: d.opts.Clock, Random: d.opts.Random, Dir: d.opts.Path, Files: d.opts.Files,
		Committer:   d.committer,
		Background:  d.background.run,
		OnFull:      d.isFull,
		OnRoomUsed:  d.roomUsed,
		OnFailure:   d.fail,
		OnTruncated: d.truncated,
		OnClean:     d.cleaning,
		OnWoken:     d.woken,
	})
	if err != nil {
		return fmt.Errorf("prepare log directory %s: %w", d.opts.Path, err)
	}
	d.env = env
	return nil
}

// Path returns the directory's path.
func (d *Dir) Path() string { return d.opts.Path }

// ID returns the directory's id, made when it was first opened.
func (d *Dir) ID() uuid.UUID { return d.meta.directory }

// ClusterID returns the cluster the directory belongs to.
func (d *Dir) ClusterID() string { return d.meta.cluster }

// Clean says whether the last stop was clean, and with which broker epoch (-1 if it noted none).
func (d *Dir) Clean() (clean bool, brokerEpoch int64) { return d.clean, d.epoch }

// SetBrokerEpoch gives the epoch that Close notes in the clean-shutdown file.
func (d *Dir) SetBrokerEpoch(epoch int64) { d.brokerEpoch.Store(epoch) }

// Err is nil, or wraps commitlog.ErrReadOnly or commitlog.ErrOffline.
func (d *Dir) Err() error { return d.env.Err() }

// Space returns the bytes that may still be written to the directory's file system, and the size of that.
func (d *Dir) Space() (free, total uint64, err error) {
	if free, err = d.opts.FS.Free(d.opts.Path); err == nil {
		total, err = d.opts.FS.Total(d.opts.Path)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("look for the space of %s: %w", d.opts.Path, err)
	}
	return free, total, nil
}

// Recovery returns what Open found and did.
func (d *Dir) Recovery() Report { return d.report }
