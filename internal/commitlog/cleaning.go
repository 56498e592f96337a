package commitlog

import (
	"fmt"
	"slices"

	"github.com/moldau/moldau/internal/commitlog/compact"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

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
	if c.cuts != c.l.mu.cuts || !c.l.config.Load().Compact {
		return ErrDisturbed
	}
	c.l.marks.cleaned.Store(c.end)
	c.l.env.move()
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
			if err := c.pay(unpaid); err != nil {
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

// pay waits for the throttle, and ends the pass where the topic is not to be compacted any more, or is being copied: what is left of it stays.
func (c *cleaning) pay(bytes int) error {
	if err := c.opts.Throttle(bytes); err != nil {
		return err
	}
	if !c.l.config.Load().Compact || c.l.copied.Load() {
		return ErrDisturbed
	}
	return nil
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
	if _, err := c.l.room(0); err != nil {
		return err
	}
	cleaned, err := segment.CreateCleaned(c.l.env.Files, c.l.env.FS, c.l.folder(), group[0].Base())
	if err != nil {
		return c.l.judge(err)
	}
	if err = c.fill(filter, cleaned, group); err == nil {
		err = c.l.judge(cleaned.Finish(group[len(group)-1].End()))
	}
	if err != nil {
		_ = cleaned.Abandon() // where files stay the next pass removes them
		return err
	}
	after := cleaned.Size()
	if err := c.l.replace(group, []*segment.Segment{cleaned}, c.cuts, func() bool { return c.l.config.Load().Compact }); err != nil {
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

// room returns how much of the disk a pass may take beside the bytes that it is about to write. What it writes may be much less than what it
// reads, and a disk that is nearly full needs it most: so it is asked as it goes along.
func (l *Log) room(bytes int) (more int64, err error) {
	free, err := l.env.FS.Free(l.dir())
	if err != nil {
		return 0, nil // then the write finds out
	}
	if more = int64(min(free, 1<<62)) - spareBytes - int64(bytes); more < 0 {
		return 0, fmt.Errorf("%w: %d bytes are free", ErrNoRoom, free)
	}
	return more, nil
}

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
	if err := c.pay(len(c.out)); err != nil {
		return err
	}
	more, err := c.l.room(len(c.out))
	if err != nil {
		return err
	}
	limits := c.cfg.limits()
	limits.SegmentBytes = min(limits.SegmentBytes, to.Size()+int64(len(c.out))+more) // to allocate blocks ahead
	if err := to.Append(c.out, limits); err != nil {
		return c.l.judge(fmt.Errorf("write %s: %w", to.Path(), err))
	}
	c.done.BytesWritten += int64(len(c.out))
	c.out = c.out[:0]
	return nil
}

// judge decides what a failed write of a segment means that is to take the place of others. A lack of space is no reason to refuse producers: the segment goes away
// again.
func (l *Log) judge(err error) error {
	if err == nil || l.ended() { // its directory is on its way out
		return err
	}
	if vfs.NoSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return l.env.fail(err)
}

// without finds some segments that stood in view one after another; gone says that they do not any more, or are the last.
func (v *view) without(group []*segment.Segment) (at int, gone bool) {
	if v == nil {
		return 0, true
	}
	at = slices.Index(v.segments, group[0])
	return at, at < 0 || at+len(group) >= len(v.segments) || !slices.Equal(v.segments[at:at+len(group)], group)
}
