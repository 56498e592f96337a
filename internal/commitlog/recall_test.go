package commitlog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moldau/moldau/internal/record"
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

// sentAgain lets each producer of a history send its last batches again, up to five, as it does after a lost connection. None may be written a second time. The newest one
// is known in any case, and so is one before it as long as the log has those from it on.
func sentAgain(l *Log, history []record.Batch, has func(record.Batch) bool) error {
	inFlight := map[int64][]record.Batch{}
	for _, b := range history {
		if id := b.ProducerID(); b.HasProducerID() && !b.IsControl() {
			inFlight[id] = append(inFlight[id], b)
		}
	}
	end := l.LogEnd()
	epoch, _ := l.LatestEpoch()
	for _, id := range slices.Sorted(maps.Keys(inFlight)) {
		last := inFlight[id]
		last = last[max(len(last)-5, 0):]
		known := len(last) - 1
		for known > 0 && has(last[known]) && has(last[known-1]) {
			known--
		}
		for i, b := range last {
			info, err := l.Append(slices.Clone(b), epoch)
			duplicate := err == nil && info.Duplicate && info.First == b.BaseOffset() && info.Last == b.LastOffset()
			if refused := i < known && errors.Is(err, ErrOutOfOrderSequence); !duplicate && !refused || l.LogEnd() != end {
				return fmt.Errorf("batch %d of the last %d of producer %d, at %d to %d, was sent again: %+v, %v", i, len(last), id, b.BaseOffset(), b.LastOffset(), info, err)
			}
		}
	}
	return nil
}

// TestSentAgainToAFollower: the log of a follower may begin inside a batch, which its producer may send again once it leads.
func TestSentAgainToAFollower(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{}, Recovery{Missing: true, LogStart: 1})
	var sent []record.Batch
	for i := range int64(5) {
		b := batchSpec{n: 2, pid: 1, seq: int32(2 * i)}.build()
		b.SetBaseOffset(2 * i)
		if _, err := l.AppendReplica(b); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, b)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	l = w.open(t, Config{}, Recovery{Clean: true, Point: 10, LogStart: 1})
	if err := sentAgain(l, sent, func(record.Batch) bool { return true }); err != nil {
		t.Fatal(err)
	}
}

// TestSpanBefore: what is looked through before a batch is as much as was asked for, in whichever segment the batch lies, and wherever in it.
func TestSpanBefore(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{SegmentBytes: 2000, IndexIntervalBytes: 300}, Recovery{Missing: true})
	at := []int64{0} // where the batch of each offset begins, in bytes of the log
	for i := range int64(60) {
		if _, err := l.Append(batchSpec{size: int(50 + i*7%90)}.build(), 0); err != nil {
			t.Fatal(err)
		}
		at = append(at, l.Size())
	}
	segments := l.segments()
	for before := int64(1); before <= l.LogEnd(); before++ {
		for bytes := int64(1); bytes < l.Size(); bytes += 97 {
			i, from, err := spanBefore(segments[:l.view.Load().floor(before-1)+1], before, bytes)
			if err != nil || from < segments[i].Base() || from >= segments[i].End() {
				t.Fatal(before, bytes, i, from, err)
			}
			if got := at[before] - at[from]; got < min(bytes, at[before]) || got > bytes+500 {
				t.Fatalf("%d bytes before offset %d: from %d, which are %d", bytes, before, from, got)
			}
		}
	}
}

// TestOutOfOrderReadsOnce: a producer that sends batches out of order again and again has the log read once.
func TestOutOfOrderReadsOnce(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, Config{}, Recovery{Missing: true})
	inFlight(t, l, 0, 3, 20)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	reads := 0
	w = newWorld(t, vfs.NewFault(w.fs, func(op vfs.Op) error {
		if op.Kind == vfs.OpRead && strings.HasSuffix(op.Name, ".log") {
			reads++
		}
		return nil
	}))
	l = w.open(t, Config{}, Recovery{Clean: true, Point: l.LogEnd()})
	first := 0
	for i := range 10 {
		if info, err := l.Append(batchSpec{n: 2, pid: 1, seq: 900, size: 9}.build(), 1); !errors.Is(err, ErrOutOfOrderSequence) {
			t.Fatal(info, err)
		}
		if i == 0 {
			first = reads
		}
		if first == 0 || reads > first {
			t.Fatalf("%d reads, %d of them for the first", reads, first)
		}
	}
}

// TestSentAgainDamaged: while the disk has lost what would tell whether a batch was sent before, nothing is written a second time. What is known all the same is; else the
// producer may come again, until another replica has given the bytes back.
func TestSentAgainDamaged(t *testing.T) {
	cfg := Config{IndexIntervalBytes: -1} // an index entry for each batch
	w := newWorld(t, vfs.NewMem())
	l := w.open(t, cfg, Recovery{Missing: true})
	inFlight(t, l, 0, 5, 9)
	path, pos := l.segments()[0].Path(), int64(0)
	batches, end := readAll(t, l, 0), l.LogEnd()
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	for k, b := range batches[:len(batches)-1] {
		for _, at := range []int64{0, 7, 8, 11, 16, 17, 23, 40, int64(len(b)) - 1} {
			disk := w.fs.(*vfs.Mem).KillProcess()
			flip(t, disk, path, pos+at, int(at%8))
			l := newWorld(t, disk).open(t, cfg, Recovery{Clean: true, Point: l.LogEnd()})
			for i := range int32(5) {
				info, err := l.Append(batchSpec{n: 2, pid: 1, seq: 2 * i, size: 9}.build(), 1)
				told := errors.Is(err, ErrOutOfOrderSequence) || errors.Is(err, ErrCorrupt) && strings.Contains(err.Error(), path)
				if !info.Duplicate && !told || i == 4 && err != nil || l.LogEnd() != end {
					t.Fatalf("byte %d of batch %d is damaged: batch %d in flight: %+v, %v", at, k, i, info, err)
				}
			}
		}
		pos += int64(len(b))
	}
}
