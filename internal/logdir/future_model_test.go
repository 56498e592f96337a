package logdir

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// facts are what a log holds and knows, as far as anybody can see.
type facts struct {
	start, end int64
	cleaned    int64
	batches    []string
	epochs     []epoch.Entry
	producers  []string
}

func factsOf(l *commitlog.Log) (f facts, err error) {
	f = facts{start: l.LogStart(), end: l.LogEnd(), cleaned: l.Cleaned()}
	for _, e := range l.Epochs() {
		if e.Start < f.end { // a start forgets one that has no batch yet
			f.epochs = append(f.epochs, e)
		}
	}
	for _, p := range l.ActiveProducers() {
		f.producers = append(f.producers, fmt.Sprintf("%+v", p))
	}
	for at := f.start; at < f.end; {
		s, err := l.Read(at, 1<<20, f.end, true)
		if err != nil {
			return f, err
		}
		b, err := s.Span.AppendTo(nil)
		s.Release()
		if err != nil || len(b) == 0 {
			return f, err // a gap reaches to the end
		}
		for len(b) > 0 {
			one, rest, err := record.Next(b)
			if err == nil {
				err = one.CheckCRC()
			}
			if err != nil {
				return f, err
			}
			f.batches = append(f.batches, fmt.Sprintf("%d-%d epoch %d crc %x", one.BaseOffset(), one.LastOffset(), one.LeaderEpoch(), one.CRC()))
			at, b = one.NextOffset(), rest
		}
	}
	return f, nil
}

// like compares what was known of a log with what is, after a crash or not: the log start may be one from before.
func (f facts) like(o facts, crashed bool) error {
	if o.end != f.end || o.start > f.start || !crashed && o.start != f.start {
		return fmt.Errorf("%d to %d, want %d to %d", o.start, o.end, f.start, f.end)
	}
	from := max(len(o.batches)-len(f.batches), 0)
	if !slices.Equal(o.batches[from:], f.batches) || from > 0 && !crashed {
		return fmt.Errorf("batches\n%s\nwant\n%s", strings.Join(o.batches, "\n"), strings.Join(f.batches, "\n"))
	}
	if !slices.Equal(o.producers, f.producers) {
		return fmt.Errorf("producers\n%s\nwant\n%s", strings.Join(o.producers, "\n"), strings.Join(f.producers, "\n"))
	}
	if o.start == f.start && !slices.Equal(o.epochs, f.epochs) {
		return fmt.Errorf("epochs %v, want %v", o.epochs, f.epochs)
	}
	if !crashed && o.cleaned != f.cleaned {
		return fmt.Errorf("compacted up to %d, want %d", o.cleaned, f.cleaned)
	}
	return nil
}

// movingModel is a random life of one log that moves.
type movingModel struct {
	*house
	rng    *rand.Rand
	mem    *vfs.Mem
	opts   Options
	epoch  commitlog.LeaderEpoch
	last   map[int64]record.Batch // the newest batch of each producer
	moved  int
	passes int
	trace  []string
}

func (m *movingModel) l() *commitlog.Log { return m.logs[0] }

func (m *movingModel) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

func (m *movingModel) step() error {
	l := m.l()
	switch op := m.rng.IntN(20); {
	case op < 8:
		return m.put()
	case op == 8:
		m.note("roll")
		return l.Roll()
	case op == 9:
		_, err := l.SyncFiles()
		return err
	case op == 10:
		to := l.LogStart() + m.rng.Int64N(l.LogEnd()-l.LogStart()+1)/2
		m.note("log start %d", to)
		if err := l.AdvanceLogStart(to); err != nil {
			return err
		}
		_, err := l.DeleteOld(m.opts.Clock.Now(), l.LogEnd())
		return err
	case op == 11:
		to := l.LogEnd() - m.rng.Int64N(min(l.LogEnd()-l.LogStart(), 3)+1)
		m.note("cut to %d", to)
		m.epoch++
		return l.TruncateTo(to)
	case op == 12 || op == 13:
		return m.clean()
	case op == 14 && m.futures[0] != nil:
		m.note("drop")
		err := m.futures[0].Drop()
		delete(m.futures, 0)
		l.Copying(false)
		return err
	case op == 15:
		return m.restart()
	case m.futures[0] == nil:
		m.note("begin")
		return m.begin(0)
	case op < 18:
		n, err := m.futures[0].Copy(1 + m.rng.Int64N(3000))
		m.note("copy %d", n)
		return err
	}
	return m.finish()
}

// put appends a batch, of a producer or of nobody.
func (m *movingModel) put() error {
	l := m.l()
	b := record.NewBuilder(record.Compression{})
	id := int64(m.rng.IntN(5)) - 1
	if id >= 0 {
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, 0, 0
		for _, p := range l.ActiveProducers() {
			if p.ID == id {
				b.BaseSequence = p.LastSeq + 1
			}
		}
	}
	for range 1 + m.rng.IntN(3) {
		b.Append(record.Record{Timestamp: 1_700_000_000_000, Key: fmt.Appendf(nil, "key %d", m.rng.IntN(6)), Value: make([]byte, m.rng.IntN(400))})
	}
	one := b.Build()
	if m.rng.IntN(6) == 0 {
		m.epoch++
	}
	if id >= 0 {
		m.last[id] = slices.Clone(one)
	}
	info, err := l.Append(one, m.epoch)
	m.note("append %d to %d of %d", info.First, info.Last, id)
	return err
}

// clean compacts, which does nothing while the log is copied.
func (m *movingModel) clean() error {
	l := m.l()
	before := l.Cleaned()
	_, err := l.Clean(commitlog.CleanOptions{HighWatermark: l.LogEnd(), Now: m.opts.Clock.Now(), KeyBytes: 1 << 12})
	m.note("compact: %d to %d", before, l.Cleaned())
	if l.Cleaned() > before {
		if m.passes++; m.futures[0] != nil {
			return errors.New("compacted under the copy")
		}
	}
	if errors.Is(err, commitlog.ErrDisturbed) {
		err = nil
	}
	return err
}

// restart stops cleanly, and opens what is left. A copy may go on.
func (m *movingModel) restart() error {
	m.note("restart")
	want, err := factsOf(m.l())
	if err != nil {
		return err
	}
	copied := m.futures[0] != nil
	if err := m.close(); err != nil {
		return err
	}
	if err := m.open(m.opts); err != nil {
		return err
	}
	if _, err := m.log(0); err != nil {
		return err
	}
	got, err := factsOf(m.l())
	if err == nil {
		err = want.like(got, false)
	}
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	if copied {
		return m.begin(0)
	}
	return nil
}

// finish moves the log, compares it with what it was, sends again what its producers sent last, and looks at what a crash would leave.
func (m *movingModel) finish() error {
	f, from := m.futures[0], m.dirs[m.at[0]]
	if err := f.Ready(from); err != nil {
		return err
	}
	for range m.rng.IntN(3) {
		if err := m.put(); err != nil {
			return err
		}
	}
	want, err := factsOf(m.l())
	if err != nil {
		return err
	}
	l, err := f.Finish(from, m.config(), nil)
	if errors.Is(err, ErrBehind) {
		m.note("behind")
		return nil
	}
	if err != nil {
		return err
	}
	m.note("moved from %d to %d", want.start, want.end)
	m.moved++
	delete(m.futures, 0)
	m.at[0] = 1 - m.at[0]
	m.hand(0, l)
	got, err := factsOf(l)
	if err == nil {
		err = want.like(got, false)
	}
	if err != nil {
		return fmt.Errorf("moved: %w", err)
	}
	for stage := range 2 {
		for i, model := range vfs.AllSurvivors {
			if err := m.crashed(m.mem.Peek(model, uint64(m.moved)), want); err != nil {
				return fmt.Errorf("stage %d, %s: %w\n%s", stage, vfs.AllSurvivors[i], err, strings.Join(folders(m.mem), "\n"))
			}
		}
		if err := from.Remove(logID(0)); err != nil {
			return err
		}
	}
	for _, p := range l.ActiveProducers() {
		b := m.last[p.ID]
		if b == nil || b.LastSequence() != p.LastSeq {
			continue
		}
		if info, err := l.Append(slices.Clone(b), m.epoch); err != nil || !info.Duplicate {
			return fmt.Errorf("producer %d sends its last batch again: %+v, %v", p.ID, info, err)
		}
	}
	return nil
}

// crashed opens what a crash would have left now and compares it.
func (m *movingModel) crashed(disk *vfs.Mem, want facts) error {
	again := &house{models: m.models, at: map[int]int{0: m.at[0]}, compact: m.compact}
	opts := m.opts
	opts.FS, opts.Files = disk, commitlog.NewFileCache(16, 1<<20)
	if err := again.open(opts); err != nil {
		return err
	}
	defer again.abort()
	if err := again.locate(); err != nil {
		return err
	}
	if again.at[0] != m.at[0] {
		return fmt.Errorf("the log is in %s", rooms[again.at[0]])
	}
	l, err := again.log(0)
	if err != nil {
		return err
	}
	if l.Recovered().Lost {
		return errors.New("records count as lost")
	}
	got, err := factsOf(l)
	if err != nil {
		return err
	}
	return want.like(got, true)
}

// TestMoveModel moves a log among random appends, rolls, cuts, deletions, passes of compaction and restarts: what is moved is the same in all
// that anybody can see, also after a crash at any model of what survives.
func TestMoveModel(t *testing.T) {
	moved, passes := 0, 0
	for seed := range uint64(16) {
		mem := vfs.NewMem()
		h := newHouse()
		h.models = map[int]*model{0: newModel()}
		m := &movingModel{house: h, rng: rand.New(rand.NewPCG(seed, 7)), mem: mem, opts: options(mem), epoch: 1, last: map[int64]record.Batch{}}
		m.compact = seed%2 == 0
		must(t, m.open(m.opts))
		if _, err := m.log(0); err != nil {
			t.Fatal(err)
		}
		for range 150 {
			if err := m.step(); err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, strings.Join(m.trace[max(0, len(m.trace)-12):], "\n"))
			}
		}
		must(t, m.abort())
		moved += m.moved
		passes += m.passes
	}
	t.Logf("%d moves, %d passes of compaction", moved, passes)
	if moved < 40 || passes < 6 {
		t.Errorf("only %d moves and %d passes of compaction", moved, passes)
	}
}
