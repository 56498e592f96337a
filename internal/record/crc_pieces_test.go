package record

import (
	"errors"
	"hash/crc32"
	"testing"
)

// TestCRCInPieces: a batch is good or not however little of it is held at a time, and no more than that is asked for.
func TestCRCInPieces(t *testing.T) {
	b := NewBuilder(Compression{})
	b.Append(Record{Timestamp: 1, Value: make([]byte, 1000)})
	batch := b.Build()
	for _, piece := range []int64{1, 7, 100, int64(len(batch)), 1 << 20} {
		for _, bad := range []bool{false, true} {
			batch := append(Batch(nil), batch...)
			if bad {
				batch[len(batch)-1] ^= 1
			}
			err := batch[:HeaderSize].CheckCRCOf(int64(len(batch)), piece, func(at, n int64) ([]byte, error) {
				if n > piece {
					t.Fatalf("%d bytes are asked for", n)
				}
				return batch[at : at+n], nil
			})
			if errors.Is(err, ErrCorrupt) != bad || (batch.CheckCRC() != nil) != bad {
				t.Errorf("pieces of %d, damaged %v: %v", piece, bad, err)
			}
		}
	}
}

// TestExtendCRC: the CRC is that of the library, whatever is read ahead for it.
func TestExtendCRC(t *testing.T) {
	p := make([]byte, coldFrom+3*ahead)
	for i := range p {
		p[i] = byte(i * i >> 3)
	}
	for _, n := range []int{0, 1, cacheLine, ahead, coldFrom - 1, coldFrom, coldFrom + 1, coldFrom + ahead - 1, coldFrom + ahead, len(p)} {
		if got, want := extendCRC(7, p[:n]), crc32.Update(7, castagnoli, p[:n]); got != want {
			t.Errorf("of %d bytes: %08x, want %08x", n, got, want)
		}
	}
}

// BenchmarkColdCRC is the CRC of batches of a MiB that no cache holds.
func BenchmarkColdCRC(b *testing.B) {
	p, at := make([]byte, 256<<20), 0
	for i := range p {
		p[i] = byte(i)
	}
	for name, extend := range map[string]func([]byte) uint32{
		"as it comes":   func(p []byte) uint32 { return crc32.Update(0, castagnoli, p) },
		"loaded before": func(p []byte) uint32 { return extendCRC(0, p) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(1 << 20)
			for b.Loop() {
				extend(p[at : at+1<<20])
				at = (at + 1<<20) % len(p)
			}
		})
	}
}
