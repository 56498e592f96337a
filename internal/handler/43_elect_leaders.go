package handler

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/protocol"
)

// ElectLeaders, versions 0 to 2: gives partitions to their preferred leaders (KIP-183), or any leader to those that have none, though
// it may lack records (KIP-460).
//
//	v1  kind of election, an error for the whole request     v2  flexible
//
// Where all partitions are asked for, those that need no election are left out, but their topics are named, as in Kafka. A negative
// time-out has passed already; any other is not needed.

// electionMessageSize is more than the messages for one partition take, without names.
const electionMessageSize = 64

func serveElectLeaders(h *Handler, c call, req *kmsg.ElectLeadersRequest) kmsg.Response {
	resp := kmsg.NewPtrElectLeadersResponse()
	elect := &controller.ElectLeaders{All: req.Topics == nil}
	size := int64(0)
	for _, t := range req.Topics {
		elect.Topics = append(elect.Topics, controller.TopicPartitions{Topic: t.Topic, Partitions: t.Partitions})
		size += itemSize + int64(len(t.Partitions))*(itemSize+electionMessageSize+int64(len(t.Topic)))
	}
	if elect.All {
		size = int64(h.Metadata.Image().TopicCount()) * itemSize
	}
	if !c.charge(size) {
		return nil
	}
	if req.TimeoutMillis < 0 {
		return electionRefused(req, resp, protocol.RequestTimedOut, nil)
	}
	if c.version >= 1 {
		if elect.Election = req.ElectionType; elect.Election < controller.PreferredElection || elect.Election > controller.UncleanElection {
			electionRefused(req, resp, protocol.InvalidRequest, new(fmt.Sprintf("Unknown election type %d", elect.Election)))
			if !slices.ContainsFunc(req.Topics, func(t kmsg.ElectLeadersRequestTopic) bool { return len(t.Partitions) > 0 }) {
				resp.ErrorCode = 0 // Kafka tells of it by the partitions
			}
			return resp
		}
	}
	done, err := h.Controller.Do(c.ctx, elect)
	if err != nil {
		resp.ErrorCode, _ = h.unanswered("elect leaders", err)
		return resp
	}
	for _, t := range done.(*controller.ElectLeadersResponse).Topics {
		rt := kmsg.NewElectLeadersResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewElectLeadersResponseTopicPartition()
			rp.Partition = p.Partition
			rp.ErrorCode, rp.ErrorMessage = failure(p.Error)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// electionRefused answers all of a request the same.
func electionRefused(req *kmsg.ElectLeadersRequest, resp *kmsg.ElectLeadersResponse, code protocol.ErrorCode, why *string) kmsg.Response {
	resp.ErrorCode = int16(code)
	for _, t := range req.Topics {
		rt := kmsg.NewElectLeadersResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.ElectLeadersResponseTopicPartition{Partition: p, ErrorCode: int16(code), ErrorMessage: why})
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
