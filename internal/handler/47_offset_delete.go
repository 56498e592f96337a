package handler

import (
	"slices"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// OffsetDelete, version 0: ends committed offsets of topics that no member of the group reads (KIP-496). What is named twice is
// answered twice. As in Kafka, topics and partitions that do not exist come first in the answer, unless the group refuses.

func serveOffsetDelete(h *Handler, c call, req *kmsg.OffsetDeleteRequest, answer func(kmsg.Response)) {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	// The question, and the answer twice.
	const each = 4 + unsafe.Sizeof(group.CommittedPartition{}) + 2*unsafe.Sizeof(kmsg.OffsetDeleteResponseTopicPartition{})
	if !c.take(int64(n)*int64(each) + int64(len(req.Topics))*256) {
		answer(nil)
		return
	}
	resp := &kmsg.OffsetDeleteResponse{}
	if invalidGroup(req.Group) {
		resp.ErrorCode = int16(protocol.InvalidGroupID)
		answer(resp)
		return
	}
	h.catchUpFirst(c.ctx, c.meter, func(img *metadata.Image) bool { return deleteLacks(img, req) })
	places := map[string]int{} // of the topics in resp
	ask(h, req.Group, h.deleteRequest(req, resp, places), func(r *group.DeleteOffsetsResponse, code protocol.ErrorCode) {
		if code == protocol.None {
			code = r.Code
		}
		if code != protocol.None {
			answer(&kmsg.OffsetDeleteResponse{ErrorCode: int16(code)})
			return
		}
		alone := len(resp.Topics) == 0
		for i := range r.Topics {
			if alone { // then a topic that is named twice stays twice
				delete(places, r.Topics[i].Topic)
			}
			to := deletedTopic(resp, places, r.Topics[i].Topic)
			for _, p := range r.Topics[i].Partitions {
				to.Partitions = append(to.Partitions, kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(p.Code)})
			}
		}
		answer(resp)
	})
}

// deleteLacks says whether one of the topics or partitions is unknown.
func deleteLacks(img *metadata.Image, req *kmsg.OffsetDeleteRequest) bool {
	return slices.ContainsFunc(req.Topics, func(t kmsg.OffsetDeleteRequestTopic) bool {
		known := img.Topic(t.Topic)
		return known == nil || slices.ContainsFunc(t.Partitions, func(p kmsg.OffsetDeleteRequestTopicPartition) bool { return int(p.Partition) >= len(known.Partitions) })
	})
}

// deleteRequest makes the question to the group, and answers for topics and partitions that there are not.
func (h *Handler) deleteRequest(req *kmsg.OffsetDeleteRequest, resp *kmsg.OffsetDeleteResponse, places map[string]int) *group.DeleteOffsetsRequest {
	img := h.Metadata.Image()
	q := &group.DeleteOffsetsRequest{Group: req.Group}
	for i := range req.Topics {
		t := &req.Topics[i]
		topic := group.FetchTopic{Topic: t.Topic}
		known := img.Topic(t.Topic)
		if known == nil {
			deletedTopic(resp, places, t.Topic) // also with no partition
		} else {
			topic.ID = known.ID
		}
		for _, p := range t.Partitions {
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
