package replica

import (
	"errors"

	"github.com/moldau/moldau/internal/commitlog"
)

// Answers to clients, followers and, from the controller, to a leader.
var (
	// ErrNotLeader says that this replica does not lead (NOT_LEADER_OR_FOLLOWER).
	ErrNotLeader = errors.New("this replica is not the leader")
	// ErrFencedLeaderEpoch says that the request is of an older leader epoch than ours.
	ErrFencedLeaderEpoch = errors.New("the leader epoch in the request is older than the leader's")
	// ErrUnknownLeaderEpoch says that the request is of a leader epoch that this replica has not heard of yet.
	ErrUnknownLeaderEpoch = errors.New("the leader epoch in the request is newer than the leader's")
	// ErrNotEnoughReplicas says that the ISR is smaller than min.insync.replicas.
	ErrNotEnoughReplicas = errors.New("fewer in-sync replicas than min.insync.replicas")
	// ErrOffsetOutOfRange says that the log does not have the offset, or that it is not committed.
	ErrOffsetOutOfRange = commitlog.ErrOffsetOutOfRange
	// ErrOffsetNotAvailable says that a new leader does not know yet how far records are committed (KIP-207).
	ErrOffsetNotAvailable = errors.New("the high watermark of this leader epoch is not known yet")
	// ErrUnknownReplica says that the fetching broker has no replica of the partition (UNKNOWN_LEADER_EPOCH, as in Kafka).
	ErrUnknownReplica = errors.New("the broker has no replica of this partition")
	// ErrStaleBrokerEpoch says that the request is of an earlier incarnation of its broker (STALE_BROKER_EPOCH).
	ErrStaleBrokerEpoch = errors.New("the broker epoch in the request is of an earlier incarnation")
	// ErrIneligibleReplica is the controller's: a broker of the proposed ISR is fenced, stops, or is another incarnation now.
	ErrIneligibleReplica = errors.New("a replica of the proposed ISR is not eligible")
	// ErrInvalidUpdateVersion is the controller's: the partition epoch of the proposal is not the partition's.
	ErrInvalidUpdateVersion = errors.New("the partition epoch in the request is not the partition's")
	// ErrInvalidProposal is the controller's: it cannot make anything of the proposal, and will not of the same another time.
	ErrInvalidProposal = errors.New("the controller takes the proposal for invalid")
	// ErrNoAnswer stands for an answer that did not come: whether the proposal was taken is not known.
	ErrNoAnswer = errors.New("no answer from the controller")
)
