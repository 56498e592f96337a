package broker

import (
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// TestTopicsComeAndGoUnderLoad produces with time-outs that nearly always strike, parks fetches and cuts their connections, while the topics
// are configured, grow, are deleted and made again. Every request that is not cut off must be answered, with a code that clients know.
func TestTopicsComeAndGoUnderLoad(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	const rounds = 40
	names := []string{"a", "b"}
	for _, name := range names {
		n.create(name, 1, nil)
	}
	var work sync.WaitGroup
	for worker := range 3 {
		work.Go(func() { // producers
			w := n.wire()
			defer w.conn.Close()
			for round := range rounds {
				const pipelined = 4
				for i := range pipelined {
					b := record.NewBuilder(record.Compression{})
					b.Append(record.Record{Timestamp: 1, Value: []byte("value")})
					req := kmsg.NewPtrProduceRequest()
					req.Version, req.Acks, req.TimeoutMillis = 9, -1, int32(1+(round+i)%2)
					for _, name := range names {
						req.Topics = append(req.Topics, kmsg.ProduceRequestTopic{Topic: name,
							Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 0, Records: b.Build()}, {Partition: int32(worker), Records: b.Build()}}})
					}
					w.send(req)
				}
				for range pipelined {
					resp := kmsg.NewPtrProduceResponse()
					w.receive(resp, 9)
					for _, topic := range resp.Topics {
						for _, p := range topic.Partitions {
							switch code := protocol.ErrorCode(p.ErrorCode); code {
							case protocol.None, protocol.RequestTimedOut, protocol.UnknownTopicOrPartition, protocol.NotLeaderOrFollower:
							default:
								t.Errorf("produce to %s-%d was answered %v", topic.Topic, p.Partition, code)
							}
						}
					}
				}
			}
		})
		work.Go(func() { // readers
			for round := range rounds {
				w := n.wire()
				req := fetchOf(names...)
				req.MinBytes, req.MaxWaitMillis = 1+int32(round%2)<<20, int32(round%3)
				w.send(req)
				if round%4 != 0 {
					w.receive(kmsg.NewPtrFetchResponse(), 11)
				}
				w.conn.Close()
			}
		})
	}
	work.Go(func() { // administrators
		admin := kadm.NewClient(n.client())
		for round := range rounds {
			name := names[round%2]
			flush := fmt.Sprint(1 + round%2)
			_, _ = admin.AlterTopicConfigs(n.context(), []kadm.AlterConfig{{Name: "flush.messages", Value: &flush}}, name)
			_, _ = admin.UpdatePartitions(n.context(), 3, name)
			if _, err := admin.DeleteTopics(n.context(), name); err != nil {
				t.Errorf("delete %s: %v", name, err)
			}
			if _, err := admin.CreateTopic(n.context(), 1, 1, nil, name); err != nil {
				t.Errorf("create %s: %v", name, err)
			}
		}
	})
	work.Wait()
	n.produce("a", 10)
	n.stop()
}
