package commitlog

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/moldau/moldau/internal/commitlog/segment"
)

// Dirt is what compaction could do for a log.
type Dirt struct {
	From, To     int64 // the offsets not compacted yet that may be
	Clean, Dirty int64 // bytes of the segments below From, and of those up to To
	Due          bool  // it is worth it, or must be
}

// Ratio is the share of bytes that are not compacted.
func (d Dirt) Ratio() float64 {
	if d.Dirty == 0 {
		return 0
	}
	return float64(d.Dirty) / float64(d.Clean+d.Dirty)
}

// Dirt tells what compaction could do now. The bounds are Kafka's: whole segments, below the active one, below the last stable offset, and
// old enough for min.compaction.lag.ms. A log with nothing new costs next to nothing.
func (l *Log) Dirt(now time.Time, highWatermark int64) (Dirt, error) {
	cfg := l.config.Load()
	if r := l.rest.Load(); r != nil && l.cleanRest(r) {
		return Dirt{}, nil
	}
	if err := l.glance(); err != nil {
		return Dirt{}, err
	}
	defer l.leave()
	v := l.view.Load()
	if !cfg.Compact || v == nil || l.copied.Load() || l.repairing.Load() {
		return Dirt{}, nil
	}
	from := max(l.marks.cleaned.Load(), l.LogStart())
	active := len(v.segments) - 1
	if v.segments[active].Base() <= from || l.env.Err() != nil {
		return Dirt{}, nil
	}
	stable := l.LastStable(highWatermark)
	d := Dirt{From: from, To: from}
	due := l.unclean.Load()
	for _, s := range v.segments[:active] {
		if s.End() <= from {
			d.Clean += s.Size()
			continue
		}
		if s.End() > stable {
			break
		}
		young, old, err := lags(s, cfg, now)
		if err != nil {
			if l.ended() {
				err = ErrClosed
			} else if errors.Is(err, fs.ErrNotExist) && l.view.Load() != v {
				err = ErrDisturbed // retention took the segment away
			}
			return Dirt{}, fmt.Errorf("look for what to compact in %s: %w", l.id, err)
		}
		if young {
			break
		}
		due = due || old
		d.Dirty += s.Size()
		d.To = s.End()
	}
	d.Due = d.Dirty > 0 && (due || d.Ratio() > cfg.MinCleanableRatio)
	return d, nil
}

// lags says whether a segment is too young to be compacted, and whether it is so old that it must be.
func lags(s *segment.Segment, cfg *Config, now time.Time) (young, old bool, err error) {
	if cfg.MinCompactionLag > 0 {
		ts, err := s.MaxTimestamp()
		if err != nil {
			return false, false, err
		}
		if ts > now.UnixMilli()-cfg.MinCompactionLag.Milliseconds() {
			return true, false, nil
		}
	}
	if cfg.MaxCompactionLag > 0 && cfg.MaxCompactionLag < math.MaxInt64 {
		ts, err := s.FirstTimestamp()
		if err != nil {
			return false, false, err
		}
		old = ts > 0 && ts < now.UnixMilli()-cfg.MaxCompactionLag.Milliseconds()
	}
	return false, old, nil
}
