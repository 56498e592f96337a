package partition

import "errors"

// Answers for the client. Each is turned into a Kafka error code by the handler, in one place.
var (
	// ErrNotLeader says that this replica is not the partition's leader (NOT_LEADER_OR_FOLLOWER).
	ErrNotLeader = errors.New("this replica is not the leader")
	// ErrFencedLeaderEpoch says that the request names an older leader epoch than ours (KIP-320).
	ErrFencedLeaderEpoch = errors.New("the leader epoch in the request is older than the leader's")
	// ErrUnknownLeaderEpoch says that the request names a leader epoch this replica has not heard of yet.
	ErrUnknownLeaderEpoch = errors.New("the leader epoch in the request is newer than the leader's")
	// ErrNotEnoughReplicas says that nothing was written because the ISR is smaller than min.insync.replicas.
	ErrNotEnoughReplicas = errors.New("fewer in-sync replicas than min.insync.replicas")
	// ErrNotEnoughReplicasAfterAppend says that the ISR shrank below min.insync.replicas while an append waited.
	ErrNotEnoughReplicasAfterAppend = errors.New("fewer in-sync replicas than min.insync.replicas after the append")
	// ErrDeleted says that the partition was deleted while the request waited.
	ErrDeleted = errors.New("the partition was deleted")
	// ErrPolicy says that records of a topic that only compacts cannot be deleted by offset.
	ErrPolicy = errors.New("records can be deleted only from a topic whose cleanup.policy contains delete")
)
