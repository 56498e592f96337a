package record

import (
	"errors"
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
