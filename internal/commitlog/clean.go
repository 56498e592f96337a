package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/moldau/moldau/internal/record"
)

// CleanOptions are what a pass of compaction needs beside the topic's configuration. A zero field means its default.
type CleanOptions struct {
	HighWatermark int64
	Now           time.Time
	KeyBytes      int64   // memory for the map of keys (log.cleaner.dedupe.buffer.size by thread); default 128 MiB
	KeyLoad       float64 // how full it may get (log.cleaner.io.buffer.load.factor); default 0.9
	Buffer        int     // bytes for reading, and for writing (log.cleaner.io.buffer.size by thread); default 256 KiB
	// Throttle is called with the bytes that were read or are about to be written, and waits as long as it sees fit. Its error
	// ends the pass, which leaves the log as it was but for the segments already replaced. Nil: no limit.
	Throttle func(bytes int) error

	newest func(offset, newest int64) bool // for tests, see compact.Filter
}

func (o CleanOptions) withDefaults() CleanOptions {
	if o.KeyBytes <= 0 {
		o.KeyBytes = 128 << 20
	}
	if o.Buffer <= 0 {
		o.Buffer = 256 << 10
	}
	o.Buffer = max(o.Buffer, record.HeaderSize)
	if o.Throttle == nil {
		o.Throttle = func(int) error { return nil }
	}
	return o
}

// Cleaned tells what a pass of compaction did.
type Cleaned struct {
	From, To                      int64 // offsets that were not compacted before and are now; equal: there was nothing to do
	Full                          bool  // the map had no room for all keys: another pass goes on at To
	Keys                          int64 // in the map
	BytesBefore, BytesAfter       int64 // of the segments that were rewritten
	RecordsBefore, RecordsAfter   int64
	SegmentsBefore, SegmentsAfter int
	Keyless                       int64 // records that went because they had no key
	BytesRead, BytesWritten       int64 // with the first reading, for the keys
}

// Answers of Clean and Repair.
var (
	// ErrDisturbed: meanwhile the log was truncated, lost segments, is copied or compacted, or its topic is not to be compacted any more; another pass may
	// begin at once.
	ErrDisturbed = errors.New("log was cut, or its policy changed, while segments were written anew")
	// ErrNoRoom: the disk has no room for the new segments beside the old ones.
	ErrNoRoom = errors.New("too little space on the disk")
)

// Clean compacts the log: one pass over what is not compacted yet, for its keys, and one over everything below the end of that, which
// rewrites the segments in groups and puts each group in its place. No lock is held meanwhile but for moments. One call at a
// time.
//
// What is compacted is below the recovery point, which is made durable first, and below a snapshot of the producers: no later recovery
// scans it for lost records, or reads from it what is not in it any more.
func (l *Log) Clean(opts CleanOptions) (Cleaned, error) {
	opts = opts.withDefaults()
	if err := l.use(); err != nil {
		return Cleaned{}, err
	}
	defer l.leave()
	l.cleans.Add(1) // before it is looked whether a copy is made
	defer l.cleans.Add(-1)
	l.mu.Lock()
	cuts := l.mu.cuts
	l.mu.Unlock()
	d, err := l.Dirt(opts.Now, opts.HighWatermark)
	if err != nil || d.From >= d.To {
		return Cleaned{From: d.From, To: d.From}, err
	}
	if d, err = l.settle(d, opts); err != nil || d.From >= d.To {
		return Cleaned{From: d.From, To: d.From}, err
	}
	c := &cleaning{l: l, opts: opts, cfg: l.config.Load(), cuts: cuts, to: d.To, in: make([]byte, opts.Buffer)}
	c.done.From, c.done.To = d.From, d.From
	if err = c.run(); err != nil && l.ended() {
		err = fmt.Errorf("compact %s: %w", l.id, ErrClosed)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = ErrDisturbed // retention took a segment away
	}
	return c.done, err
}

// settle makes durable what a pass leans on: the recovery point, a snapshot of the producers at the end of what is compacted, and the
// markers of the transactions below. For what a crash may take back was not decided, so the stable part is looked for again.
func (l *Log) settle(d Dirt, opts CleanOptions) (Dirt, error) {
	if _, err := l.derive(); err != nil {
		return Dirt{}, err
	}
	if l.UnflushedBytes() > 0 {
		if _, err := l.SyncFiles(); err != nil {
			return Dirt{}, err
		}
	}
	d, err := l.Dirt(opts.Now, min(opts.HighWatermark, l.RecoveryPoint()))
	if err != nil || d.From >= d.To {
		return d, err
	}
	if l.env.OnClean != nil {
		if err := l.env.OnClean(l); err != nil {
			return Dirt{}, fmt.Errorf("compact %s: %w", l.id, err)
		}
	}
	return d, l.snapshotAt(d.To)
}

// snapshotAt sees to it that there is a snapshot of the producers at the base of a segment.
func (l *Log) snapshotAt(base int64) error {
	defer l.hold()()
	l.mu.Lock()
	have := slices.Contains(l.mu.snapshots, base)
	snapshots, present := slices.Clone(l.mu.snapshots), l.mu.state == present && (l.mu.unseen == nil || base <= l.mu.unseen.from)
	l.mu.Unlock()
	if have {
		return nil
	}
	v := l.view.Load()
	if !present || v == nil || v.segments[v.floor(base)].Base() != base {
		return ErrDisturbed
	}
	state, err := l.rebuildProducers(snapshots, v.segments[:v.floor(base)], base)
	if err != nil {
		return fmt.Errorf("compact %s: read producers: %w", l.id, err)
	}
	return l.writeSnapshot(snapshot{base, state.Encode()})
}
