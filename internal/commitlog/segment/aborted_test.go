package segment

import (
	"bytes"
	"testing"
)

func FuzzAborted(f *testing.F) {
	f.Add(appendAborted(nil, []Aborted{{1, 2, 3, 4}, {5, 0, 9, 9}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, _ := decodeAborted(b)
		if enc := appendAborted(nil, entries); !bytes.HasPrefix(b, enc) {
			t.Fatalf("%x decodes to %v", b, entries)
		}
	})
}

func TestName(t *testing.T) {
	if got := Name(42, LogSuffix); got != "00000000000000000042.log" {
		t.Fatal(got)
	}
	for name, want := range map[string]int64{"00000000000000000042.log": 42, "09223372036854775807.log": 1<<63 - 1} {
		if got, ok := ParseName(name, LogSuffix); !ok || got != want {
			t.Errorf("%s: %d %v", name, got, ok)
		}
	}
	for _, name := range []string{"42.log", "00000000000000000042.index", "0000000000000000004x.log", "-0000000000000000042.log",
		"99999999999999999999.log", "00000000000000000042.log.deleted"} {
		if _, ok := ParseName(name, LogSuffix); ok {
			t.Errorf("%s was taken", name)
		}
	}
}
