package group

import (
	"time"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// The requests that a Machine handles, each by a pointer, and the responses, each a pointer too. They are free of protocol versions:
// the handler translates. Names of Kafka's fields are kept where they say enough.

// JoinRequest is JoinGroup. It is answered when the rebalance it begins or joins is over.
type JoinRequest struct {
	Group            string
	Member           string  // "" for a new member
	Instance         *string // static membership (KIP-345)
	ClientID         string
	ClientHost       string // as Kafka prints it: a slash and the address
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration // the session time-out where the version has none
	ProtocolType     string
	Protocols        []Protocol
	RequireMemberID  bool   // version 4 on: a dynamic member without an id is sent one first (KIP-394)
	SkipAssignment   bool   // version 9 on: the leader understands SkipAssignment in the response (KIP-814)
	Reason           string // why the client joins (KIP-800), for the log
}

// Protocol is an assignor that a member can work with, and what it has to say under it. Metadata is opaque.
type Protocol struct {
	Name     string
	Metadata []byte
}

// JoinResponse answers a JoinRequest.
type JoinResponse struct {
	Code           protocol.ErrorCode
	Generation     int32 // -1 with an error
	ProtocolType   *string
	Protocol       *string // chosen; nil where none is. Versions below 7 print "" for nil
	Leader         string
	SkipAssignment bool
	Member         string       // the member's id, also with MEMBER_ID_REQUIRED
	Members        []JoinMember // the leader's copy only
}

// JoinMember is what the leader is told of a member.
type JoinMember struct {
	Member   string
	Instance *string
	Metadata []byte
}

// SyncRequest is SyncGroup. It is answered when the leader has sent the assignments.
type SyncRequest struct {
	Group        string
	Generation   int32
	Member       string
	Instance     *string
	ProtocolType *string // version 5 on
	Protocol     *string // version 5 on
	Assignments  []Assignment
}

// Assignment is what the leader gives to a member. Bytes are opaque.
type Assignment struct {
	Member string
	Bytes  []byte
}

// SyncResponse answers a SyncRequest.
type SyncResponse struct {
	Code         protocol.ErrorCode
	ProtocolType *string
	Protocol     *string
	Assignment   []byte
}

// HeartbeatRequest is Heartbeat.
type HeartbeatRequest struct {
	Group      string
	Generation int32
	Member     string
	Instance   *string
}

// HeartbeatResponse answers a HeartbeatRequest.
type HeartbeatResponse struct{ Code protocol.ErrorCode }

// LeaveRequest is LeaveGroup; below version 3 with one member.
type LeaveRequest struct {
	Group   string
	Members []LeaveMember
}

// LeaveMember names a member to leave: by id, or by instance and optionally the id.
type LeaveMember struct {
	Member   string
	Instance *string
	Reason   string // KIP-800
}

// LeaveResponse answers a LeaveRequest. Below version 3 the handler answers the code of the one member.
type LeaveResponse struct {
	Code    protocol.ErrorCode
	Members []LeftMember
}

// LeftMember is the result for one member.
type LeftMember struct {
	Member   string
	Instance *string
	Code     protocol.ErrorCode
}

// DescribeRequest asks for one group of DescribeGroups.
type DescribeRequest struct {
	Group      string
	MissingErr bool // version 6 on: GROUP_ID_NOT_FOUND instead of a dead group (KIP-1043)
}

// DescribeResponse answers a DescribeRequest.
type DescribeResponse struct {
	Code         protocol.ErrorCode
	Message      *string
	State        string // as Kafka prints it: "Stable"
	ProtocolType string
	Protocol     string // "" unless the group is stable
	Members      []DescribedMember
}

// DescribedMember is one member of a described group.
type DescribedMember struct {
	Member     string
	Instance   *string
	ClientID   string
	ClientHost string
	Metadata   []byte // under the chosen protocol; empty unless the group is stable
	Assignment []byte
}

// ListRequest asks for the groups of this shard. Empty filters let everything pass; they compare without regard to case.
type ListRequest struct{ States, Types []string }

// ListResponse answers a ListRequest.
type ListResponse struct{ Groups []ListedGroup }

// ListedGroup is one group of a ListResponse.
type ListedGroup struct{ Group, ProtocolType, State, Type string }

// DeleteRequest is DeleteGroups for one group.
type DeleteRequest struct{ Group string }

// DeleteResponse answers a DeleteRequest.
type DeleteResponse struct {
	Code    protocol.ErrorCode
	Message *string // Kafka 4.4 has a message from version 3 on
}

// CommitRequest is OffsetCommit. The handler has sorted out topics that do not exist.
type CommitRequest struct {
	Group      string
	Generation int32 // -1 for a simple consumer or a tool
	Member     string
	Instance   *string
	Retention  time.Duration // versions 2 to 4 may set an expiry for these commits; negative: none
	Topics     []CommitTopic
}

// CommitTopic is what is committed for one topic.
type CommitTopic struct {
	Topic      string
	ID         uuid.UUID // as the metadata has it, whatever the request named
	Partitions []CommitPartition
}

// CommitPartition is one offset to be committed.
type CommitPartition struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32  // -1: not known
	Metadata    string // null in the request is ""
}

// CommitResponse answers a CommitRequest, in its order.
type CommitResponse struct{ Topics []CommittedTopic }

// CommittedTopic is the result for a topic.
type CommittedTopic struct {
	Topic      string
	ID         uuid.UUID
	Partitions []CommittedPartition
}

// CommittedPartition is the result for a partition.
type CommittedPartition struct {
	Partition int32
	Code      protocol.ErrorCode
}

// FetchRequest is OffsetFetch for one group.
type FetchRequest struct {
	Group         string
	Member        *string // version 9 on (KIP-848)
	MemberEpoch   int32   // version 9 on; -1: not checked
	Topics        []FetchTopic
	All           bool // every committed offset of the group; Topics is empty
	RequireStable bool // version 7 on (KIP-447)
}

// FetchTopic names partitions of a topic.
type FetchTopic struct {
	Topic      string
	ID         uuid.UUID // handed through
	Partitions []int32
}

// FetchResponse answers a FetchRequest. With a Code other than None there are no topics.
type FetchResponse struct {
	Code   protocol.ErrorCode
	Topics []FetchedTopic
}

// FetchedTopic is one topic's committed offsets.
type FetchedTopic struct {
	Topic      string
	ID         uuid.UUID // of the request; of the commit, if known, with All
	Partitions []FetchedPartition
}

// FetchedPartition is a committed offset, -1 where nothing is committed.
type FetchedPartition struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32
	Metadata    *string
	Code        protocol.ErrorCode
}

// DeleteOffsetsRequest is OffsetDelete. The handler has sorted out topics that do not exist.
type DeleteOffsetsRequest struct {
	Group  string
	Topics []FetchTopic
}

// DeleteOffsetsResponse answers a DeleteOffsetsRequest. With a Code other than None there are no topics.
type DeleteOffsetsResponse struct {
	Code   protocol.ErrorCode
	Topics []CommittedTopic
}

// TopicsDeleted tells the machine of topics that are gone: their committed offsets go too. It is not answered.
type TopicsDeleted struct{ Topics []DeletedTopic }

// DeletedTopic names a topic that is gone.
type DeletedTopic struct {
	Topic string
	ID    uuid.UUID
}

// TopicsKnown is told once after a load: offsets of topics that were deleted while nobody led this partition go. It is not answered.
type TopicsKnown struct {
	// ID returns the id of a topic that exists.
	ID func(topic string) (uuid.UUID, bool)
}

// RecordLimit tells the machine of another MaxRecordBytes. It is not answered.
type RecordLimit struct{ Bytes int }

// Settings are what the machine reads of the configuration.
type Settings struct {
	MinSessionTimeout     time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout     time.Duration // group.max.session.timeout.ms
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	MaxSize               int           // group.max.size
	OffsetsRetention      time.Duration // offsets.retention.minutes
	RetentionCheck        time.Duration // offsets.retention.check.interval.ms
	MaxMetadataBytes      int           // offset.metadata.max.bytes
	MaxRecordBytes        int           // max.message.bytes of __consumer_offsets: a group whose record would be larger cannot be stored; 0: no limit
}

// MayHurry: that a member lives, or must join again, is true whatever becomes of what others have decided. See coordinator.Prompt.
func (r *HeartbeatResponse) MayHurry() bool {
	return r.Code == protocol.None || r.Code == protocol.RebalanceInProgress
}

// What is answered without a record ever being written; see coordinator.ReadsOnly.

func (*HeartbeatRequest) ReadsOnly() {}
func (*FetchRequest) ReadsOnly()     {}
func (*DescribeRequest) ReadsOnly()  {}
func (*ListRequest) ReadsOnly()      {}
func (*RecordLimit) ReadsOnly()      {}
