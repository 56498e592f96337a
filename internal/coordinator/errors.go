package coordinator

import "errors"

// Answers for the client. Each is turned into a Kafka error code by the handler, in one place.
var (
	// ErrNotCoordinator says that this broker does not lead the partition of the key (NOT_COORDINATOR).
	ErrNotCoordinator = errors.New("this broker does not coordinate the key")
	// ErrLoading says that the machine is being loaded from the log (COORDINATOR_LOAD_IN_PROGRESS).
	ErrLoading = errors.New("the coordinator is loading its state")
	// ErrUnavailable says that nothing can be decided at the moment, as no record could be written or the log not be read
	// (COORDINATOR_NOT_AVAILABLE).
	ErrUnavailable = errors.New("the coordinator cannot write its log")
	// ErrTimeout says that what was decided did not become committed in time; it may still (COORDINATOR_NOT_AVAILABLE).
	ErrTimeout = errors.New("the coordinator's decision was not committed in time")
)
