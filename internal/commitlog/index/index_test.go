package index

import (
	"bytes"
	"reflect"
	"testing"
)

func TestDecodeStopsAtTheFirstBrokenRule(t *testing.T) {
	good := []Offset{{5, 100}, {9, 220}, {12, 340}}
	for name, c := range map[string]struct {
		add  []byte
		want []Offset
		ok   bool
	}{
		"whole":            {nil, good, true},
		"zeros behind":     {make([]byte, 4096), good, true},
		"cut entry":        {[]byte{0, 0, 0}, good, false},
		"offset falls":     {AppendOffsets(nil, []Offset{{11, 400}}), good, false},
		"position falls":   {AppendOffsets(nil, []Offset{{20, 339}}), good, false},
		"beyond the file":  {AppendOffsets(nil, []Offset{{20, 1000}}), good, false},
		"negative offset":  {AppendOffsets(nil, []Offset{{1 << 31, 400}}), good, false},
		"zeros in between": {append(make([]byte, 8), AppendOffsets(nil, []Offset{{20, 400}})...), good, false},
	} {
		got, ok := DecodeOffsets(append(AppendOffsets(nil, good), c.add...), 1000)
		if !reflect.DeepEqual(got, c.want) || ok != c.ok {
			t.Errorf("%s: %v %v, want %v %v", name, got, ok, c.want, c.ok)
		}
	}
	times := []Time{{0, 0}, {10, 3}, {11, 3}}
	if got, ok := DecodeTimes(AppendTimes(nil, times)); !reflect.DeepEqual(got, times) || !ok {
		t.Errorf("times %v %v", got, ok)
	}
	for _, bad := range []Time{{11, 4}, {12, 2}, {-1, 9}} {
		if got, ok := DecodeTimes(AppendTimes(AppendTimes(nil, times), []Time{bad})); len(got) != 3 || ok {
			t.Errorf("%v was taken: %v %v", bad, got, ok)
		}
	}
}

func TestFloor(t *testing.T) {
	entries := []Offset{{5, 100}, {9, 220}, {12, 340}}
	for rel, want := range map[int64]int{0: -1, 4: -1, 5: 0, 8: 0, 9: 1, 12: 2, 99: 2} {
		if got := FloorOffset(entries, rel); got != want {
			t.Errorf("floor of offset %d is %d, want %d", rel, got, want)
		}
	}
	for pos, want := range map[int64]int{0: -1, 100: 0, 339: 1, 340: 2} {
		if got := FloorPos(entries, pos); got != want {
			t.Errorf("floor of position %d is %d, want %d", pos, got, want)
		}
	}
	times := []Time{{10, 1}, {20, 4}, {30, 4}}
	for ts, want := range map[int64]int{9: -1, 10: 0, 29: 1, 31: 2} {
		if got := FloorTime(times, ts); got != want {
			t.Errorf("floor of time %d is %d, want %d", ts, got, want)
		}
	}
	for rel, want := range map[int64]int{0: 0, 1: 1, 3: 1, 4: 3} {
		if got := TimesUpTo(times, rel); got != want {
			t.Errorf("%d times up to %d, want %d", got, rel, want)
		}
	}
}

// FuzzDecode checks that what is decoded encodes to the bytes it came from, and keeps the rules.
func FuzzDecode(f *testing.F) {
	f.Add(AppendOffsets(nil, []Offset{{5, 100}, {9, 220}}), int64(1000))
	f.Add(AppendTimes(nil, []Time{{0, 0}, {10, 3}}), int64(7))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		offsets, _ := DecodeOffsets(b, size)
		if enc := AppendOffsets(nil, offsets); !bytes.HasPrefix(b, enc) {
			t.Fatalf("%x decodes to %v", b, offsets)
		}
		for i, e := range offsets {
			if int64(e.Pos) >= size || i > 0 && (e.Rel <= offsets[i-1].Rel || e.Pos <= offsets[i-1].Pos) {
				t.Fatalf("%v", offsets)
			}
		}
		times, _ := DecodeTimes(b)
		if enc := AppendTimes(nil, times); !bytes.HasPrefix(b, enc) {
			t.Fatalf("%x decodes to %v", b, times)
		}
	})
}
