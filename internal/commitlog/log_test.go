package commitlog

import "testing"
import "github.com/moldau/moldau/internal/vfs"

func TestAppendReadReopen(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	cfg := Config{SegmentBytes: 2000, IndexIntervalBytes: 200, Durable: true, RetentionBytes: -1, RetentionAge: -1}
	l := w.open(t, cfg, Recovery{Missing: true})
	for i := 0; i < 50; i++ {
		info, err := l.Append(batchSpec{n: 3, ts: int64(1000 + i), size: 50, pid: 1, seq: int32(3 * i)}.build(), LeaderEpoch(i/20))
		if err != nil || info.First != int64(3*i) || info.Last != info.First+2 {
			t.Fatal(info, err)
		}
	}
	want := offsets(readAll(t, l, 0))
	t.Log(want)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	l = w.open(t, cfg, Recovery{Clean: true})
	if r := l.Recovered(); r != (Recovered{}) {
		t.Fatalf("%+v", r)
	}
	if got := offsets(readAll(t, l, 0)); got != want {
		t.Fatal(got)
	}
}
