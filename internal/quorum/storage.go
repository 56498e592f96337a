package quorum

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/moldau/moldau/internal/vfs"
)

// storage is the durable state of a voter as the library reads it: the entries behind the last compaction in memory, the data of
// a snapshot only on disk.
type storage struct {
	*raft.MemoryStorage
	fs        vfs.FS
	dir       string
	wal       *wal
	snapshots []uint64 // indexes of the files, rising
	newest    *snapshot
	changed   uint64 // index of the last change of the members
	failed    error  // of a read that the library asked for
}

// openStorage reads the directory.
func openStorage(fsys vfs.FS, dir string, id uint64, segmentBytes int64) (*storage, error) {
	w, r, err := openWAL(fsys, dir, id, segmentBytes)
	if err != nil {
		return nil, err
	}
	s := &storage{MemoryStorage: raft.NewMemoryStorage(), fs: fsys, dir: dir, wal: w}
	if err := s.load(r); err != nil {
		w.close()
		return nil, err
	}
	return s, nil
}

func (s *storage) load(r *replay) error {
	indexes, err := numbered(s.fs, s.dir, snapshotSuffix)
	if err != nil {
		return err
	}
	if len(indexes) == 0 && r.base == 0 && len(r.entries) == 0 {
		s.newest = &snapshot{conf: &pb.ConfState{}} // a voter that waits to be told of a cluster
		return s.adopt(r.hard)
	}
	if s.newest, s.snapshots, err = newestSnapshot(s.fs, s.dir); err != nil {
		return err
	}
	last := r.base + uint64(len(r.entries))
	at := s.newest.index
	switch {
	case r.base > at:
		return fmt.Errorf("%w: the log of %s starts at %d, its newest whole snapshot is of %d", ErrCorrupt, s.dir, r.base+1, at)
	case at > last || at == r.base && r.term != 0 && r.term != s.newest.term || at > r.base && r.entries[at-r.base-1].GetTerm() != s.newest.term:
		// The snapshot came from a leader, and the machine went down before the log said so.
		r.entries, r.base = nil, at
		r.hard = hardState{term: max(r.hard.term, s.newest.term), vote: r.hard.vote, commit: at}
		if r.hard.term > s.wal.hard.term {
			r.hard.vote = 0
		}
		if err := s.wal.restart(r.hard, at, s.newest.term); err != nil {
			return err
		}
	}
	if err := s.MemoryStorage.ApplySnapshot(s.newest.raft(nil)); err != nil {
		return err
	}
	if err := s.MemoryStorage.Append(r.entries[at-r.base:]); err != nil {
		return err
	}
	r.hard.commit = max(r.hard.commit, at)
	if r.hard.commit > max(last, at) {
		return fmt.Errorf("%w: the log of %s ends at %d, but %d was committed", ErrCorrupt, s.dir, last, r.hard.commit)
	}
	return s.adopt(r.hard)
}

func (s *storage) adopt(hs hardState) error {
	return s.MemoryStorage.SetHardState(&pb.HardState{Term: new(hs.term), Vote: new(hs.vote), Commit: new(hs.commit)})
}

// raft returns the snapshot as the library wants it.
func (s *snapshot) raft(data []byte) *pb.Snapshot {
	return &pb.Snapshot{Data: data, Metadata: &pb.SnapshotMetadata{ConfState: s.conf, Index: new(s.index), Term: new(s.term)}}
}

// Snapshot returns the newest snapshot with its bytes, for a follower that needs it. One that does not know of the last change
// of the members is of no use to a node that this change added; a newer one is under way.
func (s *storage) Snapshot() (*pb.Snapshot, error) {
	if s.newest.index < s.changed {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	full, err := readSnapshot(s.fs, s.dir, s.newest.index)
	if err != nil {
		s.failed = err
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return full.raft(full.encode()), nil
}

// save makes a batch durable: term, vote and entries.
func (s *storage) save(hs hardState, entries []*pb.Entry) error {
	if err := s.wal.append(hs, entries); err != nil {
		return err
	}
	if err := s.MemoryStorage.Append(entries); err != nil {
		return err
	}
	return s.adopt(hs)
}

// install replaces the log by a snapshot that came from a leader.
func (s *storage) install(hs hardState, received *pb.Snapshot) (*snapshot, error) {
	snap, err := decodeSnapshot(received.GetData())
	if err != nil {
		return nil, fmt.Errorf("received snapshot: %w", err)
	}
	if snap.index != received.GetMetadata().GetIndex() || snap.term != received.GetMetadata().GetTerm() {
		return nil, fmt.Errorf("%w: received snapshot of %d says %d", ErrCorrupt, received.GetMetadata().GetIndex(), snap.index)
	}
	if err := writeSnapshot(s.fs, s.dir, snap); err != nil {
		return nil, err
	}
	if err := s.wal.restart(hs, snap.index, snap.term); err != nil {
		return nil, err
	}
	// The log does not reach back to older snapshots any more.
	for _, index := range s.snapshots {
		if err := s.fs.Remove(snapshotPath(s.dir, index)); err != nil {
			return nil, fmt.Errorf("remove snapshot: %w", err)
		}
	}
	s.snapshots = []uint64{snap.index}
	s.newest = &snapshot{index: snap.index, term: snap.term, conf: snap.conf, chain: snap.chain}
	if err := s.MemoryStorage.ApplySnapshot(s.newest.raft(nil)); err != nil {
		return nil, err
	}
	return snap, s.adopt(hs)
}

// compacted takes note of a snapshot that was written, and drops what neither of the two newest needs.
func (s *storage) compacted(snap *snapshot) error {
	if snap.index <= s.newest.index {
		return nil // one from the leader overtook it
	}
	s.newest = &snapshot{index: snap.index, term: snap.term, conf: snap.conf, chain: snap.chain}
	if _, err := s.MemoryStorage.CreateSnapshot(snap.index, snap.conf, nil); err != nil {
		return err
	}
	s.snapshots = append(s.snapshots, snap.index)
	var err error
	if s.snapshots, err = dropSnapshots(s.fs, s.dir, s.snapshots); err != nil {
		return err
	}
	oldest := s.snapshots[0]
	if first, _ := s.MemoryStorage.FirstIndex(); oldest >= first {
		if err := s.MemoryStorage.Compact(oldest); err != nil {
			return err
		}
	}
	return s.wal.compact(oldest)
}
