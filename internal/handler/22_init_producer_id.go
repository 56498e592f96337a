package handler

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/protocol"
)

// InitProducerId, versions 0 to 5: a producer id for an idempotent producer (KIP-98).
//
//	v3  the id and epoch the producer had (KIP-360); without a transactional id a fresh id is given all the same
//
// Transactions are not served yet. A transactional.id is refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which every
// client takes as fatal; a retriable code would have it ask for ever.

func serveInitProducerID(h *Handler, c call, req *kmsg.InitProducerIDRequest) kmsg.Response {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	switch {
	case (req.ProducerID == -1) != (req.ProducerEpoch == -1) && c.version >= 3:
		resp.ErrorCode = int16(protocol.InvalidRequest)
		return resp
	case req.TransactionalID != nil && *req.TransactionalID == "":
		resp.ErrorCode = int16(protocol.InvalidRequest)
		return resp
	case req.TransactionalID != nil:
		resp.ErrorCode = int16(protocol.TransactionalIDAuthorizationFailed)
		return resp
	}
	if h.crowded() {
		resp.ErrorCode = int16(protocol.CoordinatorLoadInProgress) // retriable
		return resp
	}
	id, err := h.producerIDs.next(c.ctx, h)
	if err != nil {
		h.unanswered("allocate producer ids", err)
		resp.ErrorCode = int16(protocol.CoordinatorLoadInProgress) // retriable, as Kafka answers while it waits for a block
		return resp
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp
}

// producerIDs hands out the ids of the block that the controller gave this broker (KIP-730). What is left of a block when the
// broker ends is never used.
type producerIDs struct {
	// mu guards the block; it is held while the controller is asked for the next one, since everyone else needs that too.
	mu        sync.Mutex
	following int64
	remaining int32
}

func (p *producerIDs) next(ctx context.Context, h *Handler) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.remaining == 0 {
		own := h.Metadata.Image().Broker(h.BrokerID)
		if own == nil {
			return 0, errors.New("this broker is not registered")
		}
		resp, err := h.Controller.Do(ctx, &controller.AllocateProducerIDs{BrokerID: own.ID, BrokerEpoch: own.Epoch})
		if err != nil {
			return 0, err
		}
		block := resp.(*controller.AllocateProducerIDsResponse)
		if block.Error.Failed() {
			return 0, fmt.Errorf("%s: %s", block.Error.Code, block.Error.Message)
		}
		p.following, p.remaining = block.First, block.Count
	}
	id := p.following
	p.following++
	p.remaining--
	return id, nil
}
