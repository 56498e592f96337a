package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// pace is the time between requests in a row. None of them comes near a whole second, where the time that a rate is taken over jumps.
const pace = 370 * time.Millisecond

// exact are the scenarios that ask for throttle times. One alone follows from the bytes; of several in a row the times between them, some
// milliseconds apart on the two brokers, have a part in it.
func exact() []scenario {
	return []scenario{
		{"produce", produceTimes},
		{"acks=0", silentProduce},
		{"fetch", fetchTimes},
		{"fetch session", sessionTimes},
		{"request time", requestTimes},
		{"partitions", mutationTimes},
		{"connections of an address", addressTimes},
		{"connections of a listener", listenerTimes},
	}
}

// throttle is a throttle time. One of a first request follows from its bytes alone; of later ones it depends on when the broker has counted those
// before, which a client cannot know well.
func throttle(name string, ms int32, later bool) figure {
	f := figure{name: name, unit: "ms", value: float64(ms), slack: 2}
	if later {
		f.tolerance, f.slack = 0.05, 150
	}
	return f
}

func produceTimes(_ context.Context, b *broker) ([]figure, error) {
	topic, err := b.topic()
	if err != nil {
		return nil, err
	}
	var all []figure
	for _, acks := range []int16{1, -1} {
		id, err := b.client("producer_byte_rate", 10_000)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		for i := range 8 {
			time.Sleep(time.Until(start.Add(time.Duration(i) * pace)))
			resp, err := b.once(id, produceVersion, produceOf(topic, acks, 40_000))
			if err != nil {
				return nil, err
			}
			all = append(all, throttle(fmt.Sprintf("request %d of 40 kB, one each 370 ms, at 10 kB/s, acks=%d", i+1, acks), resp.(*kmsg.ProduceResponse).ThrottleMillis, true))
		}
	}
	// The connection of a throttled client: answered at once, then not read from.
	id, err := b.client("producer_byte_rate", 10_000)
	if err != nil {
		return nil, err
	}
	c, err := b.dial(id, "")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	start := time.Now()
	resp, err := c.ask(produceVersion, produceOf(topic, 1, 115_000))
	if err != nil {
		return nil, err
	}
	answered := time.Since(start)
	if _, err := c.ask(metadataVersion, kmsg.NewPtrMetadataRequest()); err != nil {
		return nil, err
	}
	return append(all,
		throttle("115 kB at 10 kB/s", resp.(*kmsg.ProduceResponse).ThrottleMillis, false),
		figure{name: "which is answered after", unit: "ms", value: float64(answered.Milliseconds()), slack: 500},
		figure{name: "the next request after", unit: "ms", value: float64(time.Since(start).Milliseconds()), slack: 500}), nil
}

func silentProduce(_ context.Context, b *broker) ([]figure, error) {
	topic, err := b.topic()
	if err != nil {
		return nil, err
	}
	id, err := b.client("producer_byte_rate", 10_000)
	if err != nil {
		return nil, err
	}
	c, err := b.dial(id, "")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	start := time.Now()
	if err := c.send(produceVersion, produceOf(topic, 0, 115_000)); err != nil {
		return nil, err
	}
	if _, err := c.ask(metadataVersion, kmsg.NewPtrMetadataRequest()); err != nil {
		return nil, err
	}
	return []figure{{name: "115 kB at 10 kB/s, the next request is answered after", unit: "ms", value: float64(time.Since(start).Milliseconds()), slack: 500}}, nil
}

// fill writes records of 10 kB.
func (b *broker) fill(topic string, n int) error {
	for range n {
		if _, err := b.admin.ask(produceVersion, produceOf(topic, -1, 10_000)); err != nil {
			return err
		}
	}
	return nil
}

func fetchTimes(_ context.Context, b *broker) ([]figure, error) {
	topic, err := b.topic()
	if err != nil {
		return nil, err
	}
	if err := b.fill(topic, 50); err != nil {
		return nil, err
	}
	id, err := b.client("consumer_byte_rate", 10_000)
	if err != nil {
		return nil, err
	}
	var all []figure
	start := time.Now()
	for i := range 6 {
		time.Sleep(time.Until(start.Add(time.Duration(i) * pace)))
		resp, err := b.once(id, fetchVersion, fetchOf(topic, int64(i), 30_000))
		if err != nil {
			return nil, err
		}
		f := resp.(*kmsg.FetchResponse)
		all = append(all, throttle(fmt.Sprintf("request %d for 30 kB, one each 370 ms, at 10 kB/s", i+1), f.ThrottleMillis, true),
			figure{name: "its records", unit: "bytes", value: float64(recordBytes(f)), tolerance: 1e-9})
	}
	fresh, err := b.client("consumer_byte_rate", 10_000)
	if err != nil {
		return nil, err
	}
	// What is asked for is cut to what the quota gives at once. Kafka cuts within a batch, and is a few bytes over with what stands around the records: it
	// answers that only when some time has gone by.
	start, n := time.Now(), 0
	for time.Since(start) < 5*time.Second && n == 0 {
		resp, err := b.once(fresh, fetchVersion, fetchOf(topic, 0, 400_000))
		if err != nil {
			return nil, err
		}
		n = recordBytes(resp.(*kmsg.FetchResponse))
		time.Sleep(100 * time.Millisecond)
	}
	return append(all, figure{name: "for 400 kB: what comes at once, or soon", unit: "bytes", value: float64(n), slack: 10_000}), nil
}

// sessionTimes lets a session meet the quota: the answer is empty, the session goes on, and what was held back comes later.
func sessionTimes(_ context.Context, b *broker) ([]figure, error) {
	topic, err := b.topic()
	if err != nil {
		return nil, err
	}
	id, err := b.client("consumer_byte_rate", 3_000)
	if err != nil {
		return nil, err
	}
	open := fetchOf(topic, 0, 20_000)
	open.SessionEpoch = 0
	resp, err := b.once(id, fetchVersion, open)
	if err != nil {
		return nil, err
	}
	session := resp.(*kmsg.FetchResponse).SessionID
	if err := b.fill(topic, 4); err != nil {
		return nil, err
	}
	next := func(epoch int32, topics ...kmsg.FetchRequestTopic) (*kmsg.FetchResponse, error) {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionID, req.SessionEpoch, req.Topics = 100, 1, 20_000, session, epoch, topics
		resp, err := b.once(id, fetchVersion, req)
		if err != nil {
			return nil, err
		}
		return resp.(*kmsg.FetchResponse), nil
	}
	text := func(f *kmsg.FetchResponse) string {
		return fmt.Sprintf("error %d, same session %v, records of %d bytes", f.ErrorCode, f.SessionID == session, recordBytes(f))
	}
	var all []figure
	for i := range int32(4) { // two of 20 kB fill 30 kB; the third is held back, and is asked for again
		var moved []kmsg.FetchRequestTopic
		if i == 1 {
			moved = fetchOf(topic, 2, 20_000).Topics
		}
		f, err := next(i+1, moved...)
		if err != nil {
			return nil, err
		}
		all = append(all, figure{name: fmt.Sprintf("round %d", i+1), text: text(f)}, throttle("its throttle time", f.ThrottleMillis, true))
	}
	full := fetchOf(topic, 0, 20_000)
	full.SessionEpoch = 0
	resp, err = b.once(id, fetchVersion, full)
	if err != nil {
		return nil, err
	}
	f := resp.(*kmsg.FetchResponse)
	return append(all, figure{name: "a full fetch over the quota", text: fmt.Sprintf("error %d, session %v, records %v", f.ErrorCode, f.SessionID != 0, recordBytes(f) > 0)}), nil
}

func requestTimes(_ context.Context, b *broker) ([]figure, error) {
	id, err := b.client("request_percentage", 1e-6)
	if err != nil {
		return nil, err
	}
	topic, err := b.topic()
	if err != nil {
		return nil, err
	}
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.ClientSoftwareName, versions.ClientSoftwareVersion = "bench", "1"
	group := kmsg.NewPtrFindCoordinatorRequest()
	group.CoordinatorKey = "g"
	many := kmsg.NewPtrFindCoordinatorRequest()
	many.CoordinatorKeys = []string{"g"}
	var all []figure
	for _, r := range []struct {
		name    string
		version int16
		req     kmsg.Request
	}{
		{"ApiVersions", 3, versions}, {"Metadata", 9, kmsg.NewPtrMetadataRequest()}, {"Produce", produceVersion, produceOf(topic, 1, 100)},
		{"Fetch", fetchVersion, fetchOf(topic, 0, 1000)}, {"FindCoordinator", 1, group}, {"FindCoordinator", 3, group}, {"FindCoordinator", 4, many}, {"ListOffsets", 7, kmsg.NewPtrListOffsetsRequest()},
		{"ListGroups", 4, kmsg.NewPtrListGroupsRequest()}, {"DescribeCluster", 0, kmsg.NewPtrDescribeClusterRequest()},
		{"CreateTopics", 6, kmsg.NewPtrCreateTopicsRequest()}, {"DescribeConfigs", 4, kmsg.NewPtrDescribeConfigsRequest()},
		{"DescribeClientQuotas", 1, kmsg.NewPtrDescribeClientQuotasRequest()},
	} {
		resp, err := b.once(id, r.version, r.req)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		ms, _ := resp.(kmsg.ThrottleResponse).Throttle()
		all = append(all, throttle(fmt.Sprintf("%s v%d", r.name, r.version), ms, false))
	}
	return all, nil
}

func mutationTimes(_ context.Context, b *broker) ([]figure, error) {
	id, err := b.client("controller_mutation_rate", 1)
	if err != nil {
		return nil, err
	}
	var all []figure
	var start time.Time
	// What a request is throttled for grows less by the time that has gone by, which differs between the brokers.
	owed := func(ms int32) figure {
		return figure{name: "its throttle time, counted from the first request", unit: "ms", value: float64(ms) + float64(time.Since(start).Milliseconds()), slack: 100}
	}
	create := func(version int16, sizes ...int32) error {
		req := kmsg.NewPtrCreateTopicsRequest()
		for _, n := range sizes {
			t := kmsg.NewCreateTopicsRequestTopic()
			t.Topic, t.NumPartitions, t.ReplicationFactor = unique("topic"), n, 1
			req.Topics = append(req.Topics, t)
			b.topics = append(b.topics, t.Topic)
		}
		resp, err := b.once(id, version, req)
		if err != nil {
			return err
		}
		if start.IsZero() {
			start = time.Now()
		}
		r := resp.(*kmsg.CreateTopicsResponse)
		codes := ""
		for _, t := range req.Topics { // Kafka answers in another order
			for _, rt := range r.Topics {
				if rt.Topic == t.Topic {
					codes += fmt.Sprint(kerr.ErrorForCode(rt.ErrorCode), " ")
				}
			}
		}
		name := fmt.Sprintf("CreateTopics v%d of %v at 1/s", version, sizes)
		all = append(all, figure{name: name, text: codes}, owed(r.ThrottleMillis))
		return nil
	}
	for _, c := range []struct {
		version int16
		sizes   []int32
	}{{7, []int32{9, 9}}, {7, []int32{2}}, {6, []int32{1, 1}}, {5, []int32{3}}, {5, []int32{1}}} {
		if err := create(c.version, c.sizes...); err != nil {
			return nil, err
		}
	}
	made := b.topics[len(b.topics)-8]
	for _, version := range []int16{3, 2} {
		req := kmsg.NewPtrCreatePartitionsRequest()
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = made, 20
		req.Topics, req.TimeoutMillis = append(req.Topics, t), 10000
		resp, err := b.once(id, version, req)
		if err != nil {
			return nil, err
		}
		r := resp.(*kmsg.CreatePartitionsResponse)
		all = append(all, figure{name: fmt.Sprintf("CreatePartitions v%d", version), text: fmt.Sprint(kerr.ErrorForCode(r.Topics[0].ErrorCode))}, owed(r.ThrottleMillis))
	}
	for _, version := range []int16{6, 5, 4} {
		req := kmsg.NewPtrDeleteTopicsRequest()
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &made
		req.Topics, req.TopicNames, req.TimeoutMillis = append(req.Topics, t), []string{made}, 10000
		resp, err := b.once(id, version, req)
		if err != nil {
			return nil, err
		}
		r := resp.(*kmsg.DeleteTopicsResponse)
		all = append(all, figure{name: fmt.Sprintf("DeleteTopics v%d", version), text: fmt.Sprint(kerr.ErrorForCode(r.Topics[0].ErrorCode))}, owed(r.ThrottleMillis))
	}
	return all, nil
}

// addressTimes opens connections from an address of its own, as fast as it can.
func addressTimes(_ context.Context, b *broker) ([]figure, error) {
	from := fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()>>16&63, os.Getpid()>>8&255, 1+os.Getpid()&127) // that no earlier run has used
	if err := b.quota("ip", from, "connection_creation_rate", 2); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second)
	var served atomic.Int64
	held := make(chan time.Duration, 40)
	var wg sync.WaitGroup
	for range cap(held) {
		wg.Go(func() {
			c, err := b.dial("address", from)
			if err != nil {
				return
			}
			defer c.Close()
			start := time.Now()
			if _, err := c.ask(metadataVersion, kmsg.NewPtrMetadataRequest()); err == nil {
				served.Add(1)
			} else {
				held <- time.Since(start)
			}
		})
	}
	wg.Wait()
	close(held)
	var sum time.Duration
	closed := len(held)
	for d := range held {
		sum += d
	}
	return []figure{{name: "served of 40 at once, at 2/s", unit: "connections", value: float64(served.Load()), slack: 1},
		{name: "the others are closed after, on average", unit: "ms", value: float64(sum.Milliseconds()) / float64(max(closed, 1)), slack: 600}}, nil // Kafka looks twice a second
}

// listenerTimes opens connections on a listener that takes ten a second: a hundred at once, the next ones one after another.
func listenerTimes(_ context.Context, b *broker) ([]figure, error) {
	set := func(op kmsg.IncrementalAlterConfigOp, value *string) error {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = "listener.name.plaintext.max.connection.creation.rate", op, value
		r.Configs = append(r.Configs, c)
		req.Resources = append(req.Resources, r)
		resp, err := b.admin.ask(1, req)
		if err != nil {
			return err
		}
		time.Sleep(time.Second)
		return kerr.ErrorForCode(resp.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode)
	}
	time.Sleep(12 * time.Second) // connections of other scenarios are forgotten
	if err := set(kmsg.IncrementalAlterConfigOpSet, kmsg.StringPtr("10")); err != nil {
		return nil, err
	}
	start := time.Now()
	var burst time.Duration
	for i := range 120 {
		resp, err := b.once("listener", metadataVersion, kmsg.NewPtrMetadataRequest())
		if err != nil || resp == nil {
			return nil, fmt.Errorf("connection %d: %w", i, err)
		}
		if i == 94 {
			burst = time.Since(start)
		}
	}
	all := []figure{{name: "95 at once, at 10/s, served after", unit: "ms", value: float64(burst.Milliseconds()), slack: 1000},
		{name: "120 served after", unit: "ms", value: float64(time.Since(start).Milliseconds()), tolerance: 0.2, slack: 500}}
	return all, set(kmsg.IncrementalAlterConfigOpDelete, nil)
}
