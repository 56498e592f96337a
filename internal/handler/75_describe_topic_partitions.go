package handler

import (
	"slices"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// DescribeTopicPartitions, version 0: topics and their partitions in pages, with the replicas that may lead besides the ISR (KIP-966).
//
// Topics come in the order of their names, each once, from the cursor on. A page ends with the limit of partitions, the client's or
// max.request.partition.size.limit, and names the cursor of the next. A topic that does not exist uses up no partition.

func serveDescribeTopicPartitions(h *Handler, c call, req *kmsg.DescribeTopicPartitionsRequest) kmsg.Response {
	img := h.Metadata.Image()
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	if !c.take(int64(len(req.Topics)) * describedTopicSize) {
		return nil
	}
	names := make([]string, len(req.Topics))
	for i := range req.Topics {
		names[i] = req.Topics[i].Topic
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if at := req.Cursor; at != nil && (at.Partition < 0 || len(names) > 0 && !slices.Contains(names, at.Topic)) {
		for _, name := range names {
			rt := describedTopic(name, uuid.UUID{}, protocol.InvalidRequest)
			rt.AuthorizedOperations = notRequested
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	page := partitionPage{h: h, img: img, resp: resp, left: max(1, min(int(req.ResponsePartitionLimit), h.Config.MaxRequestPartitions))}
	from := ""
	if req.Cursor != nil {
		from, page.first = req.Cursor.Topic, int(req.Cursor.Partition)
		page.from = from
	}
	if len(names) == 0 {
		for t := range img.TopicsFrom(from) {
			if !page.add(c, t.Name, t) {
				break
			}
		}
		return resp
	}
	for _, name := range names {
		if name >= from && !page.add(c, name, img.Topic(name)) {
			break
		}
	}
	return resp
}

// describedTopicSize is what a topic that a request names takes: its name among the others, and the answer as a value and as bytes.
const describedTopicSize = int64(unsafe.Sizeof("")+unsafe.Sizeof(kmsg.DescribeTopicPartitionsResponseTopic{})) + 64

// partitionPage is one answer while it fills.
type partitionPage struct {
	h     *Handler
	img   *metadata.Image
	resp  *kmsg.DescribeTopicPartitionsResponse
	from  string // topic of the cursor, whose partitions begin with first
	first int
	left  int // partitions that still fit
}

// add describes a topic, nil if there is none of that name, and says whether there is room for the next.
func (p *partitionPage) add(c call, name string, topic *metadata.Topic) bool {
	if p.left == 0 {
		p.next(name, 0)
		return false
	}
	if topic == nil {
		code := protocol.UnknownTopicOrPartition
		if controller.InvalidTopicName(name) != "" {
			code = protocol.InvalidTopic
		}
		p.resp.Topics = append(p.resp.Topics, describedTopic(name, uuid.UUID{}, code))
		return true
	}
	first := 0
	if name == p.from {
		first = min(p.first, len(topic.Partitions))
	}
	end := min(first+p.left, len(topic.Partitions))
	rt := describedTopic(name, topic.ID, protocol.None)
	for i := first; i < end; i++ {
		rt.Partitions = append(rt.Partitions, p.describe(c, topic.Partitions[i], int32(i)))
	}
	p.resp.Topics = append(p.resp.Topics, rt)
	p.left -= end - first
	if end < len(topic.Partitions) {
		p.next(name, int32(end))
		return false
	}
	return true
}

func (p *partitionPage) next(topic string, partition int32) {
	cursor := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	cursor.Topic, cursor.Partition = topic, partition
	p.resp.NextCursor = &cursor
}

func (p *partitionPage) describe(c call, part *metadata.Partition, index int32) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	out := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	out.Partition, out.LeaderID, out.LeaderEpoch = index, part.Leader, part.LeaderEpoch
	out.Replicas, out.ISR = part.Replicas, part.ISR
	out.EligibleLeaderReplicas, out.LastKnownELR = append([]int32{}, part.ELR...), append([]int32{}, part.LastKnownELR...) // never null
	for _, id := range part.Replicas {
		if b := p.img.Broker(id); b == nil || b.Fenced || !part.Online(b) {
			out.OfflineReplicas = append(out.OfflineReplicas, id)
		}
	}
	if p.h.leaderError(p.img, part.Leader, c) != protocol.None {
		out.LeaderID = metadata.NoLeader
	}
	return out
}

func describedTopic(name string, id uuid.UUID, code protocol.ErrorCode) kmsg.DescribeTopicPartitionsResponseTopic {
	t := kmsg.NewDescribeTopicPartitionsResponseTopic()
	t.Topic, t.TopicID, t.ErrorCode, t.IsInternal = &name, id, int16(code), isInternal(name)
	t.AuthorizedOperations = allTopicOperations
	return t
}
