package controller

import (
	"slices"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/uuid"
)

// assignment is where a partition is to be, and on its way from where.
type assignment struct {
	replicas    []int32
	directories []uuid.UUID // one for each
	metadata.Reassignment
}

// assigned is the assignment that a partition has.
func assigned(p *metadata.Partition) assignment {
	a := assignment{replicas: p.Replicas, directories: p.Directories}
	if p.Reassignment != nil {
		a.Reassignment = *p.Reassignment
	}
	return a
}

// only is the assignment with those replicas alone that pass.
func (a assignment) only(pass func(int32) bool) assignment {
	some := assignment{Reassignment: a.Reassignment}
	for i, id := range a.replicas {
		if pass(id) {
			some.replicas = append(some.replicas, id)
			some.directories = append(some.directories, directoryAt(a.directories, i))
		}
	}
	return some
}

// directoryAt is the directory of a replica; zero where none is noted.
func directoryAt(directories []uuid.UUID, at int) uuid.UUID {
	if at < 0 || at >= len(directories) {
		return uuid.UUID{}
	}
	return directories[at]
}

// factor is the number of replicas that count, as metadata.Partition.Factor has it.
func (a assignment) factor() int { return len(a.replicas) - len(a.Adding) }

// target is what the replicas are once the reassignment is done.
func (a assignment) target() []int32 {
	return filter(a.replicas, func(id int32) bool { return !metadata.Has(a.Removing, id) })
}

// under says that a reassignment is under way.
func (a assignment) under() bool { return len(a.Adding)+len(a.Removing) > 0 }

// complete ends a reassignment once all that are to stay are in the ISR: those that are removed leave assignment and ISR.
func (a assignment) complete(isr []int32) (assignment, []int32) {
	stay := a.target()
	if !a.under() || slices.ContainsFunc(stay, func(id int32) bool { return !metadata.Has(isr, id) }) {
		return a, isr
	}
	in := func(id int32) bool { return metadata.Has(stay, id) }
	done := a.only(in)
	done.Reassignment = metadata.Reassignment{}
	return done, filter(isr, in)
}

// filter returns those that pass, never nil.
func filter(ids []int32, pass func(int32) bool) []int32 {
	some := []int32{}
	for _, id := range ids {
		if pass(id) {
			some = append(some, id)
		}
	}
	return some
}
