package commitlog

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

var (
	modelSeed  = flag.Uint64("seed", 1, "first seed of the model test")
	modelSeeds = flag.Int("seeds", fewer(12), "number of seeds of the model test")
)

// model is what a log should hold: the batches since it last began anew, those below the log start included.
type model struct {
	batches  []record.Batch
	start    int64
	end      int64
	epochs   epoch.Cache
	lastSeq  map[int64]int32
	producer producer.State
	aborted  []producer.Aborted
}

func (m *model) add(b record.Batch) {
	b = append(record.Batch(nil), b...)
	m.batches = append(m.batches, b)
	m.end = b.NextOffset()
	if latest, ok := m.epochs.Latest(); !ok || latest < b.LeaderEpoch() {
		m.epochs.Assign(b.LeaderEpoch(), b.BaseOffset())
	}
	if a, ok := m.producer.Update(b); ok {
		m.aborted = append(m.aborted, a)
	}
	if b.HasProducerID() && !b.IsControl() {
		m.lastSeq[b.ProducerID()] = b.LastSequence()
	}
}

// truncate cuts as the log does; the log says how it ends where there was a gap before offset.
func (m *model) truncate(offset int64, logEnd int64) error {
	k := len(m.batches)
	for k > 0 && m.batches[k-1].LastOffset() >= offset {
		k--
	}
	end := offset
	if k < len(m.batches) {
		end = min(end, m.batches[k].BaseOffset())
	}
	kept := m.batches[:k]
	*m = model{start: min(m.start, logEnd), lastSeq: map[int64]int32{}}
	for _, b := range kept {
		m.add(b)
	}
	if logEnd < m.end || logEnd > end {
		return fmt.Errorf("log ends at %d after truncation to %d, last batch at %d", logEnd, offset, m.end)
	}
	m.end = logEnd
	return nil
}

// visible are the batches that a reader from the log start gets.
func (m *model) visible() []record.Batch {
	for i, b := range m.batches {
		if b.LastOffset() >= m.start {
			return m.batches[i:]
		}
	}
	return nil
}

// modelRun is one run of the model test.
type modelRun struct {
	t     *testing.T
	rng   *rand.Rand
	mem   *vfs.Mem
	w     *world
	cfg   Config
	l     *Log
	m     model
	epoch int32
	now   int64
	trace []string

	rested int
}

var modelConfigs = map[string]Config{
	"tiny":   {SegmentBytes: 1500, IndexIntervalBytes: 100},
	"sparse": {SegmentBytes: 6000, IndexIntervalBytes: 1 << 20},
	"dense":  {SegmentBytes: 4000, IndexIntervalBytes: -1, SegmentIndexBytes: 64},
	"large":  {SegmentBytes: 1 << 20, IndexIntervalBytes: 512},
}

func TestModel(t *testing.T) {
	rested := 0
	defer func() {
		if rested == 0 {
			t.Error("no log came to rest")
		}
	}()
	for name, cfg := range modelConfigs {
		cfg.Durable, cfg.Delete, cfg.RetentionAge = true, true, -1
		cfg.RetentionBytes = 8 * 1500
		for seed := *modelSeed; seed < *modelSeed+uint64(*modelSeeds); seed++ {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				r := &modelRun{t: t, rng: rand.New(rand.NewPCG(seed, 7)), mem: vfs.NewMem(), cfg: cfg, now: 1000}
				r.m.lastSeq = map[int64]int32{}
				r.w = newWorld(t, r.mem)
				r.l = r.w.open(t, cfg, Recovery{Missing: true})
				t.Cleanup(func() {
					if t.Failed() {
						t.Log(strings.Join(r.trace[max(0, len(r.trace)-6):], "\n"))
					}
				})
				for range 150 {
					r.step()
					r.compare()
				}
				rested += r.rested
			})
		}
	}
}

func (r *modelRun) step() {
	k := r.rng.IntN(100)
	defer func() {
		r.trace = append(r.trace, fmt.Sprintf("%d: start %d end %d epochs %v", k, r.m.start, r.m.end, r.m.epochs.Entries()))
	}()
	switch {
	case k < 45:
		r.append()
	case k < 60:
		r.appendReplica()
	case k < 66:
		r.truncate()
	case k < 67:
		r.truncateFully()
	case k < 72:
		if r.m.end > r.m.start {
			r.m.start += r.rng.Int64N(r.m.end - r.m.start + 1)
			r.must(r.l.AdvanceLogStart(r.m.start))
			r.m.epochs.TruncateStart(r.m.start)
		}
	case k < 76:
		_, err := r.l.DeleteOld(r.w.clock.Now(), r.m.end)
		r.must(err)
		if start := r.l.LogStart(); start < r.m.start || start > r.m.end {
			r.t.Fatalf("log start %d, was %d, end %d", start, r.m.start, r.m.end)
		}
		r.m.start = r.l.LogStart()
		r.m.epochs.TruncateStart(r.m.start)
	case k < 79:
		r.must(r.l.Roll())
	case k < 85:
		end, err := r.l.SyncFiles()
		r.must(err)
		if end != r.m.end || r.l.SyncedEnd() != end || r.l.RecoveryPoint() != end || r.l.UnsyncedBytes() != 0 {
			r.t.Fatalf("synced to %d, end %d", end, r.m.end)
		}
		r.w.point = end
		r.rest()
	case k < 90:
		r.journal()
	case k < 95:
		r.reopen(true)
	default:
		r.reopen(false)
	}
}

func (r *modelRun) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// spec makes a batch that the producers' state allows.
func (r *modelRun) spec() batchSpec {
	r.now += r.rng.Int64N(20) - 5
	s := batchSpec{n: 1 + r.rng.IntN(5), ts: r.now, size: r.rng.IntN(120), fill: byte(r.rng.IntN(26))}
	if r.rng.IntN(10) == 0 {
		s.codec = record.Zstd
	}
	if r.rng.IntN(2) == 0 {
		id := r.rng.Int64N(4)
		s.pid = id + 1
		if r.rng.IntN(4) == 0 {
			id += 10
			s.txn = true
			s.control = r.rng.IntN(3) == 0
			s.commit = r.rng.IntN(2) == 0
			s.coordEpoch = 1
			if s.control {
				s.n = 1
			}
		}
		s.pid = id + 1
		if last, ok := r.m.lastSeq[id]; ok {
			s.seq = last + 1
		}
	}
	return s
}

func (r *modelRun) append() {
	if r.rng.IntN(6) == 0 {
		r.epoch++
	}
	b := r.spec().build()
	info, err := r.l.Append(b, LeaderEpoch(r.epoch))
	r.must(err)
	if info.First != r.m.end || info.Last != b.LastOffset() || info.Duplicate {
		r.t.Fatalf("%+v, end %d", info, r.m.end)
	}
	r.m.add(b)
	if b.HasProducerID() && !b.IsControl() {
		again, err := r.l.Append(append(record.Batch(nil), b...), LeaderEpoch(r.epoch))
		if err != nil || !again.Duplicate || again.First != info.First || again.Timestamp != b.MaxTimestamp() {
			r.t.Fatalf("duplicate: %+v, %v", again, err)
		}
	}
}

func (r *modelRun) appendReplica() {
	var run []byte
	end := r.m.end
	var added []record.Batch
	for range 1 + r.rng.IntN(6) {
		if r.rng.IntN(6) == 0 {
			r.epoch++
		}
		if r.rng.IntN(10) == 0 {
			end += r.rng.Int64N(5) // a gap, as compaction leaves
		}
		s := r.spec()
		s.pid, s.txn, s.control, s.codec = 0, false, false, record.None
		b := s.build()
		b.SetBaseOffset(end)
		b.SetLeaderEpoch(r.epoch)
		end = b.NextOffset()
		run, added = append(run, b...), append(added, b)
	}
	info, err := r.l.AppendReplica(run)
	r.must(err)
	if info.First != added[0].BaseOffset() || info.Last != end-1 {
		r.t.Fatalf("%+v", info)
	}
	for _, b := range added {
		r.m.add(b)
	}
}

func (r *modelRun) truncate() {
	if r.m.end == 0 {
		return
	}
	back := min(r.rng.Int64N(40), r.m.end)
	offset := r.m.end - back
	if offset < r.m.start {
		return
	}
	r.must(r.l.TruncateTo(offset))
	r.must(r.m.truncate(offset, r.l.LogEnd()))
	r.m.epochs.TruncateStart(r.m.start)
	r.m.epochs.TruncateEnd(r.m.end)
}

func (r *modelRun) truncateFully() {
	offset := r.rng.Int64N(2 * (r.m.end + 1))
	r.must(r.l.TruncateFullyAt(offset))
	r.m = model{start: offset, end: offset, lastSeq: map[int64]int32{}}
}

// journal makes everything durable as the committer does with the journal.
func (r *modelRun) journal() {
	from := r.l.SyncedEnd()
	b, got, end, err := r.l.ReadUnsynced(nil)
	r.must(err)
	if got != from || end != r.m.end {
		r.t.Fatalf("unsynced %d to %d, want %d to %d", got, end, from, r.m.end)
	}
	var want []byte
	for _, x := range r.m.batches {
		if x.LastOffset() >= from {
			want = append(want, x...)
		}
	}
	if !bytes.Equal(b, want) || r.l.UnsyncedBytes() != int64(len(want)) {
		r.t.Fatalf("unsynced bytes from %d differ: %d, want %d, counted %d; %s", from, len(b), len(want), r.l.UnsyncedBytes(), offsets(r.m.visible()))
	}
	r.l.SetSynced(end)
	if r.l.SyncedEnd() != end || r.l.UnsyncedBytes() != 0 {
		r.t.Fatalf("synced end %d after %d", r.l.SyncedEnd(), end)
	}
	r.must(r.l.Replay(b)) // all of it is there
}

// rest lets a log rest that is synced. Whoever asks it next wakes it.
func (r *modelRun) rest() {
	uses := r.l.Uses()
	if rest, ok := r.l.Rest(); ok && r.l.LetRest(&rest, uses) {
		r.rested++
	}
}

func (r *modelRun) reopen(clean bool) {
	if clean {
		r.must(r.l.Close(true))
	}
	r.mem = r.mem.KillProcess()
	point := r.w.point
	if clean {
		point = r.m.end
	}
	r.w = newWorld(r.t, r.mem)
	r.w.point = point
	r.l = r.w.open(r.t, r.cfg, Recovery{Clean: clean, Point: point, LogStart: r.m.start})
	r.m.epochs.TruncateEnd(r.m.end) // as Kafka: an epoch without a record is forgotten
	rec := r.l.Recovered()
	if rec.Lost || rec.TruncatedBytes > 0 || rec.Rebuilt > 0 && clean {
		r.t.Fatalf("recovered %+v", rec)
	}
	var unsynced int64
	for _, b := range r.m.batches {
		if b.BaseOffset() >= point {
			unsynced += int64(len(b))
		}
	}
	if rec.ScannedBytes > unsynced {
		r.t.Fatalf("scanned %d bytes, %d lie above the recovery point", rec.ScannedBytes, unsynced)
	}
}

func (r *modelRun) compare() {
	t, l, m := r.t, r.l, &r.m
	t.Helper()
	if len(r.w.failures) > 0 {
		t.Fatal(r.w.failures)
	}
	if l.LogStart() != m.start || l.LogEnd() != m.end {
		t.Fatalf("log is %d to %d, want %d to %d", l.LogStart(), l.LogEnd(), m.start, m.end)
	}
	l.marks.check()
	r.must(l.Wake())
	l.marks.check()
	want := m.visible()
	got := readAll(t, l, m.start)
	if offsets(got) != offsets(want) || !bytes.Equal(join(got), join(want)) {
		t.Fatalf("log has\n%s\nwant\n%s", offsets(got), offsets(want))
	}
	if got, want := r.epochText(l.Epochs()), r.epochText(m.epochs.Entries()); got != want {
		t.Fatalf("epochs %s, want %s", got, want)
	}
	if got, want := l.mu.producers.Encode(), m.producer.Encode(); !bytes.Equal(got, want) {
		t.Fatalf("producers\n%x, want\n%x", got, want)
	}
	r.compareRead()
	r.compareTime()
	r.compareTxns()
	if r.rng.IntN(2) == 0 {
		r.must(sentAgain(l, m.batches, func(b record.Batch) bool { return b.LastOffset() >= l.segments()[0].Base() }))
	}
}

// compareTxns compares the last stable offset and the aborted transactions.
func (r *modelRun) compareTxns() {
	want := r.m.end
	if first, ok := r.m.producer.FirstUnstable(r.m.end); ok {
		want = min(first, want)
	}
	if got := r.l.LastStable(r.m.end); got != want {
		r.t.Fatalf("last stable offset %d, want %d", got, want)
	}
	aborted := []AbortedTxn{}
	for _, a := range r.m.aborted {
		if a.Last >= r.m.start {
			aborted = append(aborted, AbortedTxn{a.ProducerID, a.First})
		}
	}
	got, err := r.l.aborted(r.m.start, r.m.end)
	r.must(err)
	// A search ends with the transaction that was the last to hold back what is asked for, so that it may miss none but list
	// all up to there.
	if len(got) > len(aborted) || fmt.Sprint(got) != fmt.Sprint(aborted[:len(got)]) || len(got) < len(aborted) && r.m.start < r.m.end {
		r.t.Fatalf("aborted %v, want %v", got, aborted)
	}
}

// epochText prints epochs. The first begins at the log start or at the first batch behind it, which is the same to everybody who asks;
// and so is whether one is there that has no batch any more.
func (r *modelRun) epochText(entries []epoch.Entry) string {
	entries = append([]epoch.Entry(nil), entries...)
	if v := r.m.visible(); len(v) > 0 && len(entries) > 0 {
		entries[0].Start = max(entries[0].Start, v[0].BaseOffset())
		if len(entries) > 1 && entries[0].Start == entries[1].Start {
			entries = entries[1:]
		}
	}
	return fmt.Sprint(entries)
}

func join(batches []record.Batch) []byte {
	var b []byte
	for _, x := range batches {
		b = append(b, x...)
	}
	return b
}

// compareRead reads at a random place with random bounds.
func (r *modelRun) compareRead() {
	t, m := r.t, &r.m
	offset := m.start + r.rng.Int64N(m.end-m.start+3) - 1
	end := offset + r.rng.Int64N(60)
	maxBytes := r.rng.Int64N(1500)
	atLeastOne := r.rng.IntN(2) == 0
	s, err := r.l.Read(offset, maxBytes, end, atLeastOne)
	if offset < m.start || offset > m.end {
		if !errors.Is(err, ErrOffsetOutOfRange) {
			t.Fatalf("read at %d: %v", offset, err)
		}
		return
	}
	r.must(err)
	got, err := s.Span.AppendTo(nil)
	r.must(err)
	s.Release()
	// What was read must be a run of whole batches from the first that ends above offset, within the bounds, and not empty where
	// something fits.
	var fit []record.Batch
	for _, b := range m.visible() {
		if b.LastOffset() >= offset && b.LastOffset() < end && offset < m.end {
			fit = append(fit, b)
		}
	}
	all := join(fit)
	if !bytes.HasPrefix(all, got) {
		t.Fatalf("read at %d to %d, %d bytes: %d bytes that are no prefix", offset, end, maxBytes, len(got))
	}
	n := int64(0)
	count := 0
	for _, b := range fit {
		if n >= int64(len(got)) {
			break
		}
		n += int64(len(b))
		count++
	}
	if n != int64(len(got)) || n > maxBytes && !(atLeastOne && count == 1) {
		t.Fatalf("read at %d to %d, %d bytes: got %d in %d batches", offset, end, maxBytes, n, count)
	}
	if len(fit) > 0 && count == 0 && (atLeastOne || int64(len(fit[0])) <= maxBytes) {
		t.Fatalf("read at %d to %d, %d bytes: nothing, first batch has %d", offset, end, maxBytes, len(fit[0]))
	}
}

// compareTime looks a random timestamp up, and the largest.
func (r *modelRun) compareTime() {
	ts := 1000 + r.rng.Int64N(r.now-900)
	wantOffset, wantTS, largest, largestAt := int64(-1), int64(-1), int64(-1), int64(-1)
	for _, b := range r.m.visible() {
		for rec, err := range b.Records(1 << 20) {
			r.must(err)
			if rec.Offset < r.m.start {
				continue
			}
			if wantOffset < 0 && rec.Timestamp >= ts {
				wantOffset, wantTS = rec.Offset, rec.Timestamp
			}
			if rec.Timestamp > largest {
				largest, largestAt = rec.Timestamp, rec.Offset
			}
		}
	}
	offset, got, _, ok, err := r.l.OffsetForTimestamp(ts, all)
	r.must(err)
	if offset != wantOffset || got != wantTS || ok != (wantOffset >= 0) {
		r.t.Fatalf("timestamp %d: %d at %d, want %d at %d", ts, got, offset, wantTS, wantOffset)
	}
	offset, got, _, ok, err = r.l.MaxTimestamp(all)
	r.must(err)
	if ok && (offset != largestAt || got != largest) {
		r.t.Fatalf("largest timestamp %d at %d, want %d at %d", got, offset, largest, largestAt)
	}
}

func TestRetentionByAge(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	cfg := Config{SegmentBytes: 300, Delete: true, RetentionBytes: -1, RetentionAge: time.Hour}
	l := w.open(t, cfg, Recovery{Missing: true})
	now := w.clock.Now()
	old, fresh, future := now.Add(-2*time.Hour).UnixMilli(), now.UnixMilli(), now.Add(9000*time.Hour).UnixMilli()
	for _, ts := range []int64{old, old, fresh, future} {
		if _, err := l.Append(batchSpec{ts: ts, size: 200}.build(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := l.DeleteOld(now, 1); err != nil || n != (Deleted{ByAge: 1}) || l.LogStart() != 1 {
		t.Fatalf("high watermark 1: %+v, %v, start %d", n, err, l.LogStart())
	}
	if n, err := l.DeleteOld(now, 4); err != nil || n != (Deleted{ByAge: 1}) || l.LogStart() != 2 {
		t.Fatalf("%+v, %v, start %d", n, err, l.LogStart())
	}
	// The active segment stays until nothing was appended for as long as the retention, whatever the timestamps say.
	if _, err := l.Append(batchSpec{ts: old, size: 200}.build(), 0); err != nil {
		t.Fatal(err)
	}
	if err := l.AdvanceLogStart(4); err != nil {
		t.Fatal(err)
	}
	if n, err := l.DeleteOld(now, 5); err != nil || n != (Deleted{BelowStart: 2}) || l.LogEnd() != 5 || l.LogStart() != 4 {
		t.Fatalf("%+v, %v, start %d", n, err, l.LogStart())
	}
	if n, err := l.DeleteOld(now.Add(time.Hour-1), 5); err != nil || n != (Deleted{}) {
		t.Fatalf("%+v, %v", n, err)
	}
	if n, err := l.DeleteOld(now.Add(time.Hour), 5); err != nil || n != (Deleted{ByAge: 1}) || l.LogStart() != 5 || l.LogEnd() != 5 || l.Size() != 0 {
		t.Fatalf("%+v, %v, start %d", n, err, l.LogStart())
	}
}

// TestReasonsOfRetention: each segment that goes counts once, for the first reason in the order of log start, size, age.
func TestReasonsOfRetention(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	cfg := Config{SegmentBytes: 300, Delete: true, RetentionBytes: 900, RetentionAge: time.Hour}
	l := w.open(t, cfg, Recovery{Missing: true})
	old := w.clock.Now().Add(-2 * time.Hour).UnixMilli()
	for i := range 8 { // each is a segment of 269 bytes
		ts := old
		if i > 5 {
			ts = w.clock.Now().UnixMilli()
		}
		if _, err := l.Append(batchSpec{ts: ts, size: 200}.build(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.AdvanceLogStart(2); err != nil {
		t.Fatal(err)
	}
	if got, err := l.DeleteOld(w.clock.Now(), 8); err != nil || got != (Deleted{BelowStart: 2, BySize: 2, ByAge: 2}) || got.Segments() != 6 || l.LogStart() != 6 {
		t.Fatalf("%+v, %v, log start %d of segments of %d bytes", got, err, l.LogStart(), l.segments()[0].Size())
	}
}
