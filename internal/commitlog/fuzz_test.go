package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path/filepath"
	"testing"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// FuzzOpen opens a log whose files are the input. It may be refused, as damaged; if it is not, whole batches are all it serves, it takes
// another one, and has all of them when it is opened again.
func FuzzOpen(f *testing.F) {
	const base = "00000000000000000000"
	mem := vfs.NewMem()
	w := newWorld(f, mem)
	l := w.open(f, Config{IndexIntervalBytes: 1, SegmentBytes: 1 << 20}, Recovery{Missing: true})
	for i := range int32(5) {
		if _, err := l.Append(batchSpec{n: 2, ts: int64(1000 * i), pid: 8, seq: 2 * i, size: 20, txn: i >= 3}.build(), 0); err != nil {
			f.Fatal(err)
		}
	}
	if err := l.Close(true); err != nil {
		f.Fatal(err)
	}
	file := func(name string) []byte {
		b, err := vfs.ReadFile(mem, filepath.Join(testDir, testID.DirName(), name))
		if err != nil {
			return nil
		}
		return b
	}
	log, offsets, times := file(base+segment.LogSuffix), file(base+segment.IndexSuffix), file(base+segment.TimeSuffix)
	snapshot, epochs := file("00000000000000000010"+segment.SnapshotSuffix), file("leader-epoch-checkpoint")
	for _, point := range []uint8{0, 4, 10} {
		f.Add(log, offsets, times, snapshot, epochs, point, point == 10, point == 4)
	}
	f.Add(log[:len(log)-7], offsets, times, snapshot, epochs, uint8(0), false, false)
	f.Add(log[:len(log)/2], offsets[:5], []byte{}, []byte{}, []byte("0\n1\n0 0\n"), uint8(0), true, true)
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, []byte{}, uint8(9), false, false)
	f.Fuzz(func(t *testing.T, log, offsets, times, snapshot, epochs []byte, point uint8, clean, sealed bool) {
		if sealed { // so that the fuzzer gets past the checksums
			log = bytes.Clone(log)
			seal(log)
		}
		mem := vfs.NewMem()
		w := newWorld(t, mem)
		dir := filepath.Join(testDir, testID.DirName())
		if err := mem.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{metadataName: encodeMetadata(testID.TopicID), base + segment.LogSuffix: log, base + segment.IndexSuffix: offsets,
			base + segment.TimeSuffix: times, "00000000000000000010" + segment.SnapshotSuffix: snapshot, "leader-epoch-checkpoint": epochs} {
			if err := vfs.WriteFileAtomic(mem, filepath.Join(dir, name), b); err != nil {
				t.Fatal(err)
			}
		}
		r := Recovery{Point: int64(point), Clean: clean}
		if !clean {
			r.Point = 0 // above it nothing is taken on trust
		}
		l, err := New(testID, Options{Env: w.env, Config: &Config{IndexIntervalBytes: 1, SegmentBytes: 1 << 20}, Recovery: r})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, segment.ErrDamaged) && !errors.Is(err, segment.ErrOldFormat) {
				t.Fatalf("a refusal of another kind: %v", err)
			}
			return
		}
		if clean { // what was synced is not read again, so it may be anything: reading it may fail, and must not panic
			for at := l.LogStart(); at < l.LogEnd(); {
				s, err := l.Read(at, 1<<20, l.LogEnd(), true)
				if err != nil {
					return
				}
				s.Release()
				at = l.LogEnd()
			}
			_, _, _, _, _ = l.OffsetForTimestamp(1500, l.LogEnd())
			return
		}
		before := readAll(t, l, l.LogStart())
		if l.LogEnd() > 1<<40 {
			return // the file says so, with checksums that are right
		}
		epoch, _ := l.LatestEpoch() // not the last batch's: no CRC covers epochs, so that they may go down in a damaged log
		if _, err := l.Append(batchSpec{n: 1, ts: 9999, size: 5}.build(), max(0, epoch)); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		again := newWorld(t, mem)
		l = again.open(t, Config{IndexIntervalBytes: 1, SegmentBytes: 1 << 20}, Recovery{})
		if after := readAll(t, l, l.LogStart()); len(after) != len(before)+1 {
			t.Fatalf("%d batches became %d", len(before), len(after))
		}
		if len(w.failures)+len(again.failures) > 0 {
			t.Fatal(w.failures, again.failures)
		}
	})
}

func FuzzTopicID(f *testing.F) {
	f.Add(encodeMetadata(testID.TopicID))
	f.Add([]byte("version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA"))
	f.Add([]byte("version: 0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := decodeMetadata(b)
		if err != nil {
			if id != (uuid.UUID{}) {
				t.Errorf("%s beside %v", id, err)
			}
			return
		}
		if again, err := decodeMetadata(encodeMetadata(id)); err != nil || again != id {
			t.Errorf("%s became %s, %v", id, again, err)
		}
	})
}

// seal makes the checksums of all batches right, as far as their lengths lead.
func seal(log []byte) {
	const crcAt, attributesAt = 17, 21
	for len(log) > attributesAt {
		n := int64(12) + int64(int32(binary.BigEndian.Uint32(log[8:])))
		if n < 61 || n > int64(len(log)) {
			return
		}
		binary.BigEndian.PutUint32(log[crcAt:], crc32.Checksum(log[attributesAt:n], crc32.MakeTable(crc32.Castagnoli)))
		log = log[n:]
	}
}
