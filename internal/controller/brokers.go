package controller

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

type (
	// StartCluster names the cluster where it has no name yet. Response: StartClusterResponse.
	StartCluster struct{ ClusterID string }

	// StartClusterResponse has the name that the cluster has now.
	StartClusterResponse struct{ ClusterID string }

	// RegisterBroker registers a broker that starts, or repeats a registration of the same incarnation, which changes listeners,
	// rack and directories and keeps the epoch. Response: RegisterBrokerResponse.
	//
	// A new incarnation of a broker that counted as alive is fenced first: it was dead in between. It keeps its place in ISR and
	// ELR of the partitions whose directory it still has, so that a lone replica leads again at once; partitions in a directory
	// that is gone or named in Lossy lose it. Those in a directory that could not be opened have no leader there, and are there again when the directory is.
	RegisterBroker struct {
		ClusterID   string
		ID          int32
		Incarnation uuid.UUID // random, new with each start of the process
		Listeners   []metadata.Listener
		Rack        string
		Directories []uuid.UUID // that are online
		Lossy       []uuid.UUID // directories among them whose content went back since they were registered
		Absent      int         // directories that could not be opened, of which nobody knows which they are: none that is missing is gone for good
		Unfence     bool        // serve at once, without a heartbeat that says so
	}

	// RegisterBrokerResponse gives the broker epoch.
	RegisterBrokerResponse struct {
		Error Error
		Epoch int64
	}

	// AlterBroker changes the state of a registered broker. Response: AlterBrokerResponse.
	AlterBroker struct {
		ID    int32
		Epoch int64
		State BrokerState
	}

	// AlterBrokerResponse says whether it was done.
	AlterBrokerResponse struct{ Error Error }

	// BrokerState is what AlterBroker makes of a broker.
	BrokerState int8
)

// States of AlterBroker.
const (
	Fenced             BrokerState = 1 // neither leads nor is in an ISR
	Unfenced           BrokerState = 2 // serves
	ControlledShutdown BrokerState = 3 // gives up leadership and ISR, because it is going to stop
	Unregistered       BrokerState = 4 // is no part of the cluster any more
)

func (*StartCluster) urgent() bool { return true }

func (r *StartCluster) step(s *step) Response {
	id := s.img.ClusterID()
	if id == "" {
		id = r.ClusterID
		s.add(&metadata.ClusterRecord{ClusterID: id})
	}
	return &StartClusterResponse{ClusterID: id}
}

func (*RegisterBroker) urgent() bool { return true }

func (r *RegisterBroker) step(s *step) Response {
	if err := r.check(s.img); err.Failed() {
		return &RegisterBrokerResponse{Error: err, Epoch: -1}
	}
	b := metadata.Broker{ID: r.ID, Epoch: s.img.NextBrokerEpoch(), Incarnation: r.Incarnation, Listeners: slices.Clone(r.Listeners),
		Rack: r.Rack, Directories: sortedIDs(r.Directories), Fenced: true}
	old := s.img.Broker(r.ID)
	lost, any := r.lost(old)
	var onward []metadata.Record
	switch {
	case old != nil && old.Incarnation == r.Incarnation:
		b.Epoch, b.Fenced, b.ControlledShutdown = old.Epoch, old.Fenced, old.ControlledShutdown
	case old != nil && !old.Fenced && r.Unfence:
		onward = s.restart(r.ID, func(id uuid.UUID) bool { return lost(id) || !id.IsZero() && !slices.Contains(r.Directories, id) })
	case old != nil && !old.Fenced:
		s.shrink(r.ID)
	}
	if any || s.holds(r.ID, lost) {
		s.settle()
		s.strike(r.ID, lost)
	}
	s.add(&metadata.BrokerRecord{Broker: b})
	if !b.Fenced { // of the same incarnation: one of its directories may be back
		s.revise()
	}
	if r.Unfence && b.Fenced {
		s.settle()
		s.unfence(s.img.Broker(r.ID))
	}
	s.add(onward...)
	return &RegisterBrokerResponse{Epoch: b.Epoch}
}

func (r *RegisterBroker) check(img *metadata.Image) Error {
	refuse := func(format string, args ...any) Error {
		return Error{protocol.InvalidRegistration, fmt.Sprintf(format, args...)}
	}
	if img.ClusterID() != r.ClusterID {
		return Error{protocol.InconsistentClusterID, fmt.Sprintf("Expected cluster ID %s, but got cluster ID %s", img.ClusterID(), r.ClusterID)}
	}
	if len(r.Directories) == 0 {
		return refuse("No directories specified in request")
	}
	ids := sortedIDs(r.Directories)
	for i, id := range ids {
		if id.IsZero() {
			return refuse("Reserved directory ID in request")
		}
		if i > 0 && ids[i-1] == id {
			return refuse("Duplicate directory ID in request")
		}
		for _, other := range img.Brokers() {
			if other.ID != r.ID && slices.Contains(other.Directories, id) {
				return refuse("Broker %d is already registered with directory %s", other.ID, id)
			}
		}
	}
	return Error{}
}

// lost says of which directories the new incarnation does not have what the old one had, and whether there are any of those that the old one had
// to the end. A replica whose directory the controller was never told counts as lost with any of these, but of the same incarnation, which tells
// where its replicas are. What an incarnation found lost when it started it has lost once: a copy of its request that comes late finds it caught
// up, perhaps as the only one left.
func (r *RegisterBroker) lost(old *metadata.Broker) (lost func(uuid.UUID) bool, any bool) {
	same := old != nil && old.Incarnation == r.Incarnation
	gone := func(id uuid.UUID) bool {
		return r.Absent == 0 && !slices.Contains(r.Directories, id) || !same && slices.Contains(r.Lossy, id)
	}
	any = old == nil || slices.ContainsFunc(old.Directories, gone)
	return func(id uuid.UUID) bool {
		if id.IsZero() {
			return any && !same
		}
		return gone(id)
	}, any
}

// unfence lets the broker serve and gives it the leadership of partitions that wait for it, and replicas of internal topics that have too few.
func (s *step) unfence(b *metadata.Broker) {
	s.add(&metadata.BrokerChangeRecord{ID: b.ID, Epoch: b.Epoch, Fenced: new(false)})
	s.lead(b.ID)
	s.settle()
	s.grow()
}

func (*AlterBroker) urgent() bool { return true }

func (r *AlterBroker) step(s *step) Response {
	b := s.img.Broker(r.ID)
	if err := checkEpoch(b, r.ID, r.Epoch); err.Failed() {
		return &AlterBrokerResponse{Error: err}
	}
	switch r.State {
	case Fenced:
		if !b.Fenced {
			s.shrink(b.ID)
			s.add(&metadata.BrokerChangeRecord{ID: b.ID, Epoch: b.Epoch, Fenced: new(true)})
		}
	case Unfenced:
		if b.Fenced && !b.ControlledShutdown {
			s.unfence(b)
		}
	case ControlledShutdown:
		if !b.ControlledShutdown {
			s.add(&metadata.BrokerChangeRecord{ID: b.ID, Epoch: b.Epoch, ControlledShutdown: new(true)})
			s.shrink(b.ID)
		}
	case Unregistered:
		s.shrink(b.ID)
		s.settle()
		s.strike(b.ID, func(uuid.UUID) bool { return true })
		s.add(&metadata.RemoveBrokerRecord{ID: b.ID, Epoch: b.Epoch})
	default:
		return &AlterBrokerResponse{Error: Error{protocol.InvalidRequest, fmt.Sprintf("Unknown broker state %d", r.State)}}
	}
	return &AlterBrokerResponse{}
}

// checkEpoch refuses what an earlier incarnation of a broker, or none, asks for.
func checkEpoch(b *metadata.Broker, id int32, epoch int64) Error {
	if b == nil {
		return Error{protocol.StaleBrokerEpoch, fmt.Sprintf("No broker registration found for broker id %d", id)}
	}
	if b.Epoch != epoch {
		return Error{protocol.StaleBrokerEpoch, fmt.Sprintf("Expected broker epoch %d, but got broker epoch %d", b.Epoch, epoch)}
	}
	return Error{}
}

func sortedIDs(ids []uuid.UUID) []uuid.UUID {
	return slices.SortedFunc(slices.Values(ids), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
}
