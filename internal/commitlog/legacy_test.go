package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path/filepath"
	"testing"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/vfs"
)

// legacy is one message as brokers before Kafka 0.11 wrote it.
func legacy(offset int64, magic byte, value string) []byte {
	body := []byte{magic, 0}
	if magic == 1 {
		body = binary.BigEndian.AppendUint64(body, 1_400_000_000_000)
	}
	body = binary.BigEndian.AppendUint32(body, 0xffffffff) // no key
	body = binary.BigEndian.AppendUint32(body, uint32(len(value)))
	body = append(body, value...)
	m := binary.BigEndian.AppendUint64(nil, uint64(offset))
	m = binary.BigEndian.AppendUint32(m, uint32(4+len(body)))
	m = binary.BigEndian.AppendUint32(m, crc32.ChecksumIEEE(body))
	return append(m, body...)
}

// TestRefusesOldFormats: a log in the formats of long ago is neither served nor cut, whether the last stop was clean or not, and however
// short it is.
func TestRefusesOldFormats(t *testing.T) {
	for _, magic := range []byte{0, 1} {
		for _, clean := range []bool{false, true} {
			for _, value := range []string{"", "short", string(make([]byte, 500))} {
				w := newWorld(t, vfs.NewMem())
				dir := filepath.Join(testDir, testID.DirName())
				content := legacy(0, magic, value)
				path := filepath.Join(dir, segment.Name(0, segment.LogSuffix))
				if err := vfs.MkdirAllSynced(w.fs, dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := vfs.WriteFileAtomic(w.fs, path, content); err != nil {
					t.Fatal(err)
				}
				cfg := Config{SegmentBytes: 1 << 20, IndexIntervalBytes: 4096}
				_, err := New(testID, Options{Env: w.env, Config: &cfg, Recovery: Recovery{Clean: clean}})
				if !errors.Is(err, segment.ErrOldFormat) {
					t.Errorf("magic %d, %d bytes, clean %v: %v", magic, len(content), clean, err)
				}
				if after, err := vfs.ReadFile(w.fs, path); err != nil || !bytes.Equal(after, content) {
					t.Errorf("magic %d, %d bytes, clean %v: the file has %d bytes: %v", magic, len(content), clean, len(after), err)
				}
				if len(w.failures) > 0 {
					t.Errorf("the directory goes offline: %v", w.failures)
				}
			}
		}
	}
}
