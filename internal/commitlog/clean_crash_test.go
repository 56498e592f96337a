package commitlog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// cleanCrash looks at every crash that could happen while a cleanRun goes on.
type cleanCrash struct {
	cleanRun
	t          *testing.T
	points     []cleanPoint
	quiet      bool
	checkpoint int64 // what the cleaner's checkpoint says
	startPoint int64 // what the log start's says
	checked    int
	swaps      int // crashes that left .swap files
}

type cleanPoint struct {
	crashPoint
	cleaned int64
}

// TestCleanCrash crashes at every change of the disk, under every model of what survives: no newest value is lost and none comes back,
// whether a pass was under way, just done, or long over.
func TestCleanCrash(t *testing.T) {
	swaps := 0
	for seed := *modelSeed; seed < *modelSeed+uint64(max(*modelSeeds/4, 1)); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cfg := Config{SegmentBytes: 1200, IndexIntervalBytes: 150}
			r := &cleanCrash{cleanRun: *newCleanRun(t, seed, cfg), t: t}
			r.fsys = func(m *vfs.Mem) vfs.FS { return vfs.NewFault(m, r.hook) }
			r.begin(t)
			for range 80 {
				if err := r.crashStep(); err != nil {
					t.Fatalf("%v\n%s", err, strings.Join(r.trace[max(0, len(r.trace)-6):], "\n"))
				}
			}
			through(t, int64(r.checked))
			swaps += r.swaps
		})
	}
	if swaps == 0 {
		t.Error("no crash fell into an exchange of segments")
	}
}

func (r *cleanCrash) hook(op vfs.Op) error {
	if r.quiet || r.l == nil || !op.Kind.Changes() {
		return nil
	}
	p := cleanPoint{crashPoint{op: op, point: r.w.point, start: r.startPoint, synced: r.l.SyncedEnd(), journal: r.journal}, min(r.checkpoint, r.l.Cleaned())}
	for _, model := range vfs.AllSurvivors {
		p.disks = append(p.disks, r.mem.Peek(model, uint64(op.Change)))
	}
	r.points = append(r.points, p)
	return nil
}

func (r *cleanCrash) crashStep() error {
	before := r.cleanRun // what it knew; slices grow, they do not change
	if err := r.step(r.t); err != nil {
		return err
	}
	if err := r.check(r.t, r.l); err != nil {
		return err
	}
	r.quiet = true
	defer func() { r.quiet, r.points = false, nil }()
	for i := range r.points {
		p := &r.points[i]
		p.synced = min(p.synced, max(r.end, before.hw))
		if r.end < before.end {
			p.synced = min(p.synced, r.end)
		}
		for k, disk := range p.disks {
			r.checked++
			where := fmt.Sprintf("crash %d before %s %s, %v, point %d, synced %d, cleaned %d", r.checked, p.op.Kind, p.op.Name, vfs.AllSurvivors[k], p.point, p.synced, p.cleaned)
			if err := r.recovered(&before, p, disk, where); err != nil {
				return err
			}
		}
	}
	if r.rng.IntN(3) == 0 {
		r.checkpoint, r.startPoint = r.l.Cleaned(), min(r.l.LogStart(), r.l.RecoveryPoint())
	}
	r.checkpoint = min(r.checkpoint, r.l.Cleaned())
	return nil
}

// recovered opens what a crash left, and now and then what a crash in that leaves.
func (r *cleanCrash) recovered(before *cleanRun, p *cleanPoint, disk *vfs.Mem, where string) error {
	swap := false
	entries, _ := disk.ReadDir(testDir + "/" + testID.DirName())
	for _, e := range entries {
		swap = swap || strings.HasSuffix(e.Name(), ".swap")
	}
	if swap {
		r.swaps++
	}
	if swap && r.swaps%12 == 0 {
		var again []*vfs.Mem
		first := disk.Peek(vfs.KeepAll, 0)
		model := vfs.AllSurvivors[r.checked%4]
		fault := vfs.NewFault(first, func(op vfs.Op) error {
			if op.Kind.Changes() {
				again = append(again, first.Peek(model, uint64(op.Change)))
			}
			return nil
		})
		if _, err := r.open(p, fault); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		for i, d := range again {
			if err := r.verify(before, p, d, fmt.Sprintf("%s, again at change %d of the start, %v", where, i, model)); err != nil {
				return err
			}
		}
	}
	return r.verify(before, p, disk, where)
}

func (r *cleanCrash) open(p *cleanPoint, fsys vfs.FS) (*Log, error) {
	w := newWorld(r.t, fsys)
	w.point = p.point
	w.clock.now = r.w.clock.Now()
	l, err := New(testID, Options{Env: w.env, Config: &Config{Durable: true, SegmentBytes: r.cfg.SegmentBytes, IndexIntervalBytes: r.cfg.IndexIntervalBytes},
		Recovery: Recovery{Point: p.point, LogStart: p.start, Cleaned: p.cleaned}})
	if err != nil {
		return nil, err
	}
	if l.Recovered().Lost {
		return nil, fmt.Errorf("lost: end %d, %+v", l.LogEnd(), l.Recovered())
	}
	for _, e := range p.journal {
		if err := replay(l, e); err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
	}
	if l.LogEnd() < p.synced {
		return nil, fmt.Errorf("log ends at %d, %d was synced; %+v", l.LogEnd(), p.synced, l.Recovered())
	}
	return l, nil
}

func (r *cleanCrash) verify(before *cleanRun, p *cleanPoint, disk *vfs.Mem, where string) error {
	l, err := r.open(p, disk)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	for _, name := range []string{".cleaned", ".swap"} {
		entries, _ := disk.ReadDir(l.dir())
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), name) {
				return fmt.Errorf("%s: %s is left", where, e.Name())
			}
		}
	}
	var first error
	for _, known := range []*cleanRun{&r.cleanRun, before} { // after the step, or before it
		m := *known
		m.w, m.mem, m.rng, m.mortal = r.w, disk, r.rng, r.mortal
		m.start, m.epochsFrom, m.cleaned, m.at = l.LogStart(), known.start, before.cleaned, before.at
		m.cut(l.LogEnd())
		if err = m.check(r.t, l); err == nil {
			return r.carryOn(&m, l, where)
		}
		if first == nil {
			first = err
		}
	}
	return fmt.Errorf("%s: log %d to %d: %w", where, l.LogStart(), l.LogEnd(), first)
}

// carryOn compacts what was recovered and opens it again.
func (r *cleanCrash) carryOn(m *cleanRun, l *Log, where string) error {
	if r.checked%5 != 0 {
		return nil
	}
	l.Configure(&r.cfg)
	m.l = l
	m.hw = m.end
	m.mortal = map[int64]int64{}
	for k, v := range r.mortal {
		m.mortal[k] = v
	}
	m.w = &world{fs: r.w.fs, clock: r.w.clock}
	if _, err := l.SyncFiles(); err != nil {
		return err
	}
	if err := m.clean(); err != nil {
		return fmt.Errorf("%s: compacted again: %w", where, err)
	}
	if err := m.check(r.t, l); err != nil {
		return fmt.Errorf("%s: compacted again: %w", where, err)
	}
	if err := l.Close(true); err != nil {
		return err
	}
	w := newWorld(r.t, m.mem)
	l2 := w.open(r.t, r.cfg, Recovery{Clean: true, Point: l.LogEnd(), LogStart: l.LogStart(), Cleaned: l.Cleaned()})
	if rec := l2.Recovered(); rec != (Recovered{}) {
		return fmt.Errorf("%s: recovered %+v after a clean stop", where, rec)
	}
	if err := m.check(r.t, l2); err != nil {
		return fmt.Errorf("%s: compacted and opened again: %w", where, err)
	}
	return nil
}
