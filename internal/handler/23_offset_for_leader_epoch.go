package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// OffsetForLeaderEpoch, versions 2 to 4: where a leader epoch ends (KIP-101, KIP-279, KIP-320).

func serveOffsetForLeaderEpoch(h *Handler, c call, req *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	img := h.Metadata.Image()
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.EndOffset = p.Partition, -1, -1
			rp.ErrorCode = int16(h.epochEnd(img, t.Topic, p, &rp))
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (h *Handler) epochEnd(img *metadata.Image, topic string, p kmsg.OffsetForLeaderEpochRequestTopicPartition,
	out *kmsg.OffsetForLeaderEpochResponseTopicPartition) protocol.ErrorCode {
	part, code := h.partitionByName(img, topic, p.Partition)
	if code != protocol.None {
		return code
	}
	epoch, end, err := part.EndOffsetForEpoch(commitlog.LeaderEpoch(p.LeaderEpoch), commitlog.LeaderEpoch(p.CurrentLeaderEpoch))
	if err != nil {
		return codeOf(err)
	}
	out.LeaderEpoch, out.EndOffset = int32(epoch), end
	return protocol.None
}
