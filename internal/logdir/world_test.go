package logdir

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir/journal"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

const root = "data"

// frozen is a clock that stands: nothing happens by time, so a test decides when checkpoints are written.
type frozen struct{}

func (frozen) Now() time.Time                              { return time.Unix(1_700_000_000, 0) }
func (frozen) AfterFunc(time.Duration, func()) clock.Timer { return stopped{} }
func (frozen) After(time.Duration) <-chan time.Time        { return nil }

type stopped struct{}

func (stopped) Stop() bool               { return true }
func (stopped) Reset(time.Duration) bool { return true }

// options are those of the tests: small enough that a few appends roll segments and use journal files again.
func options(fsys vfs.FS) Options {
	return Options{
		FS: fsys, Clock: frozen{}, Random: random.Seeded(1), Path: root, NodeID: 7, ClusterID: "test-cluster",
		Files: commitlog.NewFileCache(16, 1<<20), JournalMax: 6 << 10, JournalMost: 9 << 10, GroupMax: 16 << 10, SyncWorkers: 2, CheckpointBytes: 1 << 40,
		journal: journal.Options{Files: 3, FirstFile: 24 << 10, MaxFile: 32 << 10},
	}
}

func config(durable bool) *commitlog.Config {
	return &commitlog.Config{Durable: durable, SegmentBytes: 24 << 10, IndexIntervalBytes: 1024, Delete: true}
}

func logID(n int) commitlog.ID {
	return commitlog.ID{Topic: fmt.Sprintf("topic-%d", n), TopicID: uuid.UUID{byte(n + 1), byte(n >> 8), 9}, Partition: int32(n)}
}

// batch is one record batch of a record whose value says which append it was.
func batch(value string, size int) record.Batch {
	b := record.NewBuilder(record.Compression{})
	payload := make([]byte, size)
	x := uint32(len(value))
	for i := range payload {
		x = x*1664525 + 1013904223
		payload[i] = byte(x >> 24)
	}
	b.Append(record.Record{Timestamp: 1_700_000_000_000, Key: []byte(value), Value: payload})
	return b.Build()
}

// model is what a log must hold.
type model struct {
	mu    sync.Mutex
	cond  *sync.Cond
	log   *commitlog.Log
	keys  []string // by offset, appended as far as the log said so
	acked int      // so many are synced
	// cut is where a truncation that has not returned cuts, -1 if there is none; until it returns either is right.
	cut    int
	failed bool
}

func newModel() *model {
	m := &model{cut: -1}
	m.cond = sync.NewCond(&m.mu)
	return m
}

// synced takes the end from the log: the one it is told may be from before a cut that was faster than the call.
func (m *model) synced(int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut < 0 && m.log != nil {
		m.acked = max(m.acked, min(int(m.log.SyncedEnd()), len(m.keys)))
	}
	m.cond.Broadcast()
}

func (m *model) fail() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = true
	m.cond.Broadcast()
}

// world is a Dir and the models of its logs, which outlive it.
type world struct {
	d      *Dir
	models map[int]*model
	logs   map[int]*commitlog.Log
	next   int
}

func newWorld() *world {
	w := &world{models: map[int]*model{}}
	for n := range 6 {
		w.models[n] = newModel()
	}
	return w
}

func (w *world) model(n int) *model { return w.models[n] }

func (w *world) open(opts Options) error {
	w.logs = map[int]*commitlog.Log{}
	// Nobody waits for an acknowledgement that does not come, or only when there is space.
	opts.OnFailure = func(error) { w.giveUp() }
	opts.OnFull = func(full bool) {
		if full {
			w.giveUp()
		}
	}
	d, err := Open(opts)
	if err != nil {
		return err
	}
	w.d = d
	return nil
}

func (w *world) giveUp() {
	for _, m := range w.models {
		m.fail()
	}
}

// waitAgain ends what giveUp began.
func (w *world) waitAgain() {
	for _, m := range w.models {
		m.mu.Lock()
		m.failed = false
		m.mu.Unlock()
	}
}

func (w *world) log(n int, durable bool) (*commitlog.Log, error) {
	if l := w.logs[n]; l != nil {
		return l, nil
	}
	l, err := w.d.Log(logID(n), config(durable), w.model(n).synced)
	if err != nil {
		return nil, err
	}
	w.logs[n] = l
	m := w.model(n)
	m.mu.Lock()
	m.log = l
	m.mu.Unlock()
	return l, nil
}

// append appends one record to log n in the epoch, and waits until it is synced if the log is durable and wait says so.
func (w *world) append(n, size int, epoch commitlog.LeaderEpoch, durable, wait bool) error {
	l, err := w.log(n, durable)
	if err != nil {
		return err
	}
	m := w.model(n)
	w.next++
	key := fmt.Sprintf("%d/%d/%d", n, epoch, w.next)
	m.mu.Lock() // before the append: the acknowledgement may come before it returns
	at := len(m.keys)
	m.keys = append(m.keys, key)
	m.mu.Unlock()
	info, err := l.Append(batch(key, size), epoch)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		if m.acked <= at {
			m.keys = m.keys[:at]
		}
		return err
	}
	if info.First != int64(at) {
		return fmt.Errorf("append to log %d got offset %d, want %d", n, info.First, at)
	}
	for durable && wait && m.acked <= at && !m.failed {
		m.cond.Wait()
	}
	return nil
}

func (w *world) truncate(n, to int) error {
	l, err := w.log(n, true)
	if err != nil {
		return err
	}
	m := w.model(n)
	m.mu.Lock()
	m.cut = min(to, len(m.keys))
	m.acked = min(m.acked, to)
	m.mu.Unlock()
	err = l.TruncateTo(int64(to))
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.keys = m.keys[:m.cut]
		m.cut = -1
	}
	return err
}

// contents reads the keys of a log and checks that offsets follow one another.
func contents(l *commitlog.Log) ([]string, error) {
	var keys []string
	for at := l.LogStart(); at < l.LogEnd(); {
		s, err := l.Read(at, 1<<20, l.LogEnd(), true)
		if err != nil {
			return nil, err
		}
		b, err := s.Span.AppendTo(nil)
		s.Release()
		if err != nil {
			return nil, err
		}
		if len(b) == 0 {
			return nil, fmt.Errorf("nothing to read at %d of %d", at, l.LogEnd())
		}
		for len(b) > 0 {
			one, rest, err := record.Next(b)
			if err != nil {
				return nil, err
			}
			if err := one.CheckCRC(); err != nil {
				return nil, err
			}
			if one.BaseOffset() != at {
				return nil, fmt.Errorf("batch at offset %d, want %d", one.BaseOffset(), at)
			}
			for r, err := range one.Records(1 << 20) {
				if err != nil {
					return nil, err
				}
				keys = append(keys, string(r.Key))
			}
			at, b = one.NextOffset(), rest
		}
	}
	return keys, nil
}

// check opens what a stop left and compares it with the models: everything acknowledged is there, in order, once, and
// nothing that was not appended there.
func (w *world) check(opts Options) (err error) {
	var warnings []error
	var mu sync.Mutex
	opts.Warn = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		warnings = append(warnings, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w (warnings: %v)", err, warnings)
		}
	}()
	d, err := Open(opts)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer d.Abort()
	for n, m := range w.models {
		l, err := d.Log(logID(n), config(true), nil)
		if err != nil {
			return err
		}
		if err := m.compare(l); err != nil {
			return fmt.Errorf("log %d: %w", n, err)
		}
	}
	return nil
}

func (m *model) compare(l *commitlog.Log) error {
	got, err := contents(l)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(got) < m.acked {
		return fmt.Errorf("%d records, %d were acknowledged", len(got), m.acked)
	}
	if len(got) > len(m.keys) {
		return fmt.Errorf("%d records, %d were appended", len(got), len(m.keys))
	}
	for i, key := range got {
		if key != m.keys[i] {
			return fmt.Errorf("offset %d holds %s, want %s", i, key, m.keys[i])
		}
	}
	return nil
}

// same says how a log differs from its model.
func (w *world) same(n int) error {
	l, err := w.log(n, true)
	if err != nil {
		return err
	}
	return w.model(n).compare(l)
}

// through logs at how many points a test tried what it is for, and fails where there was none: then it showed nothing.
func through(t *testing.T, points int64) {
	t.Helper()
	if t.Logf("%d points", points); points == 0 {
		t.Error("the test came to none of the points that it is for")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// next is the point behind one, in a test that goes through all of them: the disk's changes, its operations, the bytes of a file. With the race detector,
// which looks for something else and takes ten times as long, it goes through some.
func next(at int64) int64 {
	if racing {
		return at + 13
	}
	return at + 1
}

// crashAt returns a disk that stops at its change number at; left is then what every model of what survives leaves of it.
func crashAt(at int64, left *[]*vfs.Mem) *vfs.Fault {
	mem := vfs.NewMem()
	var once sync.Once
	return vfs.NewFault(mem, func(op vfs.Op) error {
		if op.Change >= at {
			once.Do(func() {
				mem.Crash(vfs.KeepAll, 0) // first: others are at work, and what they do from here on never was
				for _, model := range vfs.AllSurvivors {
					*left = append(*left, mem.Peek(model, uint64(at)))
				}
			})
		}
		return nil
	})
}
