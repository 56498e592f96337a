package group

import (
	"bytes"
	"testing"
)

// FuzzOffsets reads files that are to reset offsets.
func FuzzOffsets(f *testing.F) {
	f.Add([]byte("orders,0,5\norders,1,7\n"))
	f.Add([]byte("g,orders,0,5\nh,orders,1,7\n"))
	f.Add([]byte("\"a\"\"b\", 0, -1\n"))
	f.Add([]byte("a,0\n"))
	f.Add([]byte("\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := readOffsets(bytes.NewReader(b), "file", "g")
		if err != nil {
			return
		}
		for at := range found {
			if at.topic == "" || at.partition < 0 {
				t.Fatalf("%q is read as %v", b, found)
			}
		}
	})
}
