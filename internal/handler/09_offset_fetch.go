package handler

import (
	"slices"
	"unicode/utf8"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// OffsetFetch, versions 1 to 10: where a group goes on.
//
//	v2   no topics (null) mean all that the group has committed; errors of the group stand alone
//	v5   leader epochs (KIP-320)
//	v7   RequireStable (KIP-447)
//	v8   several groups, each with an error of its own (KIP-709)
//	v9   members of consumer groups (KIP-848)
//	v10  topics by id (KIP-848)
//
// Something that was never committed has offset -1 and no error, and so has everything of a group that does not exist. By name, a topic
// need not exist. By id, one that does not is refused, and left out where all were asked for; an offset that was committed for another
// topic of the same name is none.
//
// Where the offsets cannot be had the client is told NOT_COORDINATOR, as by Kafka: before 3.9 its consumers take COORDINATOR_NOT_AVAILABLE for final.

func serveOffsetFetch(h *Handler, c call, req *kmsg.OffsetFetchRequest, answer func(kmsg.Response)) {
	asked := fetchedGroups(c.version, req)
	h.catchUpFirst(c.ctx, c.meter, func(img *metadata.Image) bool { return c.version >= 10 && fetchLacks(img, asked) })
	f := offsetFetch{h: h, c: c, groups: make([]kmsg.OffsetFetchResponseGroup, len(asked))}
	questions := make([]*group.FetchRequest, len(asked))
	unknown := make([][]kmsg.OffsetFetchResponseGroupTopic, len(asked))
	var ids []string
	var valid []int // the places in asked of those that have a question
	for i := range asked {
		f.groups[i].Group = asked[i].Group
		if !utf8.ValidString(asked[i].Group) {
			f.fail(i, &asked[i], protocol.InvalidGroupID)
			continue
		}
		if !c.take(fetchedSize(&asked[i])) {
			answer(nil)
			return
		}
		questions[i], unknown[i] = f.question(&asked[i], req.RequireStable)
		ids, valid = append(ids, asked[i].Group), append(valid, i)
	}
	paid := true
	askEach(h, ids, func(k int) any { return questions[valid[k]] }, func(k int, r *group.FetchResponse, code protocol.ErrorCode) {
		i := valid[k]
		if code == protocol.None {
			code = r.Code
		}
		if code == protocol.CoordinatorNotAvailable || code == protocol.None && h.doubtfulCoordinator(asked[i].Group) { // looked at afterwards: until now no other one has committed anything
			code = protocol.NotCoordinator
		}
		if code != protocol.None {
			f.fail(i, &asked[i], code)
			return
		}
		if paid = paid && c.take(fetchedMore(r, questions[i].All)); paid {
			f.fill(i, r, questions[i].All, unknown[i])
		}
	}, func() {
		if paid {
			answer(f.response())
		} else {
			answer(nil)
		}
	})
}

// fetchLacks says whether one of the topics is unknown.
func fetchLacks(img *metadata.Image, asked []kmsg.OffsetFetchRequestGroup) bool {
	return slices.ContainsFunc(asked, func(g kmsg.OffsetFetchRequestGroup) bool {
		return slices.ContainsFunc(g.Topics, func(t kmsg.OffsetFetchRequestGroupTopic) bool { return img.TopicByID(t.TopicID) == nil })
	})
}

// doubtfulCoordinator says whether another broker may keep the group by now.
func (h *Handler) doubtfulCoordinator(group string) bool {
	topic, p := h.Metadata.Image().Topic(offsetsTopic), h.Groups.PartitionFor(group)
	return topic != nil && p >= 0 && int(p) < len(topic.Partitions) && h.doubtful(topic, p)
}

// fetchedGroups brings all versions to the form of the newest. Null topics stay nil.
func fetchedGroups(version int16, req *kmsg.OffsetFetchRequest) []kmsg.OffsetFetchRequestGroup {
	if version >= 8 {
		return req.Groups
	}
	g := kmsg.OffsetFetchRequestGroup{Group: req.Group, MemberEpoch: -1}
	if req.Topics != nil || version < 2 {
		g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
	}
	for i := range req.Topics {
		g.Topics[i] = kmsg.OffsetFetchRequestGroupTopic{Topic: req.Topics[i].Topic, Partitions: req.Topics[i].Partitions}
	}
	return []kmsg.OffsetFetchRequestGroup{g}
}

// Each partition is held as the machine answers it, as kmsg has it, and encoded.
const fetchedEach = int64(unsafe.Sizeof(group.FetchedPartition{})+unsafe.Sizeof(kmsg.OffsetFetchResponseGroupTopicPartition{})) + 24

// fetchedSize is about what the answer for a group takes that names its topics; a few bytes ask for each partition.
func fetchedSize(g *kmsg.OffsetFetchRequestGroup) int64 {
	n := int64(unsafe.Sizeof(group.FetchRequest{})+unsafe.Sizeof(kmsg.OffsetFetchResponseGroup{})) + int64(len(g.Group))
	for i := range g.Topics {
		n += 256 + int64(len(g.Topics[i].Topic)) + int64(len(g.Topics[i].Partitions))*fetchedEach
	}
	return n
}

// fetchedMore is what an answer takes beyond that: metadata, and everything where all offsets were asked for.
func fetchedMore(r *group.FetchResponse, all bool) (n int64) {
	for i := range r.Topics {
		t := &r.Topics[i]
		if all {
			n += 256 + int64(len(t.Topic)) + int64(len(t.Partitions))*fetchedEach
		}
		for j := range t.Partitions {
			n += int64(len(*t.Partitions[j].Metadata))
		}
	}
	return n
}

// offsetFetch is one request on its way.
type offsetFetch struct {
	h      *Handler
	c      call
	groups []kmsg.OffsetFetchResponseGroup
}

// question makes the question about a group, and answers for the topics that there are not.
func (f *offsetFetch) question(g *kmsg.OffsetFetchRequestGroup, stable bool) (*group.FetchRequest, []kmsg.OffsetFetchResponseGroupTopic) {
	q := &group.FetchRequest{Group: g.Group, Member: g.MemberID, MemberEpoch: g.MemberEpoch, All: g.Topics == nil, RequireStable: stable}
	if f.c.version < 10 {
		for i := range g.Topics {
			q.Topics = append(q.Topics, group.FetchTopic{Topic: g.Topics[i].Topic, Partitions: g.Topics[i].Partitions})
		}
		return q, nil
	}
	img := f.h.Metadata.Image()
	var unknown []kmsg.OffsetFetchResponseGroupTopic
	for i := range g.Topics {
		t := &g.Topics[i]
		if known := img.TopicByID(t.TopicID); known != nil {
			q.Topics = append(q.Topics, group.FetchTopic{Topic: known.Name, ID: known.ID, Partitions: t.Partitions})
		} else {
			unknown = append(unknown, refusedTopic(t, protocol.UnknownTopicID))
		}
	}
	return q, unknown
}

// refusedTopic has a code for each partition.
func refusedTopic(t *kmsg.OffsetFetchRequestGroupTopic, code protocol.ErrorCode) kmsg.OffsetFetchResponseGroupTopic {
	r := kmsg.OffsetFetchResponseGroupTopic{Topic: t.Topic, TopicID: t.TopicID}
	for _, p := range t.Partitions {
		r.Partitions = append(r.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{
			Partition: p, Offset: -1, LeaderEpoch: -1, Metadata: new(""), ErrorCode: int16(code),
		})
	}
	return r
}

// fail answers a code for a group. Version 1 has it in every partition.
func (f *offsetFetch) fail(i int, g *kmsg.OffsetFetchRequestGroup, code protocol.ErrorCode) {
	if f.c.version >= 2 {
		f.groups[i].ErrorCode = int16(code)
		return
	}
	for j := range g.Topics {
		f.groups[i].Topics = append(f.groups[i].Topics, refusedTopic(&g.Topics[j], code))
	}
}

// fill answers what a group has committed.
func (f *offsetFetch) fill(i int, r *group.FetchResponse, all bool, unknown []kmsg.OffsetFetchResponseGroupTopic) {
	img := f.h.Metadata.Image()
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(r.Topics)+len(unknown))
	for j := range r.Topics {
		t := &r.Topics[j]
		var id uuid.UUID
		if f.c.version >= 10 {
			if id = t.ID; all { // the id of today, though the offsets be older
				known := img.Topic(t.Topic)
				if known == nil {
					continue
				}
				id = known.ID
			}
		}
		to := kmsg.OffsetFetchResponseGroupTopic{Topic: t.Topic, TopicID: id, Partitions: make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(t.Partitions))}
		for k := range t.Partitions {
			p := &t.Partitions[k]
			to.Partitions[k] = kmsg.OffsetFetchResponseGroupTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: int16(p.Code),
			}
		}
		topics = append(topics, to)
	}
	f.groups[i].Topics = append(topics, unknown...)
}

// response brings the answer to the form of the request's version.
func (f *offsetFetch) response() kmsg.Response {
	resp := kmsg.NewPtrOffsetFetchResponse()
	if f.c.version >= 8 {
		resp.Groups = f.groups
		return resp
	}
	g := &f.groups[0]
	resp.ErrorCode = g.ErrorCode
	resp.Topics = make([]kmsg.OffsetFetchResponseTopic, len(g.Topics))
	for i := range g.Topics {
		t := &g.Topics[i]
		resp.Topics[i] = kmsg.OffsetFetchResponseTopic{Topic: t.Topic, Partitions: make([]kmsg.OffsetFetchResponseTopicPartition, len(t.Partitions))}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			resp.Topics[i].Partitions[j] = kmsg.OffsetFetchResponseTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode,
			}
		}
	}
	return resp
}
