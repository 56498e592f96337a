package cluster

import (
	"errors"
	"fmt"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/peer"
)

// sendError says of a request that got no answer whether it may have been carried out.
func sendError(err error) error {
	if errors.Is(err, peer.ErrNotSent) {
		return fmt.Errorf("%w: %w: %w", controller.ErrNotController, controller.ErrNotDone, err)
	}
	return fmt.Errorf("%w: %w", controller.ErrNotController, err)
}
