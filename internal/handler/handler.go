// Package handler turns requests into calls and their results into responses: one file per API, numbered by its key. It owns
// what a Kafka client sees (codes, messages, which versions, which order) and the table of what is served. It never touches
// a file, decides no leadership and keeps no state of its own besides fetch sessions and the current block of producer ids.
package handler

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/handler/fetchsession"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/server"
	"github.com/moldau/moldau/internal/uuid"
)

// Partitions finds the partition replicas that this broker hosts; nil where it hosts none.
type Partitions interface {
	Partition(topic uuid.UUID, index int32) *partition.Partition
}

// Controller changes the cluster's metadata and answers when the change is committed and applied here.
type Controller interface {
	Do(ctx context.Context, req controller.Request) (controller.Response, error)
}

// Metadata is the newest committed state of the cluster.
type Metadata interface {
	Image() *metadata.Image
}

// Options configures a Handler. All fields are required.
type Options struct {
	BrokerID   int32
	Config     *config.Config
	Metadata   Metadata
	Controller Controller
	Partitions Partitions
	Clock      clock.Clock
	Random     random.Source
	Log        *slog.Logger
}

// Handler serves the requests of one broker.
type Handler struct {
	Options
	sessions    *fetchsession.Cache
	producerIDs producerIDs
	pending     sync.WaitGroup // parked fetches
}

// New returns a handler.
func New(o Options) *Handler {
	return &Handler{
		Options:  o,
		sessions: fetchsession.New(o.Clock, o.Random, o.Config.FetchSessionSlots),
	}
}

// Wait returns when no request is parked any more; connections must be closed or about to be answered.
func (h *Handler) Wait() { h.pending.Wait() }

// Serve answers one request. The server calls it in the order in which the requests of a connection arrived.
func (h *Handler) Serve(req *server.Request, reply server.Reply) {
	api := served(req.Header.Key)
	if api == nil {
		reply.Close(&protocol.UnsupportedError{Key: req.Header.Key, Version: req.Header.Version})
		return
	}
	if !api.serves(req.Header.Version) && req.Header.Key != protocol.KeyAPIVersions {
		reply.Close(&protocol.UnsupportedError{Key: req.Header.Key, Version: req.Header.Version})
		return
	}
	api.serve(h, req, reply)
}

// call is what a cold request may want to know besides its body.
type call struct {
	ctx     context.Context
	conn    *server.Conn
	version int16
	charge  func(bytes int64) bool // takes memory for the answer; see server.Request.Charge
}

// cold adapts a function over kmsg's types: it decodes within the byte budget, and encodes what is returned. A request that
// cannot be decoded closes the connection, as in Kafka, and so does one without an answer: there is no memory for it.
func cold[T any, R interface {
	*T
	kmsg.Request
}](serve func(h *Handler, c call, req R) kmsg.Response) func(*Handler, *server.Request, server.Reply) {
	return func(h *Handler, req *server.Request, reply server.Reply) {
		body := R(new(T))
		if err := protocol.DecodeCold(body, req.Header.Version, req.Body, req.Charge); err != nil {
			reply.Close(err)
			return
		}
		resp := serve(h, call{req.Conn.Context(), req.Conn, req.Header.Version, req.Charge}, body)
		if resp == nil {
			reply.Close(fmt.Errorf("answer %s version %d: %w", req.Header.Key, req.Header.Version, protocol.ErrNoMemory))
			return
		}
		resp.SetVersion(req.Header.Version)
		sendCold(req, reply, resp)
	}
}

func sendCold(req *server.Request, reply server.Reply, resp kmsg.Response) {
	buf := protocol.AppendResponseHeader(req.Buffer[:0], req.Header.Key, req.Header.Version, req.Header.CorrelationID)
	reply.SendBytes(resp.AppendTo(buf))
}
