package handler

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// Metadata, versions 0 to 13: brokers, topics, leaders.
//
//	v1   null names are all topics, an empty list none; controller id, rack, internal flag
//	v4   whether to create missing topics (KIP-361)
//	v5   offline replicas
//	v7   leader epochs (KIP-320)
//	v8   authorized operations (KIP-430); the cluster's until v10
//	v10  topic ids in the response, v12 in the request (KIP-516)
//	v13  an error for the whole response (KIP-1102)
//
// A missing topic is created before the answer leaves, but answered as unknown, as Kafka does: the client asks again.

// allOperations are the operations on a resource that anyone may do while no authorizer is configured, as bits of Kafka's
// operation codes: of a topic READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS; of the cluster
// CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS and IDEMPOTENT_WRITE.
const (
	allTopicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	allClusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	notRequested         = math.MinInt32
)

func serveMetadata(h *Handler, c call, req *kmsg.MetadataRequest) kmsg.Response {
	img := h.Metadata.Image()
	resp := kmsg.NewPtrMetadataResponse()
	resp.ClusterID = kmsg.StringPtr(img.ClusterID())
	resp.AuthorizedOperations = notRequested

	all := req.Topics == nil || c.version == 0 && len(req.Topics) == 0
	if !all && c.version < 12 {
		for _, t := range req.Topics {
			if t.Topic == nil || !uuid.UUID(t.TopicID).IsZero() {
				return metadataRefused(req)
			}
		}
	}
	resp.ControllerID = -1
	for _, b := range img.Brokers() {
		if b.Fenced {
			continue
		}
		host, port, ok := h.endpoint(b, c.conn)
		if !ok {
			continue
		}
		mb := kmsg.NewMetadataResponseBroker()
		mb.NodeID, mb.Host, mb.Port = b.ID, host, port
		if b.Rack != "" {
			mb.Rack = kmsg.StringPtr(b.Rack)
		}
		resp.Brokers = append(resp.Brokers, mb)
		if resp.ControllerID < 0 {
			resp.ControllerID = b.ID // any broker that is alive passes controller requests on
		}
	}

	const each = 400 // what a topic, or a partition, takes in the answer, which is made twice: as values, and as bytes
	if n := len(req.Topics); !all && !c.take(int64(n)*each) || all && !c.take(int64(img.TopicCount()+img.PartitionCount())*each) {
		return nil
	}
	if all {
		for t := range img.Topics() {
			resp.Topics = append(resp.Topics, h.topicMetadata(img, t, c, req))
		}
	} else {
		resp.Topics = h.namedTopics(img, c, req)
	}
	if 8 <= c.version && c.version <= 10 && req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = allClusterOperations
	}
	return resp
}

// metadataRefused answers a request that names topics in a way its version does not know: INVALID_REQUEST for each of them.
func metadataRefused(req *kmsg.MetadataRequest) kmsg.Response {
	resp := kmsg.NewPtrMetadataResponse()
	resp.ControllerID = -1
	resp.AuthorizedOperations = notRequested
	resp.ErrorCode = int16(protocol.InvalidRequest)
	for _, t := range req.Topics {
		mt := kmsg.NewMetadataResponseTopic()
		mt.ErrorCode = int16(protocol.InvalidRequest)
		mt.Topic = t.Topic
		if mt.Topic == nil {
			mt.Topic = kmsg.StringPtr("")
		}
		mt.TopicID = t.TopicID
		mt.AuthorizedOperations = notRequested
		resp.Topics = append(resp.Topics, mt)
	}
	return resp
}

// namedTopics answers the topics that a request names: by id if any id is given, by name otherwise. Each is answered once.
func (h *Handler) namedTopics(img *metadata.Image, c call, req *kmsg.MetadataRequest) []kmsg.MetadataResponseTopic {
	byID := slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool { return !uuid.UUID(t.TopicID).IsZero() })
	var known, unknown []kmsg.MetadataResponseTopic
	var missing []string
	seenID, seenName := map[uuid.UUID]bool{}, map[string]bool{}
	for _, t := range req.Topics {
		if byID {
			id := uuid.UUID(t.TopicID)
			if id.IsZero() || seenID[id] {
				continue
			}
			seenID[id] = true
			if topic := img.TopicByID(id); topic != nil {
				known = append(known, h.topicMetadata(img, topic, c, req))
			} else {
				unknown = append(unknown, missingTopic(nil, id, protocol.UnknownTopicID))
			}
			continue
		}
		if t.Topic == nil || seenName[*t.Topic] {
			continue
		}
		name := *t.Topic
		seenName[name] = true
		if topic := img.Topic(name); topic != nil {
			known = append(known, h.topicMetadata(img, topic, c, req))
		} else if controller.InvalidTopicName(name) != "" {
			unknown = append(unknown, missingTopic(&name, uuid.UUID{}, protocol.InvalidTopic))
		} else {
			unknown = append(unknown, missingTopic(&name, uuid.UUID{}, protocol.UnknownTopicOrPartition))
			if name != transactionsTopic && name != shareStateTopic { // whose coordinators are not served yet
				missing = append(missing, name)
			}
		}
	}
	if byID {
		return append(unknown, known...)
	}
	if len(missing) > 0 && h.Config.AutoCreateTopics && !h.crowded() && (c.version < 4 || req.AllowAutoTopicCreation) {
		h.autoCreate(c, missing)
	}
	return append(known, unknown...)
}

// autoCreate creates the topics with the broker's defaults. Whether that works shows when the client asks again.
func (h *Handler) autoCreate(c call, names []string) {
	create := &controller.CreateTopics{Quota: c.changesUntold()}
	for _, name := range names {
		t := controller.NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1}
		if name == offsetsTopic {
			t = h.newOffsetsTopic(h.Metadata.Image())
		}
		create.Topics = append(create.Topics, t)
	}
	resp, err := h.Controller.Do(c.ctx, create)
	if err != nil {
		if !errors.Is(err, controller.ErrNoSpace) { // of which the log tells once
			h.Log.Warn("create topics on first use", "topics", strings.Join(names[:min(len(names), toldTopics)], ","), "of", len(names), "error", err)
		}
		return
	}
	told := 0
	for _, t := range resp.(*controller.CreateTopicsResponse).Topics {
		if t.Error.Failed() && t.Error.Code != protocol.TopicAlreadyExists && t.Error.Code != protocol.ThrottlingQuotaExceeded {
			if told++; told <= toldTopics {
				h.Log.Warn("create topic on first use", "topic", t.Name, "of", len(names), "error", t.Error.Message)
			}
		}
	}
}

// toldTopics is how many topics of one request the log names.
const toldTopics = 10

func missingTopic(name *string, id uuid.UUID, code protocol.ErrorCode) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.ErrorCode, t.Topic, t.TopicID = int16(code), name, id
	t.AuthorizedOperations = notRequested
	if name != nil {
		t.IsInternal = isInternal(*name)
	}
	return t
}

func (h *Handler) topicMetadata(img *metadata.Image, topic *metadata.Topic, c call, req *kmsg.MetadataRequest) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic = kmsg.StringPtr(topic.Name)
	t.TopicID = topic.ID
	t.IsInternal = isInternal(topic.Name)
	t.AuthorizedOperations = notRequested
	if req.IncludeTopicAuthorizedOperations {
		t.AuthorizedOperations = allTopicOperations
	}
	t.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(topic.Partitions))
	for i, p := range topic.Partitions {
		mp := kmsg.NewMetadataResponseTopicPartition()
		mp.Partition = int32(i)
		mp.Leader, mp.LeaderEpoch = p.Leader, p.LeaderEpoch
		mp.Replicas, mp.ISR = p.Replicas, p.ISR
		for _, r := range p.Replicas {
			if b := img.Broker(r); b == nil || b.Fenced || !p.Online(b) {
				mp.OfflineReplicas = append(mp.OfflineReplicas, r)
			}
		}
		if code := h.leaderError(img, p.Leader, c); code != protocol.None {
			mp.ErrorCode, mp.Leader = int16(code), -1
		}
		t.Partitions[i] = mp
	}
	return t
}

// leaderError says why a client of this connection could not reach a leader: there is none, or it has no such listener.
func (h *Handler) leaderError(img *metadata.Image, leader int32, c call) protocol.ErrorCode {
	b := img.Broker(leader)
	if b == nil || b.Fenced {
		return protocol.LeaderNotAvailable
	}
	if h.reachable(b, c.conn) {
		return protocol.None
	}
	if c.version >= 6 {
		return protocol.ListenerNotFound
	}
	return protocol.LeaderNotAvailable
}
