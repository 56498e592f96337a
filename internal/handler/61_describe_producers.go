package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// DescribeProducers, version 0: the producers that a partition's leader remembers (KIP-664). The list is in the order of the ids.

// producerSize is about what one producer takes in an answer.
const producerSize = 2 * 48

func serveDescribeProducers(h *Handler, c call, req *kmsg.DescribeProducersRequest) kmsg.Response {
	img := h.Metadata.Image()
	resp := kmsg.NewPtrDescribeProducersResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewDescribeProducersResponseTopic()
		rt.Topic = t.Topic
		code, message := protocol.None, ""
		if message = controller.InvalidTopicName(t.Topic); message != "" {
			code = protocol.InvalidTopic
		} else if img.Topic(t.Topic) == nil {
			code, message = protocol.UnknownTopicOrPartition, notHosted
		}
		if !c.charge(int64(len(t.Partitions)) * (itemSize + int64(len(message)))) {
			return nil
		}
		for _, index := range t.Partitions {
			rp := kmsg.NewDescribeProducersResponseTopicPartition()
			rp.Partition = index
			if code == protocol.None {
				if !h.describeProducers(img, c, t.Topic, &rp) {
					return nil
				}
			} else {
				rp.ErrorCode, rp.ErrorMessage = int16(code), &message
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// describeProducers fills in the producers of one partition, or says that there is no memory for them.
func (h *Handler) describeProducers(img *metadata.Image, c call, topic string, out *kmsg.DescribeProducersResponseTopicPartition) bool {
	part, code := h.partitionByName(img, topic, out.Partition)
	if code == protocol.None {
		if _, leads := part.State(); !leads {
			code = protocol.NotLeaderOrFollower
		}
	}
	if out.ErrorCode = int16(code); code != protocol.None {
		return true
	}
	if !c.charge(int64(part.Log().Producers()) * producerSize) {
		return false
	}
	for _, p := range part.Log().ActiveProducers() {
		out.ActiveProducers = append(out.ActiveProducers, kmsg.DescribeProducersResponseTopicPartitionActiveProducer{
			ProducerID: p.ID, ProducerEpoch: int32(p.Epoch), LastSequence: p.LastSeq, LastTimestamp: p.Timestamp,
			CoordinatorEpoch: p.CoordinatorEpoch, CurrentTxnStartOffset: p.TxnStart,
		})
	}
	return true
}
