package quorum

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/vfs"
)

// ErrFormed is returned by Form for a directory that belongs to a cluster already.
var ErrFormed = errors.New("quorum directory belongs to a cluster")

// ErrCompacted is returned by Committed where the log does not reach back so far: a snapshot is needed.
var ErrCompacted = errors.New("the metadata log does not reach back so far")

// Prepare makes the directory of a voter that waits to be told of a cluster, where there is none, and returns its raft id, which is
// durable then and may be told to others. formed says whether it has been told: it holds a snapshot, which names the voters.
func Prepare(fsys vfs.FS, dir string, rnd random.Source) (id uint64, formed bool, err error) {
	if id, err = ReadID(fsys, dir); errors.Is(err, ErrMissing) {
		id = newID(rnd)
		err = format(fsys, dir, id, nil, Options{}.withDefaults().SegmentBytes)
	}
	if err != nil {
		return 0, false, fmt.Errorf("prepare quorum directory: %w", err)
	}
	if formed, err = isFormed(fsys, dir); err != nil {
		return 0, false, fmt.Errorf("prepare quorum directory: %w", err)
	}
	return id, formed, nil
}

// isFormed says whether a directory has been told of a cluster.
func isFormed(fsys vfs.FS, dir string) (bool, error) {
	snapshots, err := numbered(fsys, dir, snapshotSuffix)
	return len(snapshots) > 0, err
}

// Form makes a prepared directory the first of a new cluster with those voters: it writes the snapshot that others get from its node.
// No other directory may be the first of a cluster with the same voters; the caller sees to that. The node must not be open. A directory that is
// not what was prepared, because it is empty by now or another's, forms nothing.
func Form(fsys vfs.FS, dir string, voters []uint64) error {
	id, err := ReadID(fsys, dir)
	if err != nil {
		return fmt.Errorf("form a quorum in %s: %w", dir, err)
	}
	if !slices.Contains(voters, id) {
		return fmt.Errorf("form a quorum in %s: its raft id %x is none of the voters'", dir, id)
	}
	formed, err := isFormed(fsys, dir)
	if err != nil {
		return fmt.Errorf("form a quorum in %s: %w", dir, err)
	}
	if formed {
		return fmt.Errorf("%w: %s", ErrFormed, dir)
	}
	// Open finds it as one that a leader sent just before the machine went down.
	if err := writeSnapshot(fsys, dir, firstSnapshot(voters)); err != nil {
		return fmt.Errorf("form a quorum in %s: %w", dir, err)
	}
	return nil
}

// Entry is a committed entry as the state machine gets it: nil for those of the quorum's own.
type Entry struct {
	Index uint64
	Data  []byte
}

// Committed returns entries from an index on that are applied here, and so committed: about so many bytes of them, but one at least
// where there is one. The bytes are shared and must not be changed.
func (n *Node) Committed(from uint64, bytes int) ([]Entry, error) {
	end := n.Status().Applied + 1
	if from >= end {
		return nil, nil
	}
	got, err := n.core.storage.Entries(from, end, uint64(bytes))
	if errors.Is(err, raft.ErrCompacted) || errors.Is(err, raft.ErrUnavailable) {
		return nil, ErrCompacted
	}
	if err != nil {
		return nil, fmt.Errorf("read the metadata log from %d: %w", from, err)
	}
	entries := make([]Entry, len(got))
	for i, e := range got {
		entries[i] = Entry{Index: e.GetIndex(), Data: payload(e)}
	}
	return entries, nil
}

// Progress is how far a member of the quorum is, as its leader knows it.
type Progress struct {
	ID    uint64
	Match uint64 // index up to which its log is known to be the leader's
	Voter bool
}

// Progress returns how far the members are; none where this node does not lead.
func (n *Node) Progress(ctx context.Context) (all []Progress, err error) {
	err = n.call(ctx, func() {
		if !n.core.leads() {
			return
		}
		n.core.raft.WithProgress(func(id uint64, typ raft.ProgressType, p tracker.Progress) {
			all = append(all, Progress{ID: id, Match: p.Match, Voter: typ == raft.ProgressTypePeer})
		})
	})
	return all, err
}

// Transfer asks the leader to let another voter lead, which is quicker than an election. It returns when that is begun.
func (n *Node) Transfer(ctx context.Context, to uint64) error {
	return n.call(ctx, func() { n.core.raft.TransferLeader(to) })
}
