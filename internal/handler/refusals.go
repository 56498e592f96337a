package handler

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/server"
)

// Bounds of what is logged of refused requests, whatever clients do.
const (
	refusalPause = time.Minute // between two lines of the same API, code and topic
	refusalsMax  = 60          // lines within one refusalPause
	clientIDMax  = 64          // bytes of a client id in a line
	reasonMax    = 400         // bytes of an answer's message in a line, which may repeat what the client sent
)

// refusals logs requests that were answered with an error, so that the question why one was refused is answered by the log too. It
// never floods: a line for each API, code and topic within a minute, and a bounded number of lines in all. The next line says how
// many had none.
type refusals struct {
	mu     sync.Mutex // guards what follows
	since  time.Time  // when lines began to be counted
	lines  map[refusal]struct{}
	silent int // refused requests without a line of their own
}

type refusal struct {
	key   protocol.APIKey
	code  protocol.ErrorCode
	topic string
}

// take says whether r is to have a line, and how many had none before it.
func (l *refusals) take(now time.Time, r refusal) (silent int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == nil || now.Sub(l.since) >= refusalPause {
		l.since, l.lines = now, map[refusal]struct{}{}
	}
	if _, again := l.lines[r]; again || len(l.lines) >= refusalsMax {
		l.silent++
		return 0, false
	}
	r.topic = strings.Clone(r.topic) // it may lie in the request
	l.lines[r] = struct{}{}
	silent, l.silent = l.silent, 0
	return silent, true
}

// refusalLevel is how much an error code, and why it was answered, matter to who runs the broker.
func refusalLevel(code protocol.ErrorCode, why error) slog.Level {
	switch code {
	case protocol.StorageError:
		if why == nil || errors.Is(why, commitlog.ErrReadOnly) || errors.Is(why, commitlog.ErrOffline) {
			return slog.LevelDebug // of a full or failed disk the directory has told, once for all requests
		}
		return slog.LevelWarn
	case protocol.UnknownServerError, protocol.CorruptMessage:
		return slog.LevelWarn
	case protocol.NotLeaderOrFollower, protocol.FencedLeaderEpoch, protocol.UnknownLeaderEpoch, protocol.NotCoordinator,
		protocol.CoordinatorLoadInProgress, protocol.CoordinatorNotAvailable, protocol.RebalanceInProgress, protocol.MemberIDRequired,
		protocol.UnknownMemberID, protocol.IllegalGeneration, protocol.FetchSessionIDNotFound, protocol.InvalidFetchSessionEpoch:
		return slog.LevelDebug // clients meet these every day, and go on
	}
	return slog.LevelInfo
}

// refused notes that a request is about to be answered with an error. why, if not nil, says more than the answer does.
func (h *Handler) refused(conn *server.Conn, header *protocol.RequestHeader, o outcome, why error) {
	level := refusalLevel(o.code, why)
	if !h.Log.Enabled(context.Background(), level) {
		return
	}
	silent, ok := h.refusals.take(h.Clock.Now(), refusal{header.Key, o.code, o.topic})
	if !ok {
		return
	}
	args := []slog.Attr{slog.String("client", conn.Host()), slog.String("client_id", cut(header.ClientID, clientIDMax)), slog.String("api", header.Key.String()),
		slog.Int("version", int(header.Version)), slog.String("error", o.code.String())}
	if o.topic != "" {
		args = append(args, slog.String("topic", o.topic))
	}
	switch {
	case why != nil:
		args = append(args, slog.String("reason", why.Error()))
	case o.message != "":
		args = append(args, slog.String("reason", cut(o.message, reasonMax)))
	}
	if silent > 0 {
		args = append(args, slog.Int("others_not_logged", silent))
	}
	h.Log.LogAttrs(context.Background(), level, "request answered with an error", args...)
}

// cut bounds what clients have a say in.
func cut(s string, most int) string {
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
