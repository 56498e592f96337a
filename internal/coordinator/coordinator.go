package coordinator

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/record"
)

// Partition is the replica that a machine is kept on; *partition.Partition implements it.
type Partition interface {
	// AppendAs appends a batch if this replica leads in that very epoch and the ISR is large enough.
	AppendAs(b record.Batch, epoch commitlog.LeaderEpoch) (commitlog.AppendInfo, error)
	// CheckAppend says why AppendAs would refuse a batch now, without one.
	CheckAppend(epoch commitlog.LeaderEpoch) error
	Read(r partition.ReadRequest) (partition.ReadResult, error)
	Await(w *partition.Wait) (committed bool, err error)
	Cancel(w *partition.Wait) bool
	Offsets() (logStart, lastStable, highWatermark, logEnd int64)
	HighWatermark() int64
}

// Options configures a Coordinator. All fields but Loaded and Fatal are required.
type Options struct {
	Clock       clock.Clock
	Log         *slog.Logger
	Machine     func(partition int32) Machine // makes an empty machine
	Loaded      func() any                    // a request, without an answer, that each machine is told first after a load; nil: none
	Compression record.Compression            // of the batches
	LoadBytes   int                           // read at once in a load
	// CommitTimeout is how long an answer waits for what was decided to be committed.
	CommitTimeout time.Duration
	// Fatal hears of a panic in a machine: the broker must not go on.
	Fatal func(error)
}

// Coordinator holds the shards that this broker leads: a machine each, with its goroutine.
type Coordinator struct {
	opts       Options
	partitions atomic.Int32 // of the internal topic; 0 until it exists

	// mu guards the shards; it is not held while one works.
	mu struct {
		sync.RWMutex
		shards map[int32]*shard
		closed bool
	}
	running sync.WaitGroup
	loads   chan struct{} // taken by those that load
}

// loadsMax bounds how many shards load at once: each holds LoadBytes.
const loadsMax = 2

// New returns a coordinator that leads nothing yet.
func New(opts Options) *Coordinator {
	c := &Coordinator{opts: opts, loads: make(chan struct{}, loadsMax)}
	c.mu.shards = map[int32]*shard{}
	return c
}

// Resize tells how many partitions the internal topic has, 0 if it does not exist. Kafka never adds any: keys would move.
func (c *Coordinator) Resize(partitions int32) { c.partitions.Store(partitions) }

// Lead makes this broker serve a partition in a leader epoch. A shard of an older epoch ends; the new one loads in the background, and
// lets calls wait for it if there is nothing to load.
func (c *Coordinator) Lead(index int32, epoch commitlog.LeaderEpoch, p Partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.mu.shards[index]
	if c.mu.closed || old != nil && old.epoch >= epoch {
		return
	}
	if old != nil {
		old.end()
	}
	s := newShard(c, index, epoch, p)
	c.mu.shards[index] = s
	c.running.Go(s.run)
}

// Resign ends the service of a partition. Calls under way are answered with ErrNotCoordinator, or as they were decided.
func (c *Coordinator) Resign(index int32) {
	c.mu.Lock()
	s := c.mu.shards[index]
	delete(c.mu.shards, index)
	c.mu.Unlock()
	if s != nil {
		s.end()
	}
}

// Close ends all shards and waits for their goroutines.
func (c *Coordinator) Close() {
	c.mu.Lock()
	c.mu.closed = true
	for _, s := range c.mu.shards {
		s.end()
	}
	clear(c.mu.shards)
	c.mu.Unlock()
	c.running.Wait()
}

// PartitionFor returns the partition of the internal topic that a key belongs to, as every Kafka broker computes it; -1 if there is no
// such topic yet.
func (c *Coordinator) PartitionFor(key string) int32 {
	n := c.partitions.Load()
	if n <= 0 {
		return -1
	}
	return max(0, abs(hashCode(key))) % n // the smallest number has no absolute value and counts as 0
}

func abs(n int32) int32 {
	if n < 0 {
		return -n
	}
	return n
}

// hashCode is Java's String.hashCode, over UTF-16.
func hashCode(s string) (h int32) {
	for _, r := range s {
		if r < 0x10000 {
			h = 31*h + r
			continue
		}
		high, low := utf16.EncodeRune(r)
		h = 31*(31*h+high) + low
	}
	return h
}

// Do hands a request to the machine of the key's partition. done is called once, from any goroutine, and must not block.
func (c *Coordinator) Do(key string, request any, done func(response any, err error)) {
	s := c.shard(c.PartitionFor(key))
	if s == nil {
		done(nil, ErrNotCoordinator)
		return
	}
	if err := s.take(&Call{Request: request, done: done}); err != nil {
		done(nil, err)
	}
}

// All hands a request to every machine that this broker runs and collects the responses in no order. It fails if one of them
// is loading or fails; one whose leadership ends meanwhile is left out.
func (c *Coordinator) All(request any, done func(responses []any, err error)) {
	shards := c.shards()
	var mu sync.Mutex // guards what follows
	var responses []any
	var failed error
	left := len(shards) + 1 // one for this function, so that done is not called before its end
	collect := func(response any, err error) {
		mu.Lock()
		switch {
		case err == nil && response != nil:
			responses = append(responses, response)
		case err != nil && err != ErrNotCoordinator:
			failed = err
		}
		left--
		last := left == 0
		mu.Unlock()
		if last && failed != nil {
			done(nil, failed)
		} else if last {
			done(responses, nil)
		}
	}
	for _, s := range shards {
		if err := s.take(&Call{Request: request, done: collect}); err != nil {
			collect(nil, err)
		}
	}
	collect(nil, nil)
}

// Tell hands a request that is not answered to every machine, also to those that load; they get it afterwards.
func (c *Coordinator) Tell(request any) {
	for _, s := range c.shards() {
		_ = s.take(&Call{Request: request}) // one that has ended need not know
	}
}

func (c *Coordinator) shard(index int32) *shard {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.shards[index]
}

func (c *Coordinator) shards() []*shard {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]*shard, 0, len(c.mu.shards))
	for _, s := range c.mu.shards {
		all = append(all, s)
	}
	return all
}
