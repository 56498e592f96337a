package logdir

import (
	"errors"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metrics"
)

// Stats is what a directory counts.
type Stats struct {
	Commits metrics.Histogram // of the journal: one write and one sync each
	Syncs   metrics.Histogram // of one log's segment files
}

// Stats returns the directory's counters, which go on.
func (d *Dir) Stats() *Stats { return &d.stats }

// SlowSyncs returns how many syncs took longer than a second.
func (d *Dir) SlowSyncs() int64 { return d.slow.count.Load() }

// Condition is what a directory is good for.
type Condition string

// The conditions of a directory.
const (
	Online  Condition = "online"
	Full    Condition = "full"    // producers are refused until there is space again
	Offline Condition = "offline" // for good
)

// Conditions are all that there are.
var Conditions = []Condition{Online, Full, Offline}

// Condition says what the directory is good for now.
func (d *Dir) Condition() Condition {
	switch err := d.Err(); {
	case err == nil && !d.low.Load():
		return Online
	case errors.Is(err, commitlog.ErrOffline):
		return Offline
	default:
		return Full
	}
}
