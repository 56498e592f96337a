package handler

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// idle returns a handler of a broker without topics.
func idle() *Handler {
	return &Handler{Options: Options{BrokerID: 1, Config: config.Default(), Metadata: metadata.NewPublisher()}}
}

// TestManyPartitionsInDeleteRecords names as many partitions as a request may hold. Looking at each with each would take hours.
func TestManyPartitionsInDeleteRecords(t *testing.T) {
	const many = 1 << 19
	req := kmsg.NewPtrDeleteRecordsRequest()
	topic := kmsg.DeleteRecordsRequestTopic{Topic: "orders"}
	for i := range int32(many) {
		topic.Partitions = append(topic.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: i % (many - 1)})
	}
	req.Topics = append(req.Topics, topic)
	answered := make(chan *kmsg.DeleteRecordsResponse)
	go func() { answered <- serveDeleteRecords(idle(), call{version: 2}, req).(*kmsg.DeleteRecordsResponse) }()
	select {
	case resp := <-answered:
		parts := resp.Topics[0].Partitions
		if len(parts) != many-1 || parts[0].Partition != 1 || parts[many-2].Partition != 0 {
			t.Errorf("%d answers, from partition %d to %d", len(parts), parts[0].Partition, parts[len(parts)-1].Partition)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no answer in 30 seconds")
	}
}

// TestRepeatedResourcesArePaidFor describes this broker again and again, which costs eight bytes in the request and 50 kB in the answer.
func TestRepeatedResourcesArePaidFor(t *testing.T) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeDocumentation = true
	describe := func(times int) (kmsg.Response, int64) {
		req.Resources = nil
		for range times {
			req.Resources = append(req.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: resourceBroker, ResourceName: "1"})
		}
		left := int64(1 << 20)
		resp := serveDescribeConfigs(idle(), call{version: 4, charge: func(n int64) bool { left -= n; return left >= 0 }}, req)
		return resp, left
	}
	if resp, left := describe(1); resp == nil || left != 1<<20 || len(resp.(*kmsg.DescribeConfigsResponse).Resources[0].Configs) < 100 {
		t.Errorf("one description was answered %v and left %d bytes", resp, left)
	}
	if resp, left := describe(2); resp == nil || left == 1<<20 {
		t.Errorf("two descriptions left %d bytes", left)
	}
	if resp, _ := describe(10000); resp != nil {
		t.Error("descriptions were made without memory")
	}
}

// TestLargeProduceIsNotKept sees that the pool does not hold on to what one huge request needed.
func TestLargeProduceIsNotKept(t *testing.T) {
	p := new(produce)
	p.h = idle()
	p.version = 9
	p.req.Topics = make([]protocol.ProduceTopic, 100000)
	p.layOut()
	p.release()
	if n := cap(p.resp.Topics); n > 10000 {
		t.Errorf("a response of %d topics is kept", n)
	}
}
