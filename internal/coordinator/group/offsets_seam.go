package group

import (
	"time"

	"github.com/moldau/moldau/internal/coordinator"
)

type offsets struct{}

func (o *offsets) empty() bool { return true }

func (m *Machine) commit(now time.Time, r *CommitRequest, out *coordinator.Out) *CommitResponse {
	return &CommitResponse{}
}
func (m *Machine) fetch(r *FetchRequest) *FetchResponse { return &FetchResponse{} }
func (m *Machine) deleteOffsets(r *DeleteOffsetsRequest, out *coordinator.Out) *DeleteOffsetsResponse {
	return &DeleteOffsetsResponse{}
}
func (m *Machine) topicsDeleted(r *TopicsDeleted, out *coordinator.Out) {}
func (m *Machine) topicsKnown(r *TopicsKnown, out *coordinator.Out)     {}
func (m *Machine) dropOffsets(g *group, out *coordinator.Out)           {}
func (m *Machine) expireOffsets(now time.Time, out *coordinator.Out)    {}

// offsetsLoaded is called at the end of a load, to set offsetsDue.
func (m *Machine) offsetsLoaded(now time.Time) {}

// replayOffset takes over one record of a committed offset.
func (m *Machine) replayOffset(r coordinator.Record) error { return nil }
