package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/fetcher"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// await polls for something that has no signal, with a deadline.
func (c *several) await(what string, is func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			for id, n := range c.nodes {
				c.t.Logf("node %d: %v", id, describe(n.publisher.Image()))
				for p := range n.replicas.all() {
					if start, _, hw, end := p.Offsets(); end > 0 {
						c.t.Logf("node %d: %s %d to %d, synced %d, high watermark %d", id, p.ID(), start, end, p.Log().SyncedEnd(), hw)
					}
				}
			}
			c.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// leads is who leads a partition, as any node knows it; -1: nobody.
func (c *several) leads(topic string, number int) int {
	if t := c.one().publisher.Image().Topic(topic); t != nil && number < len(t.Partitions) {
		return int(t.Partitions[number].Leader)
	}
	return -1
}

// inSync waits until every partition of a topic has all of its replicas in sync.
func (c *several) inSync(topic string) {
	c.t.Helper()
	c.await("all replicas of "+topic+" to be in sync", func() bool {
		t := c.one().publisher.Image().Topic(topic)
		if t == nil {
			return false
		}
		for _, p := range t.Partitions {
			if len(p.ISR) != len(p.Replicas) || p.Leader < 0 {
				return false
			}
		}
		return true
	})
}

// same waits until all replicas of a topic have everything and know it to be committed, and compares them byte for byte.
func (c *several) same(topic string) {
	c.t.Helper()
	t := c.one().publisher.Image().Topic(topic)
	for number := range t.Partitions {
		replicas := func() (all []*partition.Partition) {
			for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
				if p := c.nodes[id].replicas.Partition(t.ID, int32(number)); p != nil {
					all = append(all, p)
				}
			}
			return all
		}
		c.await(fmt.Sprintf("the replicas of %s-%d to be level", topic, number), func() bool {
			all := replicas()
			for _, p := range all {
				if p.Log().LogEnd() != all[0].Log().LogEnd() || p.HighWatermark() != all[0].Log().LogEnd() {
					return false
				}
			}
			return len(all) == 3
		})
		want := written(c.t, replicas()[0])
		for _, p := range replicas()[1:] {
			if got := written(c.t, p); !bytes.Equal(got, want) {
				c.t.Errorf("%s: %d bytes on one broker, %d on another, and they differ", p.ID(), len(want), len(got))
			}
		}
	}
}

// written is all that a log holds.
func written(t *testing.T, p *partition.Partition) (all []byte) {
	t.Helper()
	for at := p.Log().LogStart(); at < p.Log().LogEnd(); {
		s, err := p.Log().Read(at, 1<<20, p.Log().LogEnd(), true)
		if err != nil || s.Bytes == 0 {
			t.Fatalf("read %s at %d: %d bytes, %v", p.ID(), at, s.Bytes, err)
		}
		piece, err := s.Span.AppendTo(nil)
		s.Release()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, piece...)
		at = endOf(t, piece)
	}
	return all
}

// workload produces numbered records, one after another, with acks=all, and consumes them in a group.
type workload struct {
	c    *several
	stop context.CancelFunc
	done sync.WaitGroup

	mu    sync.Mutex
	acked []int // in the order in which they were acknowledged
	read  []int
}

func (c *several) workload(topic string) *workload {
	ctx, stop := context.WithCancel(c.t.Context())
	w := &workload{c: c}
	var producing sync.WaitGroup
	dial := func(ctx context.Context, _, addr string) (network.Conn, error) {
		conn, err := c.net.Dial(ctx, addr)
		if err != nil { // as a client knows it, to try again
			err = &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
		return conn, err
	}
	fast := []kgo.Opt{kgo.Dialer(dial), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.MetadataMinAge(10 * time.Millisecond), kgo.RecordRetries(1 << 30)}
	producer := c.client(append(fast, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0))...)
	producing.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			err := producer.ProduceSync(context.WithoutCancel(ctx), &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(i))}).FirstErr()
			if err != nil {
				c.t.Errorf("produce record %d: %v", i, err)
				return
			}
			w.mu.Lock()
			w.acked = append(w.acked, i)
			w.mu.Unlock()
		}
	})
	consumer := c.client(append(fast, kgo.ConsumerGroup("readers"), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitInterval(100*time.Millisecond), kgo.FetchMaxWait(200*time.Millisecond))...)
	reading, stopReading := context.WithCancel(c.t.Context())
	w.stop = func() { // the consumer goes on until it has everything
		stop()
		producing.Wait()
		w.c.await("the consumer to read what was acknowledged", func() bool { return w.counts(&w.read) >= w.counts(&w.acked) })
		stopReading()
	}
	w.done.Go(func() {
		for reading.Err() == nil {
			consumer.PollFetches(reading).EachRecord(func(r *kgo.Record) {
				n, err := strconv.Atoi(string(r.Value))
				if err != nil {
					c.t.Errorf("a record says %q", r.Value)
				}
				w.mu.Lock()
				w.read = append(w.read, n)
				w.mu.Unlock()
			})
		}
		last, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := consumer.CommitUncommittedOffsets(last); err != nil {
			c.t.Errorf("commit: %v", err)
		}
		if err := consumer.LeaveGroupContext(last); err != nil {
			c.t.Errorf("leave the group: %v", err)
		}
	})
	return w
}

func (w *workload) counts(what *[]int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(*what)
}

// goesOn waits until so many more records are acknowledged and read.
func (w *workload) goesOn(when string, more int) {
	w.c.t.Helper()
	acked, read := w.counts(&w.acked)+more, w.counts(&w.read)+more
	w.c.await("acknowledgements "+when, func() bool { return w.counts(&w.acked) >= acked || w.c.t.Failed() })
	w.c.await("records at the consumer "+when, func() bool { return w.counts(&w.read) >= read || w.c.t.Failed() })
}

// check ends the work: every record that was acknowledged was read once, in its order, and the group has committed the end.
func (w *workload) check() {
	w.c.t.Helper()
	w.stop()
	w.done.Wait()
	if !slices.Equal(w.acked, w.read) {
		w.c.t.Errorf("%d records acknowledged, %d read, and they are not the same", len(w.acked), len(w.read))
	}
	ctx, cancel := context.WithTimeout(w.c.t.Context(), 20*time.Second)
	defer cancel()
	admin := kadm.NewClient(w.c.client())
	committed, err := admin.FetchOffsets(ctx, "readers")
	if err != nil {
		w.c.t.Fatal(err)
	}
	total := int64(0)
	committed.Each(func(o kadm.OffsetResponse) { total += o.At })
	if total != int64(len(w.read)) {
		w.c.t.Errorf("the group has committed %d of %d records", total, len(w.read))
	}
}

const replicated = "offsets.topic.num.partitions=3\noffsets.topic.replication.factor=3\nmin.insync.replicas=2\ngroup.initial.rebalance.delay.ms=0\n"

// TestReplication: producers with acks=all and a consumer group go on whoever is killed, and the replicas are the same in the end.
func TestReplication(t *testing.T) {
	c := newSeveral(t, replicated)
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	c.create("orders", 1, 3)
	c.inSync("orders")
	w := c.workload("orders")
	w.goesOn("at first", 50)

	victim := c.leads("orders", 0)
	c.kill(victim)
	w.goesOn("after the leader was killed", 50)
	c.start(victim)
	c.inSync("orders")
	w.goesOn("when the old leader is back", 20)

	victim = c.leads("orders", 0)%3 + 1 // a follower
	c.kill(victim)
	w.goesOn("after a follower was killed", 50)
	c.start(victim)
	c.inSync("orders")

	victim = c.leader() // of the quorum
	if err := c.nodes[victim].Stop(); err != nil {
		t.Error(err)
	}
	delete(c.nodes, victim)
	w.goesOn("after a broker was stopped", 50)
	c.start(victim)
	c.inSync("orders")
	w.check()
	c.inSync("__consumer_offsets")
	c.same("orders")
	c.same("__consumer_offsets")
}

// TestReplicasOfManyTopics: replicas come and go with their topics, and nothing is left of them in the brokers that follow.
func TestReplicasOfManyTopics(t *testing.T) {
	c := newSeveral(t, replicated)
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	// On a busy machine a leader may not know an id for longer than the client tries by itself.
	cl := c.client(kgo.UnknownTopicRetries(-1), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.DefaultProduceTopic("one"))
	within := func() context.Context { // of each step: all together may take long on a busy machine
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	for round := range 3 {
		for _, topic := range []string{"one", "two"} {
			c.create(topic, 6, 3)
			for _, n := range c.nodes {
				c.until("the topic", n, func(img *metadata.Image) bool { return img.Topic(topic) != nil })
			}
			for i := range 60 {
				if err := cl.ProduceSync(within(), &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(i))}).FirstErr(); err != nil {
					t.Fatalf("round %d, %s: %v", round, topic, err)
				}
			}
			c.inSync(topic)
			c.same(topic)
		}
		admin := kadm.NewClient(cl)
		resp, err := admin.DeleteTopics(within(), "one", "two")
		if err = errors.Join(err, resp.Error()); err != nil {
			t.Fatal(err)
		}
		cl.PurgeTopicsFromClient("one", "two")
		c.await("nothing to be followed", func() bool {
			for _, n := range c.nodes {
				if n.fetcher.Following() > 0 || n.publisher.Image().TopicCount() > 0 {
					return false
				}
			}
			return true
		})
	}
}

// endOf is the offset behind the last of some batches.
func endOf(t *testing.T, batches []byte) (end int64) {
	t.Helper()
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			t.Fatal(err)
		}
		end, batches = b.NextOffset(), rest
	}
	return end
}

// TestFetchSettings: what is configured is what followers go by, but for what would have them ask without end.
func TestFetchSettings(t *testing.T) {
	for text, want := range map[string]fetcher.Settings{
		"": {WaitMax: 500 * time.Millisecond, MinBytes: 1, MaxBytes: 1 << 20, ResponseMaxBytes: 10 << 20, Backoff: time.Second, Timeout: 30 * time.Second},
		"replica.fetch.wait.max.ms=-1\nreplica.fetch.min.bytes=2\nreplica.fetch.max.bytes=3\nreplica.fetch.response.max.bytes=4\nreplica.fetch.backoff.ms=5\nreplica.socket.timeout.ms=6\n": {
			WaitMax: 10 * time.Millisecond, MinBytes: 2, MaxBytes: 3, ResponseMaxBytes: 4, Backoff: 5 * time.Millisecond, Timeout: time.Second},
	} {
		c := newSeveral(t, text)
		cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte(c.properties(1))})
		if err != nil {
			t.Fatal(err)
		}
		if got := fetchSettings(cfg); got != want {
			t.Errorf("with %q followers go by %+v", text, got)
		}
	}
}

// TestReplicationPowerCut: the power of all three brokers fails in the same instant, time and again. Nothing that was acknowledged is lost, and
// they come back by themselves.
func TestReplicationPowerCut(t *testing.T) {
	c := newSeveral(t, replicated)
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	c.create("orders", 1, 3)
	c.inSync("orders")
	var acked []string
	next := 0
	for round, model := range []vfs.Survivors{vfs.LoseUnsynced, vfs.TearSectors, vfs.Reorder} {
		var producing sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		enough := make(chan struct{})
		cl := c.client(kgo.DefaultProduceTopic("orders"), kgo.ProducerLinger(0), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.MetadataMinAge(10*time.Millisecond))
		producing.Go(func() {
			defer cl.Close()
			for n := 0; ctx.Err() == nil; n++ {
				value := strconv.Itoa(next)
				if next++; cl.ProduceSync(ctx, &kgo.Record{Value: []byte(value)}).FirstErr() != nil {
					return // the power is off
				}
				acked = append(acked, value)
				if n == 40+10*round {
					close(enough)
				}
			}
		})
		select {
		case <-enough:
		case <-time.After(40 * time.Second):
			t.Fatalf("round %d: waited in vain for acknowledgements", round)
		}
		for id, d := range c.disks {
			c.disks[id] = d.Crash(model, uint64(round*10+id))
		}
		stop()
		producing.Wait()
		for id := range c.nodes {
			c.kill(id)
		}
		c.start(1, 2, 3)
		c.inSync("orders")
		c.same("orders")
		at := 0
		for _, value := range values(t, written(t, c.one().replicas.Partition(c.one().publisher.Image().Topic("orders").ID, 0))) {
			if at < len(acked) && value == acked[at] {
				at++
			}
		}
		if at != len(acked) {
			t.Fatalf("round %d, %v: of %d records that were acknowledged, %s and what comes after it are missing", round, model, len(acked), acked[at])
		}
	}
}

// values are those of the records of some batches.
func values(t *testing.T, batches []byte) (all []string) {
	t.Helper()
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			t.Fatal(err)
		}
		for r, err := range b.Records(1 << 20) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(r.Value))
		}
		batches = rest
	}
	return all
}

// TestFalseAlarmWithoutLoad: a broker is fenced that is alive, and its connections stand. It is in all ISRs again, also of partitions to which nothing is
// written: their leaders have to hear of it.
func TestFalseAlarmWithoutLoad(t *testing.T) {
	c := newSeveral(t, "replica.lag.time.max.ms=3600000")
	c.start(1, 2, 3)
	const partitions = 9
	c.create("quiet", partitions, 3)
	for _, n := range c.nodes {
		c.until("a topic with leaders", n, func(img *metadata.Image) bool { return len(leaders(img, "quiet")) == partitions })
	}
	c.inSync("quiet")
	for id := range int32(3) {
		b := c.one().publisher.Image().Broker(id + 1)
		response, err := c.one().control.Do(t.Context(), &controller.AlterBroker{ID: b.ID, Epoch: b.Epoch, State: controller.Fenced})
		if err != nil || response.(*controller.AlterBrokerResponse).Error.Failed() {
			t.Fatal(err, response)
		}
		for _, n := range c.nodes {
			c.until("the broker to be let in again", n, unfenced(1, 2, 3))
		}
		c.inSync("quiet")
	}
}
