package segment

import (
	"errors"
	"fmt"
	"io"

	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// FileReport is what VerifyFile found in a .log file and its indexes.
type FileReport struct {
	Batches, Records, Bytes int64
	Damages                 []Damage
	Tail                    int64   // bytes behind the last batch that a crash may have left: part of a batch, or zeros
	Indexes                 []error // what is wrong with .index and .timeindex, which a broker makes again
}

// VerifyFile reads the .log file of a segment that nobody writes to, and compares its indexes with it. The segment ends at offset end;
// 0 means that it is the last one of its log.
func VerifyFile(cache *FileCache, fsys vfs.FS, dir string, base, size, end int64) (r FileReport, err error) {
	s := Open(cache, fsys, At(dir), base, size, end)
	defer s.Close()
	last := end == 0
	if last {
		end = anyOffset
	}
	if size == 0 {
		return r, nil
	}
	files, err := s.readIndexes(size)
	if err != nil {
		return r, err
	}
	if !files.wholeOffsets {
		r.Indexes = append(r.Indexes, fmt.Errorf("%s breaks the rules of an index behind entry %d", s.path(IndexSuffix), len(files.offsets)))
	}
	if !files.wholeTimes {
		r.Indexes = append(r.Indexes, fmt.Errorf("%s breaks the rules of an index behind entry %d", s.path(TimeSuffix), len(files.times)))
	}
	v, err := s.newSurveyor(size, end)
	if err != nil {
		return r, err
	}
	defer v.w.close()
	offsets, times := files.offsets, files.times
	v.visit = func(h record.Batch, pos, n int64) {
		r.Batches++
		r.Records += int64(h.Count())
		r.Bytes += n
		for ; len(offsets) > 0 && int64(offsets[0].Pos) <= pos; offsets = offsets[1:] {
			if e := offsets[0]; int64(e.Pos) == pos && h.LastOffset()-base != int64(e.Rel) {
				r.Indexes = append(r.Indexes, s.wrongEntry(e))
			} else if int64(e.Pos) < pos && !v.lost(int64(e.Pos)) {
				r.Indexes = append(r.Indexes, s.wrongEntry(e))
			}
		}
		for ; len(times) > 0 && base+int64(times[0].Rel) <= h.LastOffset(); times = times[1:] {
			if e := times[0]; base+int64(e.Rel) == h.LastOffset() && h.MaxTimestamp() != e.Timestamp {
				r.Indexes = append(r.Indexes, fmt.Errorf("%w: %s: no batch has timestamp %d at offset %d", ErrCorrupt, s.path(TimeSuffix), e.Timestamp, h.LastOffset()))
			}
		}
	}
	if err := v.run(); err != nil {
		return r, fmt.Errorf("read %s: %w", s.Path(), err)
	}
	r.Damages = v.damages
	if k := len(r.Damages) - 1; k >= 0 && last && r.Damages[k].Next == anyOffset {
		d := &r.Damages[k]
		content, err := v.contentEnd(*d)
		if err != nil {
			return r, err
		}
		if d.Next = d.First; content == d.From || errors.Is(d.Why, io.ErrUnexpectedEOF) && !v.endsAt(d.From, size) {
			r.Tail = d.To - d.From
			r.Damages = r.Damages[:k]
		}
	}
	return r, nil
}

// lost says whether pos lies in damage that was found.
func (v *surveyor) lost(pos int64) bool {
	for _, d := range v.damages {
		if d.From <= pos && pos < d.To {
			return true
		}
	}
	return false
}
