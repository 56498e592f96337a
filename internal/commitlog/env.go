package commitlog

import (
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/vfs"
)

// Committer makes unsynced appends durable. It is implemented by the owner of the log directory.
type Committer interface {
	// Dirty is called, outside all locks, by the first append to a durable log after New or after a capture: a call of
	// ReadUnsynced or SyncFiles. Every byte is therefore either in the last capture or announced after it. The
	// committer only notes the log; it must not call back into it from here.
	Dirty(l *Log)
}

// EnvOptions are the parts that all logs of one log directory share. Only FS, Clock, Random, Dir and Files are required.
type EnvOptions struct {
	FS     vfs.FS
	Clock  clock.Clock
	Random random.Source // names of deleted directories
	Dir    string        // the log directory; a partition's files are in Dir/topic-partition
	Files  *FileCache

	Committer Committer

	// Background runs step once after delay and again, without delay, for as long as it says so: one step unlinks one small
	// file or cuts a piece off a large one. An error ends the work and is logged; it is harmless. Nil: steps run at once
	// in the caller.
	Background func(delay time.Duration, step func() (again bool, err error))

	// OnFull hears of each write that found no space, before the append returns ErrReadOnly. The owner calls
	// Env.SetReadOnly and probes for space.
	OnFull func(error)
	// OnFailure hears once that a write, sync, rename or truncation failed otherwise. The Env is offline by then.
	OnFailure func(error)
	// OnTruncated is called by TruncateTo and TruncateFullyAt after a cut and before they return: the owner must make
	// its recovery point checkpoint durable with RecoveryPoint(), or a crash after the next append would trust bytes
	// that were never synced. An error makes the truncation fail. Nil: nothing to do.
	OnTruncated func(l *Log) error

	ProducerIDExpiry time.Duration // producer.id.expiration.ms; default 24 h
}

// Options are the parts of one log.
type Options struct {
	Env      *Env
	Config   *Config
	OnSynced func(end int64) // called outside all locks each time SyncedEnd rises; may be nil
	Recovery Recovery
}

// Recovery says what the checkpoints of the log directory know of a log.
type Recovery struct {
	Missing  bool  // the owner listed the directory and there is no folder for this log: New touches no file
	Clean    bool  // the last stop was clean: files are complete up to their end, nothing is scanned
	Point    int64 // recovery point: files are synced below it
	LogStart int64 // first offset to serve
}

// Recovered tells what opening the log found; all zero for a log without files and after a clean stop.
type Recovered struct {
	ScannedBytes   int64 // read and checked because they lay above the recovery point
	TruncatedBytes int64 // cut off as torn
	Rebuilt        int   // derived files (indexes, snapshot, epochs) that were missing, short or broken
	Lost           bool  // the log ends below its recovery point: synced records are gone, the replica is lossy (D6)
}
