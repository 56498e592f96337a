package commitlog

import (
	"errors"
	"time"

	"github.com/moldau/moldau/internal/vfs"
)

// FileCache keeps the files of segments open: at most max that nobody uses, the least recently used closed first. One serves
// all log directories of a broker.
type FileCache struct{ max int }

// NewFileCache returns a cache that keeps at most max unused files open.
func NewFileCache(max int) *FileCache { return &FileCache{max: max} }

// Close closes all files that nobody uses.
func (c *FileCache) Close() error { return nil }

// Env is what the logs of one log directory share, made once with NewEnv.
type Env struct{ opts EnvOptions }

// NewEnv checks and completes the options.
func NewEnv(opts EnvOptions) (*Env, error) { return &Env{opts: opts}, nil }

// SetReadOnly makes every append fail with ErrReadOnly (on) or takes that back.
func (e *Env) SetReadOnly(on bool) {}

// SetOffline makes every change fail with ErrOffline for good. Reads go on.
func (e *Env) SetOffline(cause error) {}

// Err is nil, or wraps ErrReadOnly or ErrOffline.
func (e *Env) Err() error { return nil }

// Log is the log of one partition. All methods are safe for concurrent use.
type Log struct{ id ID }

// New returns the log of a partition. It touches no file for a log that has none; otherwise it opens the directory and recovers:
// it scans from the recovery point, cuts off a torn tail and rebuilds what is derived and broken.
func New(id ID, opts Options) (*Log, error) { return nil, errors.ErrUnsupported }

// ID returns the partition.
func (l *Log) ID() ID { return l.id }

// Recovered tells what New found.
func (l *Log) Recovered() Recovered { return Recovered{} }

// AppendInfo answers an append.
type AppendInfo struct {
	First, Last int64 // offsets of the batch; of the original for a duplicate
	LogStart    int64 // log start offset, for the produce response
	Timestamp   int64 // max timestamp of the batch; of the original for a duplicate
	Duplicate   bool  // the producer had sent exactly this batch before; nothing was appended
}

// Append appends one validated batch as leader of epoch: it checks the producer's state, then stamps base offset and leader
// epoch into b and writes it with one call. Control batches skip the sequence check.
func (l *Log) Append(b []byte, epoch LeaderEpoch) (AppendInfo, error) {
	return AppendInfo{}, errors.ErrUnsupported
}

// AppendReplica appends batches as a follower: offsets and epochs as they come, CRCs checked, sequences not. A batch that begins
// below the log end is ErrUnexpectedOffset, unless the log is empty. Batches before a failing one stay appended; the result
// covers them.
func (l *Log) AppendReplica(batches []byte) (AppendInfo, error) {
	return AppendInfo{}, errors.ErrUnsupported
}

// Slice is a run of whole batches in one segment. It pins the file until Release, which must be called exactly once.
type Slice struct {
	Span  vfs.Span // N is zero when there is nothing to read
	Bytes int64
}

// Release unpins the segment.
func (s Slice) Release() {}

// Read returns whole batches from the one that contains offset (it may begin below it), before the exclusive bound end, at most
// maxBytes; the first one even if it is larger when atLeastOne. Empty at offset == LogEnd() and at offset >= end. One call stays within one segment.
func (l *Log) Read(offset, maxBytes, end int64, atLeastOne bool) (Slice, error) {
	return Slice{}, errors.ErrUnsupported
}

// Marks. LogStart <= LogEnd, RecoveryPoint <= SyncedEnd <= LogEnd; each call is one atomic load.

// LogStart is the first offset served.
func (l *Log) LogStart() int64 { return 0 }

// LogEnd is the next offset to assign.
func (l *Log) LogEnd() int64 { return 0 }

// SyncedEnd is the end of what is durable, in files or in the journal.
func (l *Log) SyncedEnd() int64 { return 0 }

// RecoveryPoint is the end of what is durable in the segment files themselves.
func (l *Log) RecoveryPoint() int64 { return 0 }

// Size is the sum of the segments' sizes.
func (l *Log) Size() int64 { return 0 }

// LatestEpoch is the last leader epoch that the log knows.
func (l *Log) LatestEpoch() (LeaderEpoch, bool) { return 0, false }

// EndOffsetFor answers OffsetForLeaderEpoch: the largest known epoch <= epoch and where the next one begins; for the latest epoch the
// log end; (-1, -1) for one above it or -1; for one below all known ones itself and the first known start (KIP-279).
func (l *Log) EndOffsetFor(epoch LeaderEpoch) (LeaderEpoch, int64) { return -1, -1 }

// AssignEpoch notes that epoch begins at offset start; a leader calls it before its first append. Conflicting later entries go.
func (l *Log) AssignEpoch(epoch LeaderEpoch, start int64) error { return errors.ErrUnsupported }

// OffsetForTimestamp finds the first record whose timestamp is at least ts, below end. ok is false when there is none.
func (l *Log) OffsetForTimestamp(ts, end int64) (offset, timestamp int64, epoch LeaderEpoch, ok bool, err error) {
	return -1, -1, -1, false, errors.ErrUnsupported
}

// MaxTimestamp finds the first record with the largest timestamp; ok is false for an empty log or if it is not below end.
func (l *Log) MaxTimestamp(end int64) (offset, timestamp int64, epoch LeaderEpoch, ok bool, err error) {
	return -1, -1, -1, false, errors.ErrUnsupported
}

// LastStable is the LSO for a high watermark: the start of the first transaction that is open or whose marker is not below it.
func (l *Log) LastStable(highWatermark int64) int64 { return highWatermark }

// AbortedTxn is one aborted transaction: its producer and the offset of its first record.
type AbortedTxn struct{ ProducerID, First int64 }

// Aborted lists the aborted transactions that overlap [from, to), for read_committed fetches.
func (l *Log) Aborted(from, to int64) ([]AbortedTxn, error) { return nil, errors.ErrUnsupported }

// TruncateTo removes everything from offset on; a batch that contains it goes whole. Env.OnTruncated runs before it returns.
func (l *Log) TruncateTo(offset int64) error { return errors.ErrUnsupported }

// TruncateFullyAt removes everything and starts anew at offset.
func (l *Log) TruncateFullyAt(offset int64) error { return errors.ErrUnsupported }

// AdvanceLogStart raises the log start (DeleteRecords; a leader's log start on a follower). The segments below go with the next DeleteOld.
func (l *Log) AdvanceLogStart(offset int64) error { return errors.ErrUnsupported }

// Configure replaces the topic configuration.
func (l *Log) Configure(c *Config) {}

// DeleteOld removes segments below the log start and, where the topic says so, by size and age; never at or above highWatermark.
func (l *Log) DeleteOld(now time.Time, highWatermark int64) (deleted int, err error) {
	return 0, errors.ErrUnsupported
}

// Roll starts a new segment unless the active one is empty.
func (l *Log) Roll() error { return errors.ErrUnsupported }

// ExpireProducers forgets producer ids that were silent for longer than Env's ProducerIDExpiry.
func (l *Log) ExpireProducers(now time.Time) {}

// Close ends the log. With clean everything is synced, trimmed and a producer snapshot written, so that the next New with
// Recovery.Clean scans nothing; without, files are only closed.
func (l *Log) Close(clean bool) error { return errors.ErrUnsupported }

// Delete ends the log, renames its directory to topic-partition.<id>-delete, as Kafka does, and removes that in the background.
func (l *Log) Delete() error { return errors.ErrUnsupported }

// RemoveDir returns steps for Env.Background that remove a directory of a deleted log (…-delete), large files piece by piece. The
// owner of the log directory uses it for what it finds at start.
func RemoveDir(fs vfs.FS, path string) func() (again bool, err error) { return nil }

// For the committer:

// UnsyncedBytes are the bytes from SyncedEnd to LogEnd (one atomic load).
func (l *Log) UnsyncedBytes() int64 { return 0 }

// UnflushedBytes are the bytes from RecoveryPoint to LogEnd: what the files have not synced, durable in the journal or not (one atomic load).
func (l *Log) UnflushedBytes() int64 { return 0 }

// FlushDue says that records have been unflushed for longer than the topic's flush.ms.
func (l *Log) FlushDue(now time.Time) bool { return false }

// ReadUnsynced appends the batches from SyncedEnd to LogEnd to dst, for the journal. It is a capture: the next append calls
// Committer.Dirty again. After the journal is synced the committer calls SetSynced(end).
func (l *Log) ReadUnsynced(dst []byte) (batches []byte, from, end int64, err error) {
	return dst, 0, 0, errors.ErrUnsupported
}

// SyncFiles makes the segment files durable up to the log end it found (fdatasync of each file with unsynced bytes, the directory where
// files are new) and raises RecoveryPoint and SyncedEnd to it. It is a capture, as ReadUnsynced. It holds no lock while it syncs. An
// error has taken the Env offline.
func (l *Log) SyncFiles() (end int64, err error) { return 0, errors.ErrUnsupported }

// SetSynced tells that the journal holds everything below end. It never lowers SyncedEnd, and after a truncation in between
// it is clipped to the log end of that time.
func (l *Log) SetSynced(end int64) {}

// Replay puts batches of the journal back that the files lost. It is idempotent: a batch that is there is skipped; where the log holds another
// batch of an older leader epoch at that offset, it is cut there first. Only before the log is served.
func (l *Log) Replay(batches []byte) error { return errors.ErrUnsupported }
