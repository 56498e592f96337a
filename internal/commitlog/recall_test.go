package commitlog

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// inFlight appends batches of two records of one producer from a sequence to another, each behind some of others.
func inFlight(t *testing.T, l *Log, from, to, others int) {
	t.Helper()
	for i := from; i < to; i++ {
		for range others {
			if _, err := l.Append(batchSpec{size: 40_000}.build(), 0); err != nil {
				t.Fatal(err)
			}
		}
		if info, err := l.Append(batchSpec{n: 2, pid: 1, seq: int32(2 * i), size: 9}.build(), 0); info.Duplicate || err != nil {
			t.Fatal(i, info, err)
		}
	}
}

// TestSentAgain: a producer that has five batches in flight may send all of them again, whatever became of the broker meanwhile. A snapshot keeps only the last one.
func TestSentAgain(t *testing.T) {
	const sent = 7
	stop := func(t *testing.T, w *world, l *Log) *Log {
		if err := l.Close(true); err != nil {
			t.Fatal(err)
		}
		return w.open(t, *l.config.Load(), Recovery{Clean: true, Point: l.LogEnd()})
	}
	kill := func(t *testing.T, w *world, l *Log) *Log {
		end, err := l.SyncFiles()
		if err != nil {
			t.Fatal(err)
		}
		return newWorld(t, w.fs.(*vfs.Mem).KillProcess()).open(t, *l.config.Load(), Recovery{Point: end})
	}
	cut := func(t *testing.T, w *world, l *Log) *Log { // what was appended above the snapshot was never acknowledged, and the next leader does not have it
		l = stop(t, w, l)
		end := l.LogEnd()
		if _, err := l.Append(batchSpec{n: 2, pid: 1, seq: 2 * sent, size: 9}.build(), 1); err != nil {
			t.Fatal(err)
		}
		if err := l.TruncateTo(end); err != nil {
			t.Fatal(err)
		}
		return l
	}
	for _, after := range []struct {
		what string
		do   func(*testing.T, *world, *Log) *Log
	}{{"stop", stop}, {"kill", kill}, {"cut", cut}} {
		for _, others := range []int{0, 3, 60} { // at most 2.4 MB lie between two batches
			for _, roll := range []int{0, 5, sent} { // before that batch
				for _, segmentBytes := range []int64{0, 50_000} {
					t.Run(fmt.Sprintf("%s, %d others, roll before %d, segments of %d", after.what, others, roll, segmentBytes), func(t *testing.T) {
						w := newWorld(t, vfs.NewMem())
						l := w.open(t, Config{SegmentBytes: segmentBytes}, Recovery{Missing: true})
						inFlight(t, l, 0, roll, others)
						if err := l.Roll(); err != nil {
							t.Fatal(err)
						}
						inFlight(t, l, roll, sent, others)
						l = after.do(t, w, l)
						per := int64(others + 2)
						for i := range int64(sent) {
							info, err := l.Append(batchSpec{n: 2, pid: 1, seq: int32(2 * i), size: 9}.build(), 1)
							if i < sent-5 {
								if !errors.Is(err, ErrOutOfOrderSequence) {
									t.Fatal(i, info, err)
								}
							} else if !info.Duplicate || info.First != per*i+int64(others) || info.Last != info.First+1 || err != nil {
								t.Fatal(i, info, err)
							}
						}
						if info, err := l.Append(batchSpec{n: 2, pid: 1, seq: 2 * sent, size: 9}.build(), 1); info.Duplicate || err != nil {
							t.Fatal(info, err)
						}
					})
				}
			}
		}
	}
}

// TestSentAgainUnreadable: while the disk does not give back what would tell, a batch that was sent again is neither taken nor refused for good.
func TestSentAgainUnreadable(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{}, Recovery{Missing: true})
	inFlight(t, l, 0, 5, 0)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	failing := false
	w = newWorld(t, vfs.NewFault(w.fs, func(op vfs.Op) error {
		if failing && op.Kind == vfs.OpRead && strings.HasSuffix(op.Name, ".log") {
			return syscall.EIO
		}
		return nil
	}))
	l = w.open(t, Config{}, Recovery{Clean: true, Point: l.LogEnd()})
	again := batchSpec{n: 2, pid: 1, size: 9}.build()
	failing = true
	if info, err := l.Append(again, 1); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrOutOfOrderSequence) || l.LogEnd() != 10 {
		t.Fatal(info, err, l.LogEnd())
	}
	failing = false
	if info, err := l.Append(again, 1); !info.Duplicate || info.First != 0 || err != nil {
		t.Fatal(info, err)
	}
}
