package handler

import (
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/protocol"
)

// OffsetDelete, version 0: ends committed offsets of topics that no member of the group reads (KIP-496). A topic or a partition that is
// named twice counts once, as in Kafka.

func serveOffsetDelete(h *Handler, c call, req *kmsg.OffsetDeleteRequest, answer func(kmsg.Response)) {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	// The question, the answer twice, and what finds partitions named twice.
	const each = 4 + unsafe.Sizeof(group.CommittedPartition{}) + 2*unsafe.Sizeof(kmsg.OffsetDeleteResponseTopicPartition{}) + 16
	if !c.take(int64(n)*int64(each) + int64(len(req.Topics))*128) {
		answer(nil)
		return
	}
	resp := &kmsg.OffsetDeleteResponse{}
	if invalidGroup(req.Group) {
		resp.ErrorCode = int16(protocol.InvalidGroupID)
		answer(resp)
		return
	}
	places := map[string]int{} // of the topics in resp
	ask(h, req.Group, h.deleteRequest(req, resp, places), func(r *group.DeleteOffsetsResponse, code protocol.ErrorCode) {
		if code == protocol.None {
			code = r.Code
		}
		if code != protocol.None {
			answer(&kmsg.OffsetDeleteResponse{ErrorCode: int16(code)})
			return
		}
		for i := range r.Topics {
			to := deletedTopic(resp, places, r.Topics[i].Topic)
			for _, p := range r.Topics[i].Partitions {
				to.Partitions = append(to.Partitions, kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(p.Code)})
			}
		}
		answer(resp)
	})
}

// deleteRequest makes the question to the group, and answers for topics and partitions that there are not.
func (h *Handler) deleteRequest(req *kmsg.OffsetDeleteRequest, resp *kmsg.OffsetDeleteResponse, places map[string]int) *group.DeleteOffsetsRequest {
	img := h.Metadata.Image()
	q := &group.DeleteOffsetsRequest{Group: req.Group}
	seen := make(map[string]bool, len(req.Topics))
	for i := range req.Topics {
		t := &req.Topics[i]
		if seen[t.Topic] {
			continue
		}
		seen[t.Topic] = true
		topic := group.FetchTopic{Topic: t.Topic}
		known := img.Topic(t.Topic)
		if known == nil {
			deletedTopic(resp, places, t.Topic) // also with no partition
		} else {
			topic.ID = known.ID
		}
		once := make(map[int32]bool, len(t.Partitions))
		for _, p := range t.Partitions {
			if once[p.Partition] {
				continue
			}
			once[p.Partition] = true
			if known != nil && p.Partition >= 0 && int(p.Partition) < len(known.Partitions) {
				topic.Partitions = append(topic.Partitions, p.Partition)
				continue
			}
			to := deletedTopic(resp, places, t.Topic)
			to.Partitions = append(to.Partitions, kmsg.OffsetDeleteResponseTopicPartition{
				Partition: p.Partition, ErrorCode: int16(protocol.UnknownTopicOrPartition),
			})
		}
		if len(topic.Partitions) > 0 {
			q.Topics = append(q.Topics, topic)
		}
	}
	return q
}

// deletedTopic finds the answer for a topic, or makes one.
func deletedTopic(resp *kmsg.OffsetDeleteResponse, places map[string]int, topic string) *kmsg.OffsetDeleteResponseTopic {
	i, ok := places[topic]
	if !ok {
		i = len(resp.Topics)
		resp.Topics = append(resp.Topics, kmsg.OffsetDeleteResponseTopic{Topic: topic})
		places[topic] = i
	}
	return &resp.Topics[i]
}
