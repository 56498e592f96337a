// Package handler turns requests into calls and their results into responses: one file per API, numbered by its key. It owns
// what a Kafka client sees (codes, messages, which versions, which order) and the table of what is served. It never touches
// a file, decides no leadership and keeps no state of its own besides requests that wait, the sessions of fetches and the current
// block of producer ids.
package handler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/handler/fetchsession"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/metrics"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/quota"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
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

// Groups is the coordinator of consumer groups.
type Groups interface {
	// PartitionFor returns the partition of the internal topic that keeps a group, -1 while that topic does not exist.
	PartitionFor(group string) int32
	// Do hands a request of package coordinator/group to the machine that keeps the group. done is called once, from any
	// goroutine and maybe before Do returns, and must not wait.
	Do(group string, request any, done func(response any, err error))
	// All hands a request to every machine that this broker leads, and fails if one of them cannot answer.
	All(request any, done func(responses []any, err error))
}

// QuorumState is how far the members of the quorum of the metadata are. Offsets are indexes of its log.
type QuorumState struct {
	Leader            int32 // node id, -1 while there is none
	Epoch             int32
	End               int64 // of what is committed
	Voters, Observers []QuorumReplica
}

// QuorumReplica is one of them, with the times when it was last heard and when it last had everything; zero: never.
type QuorumReplica struct {
	Node            int32
	End             int64
	Heard, CaughtUp time.Time
}

// Quorum knows the quorum.
type Quorum interface {
	// State asks the node that leads it.
	State(ctx context.Context) (QuorumState, error)
	// Leader is the node that leads it as far as this one knows, -1 while there is none.
	Leader() int32
}

// Metadata is the newest committed state of the cluster.
type Metadata interface {
	Image() *metadata.Image
}

// Options configures a Handler. All fields are required, but for Controllers and the functions that say what nil means.
type Options struct {
	BrokerID    int32
	Config      *config.Config        // what the broker was started with
	Controllers []config.Listener     // listeners for controllers, as they are bound
	Live        func() *config.Config // what is in force: with what was changed since
	Metadata    Metadata
	Several     bool // there may be other brokers
	Controller  Controller
	Quorum      Quorum
	Partitions  Partitions
	LogDirs     LogDirs
	Groups      Groups
	Quotas      *quota.Clients
	Resolve     func(ctx context.Context, host string) (netip.Addr, error) // finds the address of a host
	Clock       clock.Clock
	Random      random.Source
	Log         *slog.Logger
	LogLevel    *slog.LevelVar // from which Log writes
	Crowded     func() bool    // there is no memory for more topics, groups and producers; nil: there always is
	Full        func() bool    // nor for producers that are there and write to further partitions; nil: there always is
	Doubtful    func() bool    // others may lead this broker's partitions by now, and it has not heard; nil: it always hears

	Lost func(path string) bool // no replica is left to repair a damaged .log file from; nil: none is lost
}

// Handler serves the requests of one broker.
type Handler struct {
	Options
	sessions    *fetchsession.Cache
	followers   followers
	producerIDs producerIDs
	firstUse    firstUse
	catchUp     catchUp
	refusals    refusals
	stats       Stats
	pending     sync.WaitGroup  // parked fetches, and others that wait
	life        context.Context // ends when those who wait for something other than a connection must give up
	end         context.CancelFunc
}

// Stats is what a handler counts of the records that pass through it.
type Stats struct {
	ProducedRecords, ProducedBatches, ProducedBytes metrics.Counter
	FetchedRuns                                     metrics.Counter // partitions of answers that brought records
	FetchedBytes                                    metrics.Counter
}

// Stats returns the handler's counters, which go on.
func (h *Handler) Stats() *Stats { return &h.stats }

// New returns a handler.
func New(o Options) *Handler {
	h := &Handler{
		Options:  o,
		sessions: fetchsession.New(o.Clock, o.Random, o.Config.FetchSessionSlots),
	}
	h.Controller = untimed{h, o.Controller}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// errCrowded is what clients are told whose request would add to what the node keeps in memory.
const errCrowded = "The node has no memory for more topics, groups and producers (state.memory.max.bytes)."

// crowded says whether nothing may be added to what the node keeps in memory.
func (h *Handler) crowded() bool { return h.Crowded != nil && h.Crowded() }

// doubtful says whether a partition that this broker leads may be led by another one by now: then what it has is not to be taken for the newest, nor for what will
// stay. Nobody else leads one that has no other replica.
func (h *Handler) doubtful(topic *metadata.Topic, partition int32) bool {
	return len(topic.Partitions[partition].Replicas) > 1 && h.Doubtful != nil && h.Doubtful()
}

// errNoProducer is why a batch is refused of a producer whom the partition does not know.
var errNoProducer = errors.New("no memory for more producers")

// roomFor says whether a partition may remember the producer of a batch, if it does not yet. A producer with an id that nobody gave out is a newcomer; another
// one is served until it cannot be. What they have written to, they go on with.
func (h *Handler) roomFor(part *partition.Partition, b record.Batch) bool {
	id := b.ProducerID()
	if !b.HasProducerID() || !h.crowded() || id < h.Metadata.Image().NextProducerID() && (h.Full == nil || !h.Full()) {
		return true
	}
	return part.Log().KnowsProducer(id)
}

// Wait returns when no request is parked any more; connections must be closed or about to be answered.
func (h *Handler) Wait() {
	h.end()
	h.pending.Wait()
}

// Serve answers one request. The server calls it in the order in which the requests of a connection arrived.
func (h *Handler) Serve(req *server.Request, reply server.Reply) {
	api := served(req.Header.Key)
	if api == nil || !api.servesOn(h, req.Conn) {
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
	ctx      context.Context
	conn     *server.Conn
	version  int16
	clientID string
	charge   func(bytes int64) bool // takes memory for the answer; see server.Request.Charge
	park     func()                 // nothing of the request's bytes is used any more, and it waits for others; see server.Request.Park
	meter    *meter
}

// cold adapts a function over kmsg's types: it decodes within the byte budget, and encodes what is returned. A request that
// cannot be decoded closes the connection, as in Kafka, and so does one without an answer: there is no memory for it.
func cold[T any, R interface {
	*T
	kmsg.Request
}](serve func(h *Handler, c call, req R) kmsg.Response) func(*Handler, *server.Request, server.Reply) {
	return coldLater(func(h *Handler, c call, req R, answer func(kmsg.Response)) { answer(serve(h, c, req)) })
}

// coldLater is cold for a function that may answer after it has returned, from any goroutine, once. The connection reads on
// meanwhile, and the server keeps answers in order. Byte slices of req alias the request's buffer and are gone with the
// answer: what is kept longer is copied; strings are copies already. Charge is called by one goroutine at a time, and not after the answer.
func coldLater[T any, R interface {
	*T
	kmsg.Request
}](serve func(h *Handler, c call, req R, answer func(kmsg.Response))) func(*Handler, *server.Request, server.Reply) {
	return coldChecked(func(R) error { return nil }, serve)
}

// coldChecked is coldLater for requests that Kafka takes apart further while it reads them: where check finds a fault the connection is closed.
func coldChecked[T any, R interface {
	*T
	kmsg.Request
}](check func(req R) error, serve func(h *Handler, c call, req R, answer func(kmsg.Response))) func(*Handler, *server.Request, server.Reply) {
	return func(h *Handler, req *server.Request, reply server.Reply) {
		m, ctx := h.meter(req)
		body := R(new(T))
		if err := protocol.DecodeCold(body, req.Header.Version, req.Body, req.Charge); err != nil {
			reply.Close(err)
			return
		}
		if err := check(body); err != nil {
			reply.Close(err)
			return
		}
		serve(h, call{ctx, req.Conn, req.Header.Version, req.Header.ClientID, req.Charge, req.Park, m}, body, func(resp kmsg.Response) {
			if resp == nil {
				reply.Close(fmt.Errorf("answer %s version %d: %w", req.Header.Key, req.Header.Version, protocol.ErrNoMemory))
				return
			}
			resp.SetVersion(req.Header.Version)
			if o := outcomeOf(resp); o.code != protocol.None {
				reply.Failed(o.code)
				h.refused(req.Conn, &req.Header, o, nil)
			}
			m.settle(h, reply, resp)
			sendCold(req, reply, resp)
		})
		m.leave(h)
	}
}

func sendCold(req *server.Request, reply server.Reply, resp kmsg.Response) {
	buf := protocol.AppendResponseHeader(req.Buffer[:0], req.Header.Key, req.Header.Version, req.Header.CorrelationID)
	if created, ok := resp.(*kmsg.CreateTopicsResponse); ok {
		buf = slices.Grow(buf, createdSize(created))
	}
	reply.SendBytes(resp.AppendTo(buf))
}
