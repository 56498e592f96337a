package handler

import (
	"errors"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
)

// codes pairs the answers of the layers below with Kafka's error codes; the first that matches counts. This is the only place
// where an error becomes a code.
var codes = []struct {
	err  error
	code protocol.ErrorCode
}{
	// Of coordinators, whatever it is that keeps them from their log: clients look for them again.
	{coordinator.ErrNotCoordinator, protocol.NotCoordinator},
	{coordinator.ErrLoading, protocol.CoordinatorLoadInProgress},
	{coordinator.ErrUnavailable, protocol.CoordinatorNotAvailable},
	{coordinator.ErrTimeout, protocol.CoordinatorNotAvailable},

	{partition.ErrNotLeader, protocol.NotLeaderOrFollower},
	{partition.ErrFencedLeaderEpoch, protocol.FencedLeaderEpoch},
	{partition.ErrUnknownLeaderEpoch, protocol.UnknownLeaderEpoch},
	{partition.ErrNotEnoughReplicas, protocol.NotEnoughReplicas},
	{partition.ErrNotItsTurn, protocol.NotEnoughReplicas}, // the one code of Produce that says that nothing was written, and has every client try again a little later
	{partition.ErrOffsetNotAvailable, protocol.OffsetNotAvailable},
	{partition.ErrUnknownReplica, protocol.UnknownLeaderEpoch}, // as in Kafka: the leader has not heard of the assignment yet
	{partition.ErrStaleBrokerEpoch, protocol.StaleBrokerEpoch},
	{partition.ErrDeleted, protocol.UnknownTopicOrPartition},
	{partition.ErrPolicy, protocol.PolicyViolation},

	{commitlog.ErrOffsetOutOfRange, protocol.OffsetOutOfRange},
	{commitlog.ErrOutOfOrderSequence, protocol.OutOfOrderSequenceNumber},
	{commitlog.ErrInvalidProducerEpoch, protocol.InvalidProducerEpoch},
	{commitlog.ErrInvalidTxnState, protocol.InvalidTxnState},
	{commitlog.ErrCoordinatorFenced, protocol.TransactionCoordinatorFenced},
	{commitlog.ErrTooLargeForSegment, protocol.RecordListTooLarge},

	{record.ErrTooLarge, protocol.MessageTooLarge},
	{record.ErrInvalidTimestamp, protocol.InvalidTimestamp},
	{record.ErrUnsupportedCompression, protocol.UnsupportedCompressionType},
	{record.ErrInvalidRecord, protocol.InvalidRecord},
	{record.ErrCorrupt, protocol.CorruptMessage},
	{commitlog.ErrStaleLeaderEpoch, protocol.NotLeaderOrFollower},

	{errNoProducer, protocol.NotEnoughReplicas}, // as above

	{ErrTopicTooLong, protocol.InvalidTopic},
	{ErrNoLogDir, protocol.LogDirNotFound},
	{ErrNoPartition, protocol.UnknownTopicOrPartition},
	{ErrNoReplica, protocol.ReplicaNotAvailable},

	// Failures of the disk. Clients refresh their metadata and try again (KIP-112).
	{commitlog.ErrReadOnly, protocol.StorageError},
	{commitlog.ErrOffline, protocol.StorageError},
	{commitlog.ErrCorrupt, protocol.StorageError},
	{commitlog.ErrClosed, protocol.NotLeaderOrFollower}, // the broker is stopping
}

// noSpace is what clients read of a change of metadata for which the disk has no room.
const noSpace = "There is no space left on the disk that holds the cluster's metadata: the change was not made."

// unanswered turns an error of the controller, which stands for all items of a request, into code and message, and logs it. Of a
// full disk the log tells once, not for each request.
func (h *Handler) unanswered(what string, err error) (int16, *string) {
	if errors.Is(err, controller.ErrNoSpace) {
		return int16(protocol.StorageError), new(noSpace)
	}
	h.Log.Warn(what, "error", err)
	return int16(protocol.NotController), nil
}

// codeOf turns an error of a lower layer into Kafka's error code. What is not listed is a failure of the world below, nearly
// always the disk, and not UNKNOWN_SERVER_ERROR, which kills many clients.
func codeOf(err error) protocol.ErrorCode {
	if err == nil {
		return protocol.None
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return protocol.StorageError
}

// coordinatorCode is codeOf for requests to a coordinator: their clients know no failures of a disk, and look for the coordinator again.
func coordinatorCode(err error) protocol.ErrorCode {
	switch code := codeOf(err); code {
	case protocol.StorageError, protocol.NotLeaderOrFollower:
		return protocol.NotCoordinator
	default:
		return code
	}
}
