package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
)

// topic is one partition's log and those who wait for it, in the order of their offsets or nearly so.
type topic struct {
	log *commitlog.Log

	mu      sync.Mutex
	synced  int64
	waiters []waiter
}

type waiter struct {
	end  int64
	done chan struct{}
}

func open(path string) (*logdir.Dir, error) {
	return logdir.Open(logdir.Options{
		Path: path, NodeID: 1, Files: commitlog.NewFileCache(2048, 0),
		OnFailure: func(err error) { fmt.Fprintln(os.Stderr, err); os.Exit(1) },
		Warn:      func(err error) { fmt.Fprintln(os.Stderr, err) },
	})
}

func openTopic(d *logdir.Dir, n int) (*topic, error) {
	t := &topic{}
	id := commitlog.ID{Topic: fmt.Sprintf("bench-%d", n), TopicID: uuid.UUID{1, byte(n >> 8), byte(n)}}
	var err error
	t.log, err = d.Log(id, &commitlog.Config{Durable: true, Delete: true}, func(end int64) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.synced = end
		rest := t.waiters[:0]
		for _, w := range t.waiters {
			if w.end > end {
				rest = append(rest, w)
				continue
			}
			close(w.done)
		}
		t.waiters = rest
	})
	return t, err
}

// wait returns when everything below end is durable.
func (t *topic) wait(end int64) {
	t.mu.Lock()
	if t.synced >= end {
		t.mu.Unlock()
		return
	}
	w := waiter{end, make(chan struct{})}
	t.waiters = append(t.waiters, w)
	t.mu.Unlock()
	<-w.done
}

// batchOf returns a batch of one record that is size bytes large in all.
func batchOf(size int) record.Batch {
	build := func(n int) record.Batch {
		b := record.NewBuilder(record.Compression{})
		b.Append(record.Record{Timestamp: time.Now().UnixMilli(), Value: pattern(n)})
		return b.Build()
	}
	return build(size - (len(build(size)) - size))
}

func (t *topic) append(b record.Batch) (int64, error) {
	info, err := t.log.Append(b, 0)
	return info.Last + 1, err
}

// manyPartitions appends 4 KiB to each of 1,000 partitions and waits until all of it is durable.
func manyPartitions(w io.Writer, path string) error {
	const n, rounds = 1000, 9
	d, err := open(path)
	if err != nil {
		return err
	}
	topics := make([]*topic, n)
	for i := range topics {
		if topics[i], err = openTopic(d, i); err != nil {
			return err
		}
	}
	b := batchOf(4 << 10)
	var took []time.Duration
	for range rounds {
		t0 := time.Now()
		ends := make([]int64, n)
		for i, t := range topics {
			if ends[i], err = t.append(b); err != nil {
				return err
			}
		}
		for i, t := range topics {
			t.wait(ends[i])
		}
		took = append(took, time.Since(t0))
		time.Sleep(500 * time.Millisecond) // one append each is the question, not a stream of them
	}
	first, rest := took[0], took[1:]
	fmt.Fprintf(w, "1,000 partitions, 4 KiB each, durable in %.1f ms (median of %d, worst %.1f; the first append, which makes the files, %.1f)   target 20 ms: %s\n",
		ms(median(rest)), len(rest), ms(worst(rest)), ms(first), verdict(median(rest) <= 20*time.Millisecond))
	return closeAndOpen(w, d, path)
}

// closeAndOpen shows what a clean stop and a start of the directory take.
func closeAndOpen(w io.Writer, d *logdir.Dir, path string) error {
	t0 := time.Now()
	if err := d.Close(); err != nil {
		return err
	}
	t1 := time.Now()
	d, err := open(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "  clean stop of 1,000 logs %.1f ms, start %.1f ms\n", ms(t1.Sub(t0)), ms(time.Since(t1)))
	return d.Close()
}

// stream appends batches to one log with so many bytes waiting at most, and returns MB/s.
func (t *topic) stream(b record.Batch, total, waiting int64) (float64, error) {
	t0 := time.Now()
	var ends []int64
	most := int(max(waiting/int64(len(b)), 1))
	for n := int64(0); n < total; n += int64(len(b)) {
		end, err := t.append(b)
		if err != nil {
			return 0, err
		}
		if ends = append(ends, end); len(ends) >= most {
			t.wait(ends[len(ends)-most])
		}
	}
	t.wait(ends[len(ends)-1])
	return float64(total) / time.Since(t0).Seconds() / 1e6, nil
}

func largeBatches(w io.Writer, dir string) error {
	const total = 512 << 20
	var rates, references, ratios []float64
	for i := range 5 {
		reference, err := bufferedWriteThenSync(dir)
		if err != nil {
			return err
		}
		prepareMemory(2 * total)
		path := filepath.Join(dir, fmt.Sprintf("large%d", i))
		d, err := open(path)
		if err != nil {
			return err
		}
		t, err := openTopic(d, 0)
		if err != nil {
			return err
		}
		rate, err := t.stream(batchOf(1<<20), total, 16<<20)
		if err != nil {
			return err
		}
		rates, references, ratios = append(rates, rate), append(references, reference), append(ratios, rate/reference)
		if err := d.Close(); err != nil {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	rate, reference, ratio := middle(rates), middle(references), middle(ratios)
	fmt.Fprintf(w, "one partition, 1 MiB batches, 16 waiting: %.0f MB/s durable; 512 MiB buffered and one fdatasync: %.0f MB/s; %.0f %%   target 80 %%: %s\n",
		rate, reference, 100*ratio, verdict(ratio >= 0.8))
	return nil
}

func singleRecords(w io.Writer, dir string) error {
	var one, many []float64
	for i := range 3 {
		for _, producers := range []int{1, 64} {
			path := filepath.Join(dir, fmt.Sprintf("single%d-%d", i, producers))
			rate, err := producersOf(path, producers, 1<<10, 1, 2*time.Second)
			if err != nil {
				return err
			}
			if producers == 1 {
				one = append(one, rate)
			} else {
				many = append(many, rate)
			}
		}
	}
	fmt.Fprintf(w, "single records of 1 KiB: 1 producer %.0f/s, 64 producers %.0f/s; %.1f x   target 10 x: %s; 40 k/s: %s\n",
		middle(one), middle(many), middle(many)/middle(one), verdict(middle(many) >= 10*middle(one)), verdict(middle(many) >= 40_000))
	return nil
}

func mediumBatches(w io.Writer, path string) error {
	prepareMemory(2 << 30)
	rate, err := producersOf(path, 64, 16<<10, 4, time.Second)
	if err != nil {
		return err
	}
	rate *= (16 << 10) / 1e6
	fmt.Fprintf(w, "16 KiB batches, 64 producers on 4 partitions: %.0f MB/s durable   target 200 MB/s: %s\n", rate, verdict(rate >= 200))
	return nil
}

// producersOf lets producers each append a batch and wait until it is durable, again and again, spread over partitions; appends/s.
func producersOf(path string, producers, size, partitions int, during time.Duration) (float64, error) {
	d, err := open(path)
	if err != nil {
		return 0, err
	}
	topics := make([]*topic, partitions)
	for i := range topics {
		if topics[i], err = openTopic(d, i); err != nil {
			return 0, err
		}
	}
	var count atomic.Int64
	var failed atomic.Pointer[error]
	var wait sync.WaitGroup
	t0 := time.Now()
	for i := range producers {
		wait.Go(func() {
			b, t := batchOf(size), topics[i%partitions]
			for time.Since(t0) < during && failed.Load() == nil {
				end, err := t.append(b)
				if err != nil {
					failed.Store(&err)
					return
				}
				t.wait(end)
				count.Add(1)
			}
		})
	}
	wait.Wait()
	rate := float64(count.Load()) / time.Since(t0).Seconds()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return rate, d.Close()
}
