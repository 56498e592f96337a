package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// RepairOptions are what a repair needs.
type RepairOptions struct {
	HighWatermark int64 // nothing from there on is asked of another replica: it may have other records
	Buffer        int   // bytes for reading, and for writing; default 256 KiB
	// Fetch returns whole batches as another replica has them, from the one on that holds offset, the next one where none does, and its high
	// watermark, below which they lie. They are used before the next call, and nothing in them is believed.
	Fetch func(offset int64) (batches []byte, highWatermark int64, err error)
	// Throttle is called with the bytes that were read or are about to be written, and waits as long as it sees fit. Its error ends the repair.
	// Nil: no limit.
	Throttle func(bytes int) error
}

func (o RepairOptions) withDefaults() RepairOptions {
	if o.Buffer <= 0 {
		o.Buffer = 256 << 10
	}
	o.Buffer = max(o.Buffer, record.HeaderSize)
	if o.Throttle == nil {
		o.Throttle = func(int) error { return nil }
	}
	return o
}

// Repaired tells what a repair did.
type Repaired struct {
	Places  []segment.Damage // that are whole again; none: there was nothing to do
	Left    error            // why others are not: ErrForeign, or ErrLost if that is so of all of them; nil: all are whole
	Fetched int64            // bytes that another replica gave
}

// Answers of Repair.
var (
	// ErrUncommitted: what is damaged is not known to be committed yet.
	ErrUncommitted = errors.New("damaged records are not known to be committed")
	// ErrLost: the other replica has it damaged, too. It is Fetch's to say.
	ErrLost = errors.New("another replica has it damaged, too")
	// ErrForeign: what the other replica gave is not what is missing here.
	ErrForeign = errors.New("another replica's batches are not those that are missing")
)

// Repair looks through the segment with that base. Where it finds damage, Fetch gives what was there, of another replica. Repair writes the segment anew, of its
// own good batches and of those, and puts it in the place of the old one as compaction does. Places that the other replica does not have either stay
// as they are. Batches are taken only where all of this is so:
//
//   - their CRCs are right, and they lie below the high watermark;
//   - their offsets fill the damaged range without a gap, and reach over none of its ends;
//   - their leader epochs are those that the log knows to have been at these offsets. An offset and an epoch name one batch in all replicas
//     that ever had it. Where the log may have read its epochs off batches while these were missing, the batch behind them has to be the same here and there.
//
// Of a compacted log no single range is exchanged: which records are still in it is decided by those of other ranges, differently in each replica. All of it
// that this replica may have compacted is taken from one other, and is compacted again here.
//
// No lock is held meanwhile but for moments. One call at a time.
func (l *Log) Repair(base int64, opts RepairOptions) (Repaired, error) {
	if err := l.env.Err(); err != nil {
		return Repaired{}, err
	}
	if err := l.use(); err != nil {
		return Repaired{}, err
	}
	defer l.leave()
	l.repairing.Store(true) // before it is looked whether a pass is under way
	defer l.repairing.Store(false)
	passes := l.cleans.Add(1)
	defer l.cleans.Add(-1)
	if passes > 1 || l.copied.Load() {
		return Repaired{}, fmt.Errorf("repair %s: %w", l.id, ErrDisturbed)
	}
	r := &repair{l: l, opts: opts.withDefaults(), cfg: l.config.Load(), next: -1}
	err := r.run(base)
	switch {
	case err == nil:
		return r.done, nil
	case l.ended():
		err = ErrClosed
	case errors.Is(err, fs.ErrNotExist):
		err = ErrDisturbed // retention took a segment away
	}
	for _, s := range r.made {
		_ = s.Abandon() // where files stay the next repair or compaction removes them
	}
	return Repaired{}, fmt.Errorf("repair %s: %w", l.id, err)
}

// Repairs counts the calls of Repair that had something to do, and did it.
func (l *Log) Repairs() int64 { return l.repairs.Load() }

// repair is one call.
type repair struct {
	l    *Log
	opts RepairOptions
	cfg  *Config
	cuts int
	out  []byte
	done Repaired

	made  []*segment.Segment // the last is written
	next  int64              // offset after the batch taken last; below 0: none was
	epoch int32              // of that batch
	found []epoch.Entry      // leader epochs that the log knows otherwise
	whole bool               // all of it comes from the other replica
	state *producer.State    // then, for what it aborted
}

func (r *repair) run(base int64) error {
	l := r.l
	l.mu.Lock()
	r.cuts = l.mu.cuts
	l.mu.Unlock()
	v, at := r.find(base)
	if at < 0 {
		return l.seeProducers() // retention, compaction or a truncation took it
	}
	s := v.segments[at]
	// A segment of its own, of which no reader knows: what is read here neither pushes out what clients read, nor is it told to them.
	files := segment.NewFileCache(1, 1)
	defer files.Close()
	own := segment.Open(files, l.env.FS, l.folder(), base, s.Size(), s.End())
	defer own.Close()
	places, err := own.Places(func(n int64) error { return r.opts.Throttle(int(n)) })
	if err != nil {
		return err
	}
	if len(places) == 0 {
		if len(s.Damages()) > 0 { // it was read wrongly, and is not any more
			if _, err := s.Survey(nil); err != nil {
				return err
			}
		}
		return l.seeProducers() // which may have failed
	}
	if r.whole = r.cfg.Compact || l.Cleaned() > 0; r.whole {
		return r.prefix(at, places)
	}
	for _, d := range places {
		if d.Next > r.opts.HighWatermark && d.Next > l.LogStart() {
			return fmt.Errorf("offsets %d to %d of %s, high watermark %d: %w", d.First, d.Next-1, s.Path(), r.opts.HighWatermark, ErrUncommitted)
		}
	}
	group, err := r.group(base, base)
	if err != nil {
		return err
	}
	return r.one(group[0], own, places)
}

// find returns the segments, and where the one with that base is; -1: nowhere.
func (r *repair) find(base int64) (*view, int) {
	v := r.l.view.Load()
	if v == nil {
		return nil, -1
	}
	return v, slices.IndexFunc(v.segments, func(s *segment.Segment) bool { return s.Base() == base })
}

// What is replaced at once is held open, with its indexes. Of a compacted log that is all of it, which may be more segments than a pass of compaction makes one.
const (
	maxMany        = 4096
	maxManyIndexes = 1 << 30
)

// group makes the segments with bases from first to last ones that may be replaced: none of them is the active one, all lie below the recovery point, which is durable.
func (r *repair) group(first, last int64) ([]*segment.Segment, error) {
	l := r.l
	if v, at := r.find(last); at >= 0 && at == len(v.segments)-1 {
		if err := l.Roll(); err != nil {
			return nil, err
		}
	}
	v, to := r.find(last)
	from := -1
	if v != nil {
		_, from = r.find(first)
	}
	if from < 0 || to < from || to == len(v.segments)-1 {
		return nil, ErrDisturbed
	}
	group := slices.Clone(v.segments[from : to+1])
	if n := len(group); n > maxGroup {
		sum := int64(0)
		for _, s := range group {
			w := s.Weight()
			sum += w.Index + w.Times
		}
		if n > maxMany || sum > maxManyIndexes {
			return nil, fmt.Errorf("%d segments at once with %d bytes of indexes, at most %d, with %d", n, sum, maxMany, maxManyIndexes)
		}
	}
	if _, err := l.derive(); err != nil {
		return nil, err
	}
	end := group[len(group)-1].End()
	if l.RecoveryPoint() < end {
		if _, err := l.SyncFiles(); err != nil {
			return nil, err
		}
	}
	if l.RecoveryPoint() < end {
		return nil, ErrDisturbed
	}
	if l.env.OnClean != nil {
		if err := l.env.OnClean(l); err != nil {
			return nil, err
		}
	}
	return group, l.clearCleaned()
}

// one writes a segment anew whose file own reads: what is good as it is, the places from another replica.
func (r *repair) one(s, own *segment.Segment, places []segment.Damage) error {
	if err := r.create(s.Base()); err != nil {
		return err
	}
	pos, filled := int64(0), []segment.Damage(nil)
	for _, d := range places {
		if err := r.keep(own, pos, d.From); err != nil {
			return err
		}
		if err := r.flush(); err != nil {
			return err
		}
		before := *r
		err := r.fill(s, d)
		switch {
		case errors.Is(err, ErrForeign), errors.Is(err, ErrLost): // a third replica may have it
			if r.done.Left == nil || errors.Is(r.done.Left, ErrLost) {
				r.done.Left = fmt.Errorf("offsets %d to %d of %s: %w", d.First, d.Next-1, s.Path(), err)
			}
			if err := r.leave(own, d, before); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("offsets %d to %d of %s: %w", d.First, d.Next-1, s.Path(), err)
		default:
			filled = append(filled, d)
		}
		pos = d.To
	}
	if len(filled) == 0 {
		return r.done.Left
	}
	if err := r.keep(own, pos, s.Size()); err != nil {
		return err
	}
	aborted, err := s.AllAborted()
	if err != nil {
		return err
	}
	for _, a := range aborted {
		r.to().NoteAborted(a)
	}
	if err := r.finish(s.End()); err != nil {
		return err
	}
	return r.replace([]*segment.Segment{s}, filled)
}

// leave takes a place as it is, instead of what was taken for it since before.
func (r *repair) leave(own *segment.Segment, d segment.Damage, before repair) error {
	if err := r.flush(); err != nil {
		return err
	}
	if _, err := r.to().Forget(d.First); err != nil {
		return err
	}
	r.next, r.epoch, r.found = before.next, before.epoch, before.found
	err := r.to().TakeDamage(own, d, make([]byte, r.opts.Buffer))
	if errors.Is(err, segment.ErrUnread) {
		return err // the segment stays, so that the place is there when the disk gives it again
	}
	return r.l.judge(err)
}

// keep copies the batches between two positions of the segment's file.
func (r *repair) keep(own *segment.Segment, from, to int64) error {
	if from >= to {
		return nil
	}
	in, err := own.NewReaderAt(from, to, make([]byte, r.opts.Buffer))
	if err != nil {
		return err
	}
	defer in.Close()
	for {
		b, err := in.Next()
		if err != nil || b == nil {
			return err
		}
		if err := r.opts.Throttle(len(b)); err != nil {
			return err
		}
		if err := r.write(b); err != nil {
			return err
		}
	}
}
