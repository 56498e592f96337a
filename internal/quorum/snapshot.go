package quorum

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/moldau/moldau/internal/vfs"
)

// # File format: <index, 20 digits>.snapshot
//
//	byte 0, 4 bytes:  magic, 4d 4c 53 4e
//	byte 4, 4 bytes:  format version, 1
//	byte 8, 4 bytes:  CRC-32C of everything from byte 12 on
//	byte 12, 8 bytes: length of everything from byte 20 on
//	byte 20:          index, term; then four lists of raft ids: voters, outgoing voters, learners, next learners; then a byte
//	                  that is 1 while a joint configuration is left by itself; then the hash of all entries up to index (32
//	                  bytes); then the state machine's bytes to the end
//
// Numbers from byte 20 on are unsigned varints, the others big-endian. Frozen. A file appears under its name only when it is
// whole and synced; the two newest are kept, and the log reaches back to the older one.
const (
	snapshotMagic   = 0x4d4c534e
	snapshotVersion = 1
	snapshotHeader  = 20
	snapshotsKept   = 2
)

// snapshot is the state after the entry at index.
type snapshot struct {
	index, term uint64
	conf        *pb.ConfState
	chain       [32]byte
	data        []byte
}

func (s *snapshot) encode() []byte {
	b := make([]byte, snapshotHeader, snapshotHeader+128+len(s.data))
	binary.BigEndian.PutUint32(b[0:], snapshotMagic)
	binary.BigEndian.PutUint32(b[4:], snapshotVersion)
	b = binary.AppendUvarint(b, s.index)
	b = binary.AppendUvarint(b, s.term)
	for _, ids := range [][]uint64{s.conf.GetVoters(), s.conf.GetVotersOutgoing(), s.conf.GetLearners(), s.conf.GetLearnersNext()} {
		b = binary.AppendUvarint(b, uint64(len(ids)))
		for _, id := range ids {
			b = binary.AppendUvarint(b, id)
		}
	}
	if s.conf.GetAutoLeave() {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = append(b, s.chain[:]...)
	return sealSnapshot(append(b, s.data...))
}

// sealSnapshot fills in length and CRC.
func sealSnapshot(b []byte) []byte {
	binary.BigEndian.PutUint64(b[12:], uint64(len(b)-snapshotHeader))
	binary.BigEndian.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	return b
}

func decodeSnapshot(b []byte) (*snapshot, error) {
	if len(b) < snapshotHeader || binary.BigEndian.Uint32(b) != snapshotMagic || binary.BigEndian.Uint32(b[4:]) != snapshotVersion {
		return nil, fmt.Errorf("%w: no snapshot, or one of an unknown version", ErrCorrupt)
	}
	if binary.BigEndian.Uint64(b[12:]) != uint64(len(b)-snapshotHeader) || binary.BigEndian.Uint32(b[8:]) != crc32.Checksum(b[12:], castagnoli) {
		return nil, fmt.Errorf("%w: snapshot is damaged", ErrCorrupt)
	}
	s := &snapshot{conf: &pb.ConfState{}}
	b = b[snapshotHeader:]
	bad := false
	number := func() uint64 {
		v, w := binary.Uvarint(b)
		if w <= 0 {
			bad, b = true, nil
			return 0
		}
		b = b[w:]
		return v
	}
	s.index, s.term = number(), number()
	for _, list := range []*[]uint64{&s.conf.Voters, &s.conf.VotersOutgoing, &s.conf.Learners, &s.conf.LearnersNext} {
		n := number()
		if n > uint64(len(b)) {
			bad = true
			break
		}
		for range n {
			*list = append(*list, number())
		}
	}
	if bad || len(b) < 33 || b[0] > 1 {
		return nil, fmt.Errorf("%w: snapshot is malformed", ErrCorrupt)
	}
	if b[0] == 1 {
		s.conf.AutoLeave = new(true)
	}
	copy(s.chain[:], b[1:33])
	s.data = b[33:]
	return s, nil
}

func snapshotPath(dir string, index uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", index, snapshotSuffix))
}

// writeSnapshot makes the snapshot durable under its name.
func writeSnapshot(fsys vfs.FS, dir string, s *snapshot) error {
	return vfs.WriteFileAtomic(fsys, snapshotPath(dir, s.index), s.encode())
}

func readSnapshot(fsys vfs.FS, dir string, index uint64) (*snapshot, error) {
	path := snapshotPath(dir, index)
	b, err := vfs.ReadFile(fsys, path)
	if err != nil {
		return nil, err
	}
	s, err := decodeSnapshot(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if s.index != index {
		return nil, fmt.Errorf("read %s: %w: it is of index %d", path, ErrCorrupt, s.index)
	}
	return s, nil
}

// newestSnapshot returns the newest snapshot that is whole, and the indexes of all files there are.
func newestSnapshot(fsys vfs.FS, dir string) (*snapshot, []uint64, error) {
	indexes, err := numbered(fsys, dir, snapshotSuffix)
	if err != nil {
		return nil, nil, err
	}
	var damage error
	for i := len(indexes) - 1; i >= 0; i-- {
		s, err := readSnapshot(fsys, dir, indexes[i])
		if err == nil {
			return s, indexes[:i+1], nil
		}
		if !errors.Is(err, ErrCorrupt) {
			return nil, nil, err
		}
		damage = err
	}
	if damage == nil {
		damage = fmt.Errorf("%w: %s holds no snapshot", ErrCorrupt, dir)
	}
	return nil, nil, damage
}

// dropSnapshots removes all snapshots but the newest of the indexes and returns those that stay.
func dropSnapshots(fsys vfs.FS, dir string, indexes []uint64) ([]uint64, error) {
	for len(indexes) > snapshotsKept {
		if err := fsys.Remove(snapshotPath(dir, indexes[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return indexes, fmt.Errorf("remove snapshot: %w", err)
		}
		indexes = indexes[1:]
	}
	return indexes, nil
}
