package handler

import (
	"math"
	"slices"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// OffsetCommit, versions 2 to 10: how far a group has read.
//
//	v2   an expiry for what is committed, until v4 (KIP-211 took it away)
//	v6   leader epochs (KIP-320)
//	v7   static members (KIP-345)
//	v9   GROUP_ID_NOT_FOUND instead of ILLEGAL_GENERATION, and members of consumer groups (KIP-848)
//	v10  topics by id (KIP-848)
//
// The empty group id is allowed, as in Kafka, where very old consumers without a group use it. A topic or a partition that does
// not exist is refused here; the group decides about the rest as a whole.

func serveOffsetCommit(h *Handler, c call, req *kmsg.OffsetCommitRequest, answer func(kmsg.Response)) {
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	// What the decoded request becomes: the question, and the answer twice.
	const each = unsafe.Sizeof(group.CommitPartition{}) + unsafe.Sizeof(group.CommittedPartition{}) + 2*unsafe.Sizeof(kmsg.OffsetCommitResponseTopicPartition{})
	const eachTopic = 256 // likewise, and what finds it again
	if !c.take(int64(n)*int64(each) + int64(len(req.Topics))*eachTopic) {
		answer(nil)
		return
	}
	h.catchUpFirst(c.ctx, c.meter, func(img *metadata.Image) bool { return commitLacks(img, c.version, req) })
	resp := newCommitAnswer(c.version)
	commit := h.commitRequest(c.version, req, resp)
	if len(commit.Topics) == 0 {
		answer(resp.OffsetCommitResponse)
		return
	}
	if req.MemberID == "" && req.Generation < 0 && h.crowded() { // of nobody's group, of which there may be any number
		resp.refuse(commit, protocol.CoordinatorNotAvailable)
		answer(resp.OffsetCommitResponse)
		return
	}
	if !utf8.ValidString(req.Group) {
		resp.refuse(commit, protocol.InvalidGroupID)
		answer(resp.OffsetCommitResponse)
		return
	}
	ask(h, req.Group, commit, func(r *group.CommitResponse, code protocol.ErrorCode) {
		if code != protocol.None {
			resp.refuse(commit, code)
		} else {
			resp.merge(r)
		}
		answer(resp.OffsetCommitResponse)
	})
}

// committedTopic finds a topic that a request names.
func committedTopic(img *metadata.Image, version int16, t *kmsg.OffsetCommitRequestTopic) *metadata.Topic {
	if version >= 10 {
		return img.TopicByID(t.TopicID)
	}
	return img.Topic(t.Topic)
}

// commitLacks says whether one of the topics or partitions is unknown.
func commitLacks(img *metadata.Image, version int16, req *kmsg.OffsetCommitRequest) bool {
	return slices.ContainsFunc(req.Topics, func(t kmsg.OffsetCommitRequestTopic) bool {
		known := committedTopic(img, version, &t)
		return known == nil || slices.ContainsFunc(t.Partitions, func(p kmsg.OffsetCommitRequestTopicPartition) bool { return int(p.Partition) >= len(known.Partitions) })
	})
}

// commitRequest makes the question to the group, and answers what does not get so far.
func (h *Handler) commitRequest(version int16, req *kmsg.OffsetCommitRequest, resp *commitAnswer) *group.CommitRequest {
	commit := &group.CommitRequest{
		Group: req.Group, Generation: req.Generation, Member: req.MemberID, Instance: req.InstanceID,
		Retention: -1, Topics: make([]group.CommitTopic, 0, len(req.Topics)),
	}
	if version <= 4 {
		commit.Retention = commitRetention(req.RetentionTimeMillis)
	}
	img := h.Metadata.Image()
	for i := range req.Topics {
		t := &req.Topics[i]
		known := committedTopic(img, version, t)
		if known == nil {
			code := protocol.UnknownTopicOrPartition
			if version >= 10 {
				code = protocol.UnknownTopicID
			}
			for j := range t.Partitions {
				resp.add(t.Topic, t.TopicID, t.Partitions[j].Partition, code)
			}
			resp.topic(t.Topic, t.TopicID) // also with no partition
			continue
		}
		topic := group.CommitTopic{Topic: known.Name, ID: known.ID, Partitions: make([]group.CommitPartition, 0, len(t.Partitions))}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.Partition < 0 || int(p.Partition) >= len(known.Partitions) {
				resp.add(known.Name, known.ID, p.Partition, protocol.UnknownTopicOrPartition)
				continue
			}
			epoch := int32(-1)
			if version >= 6 {
				epoch = p.LeaderEpoch
			}
			topic.Partitions = append(topic.Partitions, group.CommitPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: epoch, Metadata: orEmpty(p.Metadata),
			})
		}
		if len(topic.Partitions) > 0 {
			commit.Topics = append(commit.Topics, topic)
		}
	}
	return commit
}

// commitRetention is the expiry that a request asks for: -1 asks for none, another negative one is over at once.
func commitRetention(ms int64) time.Duration {
	if ms == -1 {
		return -1
	}
	return time.Duration(min(max(ms, 0), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// commitAnswer collects an answer as Kafka does: what was refused before the group was asked comes first, and a topic whose
// partitions were partly refused gets the others behind them.
type commitAnswer struct {
	*kmsg.OffsetCommitResponse
	byID   bool
	places map[commitPlace]int
}

type commitPlace struct {
	topic string
	id    uuid.UUID
}

func newCommitAnswer(version int16) *commitAnswer {
	return &commitAnswer{OffsetCommitResponse: &kmsg.OffsetCommitResponse{Version: version}, byID: version >= 10}
}

// topic finds the answer for a topic, or makes one.
func (a *commitAnswer) topic(topic string, id uuid.UUID) *kmsg.OffsetCommitResponseTopic {
	place := commitPlace{topic: topic}
	if a.byID {
		place = commitPlace{id: id}
	}
	i, ok := a.places[place]
	if !ok {
		i = len(a.Topics)
		a.Topics = append(a.Topics, kmsg.OffsetCommitResponseTopic{Topic: topic, TopicID: id})
		if a.places == nil {
			a.places = map[commitPlace]int{}
		}
		a.places[place] = i
	}
	return &a.Topics[i]
}

func (a *commitAnswer) add(topic string, id uuid.UUID, partition int32, code protocol.ErrorCode) {
	t := a.topic(topic, id)
	t.Partitions = append(t.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: partition, ErrorCode: int16(code)})
}

// merge adds what the group answered. Alone it stays as it is, though a topic be named twice.
func (a *commitAnswer) merge(r *group.CommitResponse) {
	alone := len(a.Topics) == 0
	for i := range r.Topics {
		t := &r.Topics[i]
		var to *kmsg.OffsetCommitResponseTopic
		if alone {
			a.Topics = append(a.Topics, kmsg.OffsetCommitResponseTopic{Topic: t.Topic, TopicID: t.ID})
			to = &a.Topics[len(a.Topics)-1]
		} else {
			to = a.topic(t.Topic, t.ID)
		}
		for _, p := range t.Partitions {
			code := p.Code
			switch {
			case code == protocol.GroupIDNotFound && a.Version < 9:
				code = protocol.IllegalGeneration // all that older clients understand
			case code == protocol.UnknownTopicOrPartition && a.byID: // the topic went while the request was on its way
				code = protocol.UnknownTopicID
			}
			to.Partitions = append(to.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(code)})
		}
	}
}

// refuse answers a code for everything that the group was, or would have been, asked.
func (a *commitAnswer) refuse(r *group.CommitRequest, code protocol.ErrorCode) {
	refused := &group.CommitResponse{Topics: make([]group.CommittedTopic, len(r.Topics))}
	for i := range r.Topics {
		t := &refused.Topics[i]
		t.Topic, t.ID = r.Topics[i].Topic, r.Topics[i].ID
		for j := range r.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, group.CommittedPartition{Partition: r.Topics[i].Partitions[j].Partition, Code: code})
		}
	}
	a.merge(refused)
}
