package handler

import (
	"unsafe"

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
	places := 0
	for i := range req.Topics {
		places += len(req.Topics[i].Partitions)
	}
	if !c.take(int64(places) * listedSize) {
		return nil
	}
	asked := askedFor(req.Topics, places)
	isolation := partition.ReadUncommitted
	switch {
	case req.ReplicaID != -1:
		isolation = partition.ReadAll
	case req.IsolationLevel == 1:
		isolation = partition.ReadCommitted
	}

	img := h.Metadata.Image()
	resp := kmsg.NewPtrListOffsetsResponse()
	resp.Topics = make([]kmsg.ListOffsetsResponseTopic, 0, len(req.Topics))
	for i := range req.Topics {
		t := &req.Topics[i]
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, 0, len(t.Partitions))
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Offset, rp.Timestamp, rp.LeaderEpoch = p.Partition, -1, -1, -1
			if times := asked.times(i, p.Partition); times == answered {
				continue
			} else if times > 1 {
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

// listedSize is what a partition takes in the answer, as a value and as bytes, and in what says how often it is asked for.
const listedSize = int64(unsafe.Sizeof(kmsg.ListOffsetsResponseTopicPartition{})) + 26 + 40

// askedPlaces says how often a request names each partition: which costs next to nothing where no topic comes twice and the partitions of each
// stand in their order.
type askedPlaces struct {
	first []int           // for each topic of the request the first of the same name
	often map[uint64]int8 // by that and the partition; nil if all are named once
}

const answered = -1 // in place of how often

func askedFor(topics []kmsg.ListOffsetsRequestTopic, places int) askedPlaces {
	inOrder := true
	a := askedPlaces{first: make([]int, len(topics))}
	names := make(map[string]int, len(topics))
	for i, t := range topics {
		at, again := names[t.Topic]
		if !again {
			at = i
			names[t.Topic] = i
		}
		a.first[i] = at
		inOrder = inOrder && !again
		for j := 1; j < len(t.Partitions) && inOrder; j++ {
			inOrder = t.Partitions[j-1].Partition < t.Partitions[j].Partition
		}
	}
	if inOrder {
		return a
	}
	a.often = make(map[uint64]int8, places)
	for i, t := range topics {
		for _, p := range t.Partitions {
			k := a.key(i, p.Partition)
			a.often[k] = min(a.often[k]+1, 2)
		}
	}
	return a
}

func (a *askedPlaces) key(topic int, partition int32) uint64 {
	return uint64(a.first[topic])<<32 | uint64(uint32(partition))
}

// times is how often a partition is named, or answered if it was asked for before and is named several times.
func (a *askedPlaces) times(topic int, partition int32) int8 {
	if a.often == nil {
		return 1
	}
	k := a.key(topic, partition)
	n := a.often[k]
	if n > 1 {
		a.often[k] = answered
	}
	return n
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
		if code := codeOf(err); code != protocol.OffsetNotAvailable || c.version >= 5 {
			return code
		}
		return protocol.LeaderNotAvailable // older clients do not know the other
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
