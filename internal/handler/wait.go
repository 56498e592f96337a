package handler

import (
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/server"
)

// waiting is a fetch that found too little and waits for more. It has no goroutine while nothing changes: who changes a partition, its time-out
// and the end of its connection start one that looks again. It is not used again, so that whoever comes late finds that it is over.
type waiting struct {
	f       *fetch
	watcher *partition.Watcher
	news    atomic.Int32 // what was told since the last look; while it is not 0 a goroutine looks
	last    atomic.Bool  // it is to be answered with what there is
}

// wait lets a fetch wait, unless there is enough by now.
func (f *fetch) wait(req *server.Request, length time.Duration) {
	w := &waiting{f: f}
	w.news.Store(1) // nobody looks yet
	w.watcher = partition.NewWatcher(w.tell)
	// Watch, then read again, so that nothing that comes in between is missed.
	for i := range f.reads {
		if p := f.reads[i].part; p != nil {
			p.Watch(w.watcher)
		}
	}
	if f.readAll() {
		f.unwatch(w.watcher)
		f.answer()
		return
	}
	f.releaseSlices()
	f.meter.leave(f.h)
	f.h.pending.Add(1)
	req.ParkFor(length, w.end)
	if w.news.Add(-1) > 0 {
		go w.look()
	}
}

// tell has the fetch looked at. It does not wait.
func (w *waiting) tell() {
	if w.news.Add(1) == 1 {
		go w.look()
	}
}

// end has the fetch answered with what there is.
func (w *waiting) end() {
	w.last.Store(true)
	w.tell()
}

// look answers the fetch if there is enough, or it must be.
func (w *waiting) look() {
	f := w.f
	for {
		seen, last := w.news.Load(), w.last.Load()
		if f.readAll() || last {
			break
		}
		f.releaseSlices()
		if w.news.CompareAndSwap(seen, 0) {
			return
		}
	}
	f.unwatch(w.watcher)
	h := f.h
	f.answer()
	h.pending.Done()
}

func (f *fetch) unwatch(w *partition.Watcher) {
	for i := range f.reads {
		if p := f.reads[i].part; p != nil {
			p.Unwatch(w)
		}
	}
}
