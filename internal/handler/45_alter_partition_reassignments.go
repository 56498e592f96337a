package handler

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/protocol"
)

// AlterPartitionReassignments, versions 0 and 1: which brokers keep a partition (KIP-455).
//
//	v1  whether the number of replicas may change (KIP-860)
//
// What needs no copy is done at once: another order of the replicas, or fewer of them. Replicas on brokers that had none copy the partition first;
// until then ListPartitionReassignments has it, and null for the replicas cancels it.

// reassignmentMessageSize is more than the message for one partition takes, without names.
const reassignmentMessageSize = 160

func serveAlterPartitionReassignments(h *Handler, c call, req *kmsg.AlterPartitionAssignmentsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	if len(req.Topics) == 0 {
		resp.ErrorMessage = new("")
		return resp
	}
	reassign := &controller.Reassign{KeepFactor: c.version >= 1 && !req.AllowReplicationFactorChange}
	size := int64(0)
	for _, t := range req.Topics {
		size += itemSize + int64(len(t.Partitions))*(itemSize+reassignmentMessageSize+int64(len(t.Topic)))
		for _, p := range t.Partitions {
			reassign.Partitions = append(reassign.Partitions, controller.Reassignment{Topic: t.Topic, Partition: p.Partition, Replicas: p.Replicas})
		}
	}
	if !c.charge(size) {
		return nil
	}
	var results []controller.Error
	if req.TimeoutMillis < 0 { // it has passed already; any other is not needed
		late := controller.Error{Code: protocol.RequestTimedOut}
		resp.ErrorCode, results = int16(late.Code), slices.Repeat([]controller.Error{late}, len(reassign.Partitions))
	} else {
		done, err := h.Controller.Do(c.ctx, reassign)
		if err != nil {
			resp.ErrorCode, resp.ErrorMessage = h.unanswered("reassign partitions", err)
			return resp
		}
		results = done.(*controller.ReassignResponse).Errors
	}
	for _, t := range req.Topics {
		rt := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			rp.Partition = p.Partition
			rp.ErrorCode, rp.ErrorMessage = failure(results[0])
			results = results[1:]
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
