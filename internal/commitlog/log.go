// Package commitlog keeps one partition's log on disk: it appends, reads, truncates, recovers and deletes record batches in
// Kafka's segment format, with the indexes, producer state and leader epochs beside them.
//
// It owns the files of one partition directory. It never validates records, re-encodes them only where
// compaction takes some out of a batch, and leaves that to package record. It knows no replicas and keeps no high
// watermark, starts no goroutine and no timer: syncing, checkpoints and background deletion are driven by the owner of
// the log directory through Env and Committer.
//
// # Files of a partition directory
//
//	<base>.log .index .timeindex .txnindex   a segment; see package segment
//	<offset>.snapshot                        state of the producers before offset; see package producer
//	leader-epoch-checkpoint                  which leader epoch begins where; see package epoch
//	partition.metadata                       the topic id, two lines: "version: 0" and "topic_id: " and the id
//	moves                                    how often the log changed its data directory; see package logdir
//	*.deleted, *.tmp                         on their way out; removed at start
//	*.cleaned, *.swap                        made by a cleaning that did not end; see finishSwaps
//
// All but the .log files and partition.metadata are derived. A snapshot is written only after the indexes and the epochs below its
// offset are durable. So recovery takes the last snapshot at or below the recovery point, believes everything derived
// below it, walks the batch headers from there, and checks CRCs from the recovery point on.
package commitlog

import (
	"math"
	"path/filepath"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/invariant"
)

// Log is the log of one partition. All methods are safe for concurrent use.
type Log struct {
	id        ID
	env       *Env
	onSynced  func(int64)
	name      atomic.Pointer[string] // of the directory, where it is not the partition's
	config    atomic.Pointer[Config] // defaults filled in
	marks     marks
	view      atomic.Pointer[view]        // the segments; nil for a log without files
	epochs    atomic.Pointer[epoch.Cache] // never changed in place; nil when empty
	cuts      atomic.Int64                // changes with every removal of segments or batches, before and after
	unstable  atomic.Bool                 // producers know of transactions that may hold the LSO back
	unclean   atomic.Bool                 // the last cleaning had no room for all keys
	copied    atomic.Bool                 // a copy of the log is being made, which compaction must not change under it
	repairing atomic.Bool                 // segments are repaired, and compaction waits
	cleans    atomic.Int32                // passes of compaction and repairs under way
	doomed    atomic.Int32                // removals of files that are not through
	repairs   atomic.Int64

	recovered Recovered
	replayed  int64 // where the last batch that Replay was given ends

	rest atomic.Pointer[Rest] // nil while the files are open, or where there are none to open
	uses atomic.Uint64        // see use

	mu struct { // held for an append's write, never for a sync
		sync.Mutex
		inner
		hold *hold // nil: nobody has it
	}
}

// inner is what Log.mu guards; see replaceLocked.
type inner struct {
	producers producer.State
	state     state
	atClean   bool // the log rests, and its files are those of a clean stop
	notified  bool // the committer was told since the last capture
	newDir    bool // the directory's own name is not durable yet
	newFiles  bool // names in it are not durable yet
	newEpochs bool // the epochs differ from their file
	derive    bool // a roll left work for derive
	undeleted bool // Delete closed the log and could not rename its directory
	names     int  // segments made since New; a sync that sees another number than at its start leaves newFiles
	cuts      int  // truncations so far; a sync that sees another number than at its start raises nothing

	synced       mark   // where SyncedEnd lies
	captures     []mark // ends of the last calls of ReadUnsynced
	sinceDerived int64
	sealed       []*segment.Segment // whose indexes are not durable yet
	pending      []snapshot         // to be written by derive
	snapshots    []int64            // offsets of the snapshot files
	learned      int64              // that of the one that Learn wrote, which no later one makes useless; 0: none
	created      time.Time          // when the active segment was made, for records without timestamps
	jitter       time.Duration      // by which the active segment rolls earlier
	dirtySince   time.Time          // when bytes became unflushed, for flush.ms
	lastGrowth   growth
	refused      error // why the files of a resting log cannot be used until the next start
	oldest       oldest
	unseen       *unseen        // nil: the last start saw all that it walked over
	past         *producer.Past // of a log that returned to rest; nil: it lies since the start, or does not rest
}

type state uint8

const (
	absent  state = iota // no file exists
	present              // there is a directory with at least one segment
	closed
)

// marks are the offsets of one log, each readable without a lock.
// Invariant: logStart <= logEnd, recovery <= synced <= logEnd. They change under Log.mu.
type marks struct {
	logStart atomic.Int64 // first offset served; falls only in truncation
	logEnd   atomic.Int64 // next offset to assign; falls only in truncation
	synced   atomic.Int64 // durable below, in files or journal
	recovery atomic.Int64 // durable below in the segment files
	cleaned  atomic.Int64 // compaction has been through below; 0: never

	size    atomic.Int64 // bytes in all segments
	written atomic.Int64 // bytes appended since New, less what was cut; where logEnd lies
	durable atomic.Int64 // the same for synced
	flushed atomic.Int64 // the same for recovery
}

func (m *marks) check() {
	start, end, synced, recovery := m.logStart.Load(), m.logEnd.Load(), m.synced.Load(), m.recovery.Load()
	invariant.Check(start <= end, "log start %d > log end %d", start, end)
	invariant.Check(recovery <= synced, "recovery point %d > synced end %d", recovery, synced)
	invariant.Check(synced <= end, "synced end %d > log end %d", synced, end)
}

// mark is an offset and the place where it lies.
type mark struct {
	offset  int64
	written int64 // marks.written at it
	segment *segment.Segment
	pos     int64
}

// growth is when DeleteOld last saw the log end move, by the monotonic clock.
type growth struct {
	end int64
	at  time.Time
}

// view is the list of segments, sorted by base offset; the last one is active. It is never changed in place.
type view struct{ segments []*segment.Segment }

func (v *view) active() *segment.Segment { return v.segments[len(v.segments)-1] }

// floor returns the position of the last segment whose base is at or below offset, or 0.
func (v *view) floor(offset int64) int {
	i := sort.Search(len(v.segments), func(i int) bool { return v.segments[i].Base() > offset })
	return max(i-1, 0)
}

// New returns the log of a partition. It touches no file for a log that has none; otherwise it opens the directory and recovers:
// it scans from the recovery point, cuts off a torn tail and rebuilds what is derived and broken. What it found above the
// recovery point is unsynced: the owner calls SyncFiles where UnflushedBytes is not zero. With Options.Rest it opens nothing; see Rest.
func New(id ID, opts Options) (*Log, error) {
	l := &Log{id: id, env: opts.Env, onSynced: opts.OnSynced}
	if opts.DirName != "" {
		l.name.Store(&opts.DirName)
	}
	cfg := opts.Config
	if cfg == nil {
		cfg = &Config{}
	}
	l.Configure(cfg)
	l.setEnds(max(opts.Recovery.LogStart, opts.Recovery.Begins, 0))
	l.marks.cleaned.Store(max(opts.Recovery.Cleaned, 0))
	if opts.Recovery.Missing {
		l.recovered.Lost = opts.Recovery.Point > max(opts.Recovery.LogStart, 0)
		return l, nil
	}
	if opts.Rest != nil {
		l.lie(opts.Rest, opts.Recovery.Clean)
		return l, nil
	}
	if err := l.open(opts.Recovery, l); err != nil {
		return nil, err
	}
	if l.marks.cleaned.Load() > l.marks.logEnd.Load() {
		l.marks.cleaned.Store(0) // as Kafka: the log lost its end, so all of it is taken for uncleaned
	}
	l.marks.check()
	return l, nil
}

// setEnds makes every mark offset, for a log without records.
func (l *Log) setEnds(offset int64) {
	l.marks.logStart.Store(offset)
	l.marks.logEnd.Store(offset)
	l.marks.synced.Store(offset)
	l.marks.recovery.Store(offset)
	l.marks.durable.Store(l.marks.written.Load())
	l.marks.flushed.Store(l.marks.written.Load())
}

// ID returns the partition.
func (l *Log) ID() ID { return l.id }

// Recovered tells what New found.
func (l *Log) Recovered() Recovered { return l.recovered }

// LogStart is the first offset served.
func (l *Log) LogStart() int64 { return l.marks.logStart.Load() }

// LogEnd is the next offset to assign.
func (l *Log) LogEnd() int64 { return l.marks.logEnd.Load() }

// SyncedEnd is the end of what is durable, in files or in the journal.
func (l *Log) SyncedEnd() int64 { return l.marks.synced.Load() }

// RecoveryPoint is the end of what is durable in the segment files themselves.
func (l *Log) RecoveryPoint() int64 { return l.marks.recovery.Load() }

// Cleaned is the end of what compaction has been through; 0 if it never was.
func (l *Log) Cleaned() int64 { return l.marks.cleaned.Load() }

// Size is the sum of the segments' sizes in bytes.
func (l *Log) Size() int64 { return l.marks.size.Load() }

// Segments is the number of segments.
func (l *Log) Segments() int {
	l.enter(inside)
	defer l.leave()
	if r := l.rest.Load(); r != nil {
		return int(r.Segments)
	}
	return len(l.segments())
}

// UnsyncedBytes are the bytes from SyncedEnd to LogEnd.
func (l *Log) UnsyncedBytes() int64 { return max(l.marks.written.Load()-l.marks.durable.Load(), 0) }

// UnflushedBytes are the bytes from RecoveryPoint to LogEnd: what the files have not synced, durable in the journal or not.
func (l *Log) UnflushedBytes() int64 { return max(l.marks.written.Load()-l.marks.flushed.Load(), 0) }

// Configure replaces the topic configuration. The log keeps c, which others may share, where nothing in it is left to a default.
func (l *Log) Configure(c *Config) {
	if full := c.withDefaults(); full != *c {
		c = &full
	}
	l.config.Store(c)
}

// Config returns the topic configuration in force, with defaults; it must not be changed.
func (l *Log) Config() *Config { return l.config.Load() }

func (l *Log) dir() string {
	if name := l.name.Load(); name != nil {
		return filepath.Join(l.env.Dir, *name)
	}
	return filepath.Join(l.env.Dir, l.id.DirName())
}

// folder is the Log as its segments see it, who follow it when its directory is renamed.
type folder Log

func (f *folder) Dir() string { return (*Log)(f).dir() }

func (l *Log) folder() segment.Dir { return (*folder)(l) }

func (l *Log) segments() []*segment.Segment {
	if v := l.view.Load(); v != nil {
		return v.segments
	}
	return nil
}

// limits are the settings that an append hands to the segment.
func (c *Config) limits() segment.Limits {
	return segment.Limits{IndexInterval: int64(c.IndexIntervalBytes), SegmentBytes: c.SegmentBytes, Preallocate: c.Preallocate}
}

// all is an offset above every other.
const all = math.MaxInt64
