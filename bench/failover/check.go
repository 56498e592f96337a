package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// entry is a record that was read.
type entry struct {
	offset int64
	value  string
}

// wrong counts what is not as it was acknowledged.
type wrong struct {
	Lost      int `json:"lost"`
	Twice     int `json:"twice"`
	Order     int `json:"order"`     // it stands behind a later one
	Elsewhere int `json:"elsewhere"` // not at the offset of its acknowledgement, or not of this partition at all
	first     string
}

func (w *wrong) any() bool { return w.Lost+w.Twice+w.Order+w.Elsewhere > 0 }

func (w *wrong) note(count *int, format string, args ...any) {
	if *count++; w.first == "" {
		w.first = fmt.Sprintf(format, args...)
	}
}

// examine compares what a partition has with what was acknowledged: the offsets of the load's records by sequence (-1: not told), and what
// new clients wrote. Records that were not acknowledged may be there, once and in order.
func examine(partition int32, offsets []int64, fresh []placed, read []entry, w *wrong) {
	at := make(map[string]int64, len(read))
	last := int32(-1)
	for _, e := range read {
		if before, seen := at[e.value]; seen {
			w.note(&w.Twice, "partition %d: %q at %d and at %d", partition, e.value, before, e.offset)
			continue
		}
		at[e.value] = e.offset
		var p, n int32
		switch _, err := fmt.Sscanf(e.value, "load %d %d", &p, &n); {
		case err == nil && p == partition && n < last:
			w.note(&w.Order, "partition %d: sequence %d stands at %d, behind %d", partition, n, e.offset, last)
		case err == nil && p == partition:
			last = n
		case !strings.HasPrefix(e.value, fmt.Sprintf("new %d ", partition)):
			w.note(&w.Elsewhere, "partition %d: %q at %d is not of this partition", partition, e.value, e.offset)
		}
	}
	must := func(value string, offset int64) {
		switch there, ok := at[value]; {
		case !ok:
			w.note(&w.Lost, "partition %d: %q, acknowledged at %d, is missing", partition, value, offset)
		case offset >= 0 && there != offset:
			w.note(&w.Elsewhere, "partition %d: %q, acknowledged at %d, is at %d", partition, value, offset, there)
		}
	}
	for sequence, offset := range offsets {
		must(string(loadValue(partition, int32(sequence))), offset)
	}
	for _, f := range fresh {
		if f.partition == partition {
			must(f.value, f.offset)
		}
	}
}

// verify reads the whole topic and compares it with what was acknowledged.
func (r *round) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	read, err := readAll(ctx, r.cluster.Addrs, r.partitions)
	if err != nil {
		return fmt.Errorf("read the topic: %w", err)
	}
	c := check{Kind: "check", System: r.system, Commit: r.commit, When: time.Now().UTC().Truncate(time.Second), Seed: r.seed}
	for p := range int32(r.partitions) {
		examine(p, r.load.clients[p].offsets, r.fresh, read[p], &c.wrong)
		c.Acknowledged += len(r.load.clients[p].offsets)
		c.Read += len(read[p])
	}
	c.Acknowledged += len(r.fresh)
	if err := write(r.out, c); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d records acknowledged, %d read\n", r.system, c.Acknowledged, c.Read)
	if c.any() {
		return fmt.Errorf("%d records lost, %d twice, %d out of order, %d elsewhere; the first: %s", c.Lost, c.Twice, c.Order, c.Elsewhere, c.first)
	}
	return nil
}

// readAll reads all partitions to their ends.
func readAll(ctx context.Context, addrs []string, partitions int) ([][]entry, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return nil, err
	}
	read, left := make([][]entry, partitions), 0
	for p := range int32(partitions) {
		if e, ok := ends.Lookup(topic, p); ok && e.Offset > 0 {
			left++
		}
	}
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%d partitions are not read to their ends: %w", left, err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			read[record.Partition] = append(read[record.Partition], entry{record.Offset, string(record.Value)})
			if e, _ := ends.Lookup(topic, record.Partition); record.Offset == e.Offset-1 {
				left--
			}
		})
	}
	return read, nil
}
