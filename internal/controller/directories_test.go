package controller

import (
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/uuid"
)

// TestAssignDirectories: a broker says where its replicas are; of what it does not have, and of what is known, nothing is noted.
func TestAssignDirectories(t *testing.T) {
	b := newBench(t, 2, 1)
	b.create(auto("a"))
	id := b.img.Topic("a").ID
	broker := b.img.Topic("a").Partitions[0].Replicas[0]
	home := b.img.Broker(broker).Directories[0]
	assign := func(broker int32, asked ...AssignDirectory) int {
		t.Helper()
		return b.do(&AssignDirectories{Broker: broker, Replicas: asked}).(*AssignDirectoriesResponse).Assigned
	}
	other := uuid.UUID{7}
	if n := assign(broker, AssignDirectory{id, 0, other}, AssignDirectory{id, 99, home}, AssignDirectory{other, 0, home}); n != 0 {
		t.Errorf("%d were assigned to a directory or of a partition that is none", n)
	}
	second := uuid.UUID{9}
	b.do(&RegisterBroker{ClusterID: b.img.ClusterID(), ID: broker, Incarnation: b.img.Broker(broker).Incarnation, Directories: []uuid.UUID{home, second}})
	if n := assign(broker, AssignDirectory{id, 0, home}, AssignDirectory{id, 0, second}); n != 1 {
		t.Errorf("%d were assigned, want the last of two", n)
	}
	p := b.img.Topic("a").Partitions[0]
	if !slices.Contains(p.Directories, second) || len(p.Directories) != len(p.Replicas) {
		t.Errorf("%+v", p)
	}
	if n := assign(broker, AssignDirectory{id, 0, second}); n != 0 {
		t.Errorf("%d were assigned again", n)
	}
	if n := assign(broker+100, AssignDirectory{id, 0, second}); n != 0 {
		t.Errorf("%d were assigned by a broker that is none", n)
	}
}
