package handler

import (
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
)

// TestFetchWaits has fetches wait until there is enough, until their time is over, and until their client has no more to say.
func TestFetchWaits(t *testing.T) {
	r := newRig(t, "")
	r.topic("orders", 1, 2)
	part := hosted(t, "orders", 1)
	part.Apply(twoBrokers{}, r.controller.images.Image().Partition(uuid.UUID{1}, 0))
	r.h.Partitions = onePartition{part}
	b := record.NewBuilder(record.CompressionOf(record.None))
	b.Append(record.Record{Value: make([]byte, 100)})
	one := b.Build()
	const long, short = 1 << 30, 20 // ms
	for _, c := range []struct {
		name    string
		batches int   // that are produced meanwhile
		enough  int   // min.bytes, in batches
		wait    int32 // ms
		leave   bool  // the client closes its sending side
	}{
		{name: "one batch is enough", batches: 1, enough: 1, wait: long},
		{name: "three are", batches: 3, enough: 3, wait: long},
		{name: "too little comes in time", batches: 1, enough: 3, wait: short},
		{name: "nothing comes in time", enough: 1, wait: short},
		{name: "the client goes", enough: 1, wait: long, leave: true},
	} {
		w, req := r.dial(), kmsg.NewPtrFetchRequest()
		req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, c.wait, int32(c.enough*len(one)), 1<<20
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes, p.FetchOffset = 1<<20, part.Log().LogEnd()
		req.Topics = []kmsg.FetchRequestTopic{{Topic: "orders", Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		began := time.Now()
		w.send(11, req)
		for r.server.Moment().InFlight == 0 && time.Since(began) < short*time.Millisecond { // so that it waits, most times
			runtime.Gosched()
		}
		for range c.batches {
			if _, err := part.Append(append(record.Batch(nil), one...), false); err != nil {
				t.Fatal(err)
			}
		}
		if c.leave {
			_ = w.conn.(interface{ CloseWrite() error }).CloseWrite()
		}
		resp, err := w.receive(11, req)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if n := len(got.RecordBatches); got.ErrorCode != 0 || n > c.batches*len(one) || c.batches == c.enough && n < c.enough*len(one) {
			t.Errorf("%s: answered with %d bytes, error %d", c.name, n, got.ErrorCode)
		}
		if took := time.Since(began); c.wait == short && took < short*time.Millisecond {
			t.Errorf("%s: answered after %s", c.name, took)
		}
	}
}
