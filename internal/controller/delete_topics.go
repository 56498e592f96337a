package controller

import (
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

type (
	// DeleteTopics removes topics, each by its name or by its id. Response: DeleteTopicsResponse.
	DeleteTopics struct {
		Topics []TopicRef
		Quota  Quota `json:"-"`
	}

	// TopicRef names a topic by exactly one of the two; a zero ID is none.
	TopicRef struct {
		Name *string
		ID   uuid.UUID
	}

	// DeleteTopicsResponse has one result for each topic that was named.
	DeleteTopicsResponse struct{ Topics []TopicDeleted }

	// TopicDeleted is the result for one topic. Name is nil where the request gave an id that is unknown.
	TopicDeleted struct {
		Name  *string
		ID    uuid.UUID
		Error Error
	}
)

func (*DeleteTopics) urgent() bool { return true }

func (r *DeleteTopics) step(s *step) Response {
	response := new(DeleteTopicsResponse)
	answer := func(name *string, id uuid.UUID, code protocol.ErrorCode, message string) {
		response.Topics = append(response.Topics, TopicDeleted{Name: name, ID: id, Error: Error{code, message}})
	}
	names, ids := make(map[string]int), make(map[uuid.UUID]int)
	for _, t := range r.Topics {
		switch {
		case t.Name == nil && t.ID.IsZero():
			answer(nil, uuid.UUID{}, protocol.InvalidRequest, "Neither topic name nor id were specified.")
		case t.Name != nil && !t.ID.IsZero():
			answer(t.Name, t.ID, protocol.InvalidRequest, "You may not specify both topic name and topic id.")
		case t.Name != nil:
			names[*t.Name]++
		default:
			ids[t.ID]++
		}
	}
	for _, t := range r.Topics { // duplicates, once each
		if t.Name != nil && t.ID.IsZero() && names[*t.Name] > 1 {
			answer(t.Name, uuid.UUID{}, protocol.InvalidRequest, "Duplicate topic name.")
			names[*t.Name] = 0
		}
		if t.Name == nil && ids[t.ID] > 1 {
			answer(nil, t.ID, protocol.InvalidRequest, "Duplicate topic id.")
			ids[t.ID] = -1
		}
	}
	var doomed []*metadata.Topic
	for _, t := range r.Topics {
		if t.Name != nil || ids[t.ID] != 1 {
			continue
		}
		if topic := s.img.TopicByID(t.ID); topic == nil {
			answer(nil, t.ID, protocol.UnknownTopicID, "This server does not host this topic ID.")
		} else {
			doomed = append(doomed, topic)
		}
	}
	for _, t := range r.Topics {
		if t.Name == nil || !t.ID.IsZero() || names[*t.Name] != 1 {
			continue
		}
		topic := s.img.Topic(*t.Name)
		switch {
		case topic == nil:
			answer(t.Name, uuid.UUID{}, protocol.UnknownTopicOrPartition, "This server does not host this topic-partition.")
		case ids[topic.ID] != 0:
			answer(t.Name, topic.ID, protocol.InvalidRequest, "The provided topic name maps to an ID that was already supplied.")
			ids[topic.ID] = -1
		default:
			doomed = append(doomed, topic)
			ids[topic.ID] = 1
		}
	}
	for _, topic := range doomed {
		if ids[topic.ID] != 1 {
			continue
		}
		if err := within(r.Quota, len(topic.Partitions)); err.Failed() {
			answer(&topic.Name, topic.ID, err.Code, err.Message)
		} else {
			s.add(&metadata.RemoveTopicRecord{ID: topic.ID})
			answer(&topic.Name, topic.ID, protocol.None, "")
		}
	}
	return response
}
