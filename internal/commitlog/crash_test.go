package commitlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// crashPoint is what the disk may hold at one moment, and what was promised by then.
type crashPoint struct {
	disks  []*vfs.Mem
	op     vfs.Op
	point  int64 // recovery point checkpoint
	start  int64 // log start checkpoint
	synced int64 // what was reported durable
	// journal is what the shared log of the directory holds.
	journal []journalEntry
}

// journalEntry is what one call of ReadUnsynced returned.
type journalEntry struct {
	from  int64
	batch []byte
}

// replay puts an entry back, as a start does. All below it was synced when it was written, in files or in entries before it: a log that ends below has lost that.
func replay(l *Log, e journalEntry) error {
	if end := l.LogEnd(); e.from > end {
		return fmt.Errorf("the journal goes on at %d, the log ends at %d", e.from, end)
	}
	return l.Replay(e.batch)
}

// crashRun drives a log through random operations and looks at every crash that could happen on the way.
type crashRun struct {
	modelRun
	points  []crashPoint
	states  [][]record.Batch // what the log held since it was last synced whole: each may come back
	start   int64            // log start checkpoint
	journal []journalEntry
	quiet   bool
	checked int
}

// TestCrash crashes at every write, sync, rename and removal, under every model of what survives: what was synced is there, nothing else
// but a prefix of what was appended is, and the derived state is that of the batches.
func TestCrash(t *testing.T) {
	for seed := uint64(1); seed <= uint64(fewer(4)); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cfg := Config{SegmentBytes: 1500, IndexIntervalBytes: 150, Durable: true, Delete: true, RetentionAge: -1, RetentionBytes: 9000}
			r := &crashRun{modelRun: modelRun{t: t, rng: rand.New(rand.NewPCG(seed, 3)), mem: vfs.NewMem(), cfg: cfg, now: 1000}}
			r.m.lastSeq = map[int64]int32{}
			r.states = [][]record.Batch{nil}
			r.w = newWorld(t, vfs.NewFault(r.mem, r.hook))
			r.w.onTruncated = func(*Log) { r.journal = nil } // what was in it is synced or cut
			r.l = r.w.open(t, cfg, Recovery{Missing: true})
			for range 100 {
				r.crashStep()
			}
			r.quiet = true
			through(t, int64(r.checked))
		})
	}
}

func (r *crashRun) hook(op vfs.Op) error {
	if r.quiet || r.l == nil || !op.Kind.Changes() {
		return nil
	}
	p := crashPoint{op: op, point: r.w.point, start: r.start, synced: r.l.SyncedEnd(), journal: r.journal}
	for _, model := range vfs.AllSurvivors {
		p.disks = append(p.disks, r.mem.Peek(model, uint64(op.Change)))
	}
	r.points = append(r.points, p)
	return nil
}

func (r *crashRun) crashStep() {
	before := r.m.end
	switch k := r.rng.IntN(100); {
	case k < 50:
		r.append()
	case k < 65:
		r.appendReplica()
	case k < 72:
		r.epoch++ // another leader decided on the cut; its batches have its epoch
		r.truncate()
	case k < 78:
		_, err := r.l.DeleteOld(r.w.clock.Now(), min(r.m.end, r.l.SyncedEnd()))
		r.must(err)
		r.m.start = r.l.LogStart()
	case k < 86:
		end, err := r.l.SyncFiles()
		r.must(err)
		r.w.point = end
	case k < 96:
		b, from, end, err := r.l.ReadUnsynced(nil)
		r.must(err)
		r.journal = append(r.journal[:len(r.journal):len(r.journal)], journalEntry{from, b})
		r.l.SetSynced(end)
	default:
		r.must(r.l.Close(true))
		r.l = r.w.open(r.t, r.cfg, Recovery{Clean: true, Point: r.m.end, LogStart: r.m.start})
		r.m.epochs.TruncateEnd(r.m.end)
		r.w.point = r.m.end
	}
	r.states = append(r.states, r.m.batches)
	for i := range r.points {
		r.points[i].synced = min(r.points[i].synced, max(before, r.m.end)) // a cut takes synced batches away
		if r.m.end < before {
			r.points[i].synced = min(r.points[i].synced, r.m.end)
		}
		r.checkPoint(&r.points[i])
	}
	r.points = nil
	if r.l.RecoveryPoint() == r.m.end {
		r.states, r.start, r.journal = [][]record.Batch{r.m.batches}, r.m.start, nil
	}
}

func (r *crashRun) checkPoint(p *crashPoint) {
	for i, disk := range p.disks {
		r.checked++
		r.recover(p, disk, vfs.AllSurvivors[i])
	}
}

func (r *crashRun) recover(p *crashPoint, disk *vfs.Mem, model vfs.Survivors) {
	t := r.t
	t.Helper()
	where := fmt.Sprintf("crash before %s %s, %v, point %d, synced %d", p.op.Kind, p.op.Name, model, p.point, p.synced)
	w := newWorld(t, disk)
	w.point = p.point
	l, err := New(testID, Options{Env: w.env, Config: &r.cfg, Recovery: Recovery{Point: p.point, LogStart: p.start}})
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if l.Recovered().Lost {
		t.Fatalf("%s: lost: end %d, %+v", where, l.LogEnd(), l.Recovered())
	}
	for range 2 { // the second time is for a crash in the first
		for _, e := range p.journal {
			if err := replay(l, e); err != nil {
				t.Fatalf("%s: replay: %v", where, err)
			}
		}
	}
	if l.LogEnd() < p.synced {
		t.Fatalf("%s: log ends at %d, %d was synced; %+v", where, l.LogEnd(), p.synced, l.Recovered())
	}
	got := readAll(t, l, l.LogStart())
	history := r.match(got, l)
	if history == nil {
		t.Fatalf("%s: log from %d has\n%s\nwhich no state has; last\n%s", where, l.LogStart(), offsets(got), offsets(r.m.batches))
	}
	r.derived(where, l, history, got)
	if len(got) > 0 && r.checked%9 < 2 {
		if err := sentAgain(l, history, func(b record.Batch) bool { return b.LastOffset() >= l.segments()[0].Base() }); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
	}
	if r.checked%9 == 0 {
		r.carryOn(where, w, l, got)
	}
}

// match returns the batches of the state of which the log holds the end part, up to the log's end.
func (r *crashRun) match(got []record.Batch, l *Log) []record.Batch {
	for i := len(r.states) - 1; i >= 0; i-- {
		state := r.states[i]
		k := 0
		for k < len(state) && state[k].NextOffset() <= l.LogEnd() {
			k++
		}
		state = state[:k]
		if len(got) <= len(state) && bytes.Equal(join(state[len(state)-len(got):]), join(got)) &&
			(len(got) > 0 || l.LogStart() == l.LogEnd()) {
			return append([]record.Batch{}, state...)
		}
	}
	return nil
}

// derived compares epochs and producers with a scan.
func (r *crashRun) derived(where string, l *Log, history, got []record.Batch) {
	t := r.t
	var epochs epoch.Cache
	for _, b := range got {
		if latest, ok := epochs.Latest(); !ok || b.LeaderEpoch() > latest {
			epochs.Assign(b.LeaderEpoch(), b.BaseOffset())
		}
	}
	have := l.Epochs()
	if len(have) > 0 && len(got) > 0 {
		have[0].Start = got[0].BaseOffset()
	}
	if len(got) > 0 && fmt.Sprint(have) != fmt.Sprint(epochs.Entries()) {
		t.Fatalf("%s: epochs %v, want %v", where, have, epochs.Entries())
	}
	var state producer.State
	for _, b := range history {
		state.Update(b)
	}
	if want, have := state.Encode(), l.mu.producers.Encode(); !bytes.Equal(want, have) && len(got) > 0 {
		t.Fatalf("%s: log %d to %d, %+v: producers\n%x, want\n%x", where, l.LogStart(), l.LogEnd(), l.Recovered(), have, want)
	}
}

// carryOn appends to a recovered log and opens it again.
func (r *crashRun) carryOn(where string, w *world, l *Log, got []record.Batch) {
	t := r.t
	b := batchSpec{n: 2, ts: 1, size: 300}.build()
	if _, err := l.Append(b, LeaderEpoch(r.epoch+10)); err != nil {
		t.Fatalf("%s: append: %v", where, err)
	}
	if err := l.Close(true); err != nil {
		t.Fatalf("%s: close: %v", where, err)
	}
	l2 := w.open(t, r.cfg, Recovery{Clean: true, Point: l.LogEnd(), LogStart: l.LogStart()})
	if again := readAll(t, l2, l2.LogStart()); offsets(again) != offsets(append(got[:len(got):len(got)], b)) {
		t.Fatalf("%s: after another append\n%s, want\n%s and the new", where, offsets(again), offsets(got))
	}
	if rec := l2.Recovered(); rec != (Recovered{}) {
		t.Fatalf("%s: recovered %+v after a clean stop", where, rec)
	}
}
