package broker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/metrics"
	"github.com/moldau/moldau/internal/partition"
)

// repairs are the segments with damage. One after another is repaired from another replica of its partition; what cannot be is tried again after a
// pause that grows. A segment of a partition that has one replica is forgotten: the scrub finds it again, should there be more then.
type repairs struct {
	wake chan struct{}

	mu      sync.Mutex
	waiting map[string]*repair // by the path of the .log file
}

// repair is one segment that waits.
type repair struct {
	path  string
	due   time.Time
	pause time.Duration // before the next attempt, where this one fails
	told  string        // the log has this failure
	again bool          // found once more while it was under way
}

const (
	repairPause    = time.Second
	repairPauseMax = 5 * time.Minute
	repairsMax     = 1000 // that wait; others are found again
)

// add has a segment looked through and repaired. It does not wait.
func (r *repairs) add(path string) {
	r.mu.Lock()
	if j := r.waiting[path]; j != nil {
		j.again = true
	} else if len(r.waiting) < repairsMax {
		r.waiting[path] = &repair{path: path, pause: repairPause}
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default: // one signal is enough
	}
}

// next returns the segment that is due first, and when; nil: none waits.
func (r *repairs) next() (job *repair, due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.waiting {
		if job == nil || j.due.Before(due) {
			job, due = j, j.due
			j.again = false
		}
	}
	return job, due
}

// put says how it went: a segment that failed waits on.
func (r *repairs) put(j *repair, failed bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case failed:
		j.due, j.pause = now.Add(j.pause), min(2*j.pause, repairPauseMax)
	case j.again:
		j.due, j.pause = now.Add(repairPause), repairPause
	default:
		delete(r.waiting, j.path)
	}
}

func (r *repairs) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// mend repairs segments until ctx ends.
func (b *Broker) mend(ctx context.Context) {
	r := &b.repairs
	for {
		job, due := r.next()
		var later <-chan time.Time
		if job != nil {
			if wait := due.Sub(b.opts.Clock.Now()); wait > 0 {
				later = b.opts.Clock.After(wait)
			} else {
				failed := !b.mendOne(ctx, job)
				r.put(job, failed && ctx.Err() == nil, b.opts.Clock.Now())
				if ctx.Err() != nil {
					return
				}
				continue
			}
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

// mendOne repairs a segment, and says whether nothing is left to do.
func (b *Broker) mendOne(ctx context.Context, job *repair) (over bool) {
	p, base := b.hostedAt(job.path)
	if p == nil {
		// It has gone, or is not here yet; of one that stays what is damaged is found again.
		return job.pause > repairPauseMax/4
	}
	done, from, err := b.mendFrom(ctx, p, base)
	switch {
	case ctx.Err() != nil, errors.Is(err, commitlog.ErrClosed), errors.Is(err, errAlone):
		return true
	case err != nil:
		if why := err.Error(); why != job.told && !errors.Is(err, commitlog.ErrDisturbed) {
			job.told = why
			b.opts.Log.Warn("a damaged part of a log is not repaired yet, and is tried again", "partition", p.ID().String(), "file", job.path, "error", err)
		}
		return false
	}
	b.forgetDamages(job.path)
	for _, d := range done.Places {
		b.counts.repaired.Inc()
		b.opts.Log.Info("a damaged part of a log was repaired from another replica", "partition", p.ID().String(), "broker", from,
			"file", job.path, "position", d.From, "bytes", d.To-d.From, "first offset", d.First, "last offset", d.Next-1)
	}
	b.counts.repairedBytes.Add(done.Fetched)
	return true
}

// hostedAt returns the replica whose .log file that is, and the base of the segment.
func (b *Broker) hostedAt(path string) (*partition.Partition, int64) {
	base, ok := segment.ParseName(filepath.Base(path), segment.LogSuffix)
	folder := filepath.Dir(path)
	for p := range b.replicas.all() {
		if ok && p.ID().DirName() == filepath.Base(folder) && b.dirs[p.dir].Path() == filepath.Dir(folder) {
			return p.Partition, base
		}
	}
	return nil, -1
}

// mendFrom tries the other replicas of a partition, one after another: those in sync first, of these the leader.
func (b *Broker) mendFrom(ctx context.Context, p *partition.Partition, base int64) (done commitlog.Repaired, from int32, err error) {
	a, _ := p.State()
	var others []int32
	for _, group := range [][]int32{{a.Leader}, a.ISR, a.Replicas} {
		for _, id := range group {
			if id != b.opts.Config.NodeID && id != metadata.NoLeader && !slices.Contains(others, id) {
				others = append(others, id)
			}
		}
	}
	switch {
	case b.fetcher == nil, len(a.Replicas) == 1 && len(others) == 0:
		return done, from, errAlone
	case a.Leader == metadata.NoLeader:
		return done, from, errors.New("the partition has no leader")
	}
	err = errors.New("no broker with another replica is there")
	for _, id := range others {
		if !b.replicas.brokers.Broker(id).Active() {
			continue
		}
		if done, err = b.mendWith(ctx, p, base, id, a.LeaderEpoch); err == nil || ctx.Err() != nil {
			return done, id, err
		}
		err = fmt.Errorf("broker %d: %w", id, err)
		if errors.Is(err, commitlog.ErrDisturbed) || errors.Is(err, commitlog.ErrUncommitted) || errors.Is(err, commitlog.ErrClosed) {
			break // with any other it is the same
		}
	}
	return done, from, err
}

func (b *Broker) mendWith(ctx context.Context, p *partition.Partition, base int64, broker int32, epoch commitlog.LeaderEpoch) (commitlog.Repaired, error) {
	c, err := b.fetcher.Committed(ctx, broker, p.ID(), epoch)
	if err != nil {
		return commitlog.Repaired{}, err
	}
	defer c.Close()
	_, rate := b.opts.Config.Scrub()
	pace := pacer{ctx: ctx, b: b, rate: rate}
	return p.Log().Repair(base, commitlog.RepairOptions{HighWatermark: p.HighWatermark(), Fetch: c.Read, Throttle: pace.pay})
}

// pacer waits as long as what a repair reads and writes may take.
type pacer struct {
	ctx    context.Context
	b      *Broker
	rate   int64
	unpaid int64
}

// pacerBurst is what is read and written without a pause.
const pacerBurst = 1 << 20

func (p *pacer) pay(bytes int) error {
	if p.unpaid += int64(bytes); p.unpaid < pacerBurst {
		return p.ctx.Err()
	}
	d := time.Duration(float64(p.unpaid) / float64(p.rate) * float64(time.Second))
	p.unpaid = 0
	select {
	case <-p.ctx.Done():
		return p.ctx.Err()
	case <-p.b.opts.Clock.After(d):
		return nil
	}
}

// scrapeRepairs tells what was repaired and what waits.
func (b *Broker) scrapeRepairs(s *metrics.Scrape) {
	s.Count(metrics.Repaired, b.counts.repaired.Load())
	s.Count(metrics.RepairedBytes, b.counts.repairedBytes.Load())
	s.Count(metrics.RepairsWaiting, int64(b.repairs.count()))
}
