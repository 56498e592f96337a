package controller

import "github.com/moldau/moldau/internal/protocol"

// Quota is how many partitions the client of a request may create or delete (KIP-599). A step asks it once for each topic that it would
// change otherwise, in their order; nil is no quota. It is the one thing beside its arguments that a step depends on and changes: what
// was counted stays so when the step's records are not committed.
type Quota interface {
	// Record counts n partitions and says whether they are allowed.
	Record(n int) bool
}

func within(q Quota, n int) Error {
	if q == nil || q.Record(n) {
		return Error{}
	}
	return Error{Code: protocol.ThrottlingQuotaExceeded} // without a message, as in Kafka
}
