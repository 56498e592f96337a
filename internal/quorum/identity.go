package quorum

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/moldau/moldau/internal/vfs"
)

// # File format: identity
//
//	byte 0, 4 bytes:  magic, 4d 4c 49 44
//	byte 4, 4 bytes:  format version, 1
//	byte 8, 8 bytes:  raft id of this directory; random, never 0
//	byte 16, 4 bytes: CRC-32C of bytes 0-15
//
// Big-endian, frozen. The id belongs to the directory and not to the node: a voter whose directory was wiped is a new voter, so
// that it never votes twice in one term.
const (
	identityName    = "identity"
	identityMagic   = 0x4d4c4944
	identityVersion = 1
	identitySize    = 20
)

func encodeIdentity(id uint64) []byte {
	b := make([]byte, identitySize)
	binary.BigEndian.PutUint32(b[0:], identityMagic)
	binary.BigEndian.PutUint32(b[4:], identityVersion)
	binary.BigEndian.PutUint64(b[8:], id)
	binary.BigEndian.PutUint32(b[16:], crc32.Checksum(b[:16], castagnoli))
	return b
}

func decodeIdentity(b []byte) (uint64, error) {
	if len(b) != identitySize || binary.BigEndian.Uint32(b) != identityMagic || binary.BigEndian.Uint32(b[4:]) != identityVersion ||
		binary.BigEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli) || binary.BigEndian.Uint64(b[8:]) == 0 {
		return 0, fmt.Errorf("%w: identity is damaged", ErrCorrupt)
	}
	return binary.BigEndian.Uint64(b[8:]), nil
}

// ReadID returns the raft id of a quorum directory, or ErrMissing where there is none.
func ReadID(fsys vfs.FS, dir string) (uint64, error) {
	path := filepath.Join(dir, identityName)
	b, err := vfs.ReadFile(fsys, path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%w in %s", ErrMissing, dir)
	}
	if err != nil {
		return 0, err
	}
	id, err := decodeIdentity(b)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return id, nil
}

// The first snapshot of a new cluster. It stands at an index that no log reaches back to, so that every voter that joins later
// gets a snapshot, and with it the voters.
const (
	firstIndex    = 1
	firstTerm     = 1
	firstLog      = 1   // number of the first file of a log
	firstFrameMax = 256 // bytes, more than the first frame of a new directory takes
)

func firstSnapshot(voters []uint64) *snapshot {
	return &snapshot{index: firstIndex, term: firstTerm, conf: &pb.ConfState{Voters: voters}}
}

// format makes the directory of a new voter. The identity comes last: a directory without one was never used, and what a crash
// left in it is removed. One that was used and lost its identity is refused.
func format(fsys vfs.FS, dir string, id uint64, voters []uint64, segmentBytes int64) error {
	if err := vfs.MkdirAllSynced(fsys, dir, 0o700); err != nil { // what is in it is nobody else's business: the keys of credentials
		return err
	}
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	var left []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), logSuffix) || strings.HasSuffix(e.Name(), snapshotSuffix) {
			left = append(left, e.Name())
		}
	}
	for _, name := range left {
		path := filepath.Join(dir, name)
		if used, err := usedFile(fsys, path); err != nil {
			return err
		} else if used {
			return fmt.Errorf("%w: %s holds metadata, but %s is missing", ErrCorrupt, path, filepath.Join(dir, identityName))
		}
	}
	for _, name := range left {
		if err := fsys.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	hs := hardState{}
	if len(voters) > 0 {
		if err := writeSnapshot(fsys, dir, firstSnapshot(voters)); err != nil {
			return err
		}
		hs = hardState{term: firstTerm, commit: firstIndex}
	}
	w, err := createWAL(fsys, dir, id, segmentBytes, hs, hs.commit, hs.term)
	if err != nil {
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	return vfs.WriteFileAtomic(fsys, filepath.Join(dir, identityName), encodeIdentity(id))
}

// usedFile says whether a log or a snapshot in a directory without identity is more than what format writes before the identity: the
// first snapshot, which holds no state, and the first log, whose one frame holds no entry and may be torn.
func usedFile(fsys vfs.FS, path string) (bool, error) {
	b, err := vfs.ReadFile(fsys, path)
	if err != nil {
		return false, err
	}
	switch filepath.Base(path) {
	case fmt.Sprintf("%020d%s", firstIndex, snapshotSuffix):
		s, err := decodeSnapshot(b)
		return err != nil || s.index != firstIndex || len(s.data) > 0, nil // it has its name only once it is whole
	case fmt.Sprintf("%020d%s", firstLog, logSuffix):
		_, body, size, ok := openFrame(b)
		if !ok {
			return laterFrame(b, 0) || !allZero(b[min(len(b), firstFrameMax):]), nil
		}
		r := &replay{number: firstLog}
		err := r.frame(body, true)
		return err != nil || len(r.entries) > 0 || !allZero(b[size:]), nil
	}
	return true, nil
}
