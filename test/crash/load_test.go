package crash

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 6

// seeds are the brokers of a list with commas.
func seeds(addr string) kgo.Opt { return kgo.SeedBrokers(strings.Split(addr, ",")...) }

// load is the producers, which live through every kill, and what was acknowledged to them.
type load struct {
	idempotent, plain string // topics, each written by one kind of producer
	producers         []*producer
	acked             atomic.Int64
	failed            atomic.Pointer[error]
	pace              time.Duration   // between some records of a producer; 0: as fast as it can
	alive             context.Context // ends when a test is given up, so that no producer waits for a broker that is gone
	abort             context.CancelFunc
}

// producer numbers its records in each partition: a record's value begins with its producer and its number.
type producer struct {
	id     uint32
	topic  string
	client *kgo.Client
	random *rand.Rand
	next   [partitions]uint64

	mu    sync.Mutex
	acked [partitions][]int64 // by number: the offset that was acknowledged, -1 where none was
}

func newLoad(t *testing.T, addr string, seed int64, durability string) *load {
	t.Helper()
	l := &load{idempotent: fmt.Sprintf("crash-idempotent-%d", seed), plain: fmt.Sprintf("crash-plain-%d", seed)}
	l.alive, l.abort = context.WithCancel(context.Background())
	t.Cleanup(l.close)
	cl, err := kgo.NewClient(seeds(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var configs map[string]*string
	if *bootstrap == "" {
		configs = map[string]*string{"durability": &durability}
	}
	for _, topic := range []string{l.idempotent, l.plain} {
		if _, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, -1, configs, topic); err != nil {
			t.Fatalf("create topic: %v", err)
		}
	}
	for i := range 5 {
		p := &producer{id: uint32(i), topic: l.idempotent, random: rand.New(rand.NewSource(seed + int64(i)))}
		opts := []kgo.Opt{seeds(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(300),
			kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MetadataMinAge(20 * time.Millisecond), kgo.AlwaysRetryEOF(),
			kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.StopProducerOnDataLossDetected()}
		if i >= 3 { // without idempotence a retry may repeat records, and only one request in flight keeps their order
			p.topic = l.plain
			opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
		}
		if p.client, err = kgo.NewClient(opts...); err != nil {
			t.Fatal(err)
		}
		l.producers = append(l.producers, p)
	}
	return l
}

func (l *load) close() {
	l.abort()
	for _, p := range l.producers {
		p.client.Close()
	}
}

// run produces as long as during takes.
func (l *load) run(during func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, p := range l.producers {
		wg.Go(func() {
			for ctx.Err() == nil && l.failed.Load() == nil {
				l.produce(p)
				if l.pace > 0 && p.random.Intn(4) == 0 {
					<-time.After(l.pace)
				}
			}
		})
	}
	finished := false
	defer func() {
		if !finished {
			l.abort()
		}
		cancel()
		wg.Wait()
	}()
	during()
	finished = true
}

// produce sends one record; it waits while 300 are unacknowledged. Most are small and some are not, so that
// each way of making them durable is taken.
func (l *load) produce(p *producer) {
	size := 12 + p.random.Intn(500)
	if p.random.Intn(500) == 0 {
		size = 200_000
	}
	part := p.random.Intn(partitions)
	number := p.next[part]
	p.next[part]++
	value := make([]byte, size)
	binary.BigEndian.PutUint32(value, p.id)
	binary.BigEndian.PutUint64(value[4:], number)
	p.client.Produce(l.alive, &kgo.Record{Topic: p.topic, Partition: int32(part), Value: value}, func(r *kgo.Record, err error) {
		if err != nil {
			err = fmt.Errorf("producer %d, record %d of partition %d: %w", p.id, number, part, err)
			l.failed.CompareAndSwap(nil, &err)
			return
		}
		p.mu.Lock()
		for uint64(len(p.acked[part])) <= number {
			p.acked[part] = append(p.acked[part], -1)
		}
		p.acked[part][number] = r.Offset
		p.mu.Unlock()
		l.acked.Add(1)
	})
}

// awaitAcks returns after n more acknowledgements.
func (l *load) awaitAcks(t *testing.T, n int64) {
	t.Helper()
	end := time.Now().Add(2 * time.Minute)
	for until := l.acked.Load() + n; l.acked.Load() < until; {
		if err := l.failed.Load(); err != nil {
			t.Fatal(*err)
		}
		if time.Now().After(end) {
			t.Fatal("the producers get no acknowledgements")
		}
		<-time.After(time.Millisecond)
	}
}

// flush returns when all that was sent is acknowledged.
func (l *load) flush(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, p := range l.producers {
		if err := p.client.Flush(ctx); err != nil {
			t.Fatalf("flush: %v", err)
		}
	}
	if err := l.failed.Load(); err != nil {
		t.Fatal(*err)
	}
}
