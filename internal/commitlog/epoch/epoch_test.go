package epoch

import (
	"bytes"
	"fmt"
	"testing"
)

func cache(entries ...Entry) *Cache { return &Cache{entries: entries} }

// TestEndOffset has the rows of KIP-279's table.
func TestEndOffset(t *testing.T) {
	c := cache(Entry{2, 10}, Entry{4, 20}, Entry{7, 35})
	for _, x := range []struct {
		epoch     int32
		wantEpoch int32
		wantEnd   int64
	}{
		{-1, -1, -1}, // unknown
		{7, 7, 50},   // the latest: log end
		{8, -1, -1},  // above all
		{4, 4, 35},   // between
		{5, 4, 35},   // unknown epoch in between: the largest below
		{2, 2, 20},
		{1, 1, 10}, // below all: itself and the first known start
	} {
		if e, end := c.EndOffset(x.epoch, 50); e != x.wantEpoch || end != x.wantEnd {
			t.Errorf("end of epoch %d: %d %d, want %d %d", x.epoch, e, end, x.wantEpoch, x.wantEnd)
		}
	}
	if e, end := (&Cache{}).EndOffset(3, 50); e != -1 || end != -1 {
		t.Errorf("empty: %d %d", e, end)
	}
}

func TestAssign(t *testing.T) {
	for _, x := range []struct {
		epoch int32
		start int64
		want  string
	}{
		{7, 36, "[{2 10} {4 20} {7 35}]"}, // known
		{7, 30, "[{2 10} {4 20} {7 30}]"},
		{8, 35, "[{2 10} {4 20} {8 35}]"}, // epoch 7 had no record
		{9, 50, "[{2 10} {4 20} {7 35} {9 50}]"},
		{3, 40, "[{2 10} {3 40}]"}, // an older one: what contradicts it goes
		{9, 5, "[{9 5}]"},
		{-1, 60, "[{2 10} {4 20} {7 35}]"},
	} {
		c := cache(Entry{2, 10}, Entry{4, 20}, Entry{7, 35})
		c.Assign(x.epoch, x.start)
		if got := fmt.Sprint(c.Entries()); got != x.want {
			t.Errorf("assign %d at %d: %s, want %s", x.epoch, x.start, got, x.want)
		}
	}
}

func TestTruncate(t *testing.T) {
	for _, x := range []struct {
		end, start int64
		want       string
	}{
		{50, 0, "[{2 10} {4 20} {7 35}]"},
		{35, 0, "[{2 10} {4 20}]"},
		{36, 0, "[{2 10} {4 20} {7 35}]"},
		{10, 0, "[]"},
		{50, 15, "[{2 15} {4 20} {7 35}]"},
		{50, 20, "[{4 20} {7 35}]"},
		{50, 99, "[{7 99}]"},
		{50, 10, "[{2 10} {4 20} {7 35}]"},
	} {
		c := cache(Entry{2, 10}, Entry{4, 20}, Entry{7, 35})
		c.TruncateEnd(x.end)
		c.TruncateStart(x.start)
		if got := fmt.Sprint(c.Entries()); got != x.want {
			t.Errorf("truncate to %d, from %d: %s, want %s", x.end, x.start, got, x.want)
		}
	}
	if e, ok := cache(Entry{2, 10}, Entry{4, 20}).At(19); e != 2 || !ok {
		t.Errorf("epoch at 19: %d", e)
	}
	if _, ok := cache(Entry{2, 10}).At(9); ok {
		t.Error("epoch below the first")
	}
}

func TestFile(t *testing.T) {
	want := "0\n2\n3 0\n5 17\n"
	if got := string(cache(Entry{3, 0}, Entry{5, 17}).Encode()); got != want {
		t.Fatalf("%q", got)
	}
	for _, bad := range []string{"", "0", "1\n0\n", "0\n1\n", "0\n1\n3 0\n5 17\n", "0\n1\n3\n", "0\n1\nx 0\n", "0\n2\n5 0\n3 17\n",
		"0\n2\n3 17\n5 0\n", "0\n1\n-1 0\n", "0\n1\n1 -1\n", "0\n1\n3 0 0\n"} {
		if _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("0\n2\n3 0\n5 17\n"))
	f.Add([]byte("0\n0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			return
		}
		enc := c.Encode()
		again, err := Decode(enc)
		if err != nil || !bytes.Equal(again.Encode(), enc) {
			t.Fatalf("%q: %v, again %v %v", b, c, again, err)
		}
	})
}
