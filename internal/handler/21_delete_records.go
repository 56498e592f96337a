package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
)

// DeleteRecords, versions 0 to 2: moves the log start of partitions (KIP-107). An offset of -1 stands for the high watermark.

func serveDeleteRecords(h *Handler, c call, req *kmsg.DeleteRecordsRequest) kmsg.Response {
	img := h.Metadata.Image()
	resp := kmsg.NewPtrDeleteRecordsResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewDeleteRecordsResponseTopic()
		rt.Topic = t.Topic
		last := make(map[int32]int, len(t.Partitions))
		for i, p := range t.Partitions {
			last[p.Partition] = i
		}
		for i, p := range t.Partitions {
			if last[p.Partition] != i {
				continue // the last one counts, as in Kafka
			}
			rp := kmsg.NewDeleteRecordsResponseTopicPartition()
			rp.Partition, rp.LowWatermark = p.Partition, -1
			part, code := h.partitionByName(img, t.Topic, p.Partition)
			switch {
			case code != protocol.None:
			case isInternal(t.Topic):
				code = protocol.InvalidTopic
			case p.Offset < -1:
				code = protocol.OffsetOutOfRange
			default:
				low, err := part.DeleteRecords(p.Offset)
				if code = codeOf(err); code == protocol.None {
					rp.LowWatermark = low
				}
			}
			rp.ErrorCode = int16(code)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
