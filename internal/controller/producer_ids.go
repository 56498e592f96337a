package controller

import (
	"math"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// producerIDBlock is how many producer ids a broker gets at once; the number is Kafka's.
const producerIDBlock = 1000

type (
	// AllocateProducerIDs gives a broker the next block of producer ids. Response: AllocateProducerIDsResponse.
	AllocateProducerIDs struct {
		BrokerID    int32
		BrokerEpoch int64
	}

	// AllocateProducerIDsResponse is the block: First and the Count-1 that follow. No id is ever given twice.
	AllocateProducerIDsResponse struct {
		Error Error
		First int64
		Count int32
	}
)

func (*AllocateProducerIDs) urgent() bool { return false }

func (r *AllocateProducerIDs) step(s *step) Response {
	if err := checkEpoch(s.img.Broker(r.BrokerID), r.BrokerID, r.BrokerEpoch); err.Failed() {
		return &AllocateProducerIDsResponse{Error: err}
	}
	first := s.img.NextProducerID()
	if first > math.MaxInt64-producerIDBlock {
		return &AllocateProducerIDsResponse{Error: Error{protocol.UnknownServerError,
			"Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit"}}
	}
	s.add(&metadata.ProducerIDsRecord{BrokerID: r.BrokerID, BrokerEpoch: r.BrokerEpoch, Next: first + producerIDBlock})
	return &AllocateProducerIDsResponse{First: first, Count: producerIDBlock}
}
