package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// TestFetchIsBoundedByTheBroker: an answer has at most fetch.max.bytes, whatever a consumer asks for, and nobody waits for more than that.
func TestFetchIsBoundedByTheBroker(t *testing.T) {
	n := start(t, vfs.NewMem(), "fetch.max.bytes=1500\n")
	n.create("orders", 1, nil)
	for range 4 {
		n.produce("orders", 50, kgo.ProducerBatchCompression(kgo.NoCompression()))
	}
	w := n.wire()
	_ = w.conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // far less than the request would wait
	size := func(maxBytes, minBytes int32) (bytes, batches int) {
		req := fetchOf("orders")
		req.MaxBytes, req.MinBytes = maxBytes, minBytes
		w.send(req)
		var resp kmsg.FetchResponse
		w.receive(&resp, 11)
		rest := resp.Topics[0].Partitions[0].RecordBatches
		for bytes = len(rest); len(rest) > 0; batches++ {
			var err error
			if _, rest, err = record.Next(rest); err != nil {
				t.Fatal(err)
			}
		}
		return bytes, batches
	}
	for _, least := range []int32{1, 1400, 1 << 30} { // the request would wait for days
		if bytes, batches := size(1<<30, least); bytes > 1500 || batches == 0 {
			t.Errorf("at least %d bytes asked for: %d bytes in %d batches", least, bytes, batches)
		}
	}
}
