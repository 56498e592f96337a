package server

import (
	"log/slog"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/clock"
)

const (
	complaintPause = time.Minute
	maxComplaints  = 1024
)

// complaints logs at most one line per address and minute, so that a hostile client cannot fill the log.
type complaints struct {
	logger *slog.Logger
	clock  clock.Clock

	mu    sync.Mutex // guards since
	since map[string]time.Time
}

func (l *complaints) init(logger *slog.Logger, c clock.Clock) {
	l.logger, l.clock, l.since = logger, c, map[string]time.Time{}
}

func (l *complaints) complain(who, what string, err error) {
	now := l.clock.Now()
	l.mu.Lock()
	last, seen := l.since[who]
	if seen && now.Sub(last) < complaintPause {
		l.mu.Unlock()
		return
	}
	if len(l.since) >= maxComplaints {
		clear(l.since)
	}
	l.since[who] = now
	l.mu.Unlock()
	l.logger.Warn(what, "client", who, "reason", err)
}
