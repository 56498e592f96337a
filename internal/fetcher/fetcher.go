package fetcher

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/replica"
	"github.com/moldau/moldau/internal/uuid"
)

// Replica is a replica that may follow. *partition.Partition implements it.
type Replica interface {
	ID() commitlog.ID
	// NextFetch is what it is to ask its leader next; false where it follows nobody, or is at work on an answer.
	NextFetch() (leader int32, r replica.FetchRequest, ok bool)
	// AppendAsFollower takes the answer to a fetch.
	AppendAsFollower(r replica.FetchRequest, a replica.FetchAnswer, batches []byte) error
}

// Options configures a Fetcher. All fields are required.
type Options struct {
	Broker  int32
	Network network.Network
	Clock   clock.Clock
	Log     *slog.Logger
	// Address says where a broker takes the requests of others; false where that is not known.
	Address func(broker int32) (address string, ok bool)
	Settings
}

// Settings are Kafka's of the same names.
type Settings struct {
	WaitMax          time.Duration // replica.fetch.wait.max.ms
	MinBytes         int           // replica.fetch.min.bytes
	MaxBytes         int           // replica.fetch.max.bytes, of a partition
	ResponseMaxBytes int           // replica.fetch.response.max.bytes
	Backoff          time.Duration // replica.fetch.backoff.ms
	Timeout          time.Duration // replica.socket.timeout.ms
}

// Fetcher lets the replicas of a broker follow.
type Fetcher struct {
	options Options
	life    context.Context
	end     context.CancelFunc
	work    sync.WaitGroup // a goroutine a source, the reader of its connection, and one for each log that is to be cut
	cutting chan struct{}  // those that are at it

	mu      sync.Mutex // guards what follows, and all of sources and follows; the lock of a replica's state is taken after it
	closed  bool
	all     map[Replica]*follow
	sources map[int32]*source
}

// key names a partition.
type key struct {
	topic  uuid.UUID
	number int32
}

// follow is a replica that follows.
type follow struct {
	replica Replica
	key     key
	source  *source
	asked   replica.FetchRequest // what the leader was asked last
	waits   bool                 // an answer to it is to come
	synced  int64                // as it was told last
	start   int64                // of the log, the same
	again   bool                 // it is to be told once more
	busy    bool                 // an answer is taken to the replica
	dirty   bool                 // in source.dirty: there may be something to tell or to ask
	held    bool                 // in source.held, until a pause is over
	until   time.Time            // of the pause
	pause   time.Duration        // the last one; 0 while all goes well
	told    bool                 // the log has what is wrong
}

// cutsMax bounds the logs that are cut at the same time: a disk syncs some together hardly slower than one.
const cutsMax = 8

// New returns a fetcher that follows nobody yet.
func New(o Options) *Fetcher {
	f := &Fetcher{options: o, cutting: make(chan struct{}, cutsMax), all: make(map[Replica]*follow), sources: make(map[int32]*source)}
	f.life, f.end = context.WithCancel(context.Background())
	return f
}

// Close ends all connections and returns when nothing is left. What is changed later is passed over.
func (f *Fetcher) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.end()
	f.work.Wait()
}

// Changed is told when a replica may have something new to ask, or nothing any more. It does not wait.
func (f *Fetcher) Changed(r Replica) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.lookLocked(r, nil)
	}
}

// lookLocked takes over what a replica is to ask, and whom, for a source that is about to speak, or for nobody.
func (f *Fetcher) lookLocked(r Replica, speaks *source) {
	st := f.all[r]
	if st != nil && st.busy {
		return // it is looked at again when that is done
	}
	leader, next, ok := r.NextFetch()
	if !ok {
		if st != nil {
			st.source.drop(st)
			delete(f.all, r)
		}
		return
	}
	if st == nil {
		id := r.ID()
		st = &follow{replica: r, key: key{id.TopicID, id.Partition}}
		f.all[r] = st
	}
	if st.source == nil || st.source.broker != leader {
		if st.source != nil {
			st.source.drop(st)
		}
		f.sourceLocked(leader).add(st)
	}
	if next.LeaderEpoch != st.asked.LeaderEpoch || next.BrokerEpoch != st.asked.BrokerEpoch {
		st.waits, st.until, st.pause, st.told = false, time.Time{}, 0, false
	}
	if next.Outside {
		st.source.outside[st] = struct{}{}
	} else {
		delete(st.source.outside, st)
	}
	if st.source.mark(st); st.source != speaks {
		st.source.signal()
	}
}

// sourceLocked returns the source for a broker.
func (f *Fetcher) sourceLocked(broker int32) *source {
	s := f.sources[broker]
	if s == nil {
		s = &source{f: f, broker: broker, wake: make(chan struct{}, 1), parts: make(map[key]*follow), outside: make(map[*follow]struct{})}
		f.sources[broker] = s
		f.work.Go(s.run)
	}
	return s
}

// Following is how many replicas follow somebody.
func (f *Fetcher) Following() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}
