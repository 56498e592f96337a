package client

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// UntilReady asks a coordinator again while it is not ready, as it is for a moment in a new cluster, after an election, or while it
// reads its log.
func UntilReady(ctx context.Context, ask func() error) error {
	return untilReady(ctx, requestTimeout, 100*time.Millisecond, ask)
}

func untilReady(ctx context.Context, patience, pause time.Duration, ask func() error) error {
	give := time.After(patience)
	for {
		err := ask()
		if !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.CoordinatorLoadInProgress) && !errors.Is(err, kerr.NotCoordinator) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-give:
			return err
		case <-time.After(pause):
		}
	}
}
