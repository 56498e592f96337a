package quorum

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzIdentity(f *testing.F) {
	f.Add(encodeIdentity(7))
	f.Add(encodeIdentity(0))
	f.Add(encodeIdentity(1 << 63)[:19])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := decodeIdentity(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if id == 0 || !bytes.Equal(encodeIdentity(id), b) {
			t.Fatalf("%x is id %d", b, id)
		}
	})
}
