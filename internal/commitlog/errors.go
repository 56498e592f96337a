package commitlog

import (
	"errors"

	"github.com/moldau/moldau/internal/commitlog/producer"
	"github.com/moldau/moldau/internal/commitlog/segment"
)

// Answers: what a caller branches on. The handler turns them into Kafka's codes.
var (
	// ErrOffsetOutOfRange: below the log start or above the log end (OFFSET_OUT_OF_RANGE).
	ErrOffsetOutOfRange = errors.New("offset is out of range")
	// ErrOutOfOrderSequence: the batch does not follow the producer's last one (OUT_OF_ORDER_SEQUENCE_NUMBER).
	ErrOutOfOrderSequence = producer.ErrOutOfOrderSequence
	// ErrInvalidProducerEpoch: the producer was fenced by a newer one (INVALID_PRODUCER_EPOCH).
	ErrInvalidProducerEpoch = producer.ErrInvalidEpoch
	// ErrInvalidTxnState: a batch without the transactional bit inside an open transaction (INVALID_TXN_STATE).
	ErrInvalidTxnState = producer.ErrInvalidTxnState
	// ErrCoordinatorFenced: a marker of an older transaction coordinator (TRANSACTION_COORDINATOR_FENCED).
	ErrCoordinatorFenced = producer.ErrCoordinatorFenced
	// ErrTooLargeForSegment: larger than segment.bytes (RECORD_LIST_TOO_LARGE).
	ErrTooLargeForSegment = errors.New("batch is larger than a segment")
	// ErrStaleLeaderEpoch: an append with an older leader epoch than the log already holds.
	ErrStaleLeaderEpoch = errors.New("leader epoch is older than the log's last")
	// ErrUnexpectedOffset: a replicated batch that begins below the log end.
	ErrUnexpectedOffset = errors.New("replicated batch begins below the log end")
	// ErrReadOnly: the disk is full; reads go on (KAFKA_STORAGE_ERROR).
	ErrReadOnly = errors.New("log directory is read-only for lack of space")
	// ErrOffline: a write or sync of the log directory failed; it takes nothing any more (KAFKA_STORAGE_ERROR).
	ErrOffline = errors.New("log directory is offline")
	// ErrCorrupt: the files contradict themselves; the error names file and offset.
	ErrCorrupt = segment.ErrCorrupt
	// ErrClosed: the log was closed or deleted.
	ErrClosed = errors.New("log is closed")
)

// DamagedFile is the path of the .log file with the damage that an error is about, "" for other errors.
func DamagedFile(err error) string {
	var d *segment.DamageError
	if errors.As(err, &d) {
		return d.Path
	}
	return ""
}

// Unreadable says whether an error is the disk's own, about bytes that it cannot give back.
func Unreadable(err error) bool { return segment.Unreadable(err) }
