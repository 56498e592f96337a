package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/bench/node"
)

// coldReader is a consumer of data that are not in memory.
type coldReader struct {
	addr, topic, data string
	rate              float64      // bytes a second
	bytes             atomic.Int64 // read so far
	passes            atomic.Int64
}

const coldFetch = 1 << 20

// coldStep is how much is put out of memory at once. To give back some GiB in one call keeps whoever wants a page waiting for some tenths of a second, which
// would be told of the broker.
const coldStep = 4 << 20

// run reads the topic from its start to its end, again and again, until ctx ends. What it has read is put out of memory behind it.
func (r *coldReader) run(ctx context.Context) error {
	c, err := node.Dial(r.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for begin := time.Now(); ctx.Err() == nil; r.passes.Add(1) {
		pass, evicted := int64(0), int64(0) // bytes of the files, one behind the other
		for offset := int64(0); ctx.Err() == nil; {
			resp, err := c.Ask(node.Fetch(r.topic, 0, offset, coldFetch, 0))
			if err != nil {
				return fmt.Errorf("read cold data: %w", err)
			}
			p := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("read cold data at %d: %w", offset, err)
			}
			if len(p.RecordBatches) == 0 {
				break
			}
			offset = behind(p.RecordBatches, offset)
			n := int64(len(p.RecordBatches))
			if pass += n; pass-evicted >= coldStep {
				if err := r.evict(evicted, pass-evicted); err != nil {
					return err
				}
				evicted = pass
			}
			sum := r.bytes.Add(n)
			wait := time.Until(begin.Add(time.Duration(float64(sum) / r.rate * float64(time.Second))))
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}
	return nil
}

// behind returns the offset after the last whole batch.
func behind(batches []byte, offset int64) int64 {
	for len(batches) >= 61 {
		n := 12 + int(binary.BigEndian.Uint32(batches[8:]))
		if n > len(batches) {
			break
		}
		offset = int64(binary.BigEndian.Uint64(batches)) + int64(binary.BigEndian.Uint32(batches[23:])) + 1
		batches = batches[n:]
	}
	return offset
}

// evict puts a part of the segments, one behind the other, out of the page cache.
func (r *coldReader) evict(from, n int64) error {
	paths, err := filepath.Glob(filepath.Join(r.data, r.topic+"-0", "*.log"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("topic %s has no segments in %s", r.topic, r.data)
	}
	slices.Sort(paths)
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if size := info.Size(); from < size {
			part := min(n, size-max(from, 0))
			if err := evict(path, max(from, 0), part); err != nil {
				return fmt.Errorf("put %s out of memory: %w", path, err)
			}
			if n -= part; n <= 0 {
				return nil
			}
		}
		from -= info.Size()
	}
	return nil
}

// evictAll puts all of it out, in steps.
func (r *coldReader) evictAll(total int64) error {
	for at := int64(0); at < total; at += coldStep {
		if err := r.evict(at, coldStep); err != nil {
			return err
		}
	}
	return nil
}
