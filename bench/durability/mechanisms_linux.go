package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// mechanisms compares the ways to make appends durable, with bare system calls: it is what docs/decisions/0001-durability.md
// chose by. Each figure is the median of its rounds.
func mechanisms(w io.Writer, dir string) error {
	dir, err := os.MkdirTemp(dir, "durability-mechanisms-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m := &bare{dir: dir}
	fmt.Fprintln(w, "1,000 partitions, 4 KiB appended to each, until all is durable (median, worst of 7 rounds)")
	for _, how := range []string{"in turn", "parallel", "syncfs", "journal, new blocks", "journal, blocks written before"} {
		m.manyPartitions(w, how)
	}
	fmt.Fprintln(w, "\none partition, 1 MiB batches, 256 MiB, a sync whenever the last is done, at most 16 MiB waiting")
	for _, how := range []string{"direct, growing file", "direct, preallocated", "direct, preallocated, write-back at each batch", "journal, blocks written before"} {
		m.largeBatches(w, how)
	}
	fmt.Fprintln(w, "\nsingle records of 1 KiB, a group commit, commits/s by 1 and by 64 producers")
	for _, how := range []string{"direct, preallocated", "journal, new blocks", "journal, blocks written before"} {
		m.groupCommit(w, how)
	}
	fmt.Fprintln(w, "\nP partitions each append S, until all is durable: journal / direct, ms (median of 9 rounds)")
	m.threshold(w)
	return m.err
}

type bare struct {
	dir string
	err error
	seq int
}

func (m *bare) must(err error) {
	if err != nil && m.err == nil {
		m.err = err
	}
}

func (m *bare) file(preallocate int64) *os.File {
	m.seq++
	f, err := os.OpenFile(filepath.Join(m.dir, fmt.Sprintf("%d.log", m.seq)), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	m.must(err)
	if preallocate > 0 {
		m.must(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, preallocate))
	}
	return f
}

// journalFile returns a file of size bytes, its blocks written (or only reserved by the size).
func (m *bare) journalFile(size int64, written bool) *os.File {
	f := m.file(0)
	if written {
		z := make([]byte, 1<<20)
		for off := int64(0); off < size; off += int64(len(z)) {
			_, err := f.WriteAt(z, off)
			m.must(err)
		}
	}
	m.must(f.Sync())
	return f
}

func drop(files ...*os.File) {
	for _, f := range files {
		f.Close()
		os.Remove(f.Name())
	}
}

func (m *bare) datasync(f *os.File) { m.must(unix.Fdatasync(int(f.Fd()))) }

func (m *bare) parallel(files []*os.File) {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, min(16, len(files)))
	for k := range errs {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(files); i = next.Add(1) - 1 {
				if err := unix.Fdatasync(int(files[i].Fd())); err != nil {
					errs[k] = err
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		m.must(err)
	}
}

func (m *bare) manyPartitions(w io.Writer, how string) {
	const n, size = 1000, 4 << 10
	files := make([]*os.File, n)
	for i := range files {
		files[i] = m.file(1 << 20)
	}
	defer drop(files...)
	var journal *os.File
	if how == "journal, new blocks" || how == "journal, blocks written before" {
		journal = m.journalFile(64<<20, how == "journal, blocks written before")
		defer drop(journal)
	}
	buf := pattern(size)
	m.must(unix.Syncfs(int(files[0].Fd())))
	var all, sync []time.Duration
	for round := range int64(7) {
		t0 := time.Now()
		for _, f := range files {
			_, err := f.WriteAt(buf, round*size)
			m.must(err)
		}
		t1 := time.Now()
		switch {
		case how == "in turn":
			for _, f := range files {
				m.datasync(f)
			}
		case how == "parallel":
			m.parallel(files)
		case how == "syncfs":
			m.must(unix.Syncfs(int(files[0].Fd())))
		default:
			off := round * n * size
			for i := 0; i < n; i += 500 { // one gathered write each 500 pieces
				iov := make([][]byte, 500)
				for k := range iov {
					iov[k] = buf
				}
				_, err := unix.Pwritev(int(journal.Fd()), iov, off)
				m.must(err)
				off += 500 * size
			}
			m.datasync(journal)
		}
		all, sync = append(all, time.Since(t0)), append(sync, time.Since(t1))
	}
	fmt.Fprintf(w, "  %-48s %8.1f ms, worst %8.1f ms; without the appends %8.1f ms\n", how, ms(median(all)), ms(worst(all)), ms(median(sync)))
}

// stream is a file that one goroutine appends to while another syncs it.
type stream struct {
	mu            sync.Mutex
	cond          *sync.Cond
	end, synced   int64
	done          bool
	write         func(off int64)
	sync          func(from, to int64)
	waitingAtMost int64
}

// run appends total bytes in pieces and returns when all of it is durable.
func (s *stream) run(total, piece int64) time.Duration {
	s.cond = sync.NewCond(&s.mu)
	t0 := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			s.mu.Lock()
			for s.end == s.synced && !s.done {
				s.cond.Wait()
			}
			from, to := s.synced, s.end
			s.mu.Unlock()
			if from == to {
				return
			}
			s.sync(from, to)
			s.mu.Lock()
			s.synced = to
			s.cond.Broadcast()
			s.mu.Unlock()
		}
	})
	for off := int64(0); off < total; off += piece {
		s.mu.Lock()
		for s.end-s.synced >= s.waitingAtMost {
			s.cond.Wait()
		}
		s.mu.Unlock()
		s.write(off)
		s.mu.Lock()
		s.end = off + piece
		s.cond.Broadcast()
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.done = true
	s.cond.Broadcast()
	s.mu.Unlock()
	wg.Wait()
	return time.Since(t0)
}

func (m *bare) largeBatches(w io.Writer, how string) {
	const total, piece = 256 << 20, 1 << 20
	buf := pattern(piece)
	var rates, reference []float64
	for range 3 {
		var f, journal *os.File
		if how == "direct, growing file" {
			f = m.file(0)
		} else {
			f = m.file(total)
		}
		s := &stream{waitingAtMost: 16 << 20}
		s.write = func(off int64) {
			_, err := f.WriteAt(buf, off)
			m.must(err)
			if how == "direct, preallocated, write-back at each batch" {
				m.must(unix.SyncFileRange(int(f.Fd()), off, piece, unix.SYNC_FILE_RANGE_WRITE))
			}
		}
		s.sync = func(from, to int64) { m.datasync(f) }
		if how == "journal, blocks written before" {
			journal = m.journalFile(64<<20, true)
			s.sync = func(from, to int64) {
				for off := from; off < to; off += piece {
					_, err := journal.WriteAt(buf, off%(64<<20))
					m.must(err)
				}
				m.datasync(journal)
			}
		}
		m.must(unix.Syncfs(int(f.Fd())))
		rates = append(rates, total/s.run(total, piece).Seconds()/1e6)
		drop(f)
		if journal != nil {
			drop(journal)
		}
		ref, err := bufferedWriteThenSync(m.dir)
		m.must(err)
		reference = append(reference, ref)
	}
	sort.Float64s(rates)
	sort.Float64s(reference)
	fmt.Fprintf(w, "  %-48s %8.0f MB/s, %3.0f %% of 512 MiB buffered + one fdatasync (%.0f MB/s)\n", how, rates[1], 100*rates[1]/reference[1], reference[1])
}

func (m *bare) groupCommit(w io.Writer, how string) {
	rates := map[int]float64{}
	for _, producers := range []int{1, 64} {
		var f *os.File
		size := int64(64 << 20)
		if how == "direct, preallocated" {
			f = m.file(size)
		} else {
			f = m.journalFile(size, how == "journal, blocks written before")
		}
		rates[producers] = m.commits(f, producers, size)
		drop(f)
	}
	fmt.Fprintf(w, "  %-48s %8.0f %8.0f = %.1f x\n", how, rates[1], rates[64], rates[64]/rates[1])
}

// commits lets producers each append 1 KiB and wait for it, for two seconds.
func (m *bare) commits(f *os.File, producers int, size int64) float64 {
	type request struct{ done chan struct{} }
	requests := make(chan request, producers)
	stop := time.Now().Add(2 * time.Second)
	var count atomic.Int64
	var wg sync.WaitGroup
	for range producers {
		wg.Go(func() {
			r := request{done: make(chan struct{}, 1)}
			for time.Now().Before(stop) {
				requests <- r
				<-r.done
				count.Add(1)
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		buf, group := pattern(64<<10), []request(nil)
		var off int64
		for r := range requests {
			group = append(group[:0], r)
			for len(group) < 64 && len(requests) > 0 {
				group = append(group, <-requests)
			}
			n := int64(len(group)) << 10
			if off+n > size {
				off = 0
			}
			_, err := f.WriteAt(buf[:n], off)
			m.must(err)
			off += n
			m.datasync(f)
			for _, r := range group {
				r.done <- struct{}{}
			}
		}
	}()
	t0 := time.Now()
	wg.Wait()
	close(requests)
	<-finished
	return float64(count.Load()) / time.Since(t0).Seconds()
}

func (m *bare) threshold(w io.Writer) {
	sizes := []int64{4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20}
	fmt.Fprintf(w, "  %4s", "P")
	for _, size := range sizes {
		fmt.Fprintf(w, " %16s", fmt.Sprintf("%d KiB", size>>10))
	}
	fmt.Fprintln(w)
	journal := m.journalFile(64<<20, true)
	defer drop(journal)
	for _, n := range []int64{1, 4, 16, 64} {
		fmt.Fprintf(w, "  %4d", n)
		for _, size := range sizes {
			if n*size > 16<<20 {
				fmt.Fprintf(w, " %16s", "-")
				continue
			}
			var took [2]time.Duration
			for way := range took {
				files := make([]*os.File, n)
				for i := range files {
					files[i] = m.file(32 * size)
				}
				m.must(unix.Syncfs(int(journal.Fd())))
				var rounds []time.Duration
				buf, off := pattern(int(size)), int64(0)
				for round := range int64(9) {
					t0 := time.Now()
					for _, f := range files {
						_, err := f.WriteAt(buf, round*size)
						m.must(err)
					}
					if way == 0 {
						if off+n*size > 64<<20 {
							off = 0
						}
						for range n {
							_, err := journal.WriteAt(buf, off)
							m.must(err)
							off += size
						}
						m.datasync(journal)
					} else {
						m.parallel(files)
					}
					rounds = append(rounds, time.Since(t0))
				}
				took[way] = median(rounds)
				drop(files...)
			}
			fmt.Fprintf(w, " %16s", fmt.Sprintf("%.2f / %.2f", ms(took[0]), ms(took[1])))
		}
		fmt.Fprintln(w)
	}
}
