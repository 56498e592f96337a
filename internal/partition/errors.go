package partition

import (
	"errors"

	"github.com/moldau/moldau/internal/replica"
)

// Answers for the client and for followers. Each is turned into a Kafka error code by the handler, in one place.
var (
	// ErrNotLeader says that this replica is not the partition's leader (NOT_LEADER_OR_FOLLOWER).
	ErrNotLeader = replica.ErrNotLeader
	// ErrFencedLeaderEpoch says that the request names an older leader epoch than ours (KIP-320).
	ErrFencedLeaderEpoch = replica.ErrFencedLeaderEpoch
	// ErrUnknownLeaderEpoch says that the request names a leader epoch this replica has not heard of yet.
	ErrUnknownLeaderEpoch = replica.ErrUnknownLeaderEpoch
	// ErrNotEnoughReplicas says that nothing was written because the ISR is smaller than min.insync.replicas.
	ErrNotEnoughReplicas = replica.ErrNotEnoughReplicas
	// ErrNotItsTurn says that nothing was written because the producer is not known, and a batch of it that comes before may have been refused or be on its way.
	ErrNotItsTurn = errors.New("the producer is not known here, and a batch of it that comes before may still be on its way")
	// ErrOffsetNotAvailable says that a new leader does not know yet how far records are committed (KIP-207).
	ErrOffsetNotAvailable = replica.ErrOffsetNotAvailable
	// ErrUnknownReplica says that the fetching broker has no replica of the partition.
	ErrUnknownReplica = replica.ErrUnknownReplica
	// ErrStaleBrokerEpoch says that a follower's fetch is of an earlier incarnation of its broker.
	ErrStaleBrokerEpoch = replica.ErrStaleBrokerEpoch
	// ErrDeleted says that the partition was deleted while the request waited.
	ErrDeleted = errors.New("the partition was deleted")
	// ErrPolicy says that records of a topic that only compacts cannot be deleted by offset.
	ErrPolicy = errors.New("records can be deleted only from a topic whose cleanup.policy contains delete")
)
