// Package quotas lets a client of franz-go meet quotas of the broker: it is told of them, is held to them and gets on, and
// another client beside it notices nothing.
package quotas

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
)

func TestMain(m *testing.M) { broker.Main(m) }

// limit sets a quota of a client id, which the end of the test takes back.
func limit(t *testing.T, id, key string, value float64) {
	t.Helper()
	set := func(ctx context.Context, op kadm.AlterClientQuotaOp) error {
		altered, err := broker.Admin(t).AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
			Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &id}}, Ops: []kadm.AlterClientQuotaOp{op}}})
		for _, a := range altered {
			err = errors.Join(err, a.Err)
		}
		return err
	}
	if err := set(broker.Context(t), kadm.AlterClientQuotaOp{Key: key, Value: value}); err != nil {
		t.Fatalf("set %s of %s: %v", key, id, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := set(ctx, kadm.AlterClientQuotaOp{Key: key, Remove: true}); err != nil {
			t.Errorf("remove %s of %s: %v", key, id, err)
		}
	})
}

// hook notes what a client is told of throttling.
type hook struct {
	mu    sync.Mutex
	times int
	most  time.Duration
	after bool // some answer came before the client was held back
}

func (h *hook) OnBrokerThrottle(_ kgo.BrokerMetadata, d time.Duration, afterResponse bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.times++
	h.most, h.after = max(h.most, d), h.after || afterResponse
}

func (h *hook) some() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.times > 0
}

func (h *hook) want(t *testing.T, some bool) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case some && h.times == 0:
		t.Error("the client was not told of throttling")
	case some && !h.after:
		t.Error("the client believes that it was answered late")
	case !some && h.times > 0:
		t.Errorf("a client without a quota was throttled %d times", h.times)
	}
}

const (
	quota = 1 << 20 // bytes a second
	value = 16 << 10
	// A quota lets through at once what it gives in ten seconds. In the next ten little more comes than the quota of one: so it is in Kafka.
	records = 106 * quota / 10 / value
)

// produceAll produces the records one batch each, and returns how long that took.
func produceAll(t *testing.T, topic string, client *kgo.Client) time.Duration {
	t.Helper()
	start := time.Now()
	payload := make([]byte, value)
	for range records {
		client.Produce(broker.Context(t), &kgo.Record{Topic: topic, Value: payload}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce: %v", err)
			}
		})
	}
	if err := client.Flush(broker.Context(t)); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// beside produces single records of another client while f runs, and returns how long the slowest took.
func beside(t *testing.T, topic string, f func()) (slowest time.Duration) {
	t.Helper()
	var other hook
	client := broker.Client(t, kgo.WithHooks(&other), kgo.ClientID("not-throttled"))
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
			start := time.Now()
			if err := client.ProduceSync(broker.Context(t), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
				t.Errorf("produce beside a throttled client: %v", err)
				return
			}
			slowest = max(slowest, time.Since(start))
		}
	})
	f()
	close(done)
	wg.Wait()
	other.want(t, false)
	return slowest
}

// least is what they take: a little less than the 600 ms that those beyond the first ten seconds have to wait, for what is in flight. Nobody is held back
// who takes longer than that, unheld, by himself.
const (
	least  = 500 * time.Millisecond
	unheld = 600 * time.Millisecond
)

func TestProducerIsHeldToItsQuota(t *testing.T) {
	topic, elsewhere := broker.Topic(t, 1), broker.Topic(t, 1)
	for id, acks := range map[string]kgo.Acks{"throttled-producer-all": kgo.AllISRAcks(), "throttled-producer-1": kgo.LeaderAck()} {
		limit(t, id, "producer_byte_rate", quota)
		var told hook
		client := broker.Client(t, kgo.ClientID(id), kgo.WithHooks(&told), kgo.ProducerBatchCompression(kgo.NoCompression()),
			kgo.ProducerBatchMaxBytes(64<<10), kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
		var took time.Duration
		slowest := beside(t, elsewhere, func() { took = produceAll(t, topic, client) })
		if took <= unheld || told.some() { // a machine that takes as long by itself is within the quota
			told.want(t, true)
		}
		if took < least {
			t.Errorf("%d bytes at %d a second were produced in %v", records*value, quota, took)
		}
		t.Logf("took %v; throttled %d times, for %v at most; another client waited for %v at most", took, told.times, told.most, slowest)
	}
}

func TestConsumerIsHeldToItsQuota(t *testing.T) {
	topic, elsewhere := broker.Topic(t, 1), broker.Topic(t, 1)
	produceAll(t, topic, broker.Client(t, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(64<<10)))
	limit(t, "throttled-consumer", "consumer_byte_rate", quota)
	var told hook
	client := broker.Client(t, kgo.ClientID("throttled-consumer"), kgo.WithHooks(&told), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(512<<10))
	start, n := time.Now(), 0
	slowest := beside(t, elsewhere, func() {
		ctx, cancel := context.WithTimeout(broker.Context(t), 50*time.Second)
		defer cancel()
		for n < records && ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Errorf("poll: %v", err)
				return
			}
			n += fetches.NumRecords()
		}
	})
	took := time.Since(start)
	if took <= unheld || told.some() {
		told.want(t, true)
	}
	if n != records {
		t.Errorf("consumed %d records, want %d", n, records)
	}
	if took < least {
		t.Errorf("%d bytes at %d a second were consumed in %v", records*value, quota, took)
	}
	t.Logf("took %v; throttled %d times, for %v at most; another client waited for %v at most", took, told.times, told.most, slowest)
}

// A client of a version that knows the error waits and tries again, and gets all topics in the end (KIP-599).
func TestTopicsBeyondTheQuotaComeLater(t *testing.T) {
	limit(t, "throttled-admin", "controller_mutation_rate", 2) // 22 at once
	admin := kadm.NewClient(broker.Client(t, kgo.ClientID("throttled-admin")))
	first, second := broker.Name(t), broker.Name(t)
	if _, err := admin.CreateTopic(broker.Context(t), 40, 1, nil, first); err != nil { // which it has back after nine seconds: a slow machine asks again before that
		t.Fatalf("create a topic with what the quota has left: %v", err)
	}
	resp, err := admin.CreateTopic(broker.Context(t), 1, 1, nil, second)
	if err = errors.Join(err, resp.Err); !errors.Is(err, kerr.ThrottlingQuotaExceeded) {
		t.Fatalf("create one more: %v, want THROTTLING_QUOTA_EXCEEDED", err)
	}
	broker.Eventually(t, "the topic is there when the quota allows it", func() bool {
		_, err := admin.CreateTopic(broker.Context(t), 1, 1, nil, second)
		return err == nil || errors.Is(err, kerr.TopicAlreadyExists)
	})
}
