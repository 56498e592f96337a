package segment

import (
	"errors"
	"fmt"
	"io"

	"github.com/moldau/moldau/internal/record"
)

// Damage is a part of a .log file in which no batch is what was written.
type Damage struct {
	From, To    int64 // positions in the file
	First, Next int64 // its records have offsets from First on and below Next: what was found beside it ends and begins there
	Why         error // what is wrong at From
}

// DamageError is the answer to who asks for what is damaged. It is ErrCorrupt and record.ErrCorrupt.
type DamageError struct {
	Path string
	Damage
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%v: %s at %d, offset %d: no batch in %d bytes, offsets %d to %d: %v", ErrCorrupt, e.Path, e.From, e.First, e.To-e.From,
		e.First, e.Next-1, e.Why)
}

// Is makes it an ErrCorrupt and a record.ErrCorrupt.
func (e *DamageError) Is(target error) bool {
	return target == ErrCorrupt || target == record.ErrCorrupt
}

// maxSurveys bounds how often readers have all of a segment looked through. One is enough, unless the disk forgets more later.
const maxSurveys = 3

// Damages are those that are known.
func (s *Segment) Damages() []Damage {
	if d := s.damages.Load(); d != nil {
		return *d
	}
	return nil
}

// damageAt returns the known damage that pos lies in.
func (s *Segment) damageAt(pos int64) (Damage, bool) {
	d, ok := s.damageFrom(pos)
	return d, ok && d.From <= pos
}

// damageFrom returns the first known damage that ends above pos.
func (s *Segment) damageFrom(pos int64) (Damage, bool) {
	for _, d := range s.Damages() { // there are few
		if d.To > pos {
			return d, true
		}
	}
	return Damage{}, false
}

func (s *Segment) setDamagesLocked(d []Damage) {
	if len(d) == 0 {
		s.damages.Store(nil)
		return
	}
	s.damages.Store(&d)
}

// cutDamages forgets damage at and behind a position, at which the segment was cut.
func (s *Segment) cutDamagesLocked(pos int64) {
	var left []Damage
	for _, d := range s.Damages() {
		if d.To <= pos {
			left = append(left, d)
		}
	}
	s.setDamagesLocked(left)
}

func (s *Segment) damageError(d Damage) error { return &DamageError{s.Path(), d} }

// passes says, of an error about the batch at pos, which damage it lies in, so that the caller can go on behind it.
func (s *Segment) passes(err error, pos int64) (Damage, bool) {
	if !corrupt(err) {
		return Damage{}, false
	}
	if d, ok := s.damageAt(pos); ok {
		return d, true
	}
	s.survey()
	return s.damageAt(pos)
}

// isDamage says whether err is about damage that is known; then the position beside it is where that begins.
func isDamage(err error) bool {
	var d *DamageError
	return errors.As(err, &d)
}

// corrupt says whether err is about what the file holds, and not about reading it.
func corrupt(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, record.ErrCorrupt) || errors.Is(err, io.ErrUnexpectedEOF)
}

// survey has the segment looked through for a reader who met damage that is not known. Others who meet it wait for the same survey.
func (s *Segment) survey() {
	s.surveys.mu.Lock()
	defer s.surveys.mu.Unlock()
	if s.surveys.n == maxSurveys {
		return
	}
	if _, err := s.Survey(nil); errors.Is(err, errCut) {
		return // who met damage was disturbed, too
	}
	s.surveys.n++ // what cannot be read now is met again
}

// errCut says that a segment was cut while it was looked through.
var errCut = errors.New("cut meanwhile")

// Survey reads all batches of the segment, checks their CRCs and that their offsets rise, and returns where there are none. From then on readers
// pass over that. It finds again what lies behind a batch whose header does not say rightly where it ends. pace, if not
// nil, is called with the bytes that were read since the last call, and may wait; its error ends the survey. Of a segment that is cut meanwhile, and
// perhaps appended to again, nothing is found.
func (s *Segment) Survey(pace func(bytes int64) error) ([]Damage, error) {
	s.mu.RLock()
	size, end, cuts := s.mu.size, s.mu.end, s.mu.cuts
	s.mu.RUnlock()
	if size == 0 {
		return nil, nil
	}
	fresh := newSegment(s.log.cache, s.log.fs, s.dir, s.base)
	v, err := s.newSurveyor(size, end)
	if err != nil {
		return nil, err
	}
	defer v.w.close()
	v.pace = pace
	v.visit = func(h record.Batch, pos, n int64) { fresh.noteLocked(h, pos, n, rebuildInterval) }
	if err := v.run(); err != nil {
		return nil, fmt.Errorf("look through %s: %w", s.Path(), err)
	}
	if !s.surveyed(fresh, v, size, cuts) {
		return nil, fmt.Errorf("look through %s: %w", s.Path(), errCut)
	}
	return v.damages, nil
}

// surveyed takes over what a survey found, unless the segment was cut since. Where there is damage the index names good batches alone.
func (s *Segment) surveyed(fresh *Segment, v *surveyor, size int64, cuts int32) bool {
	s.mu.Lock()
	if s.mu.cuts != cuts {
		s.mu.Unlock()
		return false
	}
	own, before := s.mu.own, s.Damages()
	s.setDamagesLocked(v.damages)
	s.mu.Unlock()
	at := int64(0)
	for _, d := range v.damages {
		s.known(at, min(d.From, own))
		at = d.To
	}
	s.known(at, min(size, own))
	if len(v.damages)+len(before) > 0 {
		fresh.noteTimeLocked()
		fresh.mu.size = size // what is damaged at the end counts
		s.replaceIndex(fresh, cuts)
	}
	for _, d := range v.damages {
		s.tell(d, before)
	}
	return true
}

// known notes that the batches from one position to another are good.
func (s *Segment) known(from, to int64) {
	if from < to {
		s.checked.add(from, to)
	}
}

// tell names damage once.
func (s *Segment) tell(d Damage, before []Damage) {
	for _, b := range before {
		if b.From == d.From && b.To == d.To {
			return
		}
	}
	if tell := s.log.cache.onDamage.Load(); tell != nil {
		(*tell)(&DamageError{s.Path(), d})
	}
}

// OnDamage sets who hears of damage when it is found, of each part of a file once. It may be called by any reader and must not block.
func (c *FileCache) OnDamage(tell func(*DamageError)) { c.onDamage.Store(&tell) }

// NotTorn says, before Recover, that what lies below an offset was synced, though the recovery point may be lower.
func (s *Segment) NotTorn(below int64) { s.synced = below }

// Examine looks for damage below the recovery point, before Recover, which then passes over it. The segment ends at offset end, if that
// is above 0; Recover decides of an end that was cut off, unless uncut says that the file is as long as it was. With zeros set blocks that were
// allocated ahead may follow what was written.
func (s *Segment) Examine(fileSize, recoveryPoint, end int64, zeros, uncut bool) error {
	s.examined = true
	v, err := s.newSurveyor(fileSize, anyOffset)
	if err != nil {
		return err
	}
	defer v.w.close()
	v.ends = end
	if err := v.run(); err != nil {
		return fmt.Errorf("look through %s: %w", s.Path(), err)
	}
	var damages []Damage
	for _, d := range v.damages {
		if d.First >= recoveryPoint {
			break
		}
		if d.Next == anyOffset { // to the end of the file
			torn := errors.Is(d.Why, io.ErrUnexpectedEOF)
			exact := uncut || torn && v.endsAt(d.From, fileSize)
			if end <= d.First || torn && !exact {
				break
			}
			d.Next = end
			if zeros && !exact {
				if d.To, err = v.contentEnd(d); err != nil {
					return err
				}
			}
		}
		damages = append(damages, d)
	}
	s.mu.Lock()
	s.setDamagesLocked(damages)
	s.mu.Unlock()
	for _, d := range damages {
		s.tell(d, nil)
	}
	return nil
}
