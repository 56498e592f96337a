package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// absentGroup is a group that does not exist under the same name in every run.
const absentGroup = "no-such-group"

// The kinds of coordinators.
const (
	coordinateGroup       = 0
	coordinateTransaction = 1
	coordinateShare       = 2
)

// findCoordinator asks for coordinators, in the form the version has for it: below version 4 for that of the first key.
func findCoordinator(version int16, kind int8, keys ...string) *kmsg.FindCoordinatorRequest {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorType = version, kind
	if version >= 4 {
		req.CoordinatorKeys = keys
	} else {
		req.CoordinatorKey = keys[0]
	}
	return req
}

func describeGroups(version int16, groups ...string) *kmsg.DescribeGroupsRequest {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Version, req.Groups = version, groups
	return req
}

// listGroups lists groups; states and types are filters that old versions do not have.
func listGroups(version int16, states []string, types []string) *kmsg.ListGroupsRequest {
	req := kmsg.NewPtrListGroupsRequest()
	req.Version, req.StatesFilter, req.TypesFilter = version, states, types
	return req
}

func deleteGroups(version int16, groups ...string) *kmsg.DeleteGroupsRequest {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Version, req.Groups = version, groups
	return req
}

func heartbeat(version int16, group string, generation int32, member string) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.Generation, req.MemberID = version, group, generation, member
	return req
}

// leaver names a member that leaves; an empty text of instance means none.
func leaver(member, instance string) kmsg.LeaveGroupRequestMember {
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = member
	if instance != "" {
		m.InstanceID = ptr(instance)
	}
	return m
}

// leaveGroup lets members leave; below version 3 only the first, and only by its member id.
func leaveGroup(version int16, group string, members ...kmsg.LeaveGroupRequestMember) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = version, group
	if version >= 3 {
		req.Members = members
	} else if len(members) > 0 {
		req.MemberID = members[0].MemberID
	}
	return req
}

// syncGroup is a follower's; the leader adds assignments.
func syncGroup(version int16, group string, generation int32, member string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.Generation, req.MemberID = version, group, generation, member
	return req
}

// joinGroup is a request of a new member that speaks for itself in the given protocols, "name=metadata" each.
func joinGroup(version int16, group, member string, protocols ...string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.ProtocolType = version, group, member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 60_000, 60_000
	for _, p := range protocols {
		name, metadata := cutConfig(p)
		proto := kmsg.NewJoinGroupRequestProtocol()
		proto.Name = name
		if metadata != nil {
			proto.Metadata = []byte(*metadata)
		}
		req.Protocols = append(req.Protocols, proto)
	}
	return req
}

// subscribes is the metadata of a consumer that subscribes to topics.
func subscribes(topics ...Topic) string {
	m := kmsg.NewConsumerMemberMetadata()
	for _, t := range topics {
		m.Topics = append(m.Topics, t.Name)
	}
	return string(m.AppendTo(nil))
}

// commitOf is the position that a commit says for one partition.
type commitOf struct {
	topic     Topic
	partition int32
	offset    int64
	metadata  *string
	epoch     int32
}

// commits names the position of a partition, without metadata and epoch.
func commits(t Topic, partition int32, offset int64) commitOf {
	return commitOf{topic: t, partition: partition, offset: offset, metadata: ptr(""), epoch: -1}
}

func (c commitOf) with(metadata string) commitOf { c.metadata = ptr(metadata); return c }
func (c commitOf) at(epoch int32) commitOf       { c.epoch = epoch; return c }

// offsetCommit commits without being a member; positions of one topic must follow each other.
func offsetCommit(version int16, group string, positions ...commitOf) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation, req.RetentionTimeMillis = version, group, -1, -1
	for _, c := range positions {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != c.topic.Name || req.Topics[n-1].TopicID != c.topic.ID {
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic, t.TopicID = c.topic.Name, c.topic.ID
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata, p.LeaderEpoch = c.partition, c.offset, c.metadata, c.epoch
		t.Partitions = append(t.Partitions, p)
	}
	return req
}

// fetchOf is what an OffsetFetch asks of one topic.
type fetchOf struct {
	topic      Topic
	partitions []int32
}

func committed(t Topic, partitions ...int32) fetchOf { return fetchOf{t, partitions} }

// offsetFetch asks for offsets of one group; no topic at all asks for all of them, which version 1 cannot.
func offsetFetch(version int16, group string, topics ...fetchOf) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = version
	if version >= 8 {
		req.Groups = append(req.Groups, ofGroup(group, topics...))
		return req
	}
	req.Group = group
	for _, f := range topics {
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic, t.Partitions = f.topic.Name, f.partitions
		req.Topics = append(req.Topics, t)
	}
	return req
}

// ofGroup is what an OffsetFetch asks of one of several groups.
func ofGroup(group string, topics ...fetchOf) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	for _, f := range topics {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.TopicID, t.Partitions = f.topic.Name, f.topic.ID, f.partitions
		g.Topics = append(g.Topics, t)
	}
	return g
}

func offsetDelete(group string, topics ...fetchOf) *kmsg.OffsetDeleteRequest {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	for _, f := range topics {
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = f.topic.Name
		for _, n := range f.partitions {
			p := kmsg.NewOffsetDeleteRequestTopicPartition()
			p.Partition = n
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}
