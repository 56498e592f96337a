package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestUntilReady(t *testing.T) {
	other := errors.New("other")
	ended, end := context.WithCancel(t.Context())
	end()
	for _, c := range []struct {
		ctx     context.Context
		answers []error
		want    error
		asked   int
	}{
		{t.Context(), []error{nil}, nil, 1},
		{t.Context(), []error{other, nil}, other, 1},
		{t.Context(), []error{kerr.CoordinatorNotAvailable, fmt.Errorf("x: %w", kerr.CoordinatorLoadInProgress), kerr.NotCoordinator, nil}, nil, 4},
		{t.Context(), []error{kerr.NotCoordinator, other}, other, 2},
		{ended, []error{kerr.NotCoordinator}, context.Canceled, 1},
	} {
		asked := 0
		pause := time.Microsecond
		if c.ctx == ended {
			pause = time.Hour // so that only the end of the context can come first
		}
		err := untilReady(c.ctx, time.Hour, pause, func() error { asked++; return c.answers[asked-1] })
		if !errors.Is(err, c.want) || asked != c.asked {
			t.Errorf("%v: %v after %d", c.answers, err, asked)
		}
	}
	asked := 0
	if err := untilReady(t.Context(), 0, time.Hour, func() error { asked++; return kerr.NotCoordinator }); !errors.Is(err, kerr.NotCoordinator) || asked != 1 {
		t.Errorf("without patience: %v after %d", err, asked)
	}
}
