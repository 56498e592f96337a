package commitlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

var testID = ID{Topic: "orders", TopicID: uuid.UUID{1, 2, 3}, Partition: 3}

const testDir = "/data"

// fewer is n, or a part of it with the race detector, which looks for something else than these tests and takes ten times as long.
func fewer(n int) int {
	if racing {
		return max(n/4, 1)
	}
	return n
}

// next is the point behind one, in a test that goes through all of them: the disk's changes, its operations, the bytes of a file. With the race detector it goes
// through some.
func next(at int64) int64 {
	if racing {
		return at + 7
	}
	return at + 1
}

// through logs at how many points a test tried what it is for, and fails where there was none: then it showed nothing.
func through(t *testing.T, points int64) {
	t.Helper()
	if t.Logf("%d points", points); points == 0 {
		t.Error("the test came to none of the points that it is for")
	}
}

// batchSpec describes a batch for a test; the zero value of a field is the ordinary one.
type batchSpec struct {
	n          int // records; 0 means 1
	ts         int64
	pid        int64 // producer id plus one, so that zero means none
	epoch      int16
	seq        int32
	size       int // bytes of each value
	codec      record.Codec
	logAppend  bool
	txn        bool
	control    bool
	commit     bool
	coordEpoch int32
	fill       byte
}

func (s batchSpec) build() record.Batch {
	b := record.NewBuilder(record.Compression{Codec: s.codec})
	if s.logAppend {
		b.TimestampType = record.LogAppendTime
	}
	if s.pid > 0 {
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = s.pid-1, s.epoch, s.seq
	}
	b.Transactional, b.Control = s.txn || s.control, s.control
	for i := range max(s.n, 1) {
		r := record.Record{Timestamp: s.ts + int64(i), Value: bytes.Repeat([]byte{'a' + s.fill%26}, s.size)}
		if s.ts < 0 {
			r.Timestamp = record.NoTimestamp
		}
		if s.control {
			b.BaseSequence = record.NoSequence
			r.Key, r.Value = []byte{0, 0, 0, 0}, binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(s.coordEpoch))
			if s.commit {
				r.Key[3] = 1
			}
		}
		b.Append(r)
	}
	return b.Build()
}

// manualClock is a clock that stands still.
type manualClock struct {
	clock.Clock
	mu  sync.Mutex
	now time.Time
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// testCommitter counts the calls of Dirty.
type testCommitter struct {
	mu    sync.Mutex
	dirty []*Log
}

func (c *testCommitter) Dirty(l *Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = append(c.dirty, l)
}

// world is a log directory for tests.
type world struct {
	fs        vfs.FS
	clock     *manualClock
	committer *testCommitter
	env       *Env
	point     int64 // what the recovery point checkpoint says
	failures  []error

	onTruncated func(l *Log)
}

func newWorld(t testing.TB, fsys vfs.FS) *world {
	t.Helper()
	w := &world{fs: fsys, clock: &manualClock{now: time.UnixMilli(1_700_000_000_000)}, committer: &testCommitter{}}
	if err := vfs.MkdirAllSynced(fsys, testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	env, err := NewEnv(EnvOptions{FS: fsys, Clock: w.clock, Random: random.Seeded(1), Dir: testDir, Files: NewFileCache(0, 0),
		Committer: w.committer,
		OnFailure: func(err error) { w.failures = append(w.failures, err) },
		OnTruncated: func(l *Log) error {
			w.point = min(w.point, l.RecoveryPoint())
			if w.onTruncated != nil {
				w.onTruncated(l)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.env = env
	return w
}

func (w *world) open(t testing.TB, cfg Config, r Recovery) *Log {
	t.Helper()
	l, err := New(testID, Options{Env: w.env, Config: &cfg, Recovery: r})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// readAll returns the batches from offset to the end.
func readAll(t testing.TB, l *Log, offset int64) []record.Batch {
	t.Helper()
	var out []record.Batch
	for offset < l.LogEnd() {
		s, err := l.Read(offset, 1<<20, l.LogEnd(), true)
		if err != nil {
			t.Fatalf("read at %d: %v", offset, err)
		}
		b, err := s.Span.AppendTo(nil)
		s.Release()
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 {
			break
		}
		for len(b) > 0 {
			next, rest, err := record.Next(b)
			if err != nil {
				t.Fatalf("read at %d: %v", offset, err)
			}
			if err := next.CheckCRC(); err != nil {
				t.Fatalf("read at %d: %v", offset, err)
			}
			out = append(out, next)
			offset, b = next.NextOffset(), rest
		}
	}
	return out
}

func offsets(batches []record.Batch) string {
	var b bytes.Buffer
	for _, x := range batches {
		fmt.Fprintf(&b, "%d-%d@%d ", x.BaseOffset(), x.LastOffset(), x.LeaderEpoch())
	}
	return b.String()
}
