package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/moldau/moldau/internal/commitlog/compact"
	"github.com/moldau/moldau/internal/commitlog/segment"
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

// Answers of Clean.
var (
	// ErrDisturbed: the log was truncated or lost segments meanwhile; another pass may begin at once.
	ErrDisturbed = errors.New("log was cut while it was compacted")
	// ErrNoRoom: the disk has no room for the compacted segments beside the old ones.
	ErrNoRoom = errors.New("too little space to compact")
)

// Clean compacts the log: one pass over what is not compacted yet, for its keys, and one over everything below the end of that, which
// rewrites the segments in groups and puts each group in its place. No lock is held meanwhile but for moments. One call at a
// time.
//
// What is compacted is below the recovery point, which is made durable first, and below a snapshot of the producers: no later recovery
// scans it for lost records, or reads from it what is not in it any more.
func (l *Log) Clean(opts CleanOptions) (Cleaned, error) {
	opts = opts.withDefaults()
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
	snapshots, present := slices.Clone(l.mu.snapshots), l.mu.state == present
	l.mu.Unlock()
	if have {
		return nil
	}
	v := l.view.Load()
	if !present || v == nil || v.segments[v.floor(base)].Base() != base {
		return ErrDisturbed
	}
	state, _, err := l.rebuildProducers(snapshots, v.segments[:v.floor(base)], base)
	if err != nil {
		return fmt.Errorf("compact %s: read producers: %w", l.id, err)
	}
	return l.writeSnapshot(snapshot{base, state.Encode()})
}

// cleaning is one pass.
type cleaning struct {
	l    *Log
	opts CleanOptions
	cfg  *Config
	cuts int   // truncations before it began
	to   int64 // end of what may be compacted
	end  int64 // end of what is: less where the map was full
	in   []byte
	out  []byte
	done Cleaned
}

func (c *cleaning) run() error {
	if err := c.l.clearCleaned(); err != nil {
		return err
	}
	keys, mapped, full, err := c.mapKeys()
	if err != nil {
		return fmt.Errorf("compact %s: read keys: %w", c.l.id, err)
	}
	c.end = mapped + 1
	c.done.Keys, c.done.Full = keys.Len(), full
	filter, err := c.filter(keys, mapped)
	if err != nil {
		return fmt.Errorf("compact %s: %w", c.l.id, err)
	}
	for _, group := range c.groups() {
		if err := c.group(filter, group); err != nil {
			return fmt.Errorf("compact %s: segments %d to %d: %w", c.l.id, group[0].Base(), group[len(group)-1].Base(), err)
		}
	}
	c.done.RecordsBefore, c.done.RecordsAfter, c.done.Keyless = filter.RecordsBefore, filter.RecordsAfter, filter.Keyless
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.cuts != c.l.mu.cuts {
		return ErrDisturbed
	}
	c.l.marks.cleaned.Store(c.end)
	c.l.unclean.Store(full)
	c.done.To = c.end
	return nil
}

// mapKeys reads the keys of what is not compacted yet. mapped is the last offset that is in the map.
func (c *cleaning) mapKeys() (keys *compact.Keys, mapped int64, full bool, err error) {
	random := c.l.env.Random
	keys = compact.NewKeys(c.opts.KeyBytes, c.opts.KeyLoad, compact.Seed{random.Uint64(), random.Uint64(), random.Uint64()})
	aborted, err := c.aborted(c.done.From)
	if err != nil {
		return nil, 0, false, err
	}
	m := compact.NewMap(keys, c.done.From, aborted)
	for _, s := range c.l.segments() {
		if s.End() <= c.done.From || s.Base() >= c.to {
			continue
		}
		err := c.each(s, c.done.From, func(b record.Batch) (bool, error) {
			full, err = m.Add(b)
			return !full, err
		})
		if err != nil || full {
			return keys, m.Mapped, full, err
		}
	}
	return keys, c.to - 1, false, nil // a gap may lie before the end
}

// each shows visit the batches of a segment, from the one that ends above from, until it says no.
func (c *cleaning) each(s *segment.Segment, from int64, visit func(record.Batch) (bool, error)) error {
	r, err := s.NewReader(from, c.in)
	if err != nil {
		return err
	}
	defer r.Close()
	for unpaid := 0; ; {
		b, err := r.Next()
		if err != nil {
			return err
		}
		c.done.BytesRead += int64(len(b))
		if unpaid += len(b); unpaid >= len(c.in) || b == nil {
			if err := c.opts.Throttle(unpaid); err != nil {
				return err
			}
			unpaid = 0
		}
		if b == nil {
			return nil
		}
		if more, err := visit(b); !more || err != nil {
			return err
		}
	}
}

// aborted lists the aborted transactions that overlap what lies from the offset from to the end of the pass.
func (c *cleaning) aborted(from int64) ([]compact.Aborted, error) {
	v := c.l.view.Load()
	if v == nil {
		return nil, ErrDisturbed
	}
	var all []compact.Aborted
	for i := v.floor(from); i < len(v.segments); i++ {
		found, more, err := v.segments[i].Aborted(from, c.to)
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			all = append(all, compact.Aborted(a))
		}
		if !more {
			break
		}
	}
	return all, nil
}

func (c *cleaning) filter(keys *compact.Keys, mapped int64) (*compact.Filter, error) {
	now := c.opts.Now.UnixMilli()
	f := &compact.Filter{Keys: keys, Mapped: mapped, End: c.to, Now: now, Horizon: now + c.cfg.DeleteRetention.Milliseconds(),
		Producers: map[int64]compact.Last{}, Newest: c.opts.newest}
	c.l.mu.Lock()
	c.l.mu.producers.LastBatches(func(id, offset int64, epoch int16) { f.Producers[id] = compact.Last{Offset: offset, Epoch: epoch} })
	c.l.mu.Unlock()
	aborted, err := c.aborted(0)
	f.Begin(aborted)
	return f, err
}

// maxGroup bounds how many segments are made one, since all of them are held open while they are replaced.
const maxGroup = 256

// groups are the segments below the end, in runs that fit into one segment together by size, indexes and relative offsets.
func (c *cleaning) groups() (groups [][]*segment.Segment) {
	limit := int64(c.cfg.SegmentIndexBytes)
	var sum segment.Weight
	for _, s := range c.l.segments() {
		if s.Base() >= c.end {
			break
		}
		w := s.Weight()
		k := len(groups) - 1
		next := segment.Weight{Log: sum.Log + w.Log, Index: sum.Index + w.Index, Times: sum.Times + w.Times}
		if k < 0 || next.Log > c.cfg.SegmentBytes || next.Index > limit || next.Times > limit || len(groups[k]) == maxGroup ||
			s.End()-1-groups[k][0].Base() > maxRelative {
			groups, next = append(groups, nil), w
			k++
		}
		groups[k], sum = append(groups[k], s), next
	}
	return groups
}

// group rewrites some segments into one and puts it in their place.
func (c *cleaning) group(filter *compact.Filter, group []*segment.Segment) error {
	size := int64(0)
	for _, s := range group {
		size += s.Size()
	}
	if free, err := c.l.env.FS.Free(c.l.dir()); err == nil && int64(min(free, 1<<62)) < size+spareBytes {
		return fmt.Errorf("%w: %d bytes to rewrite, %d are free", ErrNoRoom, size, free)
	}
	cleaned, err := segment.CreateCleaned(c.l.env.Files, c.l.env.FS, c.l.dir(), group[0].Base())
	if err != nil {
		return c.judge(err)
	}
	if err = c.fill(filter, cleaned, group); err == nil {
		err = c.judge(cleaned.Finish(group[len(group)-1].End()))
	}
	if err != nil {
		_ = cleaned.Abandon() // where files stay the next pass removes them
		return err
	}
	after := cleaned.Size()
	if err := c.l.replace(group, cleaned, c.cuts); err != nil {
		return err
	}
	c.done.BytesBefore += size
	c.done.BytesAfter += after
	c.done.SegmentsBefore += len(group)
	c.done.SegmentsAfter++
	return nil
}

// spareBytes is what a pass leaves free on the disk for those who cannot wait.
const spareBytes = 64 << 20

// fill writes what is left of a group.
func (c *cleaning) fill(filter *compact.Filter, to *segment.Segment, group []*segment.Segment) error {
	c.out = c.out[:0]
	for _, s := range group {
		err := c.each(s, 0, func(b record.Batch) (bool, error) {
			left, keep, err := filter.Batch(b)
			if err != nil {
				return false, fmt.Errorf("%w: batch at offset %d of %s: %w", ErrCorrupt, b.BaseOffset(), s.Path(), err)
			}
			if keep != nil {
				to.NoteAborted(segment.Aborted(*keep))
			}
			if len(left) == 0 {
				return true, nil
			}
			if len(c.out) > 0 && len(c.out)+len(left) > c.opts.Buffer {
				if err := c.flush(to); err != nil {
					return false, err
				}
			}
			c.out = append(c.out, left...)
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return c.flush(to)
}

func (c *cleaning) flush(to *segment.Segment) error {
	if len(c.out) == 0 {
		return nil
	}
	if err := c.opts.Throttle(len(c.out)); err != nil {
		return err
	}
	if err := to.Append(c.out, c.cfg.limits()); err != nil {
		return c.judge(fmt.Errorf("write %s: %w", to.Path(), err))
	}
	c.done.BytesWritten += int64(len(c.out))
	c.out = c.out[:0]
	return nil
}

// judge decides what a failed write of a cleaned segment means. A lack of space is no reason to refuse producers: the segment goes away
// again.
func (c *cleaning) judge(err error) error {
	if err == nil || c.l.ended() { // its directory is on its way out
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return c.l.env.fail(err)
}

// without finds some segments that stood in view one after another; gone says that they do not any more, or are the last.
func (v *view) without(group []*segment.Segment) (at int, gone bool) {
	if v == nil {
		return 0, true
	}
	at = slices.Index(v.segments, group[0])
	return at, at < 0 || at+len(group) >= len(v.segments) || !slices.Equal(v.segments[at:at+len(group)], group)
}
