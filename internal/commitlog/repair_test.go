package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// replicated is a log on a disk, and the same as another replica has it.
type replicated struct {
	cfg     Config
	mem     *vfs.Mem // the disk of a log that was closed
	batches []record.Batch
	other   *Log
	end     int64
}

// newReplicated writes batches of three leader epochs into several segments.
func newReplicated(t testing.TB, size int) *replicated {
	t.Helper()
	r := &replicated{cfg: Config{SegmentBytes: int64(8 * (size + 100)), IndexIntervalBytes: 300}, mem: vfs.NewMem()}
	l := newWorld(t, r.mem).open(t, r.cfg, Recovery{Missing: true})
	for i := range 24 {
		b := batchSpec{n: 1 + i%3, size: size/(1+i%3) + i, fill: byte(i), ts: int64(1000 + i), pid: 7, seq: int32(i * 10)}
		b.seq = int32(l.LogEnd())
		x := b.build()
		if _, err := l.Append(x, LeaderEpoch(1+i/9)); err != nil {
			t.Fatal(err)
		}
		r.batches = append(r.batches, bytes.Clone(x))
	}
	r.end = l.LogEnd()
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	r.other = newWorld(t, r.mem.Peek(vfs.KeepAll, 0)).open(t, r.cfg, Recovery{Clean: true, Point: r.end})
	return r
}

// from fetches from a log as from another replica.
func from(l *Log, maxBytes int64) func(int64) ([]byte, int64, error) {
	return func(offset int64) ([]byte, int64, error) {
		s, err := l.Read(offset, maxBytes, l.LogEnd(), true)
		if err != nil {
			return nil, -1, err
		}
		defer s.Release()
		b, err := s.Span.AppendTo(nil)
		return b, l.LogEnd(), err
	}
}

// damagedSegments reads everything, and returns the bases of the segments in which damage was met.
func damagedSegments(t testing.TB, l *Log) (bases []int64) {
	t.Helper()
	for _, s := range slices.Clone(l.segments()) {
		if s.Size() == 0 {
			continue
		}
		found, err := s.Survey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			bases = append(bases, s.Base())
		}
	}
	return bases
}

// filesOf is what all .log files of a log hold, one after another.
func filesOf(t testing.TB, fsys vfs.FS, l *Log) (all []byte) {
	t.Helper()
	for _, s := range l.segments() {
		b, err := vfs.ReadFile(fsys, s.Path())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b[:s.Size()]...)
	}
	return all
}

// TestRepair flips a bit in each batch, in its header and in its records, in all segments and the active one too, and in several at once. From another
// replica the log becomes, byte for byte, what it was, and stays so after a kill and after a clean stop.
func TestRepair(t *testing.T) {
	r := newReplicated(t, 40)
	want := bytes.Join(bytesOf(r.batches), nil)
	type place struct {
		batch int
		at    int64
	}
	var cases [][]place
	for i := range r.batches {
		for _, at := range []int64{2, 9, 11, 16, 19, 26, 45, 60, int64(len(r.batches[i])) - 1} {
			if at < 8 && i == len(r.batches)-1 {
				continue // nothing stands against the offset of the last batch
			}
			cases = append(cases, []place{{i, at}})
		}
	}
	cases = append(cases, []place{{1, 70}, {3, 70}, {4, 8}}, []place{{0, 70}, {23, 70}}, []place{{5, 70}, {6, 70}, {7, 70}, {15, 70}})
	cases = append(cases, []place{{0, 70}, {1, 70}, {2, 70}, {3, 70}, {4, 70}, {5, 70}, {6, 70}, {7, 70}, {8, 70}, {9, 70}, {10, 70}, {11, 70}, {12, 70}, {13, 70}, {14, 70}})
	repaired := 0
	for _, places := range cases {
		disk := r.mem.Peek(vfs.KeepAll, 0)
		w := newWorld(t, disk)
		clean := w.open(t, r.cfg, Recovery{Clean: true, Point: r.end})
		for _, p := range places {
			s := clean.segments()[clean.view.Load().floor(r.batches[p.batch].BaseOffset())]
			pos, ok, err := s.Find(r.batches[p.batch].BaseOffset())
			if !ok || err != nil {
				t.Fatal(err)
			}
			flip(t, disk, s.Path(), pos+p.at, int(p.at%8))
		}
		l, err := New(testID, Options{Env: newWorld(t, disk).env, Config: &r.cfg, Recovery: Recovery{Clean: true, Point: r.end}})
		if err != nil {
			continue // its end cannot be found; it is not served
		}
		for _, base := range damagedSegments(t, l) {
			done, err := l.Repair(base, RepairOptions{HighWatermark: r.end, Buffer: 300, Fetch: from(r.other, 250)})
			if err != nil {
				t.Fatalf("%v: repair segment %d: %v", places, base, err)
			}
			if len(done.Places) == 0 || done.Fetched == 0 {
				t.Errorf("%v: %+v", places, done)
			}
			repaired++
		}
		check := func(what string, l *Log, fsys vfs.FS) {
			t.Helper()
			if got := bytes.Join(bytesOf(readAll(t, l, 0)), nil); !bytes.Equal(got, want) {
				t.Fatalf("%v: %s, %d bytes of %d are served, or others", places, what, len(got), len(want))
			}
			if got := filesOf(t, fsys, l); !bytes.Equal(got, want) {
				t.Fatalf("%v: %s, the files have other bytes", places, what)
			}
			if got, want := fmt.Sprint(l.Epochs()), fmt.Sprint(r.other.Epochs()); got != want {
				t.Errorf("%v: %s, leader epochs %s, want %s", places, what, got, want)
			}
			if got, want := fmt.Sprint(l.ActiveProducers()), fmt.Sprint(r.other.ActiveProducers()); got != want {
				t.Errorf("%v: %s, producers %s, want %s", places, what, got, want)
			}
			noLeftovers(t, fsys, l)
		}
		check("repaired", l, disk)
		killed := disk.Peek(vfs.LoseUnsynced, 1)
		check("killed", newWorld(t, killed).open(t, r.cfg, Recovery{Point: l.RecoveryPoint()}), killed)
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		check("stopped", newWorld(t, disk).open(t, r.cfg, Recovery{Clean: true, Point: r.end}), disk)
	}
	if repaired < len(r.batches)*8 {
		t.Errorf("%d segments were repaired", repaired)
	}
}

// TestRepairBelievesNothing: what another replica gives must be what is missing, by CRC, offsets and leader epochs. Else the log stays as it is, and is
// repaired later from a better one.
func TestRepairBelievesNothing(t *testing.T) {
	r := newReplicated(t, 40)
	good := from(r.other, 1<<20)
	rebuilt := func(b record.Batch, change func(*batchSpec)) []byte {
		spec := batchSpec{n: int(b.Count()), size: 5, fill: 'x'}
		change(&spec)
		x := spec.build()
		x.SetBaseOffset(b.BaseOffset())
		x.SetLeaderEpoch(b.LeaderEpoch())
		return x
	}
	first := func(all []byte) (b record.Batch, rest []byte) {
		b, rest, err := record.Next(all)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(b), rest
	}
	lies := map[string]func(all []byte) []byte{
		"a flipped bit":    func(all []byte) []byte { all[70] ^= 4; return all },
		"a bit of the CRC": func(all []byte) []byte { all[18] ^= 1; return all },
		"a wrong length":   func(all []byte) []byte { all[11]++; return all },
		"a piece":          func(all []byte) []byte { return all[:80] },
		"nothing":          func([]byte) []byte { return nil },
		"no batch":         func([]byte) []byte { return make([]byte, 200) },
		"the next one":     func(all []byte) []byte { _, rest := first(all); return rest },
		"another offset": func(all []byte) []byte {
			record.Batch(all).SetBaseOffset(record.Batch(all).BaseOffset() + 1)
			return all
		},
		"an offset before": func(all []byte) []byte {
			record.Batch(all).SetBaseOffset(record.Batch(all).BaseOffset() - 1)
			return all
		},
		"another leader epoch": func(all []byte) []byte {
			record.Batch(all).SetLeaderEpoch(record.Batch(all).LeaderEpoch() + 1)
			return all
		},
		"an older leader epoch": func(all []byte) []byte {
			record.Batch(all).SetLeaderEpoch(record.Batch(all).LeaderEpoch() - 1)
			return all
		},
		"more records": func(all []byte) []byte {
			b, rest := first(all)
			return append(rebuilt(b, func(s *batchSpec) { s.n += 50 }), rest...)
		},
	}
	for what, lie := range lies {
		for _, damaged := range []int{0, 4, 12, 23} {
			disk := r.mem.Peek(vfs.KeepAll, 0)
			w := newWorld(t, disk)
			l := w.open(t, r.cfg, Recovery{Clean: true, Point: r.end})
			b := r.batches[damaged]
			s := l.segments()[l.view.Load().floor(b.BaseOffset())]
			pos, _, err := s.Find(b.BaseOffset())
			if err != nil {
				t.Fatal(err)
			}
			flip(t, disk, s.Path(), pos+65, 3)
			before := filesOf(t, disk, l)
			liar := func(offset int64) ([]byte, int64, error) {
				all, hw, err := good(offset)
				return lie(bytes.Clone(all)), hw, err
			}
			if _, err := l.Repair(s.Base(), RepairOptions{HighWatermark: r.end, Fetch: liar}); !errors.Is(err, ErrForeign) {
				t.Errorf("%s for batch %d: %v", what, damaged, err)
			}
			if got := filesOf(t, disk, l); !bytes.Equal(got, before) || w.env.Err() != nil {
				t.Errorf("%s for batch %d: the log was changed", what, damaged)
			}
			if _, err := l.Read(b.BaseOffset(), 1<<20, r.end, true); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s for batch %d: then a read says %v", what, damaged, err)
			}
			noLeftovers(t, disk, l)
			if done, err := l.Repair(s.Base(), RepairOptions{HighWatermark: r.end, Fetch: good}); err != nil || len(done.Places) != 1 {
				t.Errorf("%s for batch %d: then %+v, %v", what, damaged, done, err)
			}
			if got := bytes.Join(bytesOf(readAll(t, l, 0)), nil); !bytes.Equal(got, bytes.Join(bytesOf(r.batches), nil)) {
				t.Errorf("%s for batch %d: other bytes are served", what, damaged)
			}
		}
	}
}

// TestRepairWaits: what is not known to be committed is not asked for, a failure of the other replica is handed on, and a repair and compaction or a
// copy keep out of each other's way.
func TestRepairWaits(t *testing.T) {
	r := newReplicated(t, 40)
	disk := r.mem.Peek(vfs.KeepAll, 0)
	l := newWorld(t, disk).open(t, r.cfg, Recovery{Clean: true, Point: r.end})
	b := r.batches[20]
	s := l.segments()[l.view.Load().floor(b.BaseOffset())]
	pos, _, err := s.Find(b.BaseOffset())
	if err != nil {
		t.Fatal(err)
	}
	flip(t, disk, s.Path(), pos+65, 3)
	asked := 0
	fetch := func(offset int64) ([]byte, int64, error) { asked++; return from(r.other, 1)(offset) }
	if _, err := l.Repair(s.Base(), RepairOptions{HighWatermark: b.NextOffset() - 1, Fetch: fetch}); !errors.Is(err, ErrUncommitted) || asked > 0 {
		t.Errorf("above the high watermark: %v, asked %d times", err, asked)
	}
	down := errors.New("nobody is there")
	if _, err := l.Repair(s.Base(), RepairOptions{HighWatermark: r.end, Fetch: func(int64) ([]byte, int64, error) { return nil, -1, down }}); !errors.Is(err, down) {
		t.Errorf("the other is down: %v", err)
	}
	stop := errors.New("stop")
	if _, err := l.Repair(s.Base(), RepairOptions{HighWatermark: r.end, Fetch: fetch, Throttle: func(int) error { return stop }}); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
	l.Copying(true)
	if _, err := l.Repair(s.Base(), RepairOptions{HighWatermark: r.end, Fetch: fetch}); !errors.Is(err, ErrDisturbed) {
		t.Errorf("copied: %v", err)
	}
	l.Copying(false)
	cut := func(offset int64) ([]byte, int64, error) {
		if quiet := l.Copying(false); quiet {
			t.Error("a copy may begin during a repair")
		}
		return fetch(offset)
	}
	if done, err := l.Repair(s.Base(), RepairOptions{HighWatermark: b.NextOffset(), Fetch: cut}); err != nil || len(done.Places) != 1 || l.Repairs() != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err := l.Repair(s.Base(), RepairOptions{HighWatermark: r.end, Fetch: fetch}); err != nil || len(done.Places) > 0 || l.Repairs() != 1 {
		t.Errorf("once more: %+v, %v", done, err)
	}
	if done, err := l.Repair(12345, RepairOptions{}); err != nil || len(done.Places) > 0 {
		t.Errorf("of no segment: %+v, %v", done, err)
	}
	// Cut while it is repaired.
	s = l.segments()[1]
	flip(t, disk, s.Path(), 65, 3)
	fetch = func(offset int64) ([]byte, int64, error) {
		if err := l.TruncateTo(r.end - 1); err != nil {
			t.Fatal(err)
		}
		return from(r.other, 1)(offset)
	}
	if _, err := l.Repair(s.Base(), RepairOptions{HighWatermark: r.end, Fetch: fetch}); !errors.Is(err, ErrDisturbed) {
		t.Errorf("cut meanwhile: %v", err)
	}
	noLeftovers(t, disk, l)
}

// TestRepairBehindTheLogStart: what lies below the log start is not fetched, a batch that the log start lies in is.
func TestRepairBehindTheLogStart(t *testing.T) {
	r := newReplicated(t, 40)
	disk := r.mem.Peek(vfs.KeepAll, 0)
	l := newWorld(t, disk).open(t, r.cfg, Recovery{Clean: true, Point: r.end})
	s, pos := l.segments()[0], int64(0)
	for _, b := range r.batches[:6] {
		flip(t, disk, s.Path(), pos+65, 3)
		pos += int64(len(b))
	}
	start := r.batches[5].BaseOffset() + 1 // of three records
	for _, l := range []*Log{l, r.other} {
		if err := l.AdvanceLogStart(start); err != nil {
			t.Fatal(err)
		}
	}
	done, err := l.Repair(0, RepairOptions{HighWatermark: r.end, Fetch: from(r.other, 1)})
	if err != nil || done.Fetched != int64(len(r.batches[5])) {
		t.Fatalf("%+v, %v", done, err)
	}
	if got, want := bytes.Join(bytesOf(readAll(t, l, start)), nil), bytes.Join(bytesOf(r.batches[5:]), nil); !bytes.Equal(got, want) {
		t.Errorf("%d bytes are served from the log start, want %d", len(got), len(want))
	}
}

// TestRepairUnreadable: a part of a file that the disk does not give back is repaired as damage is. Who reads it is answered with the disk's error, and
// has it told.
func TestRepairUnreadable(t *testing.T) {
	r := newReplicated(t, 2000)
	disk := r.mem.Peek(vfs.KeepAll, 0)
	clean := newWorld(t, disk).open(t, r.cfg, Recovery{Clean: true, Point: r.end})
	path := clean.segments()[1].Path()
	fault := vfs.NewFault(disk, func(op vfs.Op) error {
		if op.Kind == vfs.OpRead && op.Name == path && op.Off < 8<<10 && op.Off+op.N > 4<<10 {
			return syscall.EIO
		}
		return nil
	})
	w := newWorld(t, fault)
	var told []string
	w.env.Files.OnUnreadable(func(path string) { told = append(told, path) })
	l := w.open(t, r.cfg, Recovery{Clean: true, Point: r.end})
	base := l.segments()[1].Base()
	if _, err := l.Read(base, 1<<20, r.end, true); !errors.Is(err, syscall.EIO) || len(told) == 0 || told[0] != path {
		t.Fatalf("read: %v, told %v", err, told)
	}
	done, err := l.Repair(base, RepairOptions{HighWatermark: r.end, Fetch: from(r.other, 1<<20)})
	if err != nil || len(done.Places) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	path = ""
	if got := bytes.Join(bytesOf(readAll(t, l, 0)), nil); !bytes.Equal(got, bytes.Join(bytesOf(r.batches), nil)) {
		t.Error("other bytes are served")
	}
	if d := done.Places[0]; d.To-d.From > 12<<10 {
		t.Errorf("%d bytes were replaced for 4096 unreadable ones", d.To-d.From)
	}
}

// TestRepairCrash ends the world before each change of the disk that a repair makes, under every model of what survives, and fails each call. What is opened then
// has all records, but for the damaged ones where it was not through, and is repaired.
func TestRepairCrash(t *testing.T) {
	for _, whole := range []bool{false, true} {
		for _, cause := range []error{nil, syscall.EIO, syscall.ENOSPC} {
			for at := int64(1); ; at = next(at) {
				armed, n := false, int64(0)
				var crashed []*vfs.Mem
				mem := vfs.NewMem()
				fault := vfs.NewFault(mem, func(op vfs.Op) error {
					if !armed || op.Kind == vfs.OpFree || cause == nil && !op.Kind.Changes() {
						return nil
					}
					if n++; n != at {
						return nil
					}
					for _, model := range vfs.AllSurvivors {
						crashed = append(crashed, mem.Peek(model, uint64(at)))
					}
					return cause
				})
				cfg := Config{SegmentBytes: 400, IndexIntervalBytes: 100, Compact: whole, RetentionAge: -1, RetentionBytes: -1, DeleteRetention: time.Minute}
				l := newWorld(t, fault).open(t, cfg, Recovery{Missing: true})
				for i := range 12 {
					put(t, l, fmt.Sprint(i), strings.Repeat("v", 100), 1)
				}
				if _, err := l.SyncFiles(); err != nil {
					t.Fatal(err)
				}
				want := contents(t, l)
				other := newWorld(t, mem.Peek(vfs.KeepAll, 0)).open(t, cfg, Recovery{Point: 12})
				s := l.segments()[2]
				flip(t, mem, s.Path(), 80, 1)
				if f, err := mem.OpenFile(s.Path(), vfs.ReadWrite, 0); err != nil || f.Sync() != nil {
					t.Fatal(err)
				}
				if l.Close(false) != nil {
					t.Fatal("close")
				}
				l = newWorld(t, fault).open(t, cfg, Recovery{Point: 12})
				opts := RepairOptions{HighWatermark: 12, Buffer: 100, Fetch: from(other, 1)}
				armed = true
				_, err := l.Repair(s.Base(), opts)
				armed = false
				if n < at {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				if cause != nil && err != nil && !errors.Is(err, cause) && !errors.Is(err, ErrOffline) && !errors.Is(err, ErrReadOnly) {
					t.Errorf("%v at call %d: %v", cause, at, err)
				}
				for i, disk := range crashed {
					where := fmt.Sprintf("whole %v, %v at %d, %v", whole, cause, at, vfs.AllSurvivors[i])
					l := newWorld(t, disk).open(t, cfg, Recovery{Point: 12})
					if l.LogEnd() != 12 || l.Recovered().Lost {
						t.Fatalf("%s: ends at %d, %+v", where, l.LogEnd(), l.Recovered())
					}
					for _, base := range damagedSegments(t, l) {
						if _, err := l.Repair(base, opts); err != nil {
							t.Fatalf("%s: %v", where, err)
						}
					}
					if got := contents(t, l); got != want {
						t.Fatalf("%s: %s", where, got)
					}
					noLeftovers(t, disk, l)
				}
			}
		}
	}
}

// TestRepairOfCompacted: replicas of a compacted log have different records. A key that was deleted does not come back from one that has its value and its
// tombstone still, nor stays where the tombstone is lost with the damage; and what one had not compacted is compacted again.
func TestRepairOfCompacted(t *testing.T) {
	pad := strings.Repeat("p", 60)
	fill := func(l *Log) {
		for i, r := range []string{"a=1", "b=1", "x=1", "x=", "c=1", "b=2", "y=1", "d=1", "a=2", "y=", "e=1", "f=1", "g=1"} {
			key, value, _ := strings.Cut(r, "=")
			if value != "" {
				value += pad
			}
			put(t, l, key, value, int64(1+i))
		}
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
	}
	values := func(l *Log) map[string]string {
		all := map[string]string{}
		for _, b := range readAll(t, l, l.LogStart()) {
			for r, err := range b.Records(1 << 20) {
				if err != nil {
					t.Fatal(err)
				}
				if all[string(r.Key)] = strings.TrimRight(string(r.Value), "p"); r.Value == nil {
					delete(all, string(r.Key))
				}
			}
		}
		return all
	}
	const want = "map[a:2 b:2 c:1 d:1 e:1 f:1 g:1]"
	compacted := func(w *world) *Log { // twice, so that the tombstones are gone
		l := w.open(t, compactCfg(), Recovery{Missing: true})
		fill(l)
		w.clean(t, l, CleanOptions{})
		w.clock.advance(time.Hour)
		put(t, l, "g", "1", 100)
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
		w.clean(t, l, CleanOptions{})
		return l
	}
	plain := func(w *world) *Log {
		l := w.open(t, compactCfg(), Recovery{Missing: true})
		fill(l)
		put(t, l, "g", "1", 100)
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
		return l
	}
	for what, make := range map[string][2]func(*world) *Log{"from one that is not compacted": {compacted, plain}, "from one that is": {plain, compacted}, "alike": {compacted, compacted}} {
		segments := 0
		for damaged := 0; ; damaged++ {
			mem := vfs.NewMem()
			w := newWorld(t, mem)
			l, other := make[0](w), make[1](newWorld(t, vfs.NewMem()))
			end := l.LogEnd()
			if err := l.Close(true); err != nil {
				t.Fatal(err)
			}
			l = w.open(t, compactCfg(), Recovery{Clean: true, Point: end, Cleaned: l.Cleaned()})
			if segments = len(l.segments()); damaged == segments-1 {
				break
			}
			s := l.segments()[damaged]
			flip(t, mem, s.Path(), 65, 3)
			done, err := l.Repair(s.Base(), RepairOptions{HighWatermark: end, Buffer: 100, Fetch: from(other, 1)})
			if err != nil || len(done.Places) != 1 {
				t.Fatalf("%s, segment %d: %+v, %v", what, damaged, done, err)
			}
			if got := fmt.Sprint(values(l)); got != want {
				t.Errorf("%s, segment %d: %s in %s", what, damaged, got, contents(t, l))
			}
			for _, crash := range vfs.AllSurvivors {
				again := newWorld(t, mem.Peek(crash, 5)).open(t, compactCfg(), Recovery{Point: l.RecoveryPoint()})
				if got := fmt.Sprint(values(again)); got != want || again.LogEnd() != end {
					t.Errorf("%s, segment %d, %v: %s", what, damaged, crash, got)
				}
			}
			w.clean(t, l, CleanOptions{})
			if got := fmt.Sprint(values(l)); got != want {
				t.Errorf("%s, segment %d, compacted again: %s", what, damaged, got)
			}
			noLeftovers(t, mem, l)
		}
		if segments < 2 {
			t.Errorf("%s: %d segments", what, segments)
		}
	}
	// A fetch that takes longer than deletions are kept may have missed one.
	w := newWorld(t, vfs.NewMem())
	l, other := plain(w), plain(newWorld(t, vfs.NewMem()))
	flip(t, w.fs, l.segments()[0].Path(), 65, 3)
	slow := func(offset int64) ([]byte, int64, error) {
		w.clock.advance(time.Minute)
		return from(other, 1)(offset)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	l = w.open(t, compactCfg(), Recovery{Clean: true, Point: other.LogEnd()})
	hurry, forget := slow, false
	slow = func(offset int64) ([]byte, int64, error) {
		if forget && offset >= 3 { // the value of x went before its tombstone, and that goes after the value was given
			forget = false
			w := newWorld(t, vfs.NewMem())
			other = compacted(w)
		}
		return hurry(offset)
	}
	forget = true
	if done, err := l.Repair(0, RepairOptions{HighWatermark: l.LogEnd(), Fetch: slow}); err == nil || len(done.Places) > 0 {
		t.Errorf("a slow fetch, while the other is compacted: %+v, %v", done, err)
	}
	if done, err := l.Repair(0, RepairOptions{HighWatermark: l.LogEnd(), Fetch: slow}); err != nil || len(done.Places) != 1 {
		t.Errorf("a slow fetch, while the other stays as it is: %+v, %v", done, err)
	}
	if got := fmt.Sprint(values(l)); got != want {
		t.Errorf("a slow fetch: %s", got)
	}
}

// TestRepairOfManySegments: a compacted log is repaired at once, however many segments it was not compacted to yet.
func TestRepairOfManySegments(t *testing.T) {
	cfg := compactCfg()
	cfg.SegmentBytes = 160
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, cfg, Recovery{Missing: true})
	for i := range maxGroup + 20 {
		put(t, l, fmt.Sprint(i), strings.Repeat("v", 80), 1)
	}
	if _, err := l.SyncFiles(); err != nil {
		t.Fatal(err)
	}
	want := contents(t, l)
	other := newWorld(t, w.fs.(*vfs.Mem).Peek(vfs.KeepAll, 0)).open(t, cfg, Recovery{Point: l.LogEnd()})
	s := l.segments()[3]
	flip(t, w.fs, s.Path(), 80, 3)
	if l.Close(false) != nil {
		t.Fatal("close")
	}
	l = w.open(t, cfg, Recovery{Point: other.LogEnd()})
	if n := len(l.segments()); n <= maxGroup {
		t.Fatalf("%d segments", n)
	}
	if done, err := l.Repair(s.Base(), RepairOptions{HighWatermark: l.LogEnd(), Fetch: from(other, 1<<20)}); err != nil || len(done.Places) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if got := contents(t, l); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestRepairAfterACrash: a start that walks over damage knows less of the leader epochs and the producers than there is in the batches. Both are put right
// by the repair, which then believes batches of epochs that it does not know if what lies behind them is the same.
func TestRepairAfterACrash(t *testing.T) {
	for damaged := range 23 {
		mem := vfs.NewMem()
		cfg := Config{SegmentBytes: 1 << 20, IndexIntervalBytes: 300}
		w := newWorld(t, mem)
		l := w.open(t, cfg, Recovery{Missing: true})
		var batches []record.Batch
		for i := range 24 {
			b := batchSpec{n: 2, size: 40, fill: byte(i), ts: 1_700_000_000_000, pid: int64(1 + i%5), seq: int32(i / 5 * 2)}.build()
			if _, err := l.Append(b, LeaderEpoch(1+i/4)); err != nil {
				t.Fatal(err)
			}
			batches = append(batches, bytes.Clone(b))
		}
		if _, err := l.SyncFiles(); err != nil {
			t.Fatal(err)
		}
		other := newWorld(t, mem.Peek(vfs.KeepAll, 0)).open(t, cfg, Recovery{Point: 48})
		pos := int64(0)
		for _, b := range batches[:damaged] {
			pos += int64(len(b))
		}
		path := l.segments()[0].Path()
		disk := mem.KillProcess()
		flip(t, disk, path, pos+10, 3) // of the length, which a walk over headers meets
		l = newWorld(t, disk).open(t, cfg, Recovery{Point: 48})
		if len(l.segments()[0].Damages()) == 0 {
			t.Fatalf("batch %d: the start saw no damage", damaged)
		}
		lie := func(offset int64) ([]byte, int64, error) { // a batch behind that is another one
			b, hw, err := from(other, 1)(offset)
			if err == nil && offset == batches[damaged].NextOffset() {
				x := batchSpec{n: 2}.build()
				x.SetBaseOffset(offset)
				x.SetLeaderEpoch(record.Batch(b).LeaderEpoch())
				b = x
			}
			return b, hw, err
		}
		if first := damaged%4 == 0 && damaged > 0; first {
			if _, err := l.Repair(0, RepairOptions{HighWatermark: 48, Fetch: lie}); !errors.Is(err, ErrForeign) {
				t.Errorf("batch %d: with another one behind: %v", damaged, err)
			}
		}
		if done, err := l.Repair(0, RepairOptions{HighWatermark: 48, Fetch: from(other, 1)}); err != nil || len(done.Places) != 1 {
			t.Fatalf("batch %d: %+v, %v", damaged, done, err)
		}
		if got, want := fmt.Sprint(l.Epochs()), fmt.Sprint(other.Epochs()); got != want {
			t.Errorf("batch %d: leader epochs %s, want %s", damaged, got, want)
		}
		if got, want := fmt.Sprint(l.ActiveProducers()), fmt.Sprint(other.ActiveProducers()); got != want {
			t.Errorf("batch %d: producers %s, want %s", damaged, got, want)
		}
		// The next batch of each producer is taken.
		for pid := range int64(5) {
			b := batchSpec{n: 1, ts: 1_700_000_000_000, pid: pid + 1, seq: int32((24-int(pid)+4)/5) * 2}.build()
			if _, err := l.Append(b, 9); err != nil {
				t.Errorf("batch %d: producer %d goes on: %v", damaged, pid, err)
			}
		}
	}
}

// TestRepairFromSeveral: what another replica has damaged, too, stays as it is and refused, be it the end of a place of which the other has the beginning, and is
// repaired from a third one. All else is repaired at once.
func TestRepairFromSeveral(t *testing.T) {
	r := newReplicated(t, 40)
	want := bytes.Join(bytesOf(r.batches), nil)
	damage := func(disk *vfs.Mem, batches ...int) {
		t.Helper()
		clean := newWorld(t, disk).open(t, r.cfg, Recovery{Clean: true, Point: r.end})
		for _, i := range batches {
			s := clean.segments()[clean.view.Load().floor(r.batches[i].BaseOffset())]
			pos, _, err := s.Find(r.batches[i].BaseOffset())
			if err != nil {
				t.Fatal(err)
			}
			flip(t, disk, s.Path(), pos+70, 3)
			if f, err := disk.OpenFile(s.Path(), vfs.ReadWrite, 0); err != nil || f.Sync() != nil {
				t.Fatal(err)
			}
		}
	}
	gives := func(l *Log) func(int64) ([]byte, int64, error) {
		fetch := from(l, 200)
		return func(offset int64) ([]byte, int64, error) {
			b, hw, err := fetch(offset)
			if errors.Is(err, ErrCorrupt) {
				err = fmt.Errorf("%w: %w", ErrLost, err)
			}
			return b, hw, err
		}
	}
	n := 0 // batches of the first segment
	for segmentEnd := r.other.segments()[0].End(); r.batches[n].NextOffset() <= segmentEnd; n++ {
	}
	for _, own := range [][]int{{0, 2}, {0, 1, 2}, {2, 3, n - 1}, {1, 2, 3, 4}, {0, n - 2, n - 1}} {
		for _, lacks := range own {
			where := fmt.Sprintf("batches %d, of which the other lacks %d", own, lacks)
			disk, worse := r.mem.Peek(vfs.KeepAll, 0), r.mem.Peek(vfs.KeepAll, 0)
			damage(disk, own...)
			damage(worse, lacks)
			l := newWorld(t, disk).open(t, r.cfg, Recovery{Clean: true, Point: r.end})
			other := newWorld(t, worse).open(t, r.cfg, Recovery{Clean: true, Point: r.end})
			opts := RepairOptions{HighWatermark: r.end, Buffer: 100, Fetch: gives(other)}
			done, err := l.Repair(0, opts)
			places := 1
			for i := range own[1:] {
				if own[i+1] > own[i]+1 {
					places++
				}
			}
			if places > 1 && (err != nil || len(done.Places) != places-1 || !errors.Is(done.Left, ErrLost)) || places == 1 && !errors.Is(err, ErrLost) {
				t.Errorf("%s: %+v, %v", where, done, err)
			}
			served := func(l *Log) (text string) {
				for i, b := range r.batches {
					if s, err := l.Read(b.BaseOffset(), 1, r.end, true); err == nil {
						s.Release()
					} else if errors.Is(err, ErrCorrupt) {
						text += fmt.Sprint(i, " ")
					} else {
						t.Fatal(err)
					}
				}
				return text
			}
			refused := served(l)
			if !strings.Contains(" "+refused, fmt.Sprint(" ", lacks, " ")) || places > 1 && len(strings.Fields(refused)) == len(own) {
				t.Errorf("%s: then batches %s are refused", where, refused)
			}
			killed := disk.Peek(vfs.LoseUnsynced, 1)
			again := newWorld(t, killed).open(t, r.cfg, Recovery{Point: l.RecoveryPoint()})
			if got := served(again); got != refused {
				t.Errorf("%s, killed: then batches %s are refused, before %s", where, got, refused)
			}
			for what, x := range map[string]struct {
				*Log
				*vfs.Mem
			}{"lived": {l, disk}, "killed": {again, killed}} {
				if done, err := x.Repair(0, opts); len(done.Places) > 0 || !errors.Is(err, ErrLost) {
					t.Errorf("%s, %s: again from the same: %+v, %v", where, what, done, err)
				}
				opts := RepairOptions{HighWatermark: r.end, Buffer: 100, Fetch: gives(r.other)}
				if done, err := x.Repair(0, opts); err != nil || len(done.Places) != 1 || done.Left != nil {
					t.Errorf("%s, %s: from a third one: %+v, %v", where, what, done, err)
				}
				if got := filesOf(t, x.Mem, x.Log); !bytes.Equal(got, want) {
					t.Errorf("%s, %s: the files have other bytes", where, what)
				}
				if got := bytes.Join(bytesOf(readAll(t, x.Log, 0)), nil); !bytes.Equal(got, want) {
					t.Errorf("%s, %s: other bytes are served", where, what)
				}
				noLeftovers(t, x.Mem, x.Log)
			}
		}
	}
}

// TestRepairKeepsWhatCannotBeRead: a place that the disk does not give for the moment, and that the others have lost, is still there when the disk gives it again,
// whatever else of its segment was repaired meanwhile.
func TestRepairKeepsWhatCannotBeRead(t *testing.T) {
	r := newReplicated(t, 2000)
	disk, worse := r.mem.Peek(vfs.KeepAll, 0), r.mem.Peek(vfs.KeepAll, 0)
	first := r.other.segments()[0]
	unread := r.batches[3].BaseOffset()
	at, _, err := first.Find(unread)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, worse, first.Path(), at+70, 3)
	n := 0
	for n < len(r.batches) && r.batches[n].NextOffset() <= first.End() {
		n++
	}
	last, _, err := first.Find(r.batches[n-1].BaseOffset())
	if err != nil {
		t.Fatal(err)
	}
	flip(t, disk, first.Path(), last+70, 3)
	fails, page := false, (at+200)/4096*4096
	faulty := vfs.NewFault(disk, func(op vfs.Op) error {
		if fails && op.Kind == vfs.OpRead && op.Name == first.Path() && op.Off < page+4096 && op.Off+op.N > page {
			return syscall.EIO
		}
		return nil
	})
	l := newWorld(t, faulty).open(t, r.cfg, Recovery{Clean: true, Point: r.end})
	fetch := from(newWorld(t, worse).open(t, r.cfg, Recovery{Clean: true, Point: r.end}), 2000)
	fails = true
	_, err = l.Repair(0, RepairOptions{HighWatermark: r.end, Buffer: 100, Fetch: func(offset int64) ([]byte, int64, error) {
		b, hw, err := fetch(offset)
		if errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("%w: %w", ErrLost, err)
		}
		return b, hw, err
	}})
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("the repair ended with %v", err)
	}
	fails = false
	if _, err := l.Read(unread, 1, r.end, true); err != nil {
		t.Errorf("what the disk did not give for a moment is gone: %v", err)
	}
}
