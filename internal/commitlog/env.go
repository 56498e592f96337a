package commitlog

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/vfs"
)

// FileCache keeps files of segments open; see package segment.
type FileCache = segment.FileCache

// NewFileCache returns a cache that keeps at most maxFiles unused files open and about indexBytes of old segments' indexes in
// memory. Zero means 1000 and 32 MiB.
func NewFileCache(maxFiles int, indexBytes int64) *FileCache {
	return segment.NewFileCache(maxFiles, indexBytes)
}

// Committer makes unsynced appends durable. It is implemented by the owner of the log directory.
type Committer interface {
	// Dirty is called, outside all locks, by the first append to a durable log after New or after a capture: a call of
	// ReadUnsynced or SyncFiles. Every byte is therefore either in the last capture or announced after it. The
	// committer only notes the log; it must not call back into it from here.
	Dirty(l *Log)
}

// EnvOptions are the parts that all logs of one log directory share. FS, Clock, Random, Dir and Files are required.
type EnvOptions struct {
	FS     vfs.FS
	Clock  clock.Clock
	Random random.Source // names of deleted directories, jitter of rolls
	Dir    string        // the log directory, which exists; a partition's files are in Dir/topic-partition
	Files  *FileCache

	Committer Committer // may be nil when no log is durable

	// Background runs step once after delay and again, without delay, for as long as it says so, in an order of its own but
	// never in the caller. One step unlinks a file, cuts a piece off a large one, or syncs a few small ones. Errors end the
	// work; those that matter have been told to OnFailure. Nil: steps run at once in the caller, for tests.
	Background func(delay time.Duration, step func() (again bool, err error))

	// OnFull hears of each write that found no space, before the call returns ErrReadOnly. The owner calls
	// Env.SetReadOnly and probes for space.
	OnFull func(error)
	// OnRoomUsed hears that as much was appended as SetRoom allowed. It must not block, nor call back into a log. The owner looks how much
	// space there is, and calls SetRoom and SetLow. Nil: nobody looks.
	OnRoomUsed func()
	// OnFailure hears once that a write, sync, rename or truncation failed otherwise. The Env is offline by then.
	OnFailure func(error)
	// OnTruncated is called by TruncateTo and TruncateFullyAt when the log has lower marks already and its files are not cut yet: what
	// stays is synced in the segment files, nothing is unsynced and nothing is appended meanwhile. The owner must make
	// its recovery point checkpoint durable with RecoveryPoint(), and see that its journal brings back nothing at or above
	// LogEnd(): else a crash after the next append would trust bytes that were never synced. An error takes the Env
	// offline; but it is called once before, when the log has forgotten nothing, and a lack of space is no failure then. Nil: nothing to do.
	OnTruncated func(l *Log) error

	// OnClean is called before cleaned segments take the place of others, which lie below RecoveryPoint(). The owner must make its
	// recovery point checkpoint durable with that: what is cleaned has gaps, which a scan would take for lost records; and its log
	// start checkpoint: below LogStart() no keys are looked at. An error ends the cleaning. Nil: nothing to do.
	OnClean func(l *Log) error

	// OnWoken hears that a resting log was opened, or that a log's old files are gone, after which it may rest again; or, with an error, that its
	// files are not what they were and that nobody gets at them until the next start. It must neither block nor call back into the log. Nil: nobody hears.
	OnWoken func(l *Log, refused error)
}

// woken tells OnWoken.
func (e *Env) woken(l *Log, refused error) {
	if e.OnWoken != nil {
		e.OnWoken(l, refused)
	}
}

// Env is what the logs of one log directory share.
type Env struct {
	EnvOptions
	readOnly atomic.Bool
	low      atomic.Bool
	moved    atomic.Bool  // see Moved
	room     atomic.Int64 // bytes that may be appended until OnRoomUsed is called; below 0: it was
	beyond   atomic.Int64 // as many may be appended after that while nobody has looked
	failure  atomic.Pointer[error]
}

// NewEnv checks and completes the options.
func NewEnv(opts EnvOptions) (*Env, error) {
	if opts.FS == nil || opts.Clock == nil || opts.Random == nil || opts.Files == nil || opts.Dir == "" {
		return nil, errors.New("log directory needs FS, Clock, Random, Files and Dir")
	}
	return &Env{EnvOptions: opts}, nil
}

// SetReadOnly makes every append fail with ErrReadOnly, or takes that back.
func (e *Env) SetReadOnly(on bool) { e.readOnly.Store(on) }

// SetLow makes appends fail with ErrReadOnly that have no right to the last space, or takes that back.
func (e *Env) SetLow(on bool) { e.low.Store(on) }

// SetRoom says how much may be appended until OnRoomUsed is called, and as much again until appends fail as after SetLow: whoever looks may be held up by the disk, and
// producers that are fast would take what is kept meanwhile.
func (e *Env) SetRoom(bytes int64) {
	e.room.Store(max(bytes, 0))
	e.beyond.Store(max(bytes, 0))
}

// errLow is told to producers before the disk is full.
var errLow = fmt.Errorf("%w: the little that is left is for groups and metadata", ErrReadOnly)

// admit says whether an append to a log of that configuration may be tried.
func (e *Env) admit(cfg *Config) error {
	if err := e.Err(); err != nil {
		return err
	}
	if !cfg.Reserved && (e.low.Load() || e.room.Load() < -e.beyond.Load()) {
		return errLow
	}
	return nil
}

// ahead is how much an append may allocate beyond its own bytes, as segment.Limits has it. Space that is allocated is not free for others, so
// that a few segments could take what is kept for groups and metadata.
func (e *Env) ahead() int64 {
	if e.OnRoomUsed == nil {
		return 0
	}
	if ahead := e.room.Load() / 8; ahead > 0 {
		return ahead
	}
	return -1
}

// Moved says whether there was an append, or a mark moved that checkpoints tell of, since it was last asked.
func (e *Env) Moved() bool { return e.moved.Swap(false) }

func (e *Env) move() {
	if !e.moved.Load() { // it mostly is, and all logs share it
		e.moved.Store(true)
	}
}

// took notes an append, and calls OnRoomUsed for the one that uses the room up.
func (e *Env) took(bytes int64) {
	e.move()
	if e.OnRoomUsed == nil {
		return
	}
	if left := e.room.Add(-bytes); left < 0 && left+bytes >= 0 {
		e.OnRoomUsed()
	}
}

// SetOffline makes every change fail with ErrOffline for good. Reads go on. The first cause counts.
func (e *Env) SetOffline(cause error) { e.failure.CompareAndSwap(nil, &cause) }

// Err is nil, or wraps ErrReadOnly or ErrOffline.
func (e *Env) Err() error {
	if cause := e.failure.Load(); cause != nil {
		return fmt.Errorf("%w: %w", ErrOffline, *cause)
	}
	if e.readOnly.Load() {
		return ErrReadOnly
	}
	return nil
}

// offline is Err without the lack of space, for what must go on then: syncs, truncation, deletion.
func (e *Env) offline() error {
	if cause := e.failure.Load(); cause != nil {
		return fmt.Errorf("%w: %w", ErrOffline, *cause)
	}
	return nil
}

// fail decides what a failed change of the disk means: no space is told to OnFull and passes, a lack of descriptors too; anything
// else takes the directory offline, since nobody knows what the disk holds now. It returns err, wrapped in the answer.
func (e *Env) fail(err error) error {
	switch {
	case err == nil:
		return nil
	case vfs.NoSpace(err):
		if e.OnFull != nil {
			e.OnFull(err)
		}
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case errors.Is(err, ErrOffline), vfs.NoDescriptors(err):
		return err
	}
	return e.failSync(err)
}

// failSync is fail for a sync: even for lack of space the kernel may have dropped the pages, so there is no second try. There is one
// where no descriptor was left to open the file or directory with: then nothing was tried yet.
func (e *Env) failSync(err error) error {
	if err == nil || errors.Is(err, ErrOffline) || errors.Is(err, ErrReadOnly) || vfs.NoDescriptors(err) {
		return err
	}
	return e.failHalfway(err)
}

// failHalfway is failSync for a change of several files: whatever it failed for, what is there now is neither the old nor the new.
func (e *Env) failHalfway(err error) error {
	if errors.Is(err, ErrOffline) {
		return err // judged already
	}
	if e.failure.CompareAndSwap(nil, &err) && e.OnFailure != nil {
		e.OnFailure(err)
	}
	return fmt.Errorf("%w: %w", ErrOffline, err)
}

// background runs step as EnvOptions.Background says.
func (e *Env) background(delay time.Duration, step func() (bool, error)) {
	if e.Background != nil {
		e.Background(delay, step)
		return
	}
	for again := true; again; {
		var err error
		if again, err = step(); err != nil {
			return
		}
	}
}

// Options are the parts of one log.
type Options struct {
	Env      *Env
	Config   *Config
	OnSynced func(end int64) // called outside all locks each time SyncedEnd rises; may be nil
	Recovery Recovery
	DirName  string // of the log's directory; default that of the partition
	Rest     *Rest  // the log rests: its files are opened when they are needed; default: they are opened now
}

// Recovery says what the checkpoints of the log directory know of a log.
type Recovery struct {
	Missing  bool  // the owner listed the directory and there is no folder for this log: New touches no file
	Clean    bool  // the last stop was clean: files are complete up to their end, nothing is scanned
	Point    int64 // recovery point: files are synced below it
	Synced   int64 // the same of records alone, as the journal tells: it has what lies above
	LogStart int64 // first offset to serve
	Begins   int64 // where a log begins that has no segment: there the journal's first batch of it was appended
	Cleaned  int64 // end of what compaction has been through; 0: it never was
	Bytes    int64 // size of the last segment's file, where it is known; 0: it is not

	// Identified says that the owner has read the directory's topic id, with ReadTopicID, and that it is the log's.
	Identified bool
}

// Recovered tells what opening the log found; all zero for a log without files and after a clean stop.
type Recovered struct {
	ScannedBytes   int64 // read and checked because they lay above the recovery point
	TruncatedBytes int64 // cut off as torn
	Rebuilt        int32 // derived files (indexes, snapshot, epochs) that were missing, short or broken
	Lost           bool  // the log ends below its recovery point, or below where the journal goes on: synced records are gone, the replica is lossy (D6)
}
