package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
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

// run reads the topic from its start to its end, again and again, until ctx ends. Before each time its files are put out of memory.
func (r *coldReader) run(ctx context.Context) error {
	c, err := node.Dial(r.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for begin := time.Now(); ctx.Err() == nil; r.passes.Add(1) {
		if err := r.evict(); err != nil {
			return err
		}
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
			sum := r.bytes.Add(int64(len(p.RecordBatches)))
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

// evict puts the segments out of the page cache.
func (r *coldReader) evict() error {
	paths, err := filepath.Glob(filepath.Join(r.data, r.topic+"-0", "*.log"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("topic %s has no segments in %s", r.topic, r.data)
	}
	for _, path := range paths {
		if err := evict(path); err != nil {
			return fmt.Errorf("put %s out of memory: %w", path, err)
		}
	}
	return nil
}
