package handler

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
)

// DeleteRecords, versions 0 to 2: moves the log start of partitions (KIP-107). An offset of -1 stands for the high watermark. It is answered
// once the replicas on all brokers that are alive have moved theirs too, or when the time is over.

// deletion is a partition whose followers are still to move their log start.
type deletion struct {
	part *partition.Partition
	to   int64
	out  *kmsg.DeleteRecordsResponseTopicPartition
}

func serveDeleteRecords(h *Handler, c call, req *kmsg.DeleteRecordsRequest, answer func(kmsg.Response)) {
	img := h.Metadata.Image()
	resp := kmsg.NewPtrDeleteRecordsResponse()
	var open []deletion
	for _, t := range req.Topics {
		rt := kmsg.NewDeleteRecordsResponseTopic()
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, 0, len(t.Partitions)) // deletions point into it
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
				to, err := part.DeleteRecords(p.Offset)
				low := int64(-1)
				if err == nil {
					low, err = part.LowWatermark()
				}
				switch code = codeOf(err); {
				case code != protocol.None:
				case low < to:
					rp.LowWatermark, code = low, protocol.RequestTimedOut // unless they do in time
					open = append(open, deletion{part, to, &rt.Partitions[:len(rt.Partitions)+1][len(rt.Partitions)]})
				default:
					rp.LowWatermark = low
				}
			}
			rp.ErrorCode = int16(code)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	wait := time.Duration(req.TimeoutMillis) * time.Millisecond
	if len(open) == 0 || wait <= 0 {
		answer(resp)
		return
	}
	c.park()
	h.pending.Go(func() {
		h.awaitDeletions(c, open, wait)
		answer(resp)
	})
}

// awaitDeletions waits until followers have moved their log starts, the time is over, or the connection is gone.
func (h *Handler) awaitDeletions(c call, open []deletion, wait time.Duration) {
	timeout := make(chan struct{})
	timer := h.Clock.AfterFunc(wait, func() { close(timeout) })
	defer timer.Stop()
	w := partition.NewLowWatcher()
	for _, d := range open {
		d.part.Watch(w)
		defer d.part.Unwatch(w)
	}
	for {
		open = slices.DeleteFunc(open, deletion.over)
		if len(open) == 0 {
			return
		}
		select {
		case <-w.C:
		case <-timeout:
			return
		case <-c.conn.Context().Done():
			return
		}
	}
}

// over notes whether the low watermark is where it is to get.
func (d deletion) over() bool {
	low, err := d.part.LowWatermark()
	if err == nil && low < d.to {
		return false
	}
	d.out.ErrorCode = int16(codeOf(err))
	if d.out.LowWatermark = -1; err == nil {
		d.out.LowWatermark = low
	}
	return true
}
