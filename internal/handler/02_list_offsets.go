package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
)

// ListOffsets, versions 1 to 11: the offset at a timestamp, or at one of the special ones.
//
//	v2   isolation level: read_committed sees the last stable offset
//	v4   leader epochs (KIP-320)
//	v7   max timestamp (KIP-734)
//	v8   earliest local (KIP-405)
//	v9   latest tiered (KIP-1005)
//	v10  time-out, for offsets that have to be looked up remotely; nothing is remote here
//	v11  earliest pending upload (KIP-1023)

// listedSince is the lowest version that knows a special timestamp.
func listedSince(timestamp int64) int16 {
	switch timestamp {
	case partition.MaxTimestamp:
		return 7
	case partition.EarliestLocal:
		return 8
	case partition.LatestTiered:
		return 9
	case partition.EarliestPendingUpload:
		return 11
	}
	return 1
}

func serveListOffsets(h *Handler, c call, req *kmsg.ListOffsetsRequest) kmsg.Response {
	type place struct {
		topic     string
		partition int32
	}
	asked := map[place]int{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			asked[place{t.Topic, p.Partition}]++
		}
	}
	isolation := partition.ReadUncommitted
	switch {
	case req.ReplicaID != -1:
		isolation = partition.ReadAll
	case req.IsolationLevel == 1:
		isolation = partition.ReadCommitted
	}

	img := h.Metadata.Image()
	resp := kmsg.NewPtrListOffsetsResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Offset, rp.Timestamp, rp.LeaderEpoch = p.Partition, -1, -1, -1
			at := place{t.Topic, p.Partition}
			if times := asked[at]; times == 0 {
				continue // answered once
			} else if times > 1 {
				asked[at] = 0
				rp.ErrorCode = int16(protocol.InvalidRequest)
			} else {
				rp.ErrorCode = int16(h.listOffset(img, c, t.Topic, p, isolation, &rp))
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		if len(rt.Partitions) > 0 {
			resp.Topics = append(resp.Topics, rt)
		}
	}
	return resp
}

func (h *Handler) listOffset(img *metadata.Image, c call, topic string, p kmsg.ListOffsetsRequestTopicPartition,
	isolation partition.Isolation, out *kmsg.ListOffsetsResponseTopicPartition) protocol.ErrorCode {
	if p.Timestamp < partition.EarliestPendingUpload || c.version < listedSince(p.Timestamp) {
		return protocol.UnsupportedVersion
	}
	part, code := h.partitionByName(img, topic, p.Partition)
	if code != protocol.None {
		return code
	}
	epoch := partition.NoEpoch
	if c.version >= 4 {
		epoch = commitlog.LeaderEpoch(p.CurrentLeaderEpoch)
	}
	found, err := part.ListOffset(p.Timestamp, isolation, epoch)
	if err != nil {
		return codeOf(err)
	}
	out.Offset, out.Timestamp, out.LeaderEpoch = found.Offset, found.Timestamp, int32(found.Epoch)
	return protocol.None
}

// partitionByName finds a hosted replica, or the code that says why there is none.
func (h *Handler) partitionByName(img *metadata.Image, topic string, index int32) (*partition.Partition, protocol.ErrorCode) {
	t := img.Topic(topic)
	if t == nil || index < 0 || int(index) >= len(t.Partitions) {
		return nil, protocol.UnknownTopicOrPartition
	}
	if p := h.Partitions.Partition(t.ID, index); p != nil {
		return p, protocol.None
	}
	return nil, protocol.NotLeaderOrFollower
}
