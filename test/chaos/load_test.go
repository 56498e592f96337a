package chaos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	partitions = 6    // of each topic
	steady     = 3    // producers of the idempotent topic
	fewest     = 12   // bytes of a record
	most       = 2000 // of nearly all
)

// load is the clients. They live through everything, and know nothing of what happens to the brokers.
type load struct {
	c          *checker
	seeds      []string
	patient    bool // clients have the settings that franz-go gives them
	prefix     string
	idempotent string // topic of idempotent producers, which the groups read as well
	plain      string // topic of one without
	plainID    [16]byte
	producers  []*producer
	readers    []*reader
	groups     []*group
	registers  []*register
	pulses     []*pulse
	born       uint32 // producers

	alive     context.Context // ends when the clients are to end
	abort     context.CancelFunc
	producing context.Context // ends before
	enough    context.CancelFunc
	running   sync.WaitGroup
	sending   sync.WaitGroup

	acked, commits, reads atomic.Int64
	unconnected           atomic.Int64 // single requests that a client gave up with their connection
}

// startLoad makes topics and begins to produce and to consume.
func startLoad(c *checker, seeds []string, random *rand.Rand, patient bool) (*load, error) {
	l := &load{c: c, seeds: seeds, patient: patient, prefix: fmt.Sprintf("chaos-%06d", random.Intn(1_000_000))}
	l.idempotent, l.plain = l.prefix+"-idempotent", l.prefix+"-plain"
	l.alive, l.abort = context.WithCancel(context.Background())
	l.producing, l.enough = context.WithCancel(l.alive)
	if err := l.makeTopics(); err != nil {
		return l, err
	}
	for range steady {
		if err := l.newProducer(l.idempotent, random); err != nil {
			return l, err
		}
	}
	if err := l.newProducer(l.plain, random); err != nil {
		return l, err
	}
	for _, topic := range []string{l.idempotent, l.plain} {
		r := l.newReader("the reader of all the time", topic, true)
		if err := r.start(l.alive); err != nil {
			return l, err
		}
		l.readers = append(l.readers, r)
	}
	for i, balancer := range []kgo.GroupBalancer{kgo.CooperativeStickyBalancer(), kgo.RangeBalancer()} {
		g := l.newGroup(fmt.Sprintf("%s-group-%d", l.prefix, i), balancer)
		for range 2 {
			if err := g.join(); err != nil {
				return l, err
			}
		}
		l.groups = append(l.groups, g)
	}
	for i := range 3 {
		r := &register{l: l, group: fmt.Sprintf("%s-register-%d", l.prefix, i)}
		r.writes, r.reads = l.pulse("commits of "+r.group), l.pulse("reads of "+r.group)
		if err := r.start(); err != nil {
			return l, err
		}
		l.registers = append(l.registers, r)
	}
	for i, addr := range seeds {
		if err := l.watch(i+1, addr); err != nil {
			return l, err
		}
	}
	return l, nil
}

// learned is when every broker must know topics that were made just now; on a machine that has just started three brokers and all clients that may take a while.
const learned = bound

// watch asks one broker all the time for the topics. While it does not serve it does not answer; when it answers it has to know them, once it has learned
// of them, or clients would take them for deleted.
func (l *load) watch(broker int, addr string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestRetries(0), kgo.Dialer(dial))
	if err != nil {
		return err
	}
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range []string{l.idempotent, l.plain} {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		req.Topics = append(req.Topics, topic)
	}
	p := l.pulse(fmt.Sprintf("metadata of broker %d", broker))
	l.running.Go(func() {
		defer cl.Close()
		known, began := false, time.Now()
		for ; l.alive.Err() == nil; <-time.After(10 * time.Millisecond) {
			resp, err := ask(l.alive, cl, req)
			if err != nil {
				continue
			}
			p.beat()
			missing := 0
			for _, topic := range resp.(*kmsg.MetadataResponse).Topics {
				if topic.ErrorCode == 0 && len(topic.Partitions) == partitions {
					continue
				}
				if missing++; known || time.Since(began) > learned {
					l.c.add(forgotten, "broker %d says of topic %s: error %v, %d partitions", broker, *topic.Topic, kerr.ErrorForCode(topic.ErrorCode), len(topic.Partitions))
				}
			}
			known = known || missing == 0
		}
	})
	return nil
}

func (l *load) pulse(name string) *pulse {
	p := newPulse(name)
	l.pulses = append(l.pulses, p)
	return p
}

// churn has one producer vanish with all that it has not got acknowledged, and a new one come, and one member of a group leave and a new one come.
func (l *load) churn(random *rand.Rand) error {
	i := slices.IndexFunc(l.producers, func(p *producer) bool { return p.topic == l.idempotent }) // the oldest one
	old := l.producers[i]
	l.producers = slices.Delete(l.producers, i, i+1)
	l.pulses = slices.DeleteFunc(l.pulses, func(p *pulse) bool { return slices.Contains(old.acks[:], p) })
	old.vanish()
	if err := l.newProducer(l.idempotent, random); err != nil {
		return err
	}
	g := l.groups[random.Intn(len(l.groups))]
	if err := g.join(); err != nil {
		return err
	}
	g.leave()
	return nil
}

// close ends all clients, whatever they do.
func (l *load) close() {
	l.abort()
	for _, p := range l.producers {
		p.client.Close()
	}
	l.sending.Wait()
	l.running.Wait()
}

// options are those of every client. Impatient ones soon notice what has changed.
func (l *load) options(own ...kgo.Opt) []kgo.Opt {
	all := []kgo.Opt{kgo.SeedBrokers(l.seeds...)}
	if !l.patient {
		all = append(all, kgo.MetadataMinAge(20*time.Millisecond), kgo.AlwaysRetryEOF(), kgo.RequestRetries(1000), kgo.Dialer(dial),
			kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	}
	return append(all, own...)
}

// dial makes connections that take back what they have not delivered when they are closed. Otherwise a commit that a client has given up and made anew
// may arrive behind a later one, once a cut is mended, and nobody could tell.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetLinger(0)
}

func (l *load) makeTopics() error {
	cl, err := kgo.NewClient(l.options()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	l.c.topic(l.idempotent, partitions, false)
	l.c.topic(l.plain, partitions, true)
	ctx, cancel := context.WithTimeout(l.alive, time.Minute)
	defer cancel()
	admin := kadm.NewClient(cl)
	for _, topic := range []string{l.idempotent, l.plain} {
		for { // until three brokers have registered
			made, err := admin.CreateTopic(ctx, partitions, brokers, nil, topic)
			l.plainID = made.ID // the last one's
			if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
				break
			}
			if ctx.Err() != nil || !errors.Is(err, kerr.InvalidReplicationFactor) {
				return fmt.Errorf("create topic: %w", err)
			}
			<-time.After(50 * time.Millisecond)
		}
	}
	for l.plainID == [16]byte{} { // it was made by a request whose answer was lost
		topics, err := admin.ListTopics(ctx, l.plain)
		if ctx.Err() != nil {
			return fmt.Errorf("find topic: %w", err)
		}
		l.plainID = topics[l.plain].ID
		<-time.After(50 * time.Millisecond)
	}
	return nil
}

// producer numbers its records in each partition: a record's value begins with its producer and its number.
type producer struct {
	l      *load
	id     uint32
	topic  string
	client *kgo.Client
	random *rand.Rand
	next   [partitions]uint32
	acks   [partitions]*pulse
	gone   atomic.Bool
}

func (l *load) newProducer(topic string, random *rand.Rand) (err error) {
	l.born++
	p := &producer{l: l, id: l.born, topic: topic, random: rand.New(rand.NewSource(random.Int63()))}
	opts := l.options(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(500), kgo.StopProducerOnDataLossDetected())
	if !l.patient {
		opts = append(opts, kgo.ProducerLinger(0), kgo.ProduceRequestTimeout(3*time.Second), kgo.RequestTimeoutOverhead(2*time.Second))
	}
	if topic == l.plain { // a retry may repeat records, and only one request in flight keeps their order
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	if p.client, err = kgo.NewClient(opts...); err != nil {
		return err
	}
	for part := range p.acks {
		p.acks[part] = l.pulse(fmt.Sprintf("acknowledgements of producer %d in %s-%d", p.id, topic, part))
	}
	l.producers = append(l.producers, p)
	l.sending.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for l.producing.Err() == nil && !p.gone.Load() {
			<-tick.C
			p.produce()
		}
		_ = p.client.Flush(l.alive)
	})
	return nil
}

// vanish ends the producer at once.
func (p *producer) vanish() {
	p.gone.Store(true)
	p.client.Close()
}

// produce sends a record; it waits while too many are unacknowledged.
func (p *producer) produce() {
	size := fewest + p.random.Intn(most-fewest)
	if p.random.Intn(200) == 0 {
		size = 100_000
	}
	part := int32(p.random.Intn(partitions))
	e := entry{p.id, p.next[part]}
	p.next[part]++
	value := make([]byte, size)
	binary.BigEndian.PutUint32(value, e.producer)
	binary.BigEndian.PutUint32(value[4:], e.number)
	p.client.Produce(p.l.alive, &kgo.Record{Topic: p.topic, Partition: part, Value: value}, func(r *kgo.Record, err error) {
		if err != nil {
			if p.l.alive.Err() == nil && !p.gone.Load() {
				p.l.c.add(refused, "%v of %s-%d: %v", e, p.topic, part, err)
			}
			return
		}
		p.l.acked.Add(1)
		p.acks[part].beat()
		p.l.c.acknowledged(p.topic, part, e, r.Offset)
	})
}

// entryOf is what a record says of itself.
func entryOf(value []byte) entry {
	if len(value) < fewest {
		return entry{}
	}
	return entry{binary.BigEndian.Uint32(value), binary.BigEndian.Uint32(value[4:])}
}

// finish ends the production and waits until everything is acknowledged.
func (l *load) finish(within time.Duration) {
	l.enough()
	done := make(chan struct{})
	go func() {
		l.sending.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(within):
		for _, p := range l.producers {
			if n := p.client.BufferedProduceRecords(); n > 0 {
				l.c.add(stuck, "producer %d: %d records are not acknowledged after %v", p.id, n, within)
			}
		}
		l.abort()
		<-done
	}
}

// reader reads a topic from its beginning without a group.
type reader struct {
	l      *load
	name   string
	topic  string
	orders [partitions]*order
	pulses [partitions]*pulse
	client *kgo.Client
	mu     sync.Mutex // guards orders, while it runs
}

func (l *load) newReader(name, topic string, pulses bool) *reader {
	r := &reader{l: l, name: name, topic: topic}
	for part := range r.orders {
		r.orders[part] = l.c.follow(name, topic, int32(part))
		if pulses {
			r.pulses[part] = l.pulse(fmt.Sprintf("%s in %s-%d", name, topic, part))
		}
	}
	return r
}

func (r *reader) open() (err error) {
	from := map[int32]kgo.Offset{}
	for part := range int32(partitions) {
		from[part] = kgo.NewOffset().AtStart()
	}
	opts := r.l.options(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: from}))
	if !r.l.patient {
		opts = append(opts, kgo.FetchMaxWait(500*time.Millisecond), kgo.RequestTimeoutOverhead(2*time.Second))
	}
	r.client, err = kgo.NewClient(opts...)
	return err
}

// start reads until the context ends.
func (r *reader) start(ctx context.Context) error {
	if err := r.open(); err != nil {
		return err
	}
	r.l.running.Go(func() {
		defer r.client.Close()
		for ctx.Err() == nil {
			r.poll(ctx)
		}
	})
	return nil
}

func (r *reader) poll(ctx context.Context) {
	fetches := r.client.PollFetches(ctx)
	r.l.complain(r.name, fetches)
	r.mu.Lock()
	defer r.mu.Unlock()
	fetches.EachRecord(func(rec *kgo.Record) {
		r.orders[rec.Partition].take(entryOf(rec.Value), rec.Offset)
		r.l.reads.Add(1)
		if r.pulses[rec.Partition] != nil {
			r.pulses[rec.Partition].beat()
		}
	})
}

// at is how far it has read.
func (r *reader) at() (at [partitions]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for part, o := range r.orders {
		at[part] = o.next
	}
	return at
}

// complain takes the errors of a poll that the client does not get over by itself, and those that say that records are gone.
func (l *load) complain(name string, fetches kgo.Fetches) {
	fetches.EachError(func(topic string, part int32, err error) {
		if l.alive.Err() != nil || errors.Is(err, context.Canceled) {
			return
		}
		var gone *kgo.ErrDataLoss
		var left *kgo.ErrGroupSession
		switch {
		case errors.As(err, &gone):
			l.c.add(lost, "%s is told of %s-%d: %v", name, topic, part, err)
			return
		case errors.As(err, &left): // it joins again by itself
			return
		}
		l.c.add(refused, "%s of %s-%d: %v", name, topic, part, err)
	})
}
