// Package repair has damaged segments of this broker's logs repaired from other replicas of their partitions. It is told of damage by whatever meets it, a
// reader, the scrub, the cleaner or a start, logs each place once, and says of a segment whether it is lost. How a segment is repaired is commitlog's, how another
// replica is asked fetcher's; it writes to no log by itself, and decides nothing of leaders and ISRs.
package repair

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/fetcher"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/metrics"
	"github.com/moldau/moldau/internal/partition"
)

// Options configures a Repairer.
type Options struct {
	Broker         int32 // this one
	Clock          clock.Clock
	Log            *slog.Logger
	BytesPerSecond int64                                    // that all repairs together read and write
	Fetcher        *fetcher.Fetcher                         // nil: the node is alone
	Replica        func(folder string) *partition.Partition // whose folder that is, nil if nobody's
	Active         func(broker int32) bool                  // whether a broker can be asked
}

// Stats are what was found and repaired since the start.
type Stats struct {
	Damaged       metrics.Counter // places that were told of
	Repaired      metrics.Counter // places
	RepairedBytes metrics.Counter // that were read from other replicas
}

// Repairer keeps the segments with damage. A few at a time are repaired from other replicas of their partitions, one of a partition; what cannot be is tried again after a
// pause that grows. A segment of a partition that has one replica is forgotten: the scrub finds it again, should there be more then.
type Repairer struct {
	opts  Options
	wake  chan struct{}
	stats Stats
	told  told

	mu      sync.Mutex
	waiting map[string]*damaged // by the path of the .log file
	paid    time.Time           // until then what all of them read and write keeps to the rate
}

// New makes a Repairer, which repairs nothing before Run.
func New(opts Options) *Repairer {
	return &Repairer{opts: opts, wake: make(chan struct{}, 1), waiting: map[string]*damaged{}}
}

// Stats returns what it counts.
func (r *Repairer) Stats() *Stats { return &r.stats }

// Run repairs until ctx ends.
func (r *Repairer) Run(ctx context.Context) {
	var wait sync.WaitGroup
	for range menders {
		wait.Go(func() { r.mend(ctx) })
	}
	wait.Wait()
}

// damaged is one segment that waits.
type damaged struct {
	path  string
	due   time.Time
	pause time.Duration // before the next attempt, where this one fails
	told  string        // the log has this failure
	again bool          // found once more while it was under way
	busy  bool          // it is under way
	lost  bool          // all other replicas said last that they have lost it, too
}

const (
	menders    = 4 // so that a large log does not keep all others waiting
	pauseLeast = time.Second
	pauseMax   = 5 * time.Minute
	waitingMax = 1000 // that wait; others are found again
)

// Add has a segment looked through and repaired. It does not wait.
func (r *Repairer) Add(path string) {
	r.mu.Lock()
	if j := r.waiting[path]; j != nil {
		j.again = true
	} else if len(r.waiting) < waitingMax {
		r.waiting[path] = &damaged{path: path, pause: pauseLeast}
	}
	r.mu.Unlock()
	r.signal()
}

// signal wakes one of those who repair.
func (r *Repairer) signal() {
	select {
	case r.wake <- struct{}{}:
	default: // one signal is enough
	}
}

// next returns the segment that is due first, for the caller to repair, or the time until one is; 0: none waits.
func (r *Repairer) next(now time.Time) (job *damaged, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	busy := map[string]bool{}
	for _, j := range r.waiting {
		busy[filepath.Dir(j.path)] = busy[filepath.Dir(j.path)] || j.busy
	}
	for _, j := range r.waiting {
		if !busy[filepath.Dir(j.path)] && (job == nil || j.due.Before(job.due)) {
			job = j
		}
	}
	if job == nil {
		return nil, 0
	}
	if wait := job.due.Sub(now); wait > 0 {
		return nil, wait
	}
	job.busy, job.again = true, false
	return job, 0
}

// Lost says whether no replica is left to repair a segment from.
func (r *Repairer) Lost(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.waiting[path]
	return j != nil && j.lost
}

// put says how it went: a segment that failed waits on.
func (r *Repairer) put(j *damaged, failed, lost bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j.busy, j.lost = false, lost
	switch {
	case failed:
		j.due, j.pause = now.Add(j.pause), min(2*j.pause, pauseMax)
	case j.again:
		j.due, j.pause = now.Add(pauseLeast), pauseLeast
	default:
		delete(r.waiting, j.path)
	}
}

// Waiting returns how many segments wait to be repaired.
func (r *Repairer) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// mend repairs segments until ctx ends.
func (r *Repairer) mend(ctx context.Context) {
	for {
		job, wait := r.next(r.opts.Clock.Now())
		if job != nil {
			r.signal() // to another, which finds the next or nothing
			over, lost := r.mendOne(ctx, job)
			r.put(job, !over && ctx.Err() == nil, lost, r.opts.Clock.Now())
			r.signal() // others of its partition may be due
			if ctx.Err() != nil {
				return
			}
			continue
		}
		var later <-chan time.Time
		if wait > 0 {
			later = r.opts.Clock.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-later:
		}
	}
}

// errAlone says that a partition has no other replica.
var errAlone = errors.New("the partition has no other replica")

// mendOne repairs a segment, and says whether nothing is left to do, or whether no replica has what is.
func (r *Repairer) mendOne(ctx context.Context, job *damaged) (over, lost bool) {
	p, base := r.replicaOf(job.path)
	if p == nil {
		// It has gone, or is not here yet; of one that stays what is damaged is found again.
		return job.pause > pauseMax/4, false
	}
	lost, err := r.mendFrom(ctx, p, base, job.path)
	switch {
	case ctx.Err() != nil, errors.Is(err, commitlog.ErrClosed), errors.Is(err, errAlone):
		return true, false
	case err != nil:
		if why := err.Error(); why != job.told && !errors.Is(err, commitlog.ErrDisturbed) {
			job.told = why
			r.opts.Log.Warn("a damaged part of a log is not repaired yet, and is tried again", "partition", p.ID().String(), "file", job.path, "lost", lost, "error", err)
		}
		return false, lost
	}
	r.told.forget(job.path)
	return true, false
}

// mended tells what was repaired.
func (r *Repairer) mended(p *partition.Partition, path string, from int32, done commitlog.Repaired) {
	for _, d := range done.Places {
		r.stats.Repaired.Inc()
		r.opts.Log.Info("a damaged part of a log was repaired from another replica", "partition", p.ID().String(), "broker", from,
			"file", path, "position", d.From, "bytes", d.To-d.From, "first offset", d.First, "last offset", d.Next-1)
	}
	r.stats.RepairedBytes.Add(done.Fetched)
}

// replicaOf returns the replica whose .log file that is, and the base of the segment.
func (r *Repairer) replicaOf(path string) (*partition.Partition, int64) {
	base, ok := segment.ParseName(filepath.Base(path), segment.LogSuffix)
	if !ok {
		return nil, -1
	}
	return r.opts.Replica(filepath.Dir(path)), base
}

// mendFrom tries the other replicas of a partition, one after another, until nothing is damaged any more: those in sync first, of these the leader. lost says that
// each of them was asked, and has lost what is left.
func (r *Repairer) mendFrom(ctx context.Context, p *partition.Partition, base int64, path string) (lost bool, err error) {
	a, _ := p.State()
	var others []int32
	for _, group := range [][]int32{{a.Leader}, a.ISR, a.Replicas} {
		for _, id := range group {
			if id != r.opts.Broker && id != metadata.NoLeader && !slices.Contains(others, id) {
				others = append(others, id)
			}
		}
	}
	switch {
	case r.opts.Fetcher == nil, len(a.Replicas) == 1 && len(others) == 0:
		return false, errAlone
	case a.Leader == metadata.NoLeader:
		return false, errors.New("the partition has no leader")
	}
	lost, err = true, errors.New("no broker with another replica is there")
	for _, id := range others {
		if !r.opts.Active(id) {
			lost = false
			continue
		}
		var done commitlog.Repaired
		if done, err = r.mendWith(ctx, p, base, id, a.LeaderEpoch); err == nil {
			r.mended(p, path, id, done)
			err = done.Left
		}
		if err == nil || ctx.Err() != nil {
			return false, err
		}
		lost = lost && errors.Is(err, commitlog.ErrLost)
		err = fmt.Errorf("broker %d: %w", id, err)
		if errors.Is(err, commitlog.ErrDisturbed) || errors.Is(err, commitlog.ErrUncommitted) || errors.Is(err, commitlog.ErrClosed) {
			break // with any other it is the same
		}
	}
	return lost, err
}

func (r *Repairer) mendWith(ctx context.Context, p *partition.Partition, base int64, broker int32, epoch commitlog.LeaderEpoch) (commitlog.Repaired, error) {
	c, err := r.opts.Fetcher.Committed(ctx, broker, p.ID(), epoch)
	if err != nil {
		return commitlog.Repaired{}, err
	}
	defer c.Close()
	pace := pacer{ctx: ctx, r: r}
	return p.Log().Repair(base, commitlog.RepairOptions{HighWatermark: p.HighWatermark(), Fetch: c.Read, Throttle: pace.pay})
}

// pacer waits as long as what a repair reads and writes may take, with all others.
type pacer struct {
	ctx    context.Context
	r      *Repairer
	unpaid int64
}

// pacerBurst is what is read and written without a pause.
const pacerBurst = 1 << 20

func (p *pacer) pay(bytes int) error {
	if p.unpaid += int64(bytes); p.unpaid < pacerBurst {
		return p.ctx.Err()
	}
	d := p.r.spend(p.r.opts.Clock.Now(), time.Duration(float64(p.unpaid)/float64(p.r.opts.BytesPerSecond)*float64(time.Second)))
	p.unpaid = 0
	select {
	case <-p.ctx.Done():
		return p.ctx.Err()
	case <-p.r.opts.Clock.After(d):
		return nil
	}
}

// spend returns how long to wait for something that takes so long at the rate of all.
func (r *Repairer) spend(now time.Time, d time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paid.Before(now) {
		r.paid = now
	}
	r.paid = r.paid.Add(d)
	return r.paid.Sub(now)
}
