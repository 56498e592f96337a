package server

import (
	"errors"
	"fmt"
	"testing"

	"github.com/moldau/moldau/internal/metrics"
	"github.com/moldau/moldau/internal/protocol"
)

// Every reason for which a connection ends is counted under one name.
func TestClosedIsCountedByReason(t *testing.T) {
	for name, reason := range map[string]error{
		"disconnected": ErrDisconnected, "idle": ErrIdle, "stalled": ErrStalled, "refused": ErrConnections, "throttled": ErrRate, "shutdown": ErrShutdown, "memory": ErrMemory,
		"error": fmt.Errorf("decode: %w", protocol.ErrMalformed),
	} {
		var s Stats
		s.closed(fmt.Errorf("end: %w", reason))
		for i := range s.Closed {
			want := int64(0)
			if CloseReason(i) == name {
				want = 1
			}
			if got := s.Closed[i].Load(); got != want {
				t.Errorf("%v counts %d under %s", reason, got, CloseReason(i))
			}
		}
	}
}

// A header that names an API in a version that is not there is counted; bytes that are no header are not, since they name none.
func TestUndecodedRequests(t *testing.T) {
	var s Stats
	s.undecoded(fmt.Errorf("header: %w", &protocol.UnsupportedError{Key: protocol.KeyFetch, Version: 99}))
	s.undecoded(errors.New("three bytes"))
	n := 0
	s.Requests.Counts(func(key, version, code int16, count int64) {
		n++
		if key != int16(protocol.KeyFetch) || version != metrics.OtherVersion || code != metrics.Closed || count != 1 {
			t.Errorf("key %d version %d code %d: %d", key, version, code, count)
		}
	})
	if n != 1 {
		t.Errorf("%d series", n)
	}
}
