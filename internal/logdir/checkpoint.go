package logdir

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/vfs"
)

// Names of the checkpoint files, Kafka's.
const (
	recoveryPointFile = "recovery-point-offset-checkpoint"
	highWatermarkFile = "replication-offset-checkpoint"
	logStartFile      = "log-start-offset-checkpoint"
	cleanerFile       = "cleaner-offset-checkpoint"
)

// Names of two of our own, of the same format: which logs have less than they had, and up to where that was. They are empty once the controller knows.
const (
	lostFile  = "lost-offset-checkpoint"
	shortFile = "short-offset-checkpoint"
)

// maxOffset is far above what any log comes to, and far below where adding to an offset ends.
const maxOffset = 1 << 62

// Offset is one line of a checkpoint file.
type Offset struct {
	Topic     string
	Partition int32
	Offset    int64
}

type partitionKey struct {
	topic     string
	partition int32
}

// encodeCheckpoint returns a checkpoint file.
//
// # File format: *-offset-checkpoint, Kafka's, version 0
//
// Text. Line 1: the version, 0. Line 2: the number of entries. Then a line for each: topic, partition, offset, between single
// blanks. A file that breaks a rule counts as missing: recovery then scans more, and that is all. An offset that no log comes to breaks one,
// too: a log that began there could take nothing more.
func encodeCheckpoint(offsets []Offset) []byte {
	b := fmt.Appendf(make([]byte, 0, 16+40*len(offsets)), "0\n%d\n", len(offsets))
	for _, o := range offsets {
		b = append(b, o.Topic...)
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(o.Partition), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, o.Offset, 10)
		b = append(b, '\n')
	}
	return b
}

func decodeCheckpoint(b []byte) (map[partitionKey]int64, error) {
	version, text, _ := strings.Cut(strings.TrimSuffix(string(b), "\n"), "\n")
	if version != "0" {
		return nil, fmt.Errorf("version is %q, want 0", version)
	}
	said, text, more := strings.Cut(text, "\n")
	entries := 0
	if more {
		entries = strings.Count(text, "\n") + 1
	}
	if n, err := strconv.Atoi(said); err != nil || n != entries {
		return nil, fmt.Errorf("%q entries are said, %d are there", said, entries)
	}
	out := make(map[partitionKey]int64, entries)
	for i := range entries {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		topic, numbers, _ := strings.Cut(line, " ")
		number, offset, _ := strings.Cut(numbers, " ")
		partition, err := strconv.ParseInt(number, 10, 32)
		if err != nil || partition < 0 {
			return nil, fmt.Errorf("line %d is %q", i+3, line)
		}
		at, err := strconv.ParseInt(offset, 10, 64)
		if err != nil || at < 0 || at > maxOffset {
			return nil, fmt.Errorf("line %d is %q", i+3, line)
		}
		out[partitionKey{topic, int32(partition)}] = at
	}
	return out, nil
}

// checkpoints are the files' contents as read at start and as last written.
type checkpoints struct {
	recovery, logStart, highWatermark, cleaner map[partitionKey]int64 // as found, of the partitions of which no log is known yet; nil after Open

	// lost and short are the logs of which this start, or one before it that could not tell, found less than there had been: those of Report.Lost, and others. The recovery
	// points that a start writes do not say so any more. Under Dir.mu after Open.
	lost, short map[partitionKey]int64
	told        bool // see Told; under Dir.mu

	writing sync.Mutex // one writer at a time
	written map[string][]byte
	prints  map[string]fingerprint // of what was written last
	scratch []Offset
	states  []*state     // of checkpointed
	bytes   atomic.Int64 // synced in segment files since the recovery points were last written
	// gone counts the logs that have gone, and fresh is how many of them the files are known not to name any more. The files know no topic ids,
	// so another log of such a name must not begin before they are written again.
	gone, fresh atomic.Int64
}

// stale says that the files may name a partition whose log is gone.
func (c *checkpoints) stale() bool { return c.fresh.Load() != c.gone.Load() }

func (d *Dir) readCheckpoints() error {
	c := &d.checkpoints
	c.written, c.prints = map[string][]byte{}, map[string]fingerprint{}
	for name, into := range map[string]*map[partitionKey]int64{
		recoveryPointFile: &c.recovery, logStartFile: &c.logStart, highWatermarkFile: &c.highWatermark, cleanerFile: &c.cleaner,
		lostFile: &c.lost, shortFile: &c.short,
	} {
		*into = map[partitionKey]int64{}
		path := filepath.Join(d.opts.Path, name)
		b, err := vfs.ReadFile(d.opts.FS, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		offsets, err := decodeCheckpoint(b)
		if err != nil {
			d.opts.Warn(fmt.Errorf("pass over %s: %w", path, err))
			continue
		}
		*into, c.written[name] = offsets, b
	}
	return nil
}

// take gives a log that was found what the files say of it.
func (c *checkpoints) take(st *state) {
	key := st.key()
	taken := func(m map[partitionKey]int64) int64 {
		offset, ok := m[key]
		if ok {
			delete(m, key)
		}
		return offset
	}
	st.found.Point, st.found.LogStart, st.found.Cleaned = taken(c.recovery), taken(c.logStart), taken(c.cleaner)
	st.highWatermark = taken(c.highWatermark)
}

// HighWatermark returns the high watermark in the checkpoint that Open found, 0 where there is none.
func (d *Dir) HighWatermark(topic string, partition int32) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if st := d.mu.logs[partitionKey{topic, partition}]; st != nil {
		return st.highWatermark
	}
	return 0
}

// SetHighWatermarks gives the source from which the high watermarks are checkpointed.
func (d *Dir) SetHighWatermarks(source iter.Seq[Offset]) { d.highWatermarks.Store(&source) }

// Checkpoint writes the checkpoint files that have changed.
func (d *Dir) Checkpoint() error {
	if err := d.env.Err(); err != nil {
		return err
	}
	if err := d.checkpointRecovery(); err != nil {
		return err
	}
	d.checkpoints.writing.Lock()
	defer d.checkpoints.writing.Unlock()
	if err := d.checkpointCleanedHeld(); err != nil {
		return err
	}
	if err := d.noteRests(); err != nil && !lacks(err) {
		return err
	}
	source := d.highWatermarks.Load()
	if source == nil {
		return nil
	}
	d.checkpoints.scratch = slices.AppendSeq(d.checkpoints.scratch[:0], *source)
	return d.replaceCheckpoint(highWatermarkFile, d.checkpoints.scratch)
}

// forget drops what the checkpoints say of a partition whose log is gone.
func (d *Dir) forget(key partitionKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.checkpoints.lost, key)
	delete(d.checkpoints.short, key)
	d.checkpoints.gone.Add(1)
}

// refresh writes the checkpoints if they may name a log that is gone. Until they are written nobody may take them for fresh, and a log that goes
// meanwhile may be in them still.
func (d *Dir) refresh() error {
	gone := d.checkpoints.gone.Load()
	if d.checkpoints.fresh.Load() == gone {
		return nil
	}
	if err := d.Checkpoint(); err != nil {
		return err
	}
	d.checkpoints.fresh.Store(gone)
	return nil
}

// checkpointRecovery writes the recovery points: what is below them is never scanned again. The log starts come first: a log that begins anew above 0
// has nothing between 0 and its recovery point, which would be taken for a loss. Before both comes what the recovery points that there are tell of losses.
func (d *Dir) checkpointRecovery() error {
	d.checkpoints.writing.Lock()
	defer d.checkpoints.writing.Unlock()
	d.checkpoints.bytes.Store(0)
	for name, m := range map[string]map[partitionKey]int64{lostFile: d.checkpoints.lost, shortFile: d.checkpoints.short} {
		if err := d.replaceCheckpoint(name, d.offsetsOf(m)); err != nil {
			return err
		}
	}
	if err := d.checkpointStartsHeld(); err != nil {
		return err
	}
	return d.checkpointHeld(recoveryPointFile, func(st *state) int64 { return st.found.Point }, (*commitlog.Log).RecoveryPoint)
}

func (d *Dir) offsetsOf(m map[partitionKey]int64) (offsets []Offset) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, offset := range m {
		offsets = append(offsets, Offset{key.topic, key.partition, offset})
	}
	return offsets
}

// checkpointHeld writes an offset of every log: what the log says or, where it was not opened yet, what was found. checkpoints.writing is
// held.
func (d *Dir) checkpointHeld(name string, found func(*state) int64, of func(*commitlog.Log) int64) error {
	offsets := d.checkpoints.scratch[:0]
	for _, st := range d.checkpointed() {
		offset := found(st)
		if l := st.log.Load(); l != nil {
			offset = of(l)
		}
		if offset > 0 {
			offsets = append(offsets, Offset{st.id.Topic, st.id.Partition, offset})
		}
	}
	d.checkpoints.scratch = offsets
	return d.replaceCheckpoint(name, offsets)
}

// checkpointStartsHeld writes the log starts; checkpoints.writing is held.
func (d *Dir) checkpointStartsHeld() error {
	return d.checkpointHeld(logStartFile, func(st *state) int64 { return st.found.LogStart }, (*commitlog.Log).LogStart)
}

// cleaning is told before segments of a log are compacted. What a pass leans on must outlive a crash: the recovery point, and the log
// start, below which it looks at no key; and what had been through compaction, where a repair takes that back.
func (d *Dir) cleaning(l *commitlog.Log) error {
	if err := d.checkpointRecovery(); err != nil || l.Cleaned() > 0 {
		return err
	}
	return d.checkpointCleaned()
}

// checkpointCleanedHeld writes the ends of what compaction has been through; checkpoints.writing is held. One that is too low has a log
// compacted again, one that is too high would bring back what a tombstone deleted: so it never outlives a truncation.
func (d *Dir) checkpointCleanedHeld() error {
	return d.checkpointHeld(cleanerFile, func(st *state) int64 { return st.found.Cleaned }, (*commitlog.Log).Cleaned)
}

func (d *Dir) checkpointCleaned() error {
	d.checkpoints.writing.Lock()
	defer d.checkpoints.writing.Unlock()
	return d.checkpointCleanedHeld()
}

// fingerprint is that of a set of offsets, in any order.
type fingerprint struct {
	entries int
	sums    [2]uint64
}

var fingerprintSeed = maphash.MakeSeed()

func fingerprintOf(offsets []Offset) fingerprint {
	p := fingerprint{entries: len(offsets)}
	topic, h := "", uint64(0)
	for i, o := range offsets {
		if i == 0 || o.Topic != topic { // those of one topic come together
			topic, h = o.Topic, maphash.String(fingerprintSeed, o.Topic)
		}
		one := mix(mix(h^uint64(o.Partition)) + uint64(o.Offset))
		p.sums[0] += one
		p.sums[1] += mix(one ^ h)
	}
	return p
}

// mix spreads each bit over all of them (the end of splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// replaceCheckpoint writes a checkpoint file if it would differ. A hundred thousand partitions of which none has moved are neither sorted nor
// printed for that.
func (d *Dir) replaceCheckpoint(name string, offsets []Offset) error {
	print := fingerprintOf(offsets)
	if last, ok := d.checkpoints.prints[name]; ok && last == print {
		return nil
	}
	if err := d.replaceIfOther(name, offsets); err != nil {
		return err
	}
	d.checkpoints.prints[name] = print
	return nil
}

// writeSmall replaces a file of the directory itself.
func (d *Dir) writeSmall(name string, b []byte) error {
	return d.during(func() error { return vfs.WriteFileAtomic(d.opts.FS, filepath.Join(d.opts.Path, name), b) })
}

func (d *Dir) replaceIfOther(name string, offsets []Offset) error {
	slices.SortFunc(offsets, func(a, b Offset) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition) - int(b.Partition)
	})
	b := encodeCheckpoint(offsets)
	old, exists := d.checkpoints.written[name]
	if bytes.Equal(old, b) || !exists && len(offsets) == 0 {
		return nil
	}
	if err := d.writeSmall(name, b); err != nil {
		return d.judge(err)
	}
	d.checkpoints.written[name] = b
	return nil
}

// truncated is told when a log is being cut back: what stays is synced in its files, nothing is unsynced, nothing is appended meanwhile,
// and the files are not cut yet. It voids the journal's earlier entries of the log: else a crash would bring back what was cut. It lowers the
// checkpointed recovery point: else a start would trust bytes that were never synced. And it lowers the log start where that lies above the
// new end: else what is appended next would count as deleted.
func (d *Dir) truncated(l *commitlog.Log) error {
	st := d.committer.find(l)
	if st == nil {
		return nil // not open yet: recovery syncs it and writes the checkpoint itself
	}
	if err := d.committer.settle(st); err != nil {
		return fmt.Errorf("settle %s after a truncation: %w", l.ID(), err)
	}
	d.committer.settled(st)
	if err := d.checkpointCleaned(); err != nil {
		return err
	}
	return d.checkpointRecovery()
}
