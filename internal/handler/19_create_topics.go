package handler

import (
	"maps"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// CreateTopics, versions 2 to 7: makes topics; each succeeds or fails alone.
//
//	v4  -1 stands for the broker's defaults (KIP-464)
//	v5  the new topic's partitions, replication factor and settings in the response (KIP-525)
//	v6  THROTTLING_QUOTA_EXCEEDED for topics beyond the quota (KIP-599)
//	v7  topic ids (KIP-516)
//
// The response leaves when the topics are committed and hosted here; the time-out in the request is not needed for that.

func serveCreateTopics(h *Handler, c call, req *kmsg.CreateTopicsRequest) kmsg.Response {
	create := &controller.CreateTopics{ValidateOnly: req.ValidateOnly, Quota: c.changes(6), Topics: make([]controller.NewTopic, len(req.Topics))}
	for i, t := range req.Topics {
		n := controller.NewTopic{Name: t.Topic, Partitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor}
		for _, a := range t.ReplicaAssignment {
			n.Assignments = append(n.Assignments, controller.Assignment{Partition: a.Partition, Brokers: a.Replicas})
		}
		for _, cfg := range t.Configs {
			n.Configs = append(n.Configs, controller.Config{Name: cfg.Name, Value: cfg.Value})
		}
		create.Topics[i] = n
	}
	resp := kmsg.NewPtrCreateTopicsResponse()
	if h.crowded() {
		img := h.Metadata.Image()
		for _, t := range req.Topics {
			rt := kmsg.NewCreateTopicsResponseTopic()
			rt.Topic, rt.ErrorCode, rt.ErrorMessage = t.Topic, int16(protocol.PolicyViolation), kmsg.StringPtr(errCrowded)
			rt.NumPartitions, rt.ReplicationFactor = -1, -1
			if img.Topic(t.Topic) != nil { // programs that make their topics when they start go on
				rt.ErrorCode, rt.ErrorMessage = int16(protocol.TopicAlreadyExists), kmsg.StringPtr("Topic '"+t.Topic+"' already exists.")
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	done, err := h.Controller.Do(c.ctx, create)
	if err != nil {
		code, message := h.unanswered("create topics", err)
		for _, t := range req.Topics {
			rt := kmsg.NewCreateTopicsResponseTopic()
			rt.Topic, rt.ErrorCode, rt.ErrorMessage = t.Topic, code, message
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	var configs []kmsg.CreateTopicsResponseTopicConfig
	var of map[string]string // whose those are, and what their min.insync.replicas is where nobody set it
	least := 0
	for _, t := range done.(*controller.CreateTopicsResponse).Topics {
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.TopicID = t.Name, t.ID
		rt.ErrorCode, rt.ErrorMessage = failure(t.Error)
		rt.NumPartitions, rt.ReplicationFactor = -1, -1
		rt.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // not null, also where there is an error
		if !t.Error.Failed() {
			rt.NumPartitions, rt.ReplicationFactor = t.Partitions, t.ReplicationFactor
			n := metadata.MinISR(0, int(t.ReplicationFactor))
			if configs == nil || n != least || !maps.Equal(of, t.Configs) { // ten thousand topics of one request mostly have the same
				configs, of, least = h.createdConfigs(t.Configs, n), t.Configs, n
			}
			rt.Configs = configs
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// createdSize is about the size of the response, 0 where it is small. That to ten thousand topics has 11 MB, most of it settings: a buffer that
// grew to it step by step would leave five times as much behind.
func createdSize(resp *kmsg.CreateTopicsResponse) int {
	if len(resp.Topics) < 8 {
		return 0
	}
	first, one := resp.Topics[0], *resp
	for _, t := range resp.Topics {
		if len(t.Configs) > len(first.Configs) {
			first = t
		}
	}
	one.Topics = []kmsg.CreateTopicsResponseTopic{first}
	each, size := len(one.AppendTo(nil))-len(first.Topic), 0
	for _, t := range resp.Topics {
		size += each + len(t.Topic)
		if t.ErrorMessage != nil {
			size += len(*t.ErrorMessage)
		}
	}
	return size
}

// createdConfigs are the settings of a new topic, of which some were given.
func (h *Handler) createdConfigs(given map[string]string, least int) []kmsg.CreateTopicsResponseTopicConfig {
	live := h.Live()
	entries := live.DescribeTopic(given, least)
	configs := make([]kmsg.CreateTopicsResponseTopicConfig, 0, len(entries))
	for _, e := range entries {
		if raw, set := given[e.Name]; set {
			e.Value = &raw // as it was given, while DescribeConfigs shows how it was understood
		}
		rc := kmsg.NewCreateTopicsResponseTopicConfig()
		rc.Name, rc.Value, rc.ReadOnly, rc.Source, rc.IsSensitive = e.Name, e.Value, e.ReadOnly, int8(live.CreatedSource(e.Name, given, least)), e.Sensitive
		configs = append(configs, rc)
	}
	return configs
}

// failure splits a controller's answer into code and message; success has neither.
func failure(e controller.Error) (int16, *string) {
	if e.Message == "" {
		return int16(e.Code), nil
	}
	return int16(e.Code), &e.Message
}
