package commitlog

import (
	"bytes"
	"encoding/binary"
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

// cleanRun drives a compacted log through random puts, deletions, transactions and cleanings, and knows what must be left.
type cleanRun struct {
	rng   *rand.Rand
	mem   *vfs.Mem
	w     *world
	cfg   Config
	l     *Log
	trace []string

	batches []record.Batch // all that were appended and not cut, as they were
	start   int64
	end     int64
	hw      int64
	epoch   int32
	lastSeq map[int64]int32
	inTxn   map[int64]bool
	mortal  map[int64]int64 // tombstone to the earliest time at which it may go
	cleaned Cleaned         // the last whole pass
	at      int64           // and its time
	newest  func(offset, newest int64) bool
	cleans  int
	removed int64 // records that passes took away

	epochsFrom int64 // what the log knows of epochs may begin here: its start, before a crash took a step back

	journal []journalEntry
	fsys    func(*vfs.Mem) vfs.FS
}

const cleanRetention = 1000 * time.Millisecond

func newCleanRun(t testing.TB, seed uint64, cfg Config) *cleanRun {
	cfg.Compact, cfg.Durable, cfg.RetentionAge, cfg.RetentionBytes = true, true, -1, -1
	cfg.DeleteRetention = cleanRetention
	r := &cleanRun{rng: rand.New(rand.NewPCG(seed, 11)), mem: vfs.NewMem(), cfg: cfg}
	r.lastSeq, r.inTxn, r.mortal = map[int64]int32{}, map[int64]bool{}, map[int64]int64{}
	r.fsys = func(m *vfs.Mem) vfs.FS { return m }
	return r
}

func (r *cleanRun) begin(t testing.TB) {
	r.newWorld(t, r.mem, 0)
	r.l = r.w.open(t, r.cfg, Recovery{Missing: true})
}

func (r *cleanRun) newWorld(t testing.TB, mem *vfs.Mem, point int64) {
	clock := time.UnixMilli(1_700_000_000_000)
	if r.w != nil {
		clock = r.w.clock.Now()
	}
	r.w = newWorld(t, r.fsys(mem))
	r.w.clock.now = clock
	r.w.point = point
	r.w.onTruncated = func(*Log) { r.journal = nil }
	w := r.w
	w.env.OnClean = func(l *Log) error { w.point = l.RecoveryPoint(); return nil }
}

func (r *cleanRun) now() int64 { return r.w.clock.Now().UnixMilli() }

// key returns one of few keys, short, long and empty; nil now and then.
func (r *cleanRun) key() []byte {
	switch k := r.rng.IntN(14); {
	case k == 0 && r.rng.IntN(4) == 0:
		return nil
	case k == 1:
		return []byte{}
	case k < 5:
		return []byte(strings.Repeat("a long key ", 3) + fmt.Sprint(k))
	default:
		return []byte{'k', byte('0' + k)}
	}
}

func (r *cleanRun) build() record.Batch {
	codecs := []record.Codec{record.None, record.None, record.None, record.Zstd, record.LZ4, record.Gzip, record.Snappy}
	b := record.NewBuilder(record.CompressionOf(codecs[r.rng.IntN(len(codecs))]))
	if r.rng.IntN(8) == 0 {
		b.TimestampType = record.LogAppendTime
	}
	switch k := r.rng.IntN(10); {
	case k < 3: // idempotent
		r.from(b, r.rng.Int64N(3))
	case k < 6: // transactional
		id := 10 + r.rng.Int64N(3)
		r.from(b, id)
		b.Transactional = true
		if r.inTxn[id] && r.rng.IntN(4) > 0 {
			return r.marker(b, id)
		}
		r.inTxn[id] = true
	}
	for range 1 + r.rng.IntN(5) {
		rec := record.Record{Timestamp: r.now() + r.rng.Int64N(50) - 25, Key: r.key()}
		if r.rng.IntN(4) > 0 {
			rec.Value = bytes.Repeat([]byte{byte('a' + r.rng.IntN(26))}, r.rng.IntN(60))
		}
		if r.rng.IntN(5) == 0 {
			rec.Headers = []record.Header{{Key: "h", Value: []byte("v")}, {Key: "n"}}
		}
		b.Append(rec)
	}
	return b.Build()
}

func (r *cleanRun) from(b *record.Builder, id int64) {
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, 0, 0
	if last, ok := r.lastSeq[id]; ok {
		b.BaseSequence = last + 1
	}
}

func (r *cleanRun) marker(b *record.Builder, id int64) record.Batch {
	r.inTxn[id] = false
	b.Compression, b.Control, b.BaseSequence, b.TimestampType = record.Compression{}, true, record.NoSequence, record.CreateTime
	b.Append(record.Record{Timestamp: r.now(), Key: []byte{0, 0, 0, byte(r.rng.IntN(2))}, Value: binary.BigEndian.AppendUint32([]byte{0, 0}, 1)})
	return b.Build()
}

func (r *cleanRun) step(t testing.TB) error {
	k := r.rng.IntN(100)
	r.trace = append(r.trace, fmt.Sprintf("%d: start %d hw %d end %d cleaned %d", k, r.start, r.hw, r.end, r.l.Cleaned()))
	switch {
	case k < 55:
		if r.rng.IntN(12) == 0 {
			r.epoch++
		}
		b := r.build()
		if _, err := r.l.Append(b, LeaderEpoch(r.epoch)); err != nil {
			return err
		}
		r.keep(b)
		if r.rng.IntN(3) > 0 {
			r.hw = r.end
		}
	case k < 58:
		return r.l.Roll()
	case k < 72:
		return r.clean()
	case k < 77:
		r.w.clock.advance(time.Duration(r.rng.Int64N(int64(cleanRetention))))
	case k < 80:
		return r.truncate()
	case k < 83:
		if r.hw > r.start {
			r.start += r.rng.Int64N(min(r.hw-r.start, 20) + 1)
			return r.l.AdvanceLogStart(r.start)
		}
	case k < 86:
		_, err := r.l.DeleteOld(r.w.clock.Now(), r.hw)
		return err
	case k < 91:
		end, err := r.l.SyncFiles()
		r.w.point = end
		return err
	case k < 95:
		b, from, end, err := r.l.ReadUnsynced(nil)
		r.journal = append(r.journal[:len(r.journal):len(r.journal)], journalEntry{from, b})
		r.l.SetSynced(end)
		return err
	default:
		return r.reopen(t, k < 98)
	}
	return nil
}

func (r *cleanRun) keep(b record.Batch) {
	r.batches = append(r.batches, append(record.Batch(nil), b...))
	r.end = b.NextOffset()
	if b.HasProducerID() && !b.IsControl() {
		r.lastSeq[b.ProducerID()] = b.LastSequence()
	}
}

func (r *cleanRun) clean() error {
	r.cleans++
	now := r.now()
	for _, b := range r.batches { // what a pass has seen may go a retention later
		for rec, err := range b.Records(1 << 20) {
			if err != nil {
				return err
			}
			if _, ok := r.mortal[rec.Offset]; !ok && rec.Value == nil && rec.Offset < r.hw {
				r.mortal[rec.Offset] = now + cleanRetention.Milliseconds()
			}
		}
	}
	opts := CleanOptions{HighWatermark: r.hw, Now: r.w.clock.Now(), Buffer: 100 + r.rng.IntN(2000), newest: r.newest}
	if r.rng.IntN(3) == 0 {
		opts.KeyBytes = 32 * (1 + r.rng.Int64N(8))
	}
	c, err := r.l.Clean(opts)
	if err != nil {
		return err
	}
	if c.From < c.To {
		if r.l.Cleaned() != c.To {
			return fmt.Errorf("cleaned %+v, log says %d", c, r.l.Cleaned())
		}
		r.cleaned, r.at = c, now
		r.removed += c.RecordsBefore - c.RecordsAfter
	}
	return nil
}

func (r *cleanRun) truncate() error {
	offset := r.hw + r.rng.Int64N(r.end-r.hw+1)
	if err := r.l.TruncateTo(offset); err != nil {
		return err
	}
	r.cut(r.l.LogEnd())
	return nil
}

// cut makes the model end where the log does.
func (r *cleanRun) cut(end int64) {
	k := len(r.batches)
	for k > 0 && r.batches[k-1].LastOffset() >= end {
		k--
	}
	r.batches, r.end = r.batches[:k:k], end
	r.hw = min(r.hw, end)
	r.lastSeq, r.inTxn = map[int64]int32{}, map[int64]bool{}
	for _, b := range r.batches {
		if b.IsControl() {
			r.inTxn[b.ProducerID()] = false
		} else if b.HasProducerID() {
			r.lastSeq[b.ProducerID()] = b.LastSequence()
			r.inTxn[b.ProducerID()] = b.IsTransactional()
		}
	}
}

func (r *cleanRun) reopen(t testing.TB, clean bool) error {
	point := r.w.point
	if clean {
		if err := r.l.Close(true); err != nil {
			return err
		}
		point = r.end
	}
	cleaned := r.l.Cleaned()
	if r.rng.IntN(2) == 0 {
		cleaned = 0 // the checkpoint is older
		r.cleaned = Cleaned{}
	}
	r.mem = r.mem.KillProcess()
	r.newWorld(t, r.mem, point)
	l, err := New(testID, Options{Env: r.w.env, Config: &r.cfg, Recovery: Recovery{Clean: clean, Point: point, LogStart: r.start, Cleaned: cleaned}})
	if err != nil {
		return err
	}
	r.l = l
	if rec := l.Recovered(); rec.Lost || rec.TruncatedBytes > 0 {
		return fmt.Errorf("recovered %+v", rec)
	}
	return nil
}

// want is a record of the model.
type want struct {
	record.Record
	batch   record.Batch
	aborted bool
	open    bool // of a transaction that is not decided
}

// wanted are the records that were appended, by offset.
func (r *cleanRun) wanted() (map[int64]*want, []*want, error) {
	all, list, open := map[int64]*want{}, []*want(nil), map[int64][]*want{}
	for _, b := range r.batches {
		id := b.ProducerID()
		for rec, err := range b.Records(1 << 20) {
			if err != nil {
				return nil, nil, err
			}
			w := &want{Record: rec, batch: b, open: b.IsTransactional() && !b.IsControl()}
			if b.IsControl() {
				for _, o := range open[id] {
					o.open, o.aborted = false, rec.Key[3] == 0
				}
				open[id] = nil
			} else if w.open {
				open[id] = append(open[id], w)
			}
			all[rec.Offset] = w
			list = append(list, w)
		}
	}
	return all, list, nil
}

// check compares the log with the model.
func (r *cleanRun) check(t testing.TB, l *Log) error {
	if len(r.w.failures) > 0 {
		return fmt.Errorf("%v", r.w.failures)
	}
	if l.LogEnd() != r.end || l.LogStart() != r.start {
		return fmt.Errorf("log is %d to %d, want %d to %d", l.LogStart(), l.LogEnd(), r.start, r.end)
	}
	l.marks.check()
	got := readAll(t, l, l.LogStart())
	all, list, err := r.wanted()
	if err != nil {
		return err
	}
	size := int64(0)
	for _, s := range l.segments() {
		size += s.Size()
	}
	if size != l.Size() {
		return fmt.Errorf("size is %d, segments have %d", l.Size(), size)
	}
	have, err := r.checkRecords(got, all)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, offsets(got))
	}
	if err := r.checkNewest(list, have); err != nil {
		return fmt.Errorf("%w\n%s", err, offsets(got))
	}
	if err := r.checkGone(l, got, list, have); err != nil {
		return fmt.Errorf("%w\n%s", err, offsets(got))
	}
	if err := r.checkCommitted(l, got, all); err != nil {
		return err
	}
	if err := r.checkDerived(l, got); err != nil {
		return err
	}
	return r.checkSearch(l, got)
}

// checkRecords: what is there is what was appended, in order.
func (r *cleanRun) checkRecords(got []record.Batch, all map[int64]*want) (map[int64]bool, error) {
	have, next := map[int64]bool{}, int64(-1)
	for _, b := range got {
		if b.BaseOffset() <= next-1 {
			return nil, fmt.Errorf("batch at %d after offset %d", b.BaseOffset(), next-1)
		}
		next = b.NextOffset()
		for rec, err := range b.Records(1 << 20) {
			if err != nil {
				return nil, err
			}
			w := all[rec.Offset]
			if w == nil {
				return nil, fmt.Errorf("record at %d was never appended", rec.Offset)
			}
			if fmt.Sprint(rec) != fmt.Sprint(w.Record) || (rec.Value == nil) != (w.Value == nil) || (rec.Key == nil) != (w.Key == nil) {
				return nil, fmt.Errorf("record at %d is\n%v, was\n%v", rec.Offset, rec, w.Record)
			}
			o := w.batch
			if b.BaseOffset() != o.BaseOffset() || b.LastOffset() != o.LastOffset() || b.BaseSequence() != o.BaseSequence() || b.ProducerID() != o.ProducerID() ||
				b.ProducerEpoch() != o.ProducerEpoch() || b.LeaderEpoch() != o.LeaderEpoch() || b.Codec() != o.Codec() || b.TimestampType() != o.TimestampType() {
				return nil, fmt.Errorf("batch of offset %d is %v, was %v", rec.Offset, b, o)
			}
			have[rec.Offset] = true
		}
	}
	return have, nil
}

// checkNewest: the newest record of every key is there, unless it is a tombstone whose time has come.
func (r *cleanRun) checkNewest(list []*want, have map[int64]bool) error {
	newest := map[string]*want{}
	for _, w := range list {
		if w.Key != nil && !w.aborted && !w.batch.IsControl() {
			newest[string(w.Key)] = w
		}
	}
	for key, w := range newest {
		if have[w.Offset] || w.Offset < r.start {
			continue
		}
		if at, ok := r.mortal[w.Offset]; !ok || w.Value != nil || r.now() < at {
			return fmt.Errorf("key %q: newest record, at %d, is gone", key, w.Offset)
		}
	}
	return nil
}

// checkGone: below the end of the last whole pass only the newest record of a key is left, and nothing that should go.
func (r *cleanRun) checkGone(l *Log, got []record.Batch, list []*want, have map[int64]bool) error {
	end := min(r.cleaned.To, l.Cleaned())
	newest := map[string]int64{}
	for _, w := range list {
		if w.Offset < end && w.Key != nil && !w.aborted && !w.batch.IsControl() {
			newest[string(w.Key)] = w.Offset
		}
	}
	for _, w := range list {
		if !have[w.Offset] || w.Offset < r.start || w.Offset >= end || w.batch.IsControl() {
			continue
		}
		if w.Key == nil || w.aborted || newest[string(w.Key)] > w.Offset {
			return fmt.Errorf("record at %d, key %q, aborted %v, is left below %d", w.Offset, w.Key, w.aborted, end)
		}
	}
	for _, b := range got {
		if b.HasDeleteHorizon() && b.LastOffset() < end && b.BaseTimestamp() <= r.at && b.Count() > 0 && !b.IsControl() {
			for rec, err := range b.Records(1 << 20) {
				if err != nil || rec.Value == nil {
					return fmt.Errorf("tombstone at %d is left after its time, %v", rec.Offset, err)
				}
			}
		}
	}
	return nil
}

// checkCommitted reads as a consumer with isolation.level=read_committed does: it must see no aborted record, and all others.
func (r *cleanRun) checkCommitted(l *Log, got []record.Batch, all map[int64]*want) error {
	aborted, err := l.aborted(l.LogStart(), l.LogEnd())
	if err != nil {
		return err
	}
	active := map[int64]bool{}
	for _, b := range got {
		for i := 0; i < len(aborted); {
			if aborted[i].First > b.LastOffset() {
				i++
				continue
			}
			active[aborted[i].ProducerID] = true
			aborted = append(aborted[:i:i], aborted[i+1:]...)
		}
		for rec, err := range b.Records(1 << 20) {
			if err != nil {
				return err
			}
			if b.IsControl() {
				if rec.Key[3] == 0 {
					delete(active, b.ProducerID())
				}
				continue
			}
			hidden := b.IsTransactional() && active[b.ProducerID()]
			if w := all[rec.Offset]; w.aborted != hidden && !w.open && rec.Offset >= r.start {
				return fmt.Errorf("record at %d: aborted %v, hidden %v", rec.Offset, w.aborted, hidden)
			}
		}
	}
	return nil
}

// checkDerived: compaction leaves what the log knows of producers and epochs as it is.
func (r *cleanRun) checkDerived(l *Log, got []record.Batch) error {
	var state producer.State
	var epochs epoch.Cache
	for _, b := range r.batches {
		state.Update(b)
		if latest, ok := epochs.Latest(); !ok || b.LeaderEpoch() > latest {
			epochs.Assign(b.LeaderEpoch(), b.BaseOffset())
		}
	}
	from := max(r.start, r.epochsFrom)
	epochs.TruncateStart(from)
	epochs.TruncateEnd(r.end)
	var have epoch.Cache
	for _, e := range l.Epochs() {
		have.Assign(e.Epoch, e.Start)
	}
	have.TruncateStart(from)
	if got, want := fmt.Sprint(have.Entries()), fmt.Sprint(epochs.Entries()); got != want && from < r.end {
		return fmt.Errorf("epochs %s, want %s", got, want)
	}
	if got, want := l.mu.producers.Encode(), state.Encode(); !bytes.Equal(got, want) {
		return fmt.Errorf("producers\n%x, want\n%x", got, want)
	}
	left := map[int64]bool{}
	for _, b := range got {
		left[b.BaseOffset()] = true
	}
	return sentAgain(l, r.batches, func(b record.Batch) bool { return left[b.BaseOffset()] })
}

// checkSearch reads from a random offset, and looks a random time and the largest one up.
func (r *cleanRun) checkSearch(l *Log, got []record.Batch) error {
	offset := r.start + r.rng.Int64N(r.end-r.start+1)
	var first record.Batch
	for _, b := range got {
		if b.LastOffset() >= offset {
			first = b
			break
		}
	}
	s, err := l.Read(offset, 1, l.LogEnd(), true)
	if err != nil {
		return err
	}
	b, err := s.Span.AppendTo(nil)
	s.Release()
	if err != nil || !bytes.Equal(b, first) {
		return fmt.Errorf("read at %d: %d bytes, want %d, %v", offset, len(b), len(first), err)
	}
	ts := r.now() - r.rng.Int64N(2000)
	at, largestAt, largest := int64(-1), int64(-1), int64(-1)
	for _, b := range got {
		for rec := range b.Records(1 << 20) {
			if rec.Offset >= r.start && rec.Timestamp >= ts && at < 0 {
				at = rec.Offset
			}
			if rec.Offset >= r.start && rec.Timestamp > largest {
				largest, largestAt = rec.Timestamp, rec.Offset
			}
		}
	}
	if found, _, _, _, err := l.OffsetForTimestamp(ts, all); err != nil || found != at {
		return fmt.Errorf("time %d: offset %d, want %d, %v", ts, found, at, err)
	}
	if found, _, _, _, err := l.MaxTimestamp(all); err != nil || found != largestAt && r.start == 0 {
		return fmt.Errorf("largest time at %d, want %d, %v", found, largestAt, err)
	}
	return nil
}

var cleanConfigs = map[string]Config{
	"tiny":   {SegmentBytes: 900, IndexIntervalBytes: 100},
	"dense":  {SegmentBytes: 3000, IndexIntervalBytes: -1, SegmentIndexBytes: 128},
	"sparse": {SegmentBytes: 5000, IndexIntervalBytes: 1 << 20},
}

// TestCleanModel: whatever comes between appends and cleanings, the newest value of every key stays, and offsets and order do.
func TestCleanModel(t *testing.T) {
	for name, cfg := range cleanConfigs {
		removed := int64(0)
		for seed := *modelSeed; seed < *modelSeed+uint64(max(*modelSeeds/2, 1)); seed++ {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				r := newCleanRun(t, seed, cfg)
				if err := r.run(t, 200); err != nil {
					t.Fatalf("%v\n%s", err, strings.Join(r.trace[max(0, len(r.trace)-8):], "\n"))
				}
				removed += r.removed // none where a transaction was open all the time
			})
		}
		if removed == 0 {
			t.Errorf("%s: no pass removed anything", name)
		}
	}
}

func (r *cleanRun) run(t testing.TB, steps int) error {
	r.begin(t)
	for range steps {
		if err := r.step(t); err != nil {
			return err
		}
		if err := r.check(t, r.l); err != nil {
			return err
		}
	}
	return nil
}

// TestCleanModelSeesMistakes: the model test finds a compaction that drops the newest of equal keys, and one that keeps another.
func TestCleanModelSeesMistakes(t *testing.T) {
	for name, mistake := range map[string]func(offset, newest int64) bool{
		"drops the newest of equal keys": func(offset, newest int64) bool { return offset != newest },
		"keeps older records":            func(offset, newest int64) bool { return offset >= newest-3 },
		"loses some of the newest":       func(offset, newest int64) bool { return offset == newest && offset%2 != 0 },
	} {
		found := 0
		for seed := uint64(1); seed <= 5; seed++ {
			r := newCleanRun(t, seed, cleanConfigs["tiny"])
			r.newest = mistake
			if err := r.run(t, 250); err != nil {
				found++
			}
		}
		if found < 4 {
			t.Errorf("a compaction that %s: seen in %d of 5 runs", name, found)
		}
	}
}
