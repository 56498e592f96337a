package handler

import (
	"iter"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
)

// ListPartitionReassignments, version 0: the reassignments under way (KIP-455), of all topics or of partitions that are named. Those that do not
// exist are passed over, as in Kafka. The active controller is asked for nothing first: what any broker was asked to reassign before is known here then.

// reassignmentSize is about what a partition takes in the answer, which is made twice: as values, and as bytes.
const reassignmentSize = 300

func serveListPartitionReassignments(h *Handler, c call, req *kmsg.ListPartitionReassignmentsRequest) kmsg.Response {
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	if _, err := h.Controller.Do(c.ctx, &controller.Reassign{}); err != nil {
		resp.ErrorCode, resp.ErrorMessage = h.unanswered("list reassignments", err)
		return resp
	}
	for t, numbers := range askedPartitions(h.Metadata.Image(), req) {
		rt := kmsg.NewListPartitionReassignmentsResponseTopic()
		rt.Topic = t.Name
		for i := range numbers {
			if i < 0 || int(i) >= len(t.Partitions) || t.Partitions[i].Reassignment == nil {
				continue
			}
			if !c.take(reassignmentSize) {
				return nil
			}
			p := t.Partitions[i]
			rp := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			rp.Partition, rp.Replicas = i, p.Replicas
			rp.AddingReplicas, rp.RemovingReplicas = p.Reassignment.Adding, p.Reassignment.Removing
			rt.Partitions = append(rt.Partitions, rp)
		}
		if len(rt.Partitions) > 0 {
			resp.Topics = append(resp.Topics, rt)
		}
	}
	return resp
}

// askedPartitions yields the topics that a request asks for, and which of their partitions.
func askedPartitions(img *metadata.Image, req *kmsg.ListPartitionReassignmentsRequest) iter.Seq2[*metadata.Topic, iter.Seq[int32]] {
	return func(yield func(*metadata.Topic, iter.Seq[int32]) bool) {
		if req.Topics == nil {
			for t := range img.Topics() {
				if !yield(t, numbers(len(t.Partitions))) {
					return
				}
			}
		}
		for _, asked := range req.Topics {
			if t := img.Topic(asked.Topic); t != nil && !yield(t, slices.Values(asked.Partitions)) {
				return
			}
		}
	}
}

// numbers yields those below n.
func numbers(n int) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i := range int32(n) {
			if !yield(i) {
				return
			}
		}
	}
}
