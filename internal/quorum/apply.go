package quorum

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/moldau/moldau/internal/vfs"
)

// applyBatch is what the applier gets: a snapshot, entries behind it, or both.
type applyBatch struct {
	restore *snapshot
	entries []*pb.Entry
	conf    *pb.ConfState // after the last entry
	members bool          // conf is new: take a snapshot that says so
}

// applier drives the state machine and takes its snapshots; run is its goroutine.
type applier struct {
	node    *Node
	machine StateMachine
	index   uint64   // of the last entry applied
	term    uint64   // of that entry
	chain   [32]byte // hash of every entry so far, equal on all voters
	taken   uint64   // index of the last snapshot
	bytes   int64    // of entries since
	size    int64    // of the last snapshot

	// A snapshot that found no space is postponed by an eighth of what there usually is between two.
	postponed  bool
	due        bool   // it is one that must come, since the members changed
	tried      uint64 // index at that time
	triedBytes int64  // bytes at that time
}

func (a *applier) run() error {
	for batch := range a.node.apply {
		if err := a.batch(batch); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) batch(batch applyBatch) error {
	if batch.restore != nil {
		if err := a.restore(batch.restore); err != nil {
			return fmt.Errorf("restore received snapshot %d: %w", batch.restore.index, err)
		}
	}
	for _, e := range batch.entries {
		if err := a.entry(e); err != nil {
			return err
		}
	}
	a.node.status.apply(a.index, a.term)
	o := &a.node.options
	a.due = a.due || batch.members
	enough := max(o.SnapshotBytes, a.size) // what snapshots cost stays in proportion to what is written between them
	if !a.due && a.index-a.taken < o.SnapshotEntries && a.bytes < enough {
		return nil
	}
	if a.postponed && a.index-a.tried < o.SnapshotEntries/8 && a.bytes-a.triedBytes < enough/8 {
		return nil
	}
	err := a.snapshot(o.FS, o.Dir, batch.conf)
	if vfs.NoSpace(err) || vfs.NoDescriptors(err) {
		if !a.postponed {
			o.Log.Warn("metadata snapshot is postponed for lack of space or file descriptors", "error", err)
		}
		a.postponed, a.tried, a.triedBytes = true, a.index, a.bytes
		return nil
	}
	return err
}

func (a *applier) restore(s *snapshot) error {
	if len(s.data) > 0 { // the first snapshot of a cluster has none
		if err := a.machine.Restore(s.index, s.data); err != nil {
			return err
		}
	}
	a.index, a.term, a.chain = s.index, s.term, s.chain
	a.took(s.index, len(s.data))
	return nil
}

// link continues the hash of all entries.
func link(chain [32]byte, e *pb.Entry) [32]byte {
	h := sha256.New()
	h.Write(chain[:])
	var numbers [24]byte
	binary.BigEndian.PutUint64(numbers[0:], e.GetIndex())
	binary.BigEndian.PutUint64(numbers[8:], e.GetTerm())
	binary.BigEndian.PutUint64(numbers[16:], uint64(e.GetType()))
	h.Write(numbers[:])
	h.Write(e.GetData())
	h.Sum(chain[:0])
	return chain
}

// entryBytes is about what an entry takes in memory, where it stays until the next snapshot, besides its data.
const entryBytes = 200

func (a *applier) entry(e *pb.Entry) error {
	if e.GetIndex() != a.index+1 {
		return fmt.Errorf("entry %d comes after %d", e.GetIndex(), a.index)
	}
	a.chain = link(a.chain, e)
	if err := a.machine.Apply(e.GetIndex(), payload(e)); err != nil {
		return err
	}
	a.index, a.term = e.GetIndex(), e.GetTerm()
	a.bytes += int64(len(e.GetData())) + entryBytes
	if !own(e) {
		a.node.answer(e.GetTerm(), e.GetData())
	}
	return nil
}

// own says that an entry is the quorum's: a new leader's first, or a change of the members.
func own(e *pb.Entry) bool { return e.GetType() != pb.EntryNormal || len(e.GetData()) < tagBytes }

// payload is what an entry says to the state machine, nil if nothing.
func payload(e *pb.Entry) []byte {
	if own(e) {
		return nil
	}
	return e.GetData()[tagBytes:]
}

// snapshot writes the state to disk and tells the main goroutine, which drops what is not needed any more.
func (a *applier) snapshot(fsys vfs.FS, dir string, conf *pb.ConfState) error {
	index, data := a.machine.Snapshot()
	if index != a.index {
		return fmt.Errorf("state machine is at %d, the log at %d", index, a.index)
	}
	s := &snapshot{index: a.index, term: a.term, conf: conf, chain: a.chain, data: data}
	if err := writeSnapshot(fsys, dir, s); err != nil {
		if vfs.NoDescriptors(err) { // it may stand there, only not durably, and nobody would drop it
			_ = fsys.Remove(snapshotPath(dir, a.index))
		}
		return err
	}
	a.took(a.index, len(data))
	s.data = nil
	a.node.taken <- s
	return nil
}

// took takes note of a snapshot of index with so many bytes of state.
func (a *applier) took(index uint64, size int) {
	a.taken, a.bytes, a.size, a.postponed, a.due = index, 0, int64(size), false, false
}
