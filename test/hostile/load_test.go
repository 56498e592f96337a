package hostile

import (
	"encoding/binary"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// idleConnections is row 178.
func idleConnections(t *testing.T) {
	many := fewer(5000)
	n := start(t, "")
	before := held()
	conns := make([]*wire, many)
	req := kmsg.NewPtrApiVersionsRequest()
	for i := range conns {
		conns[i] = n.dial()
		conns[i].send(req)
		if _, err := conns[i].receive(req); err != nil {
			t.Fatal(err)
		}
	}
	if grown := held() - before; grown > int64(many)*30<<10 {
		t.Errorf("an idle connection holds %d bytes", grown/int64(many))
	}
	n.answers()
	for _, w := range conns {
		w.close()
	}
}

// longPolls: rows 92 and 100. Ten thousand requests that wait for days, as many of each connection as the node looks at, are held by little,
// and go with their connections.
func longPolls(t *testing.T) {
	connections, each := fewer(5000), 2
	n := start(t, "")
	n.create("orders", 1)
	before := held()
	conns := make([]*wire, connections)
	for i := range conns {
		conns[i] = n.dial()
		for j := range each {
			req := fetchOf("orders", 0)
			req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 1<<31-1, 1<<31-1, 1
			if j%2 == 0 {
				req.MinBytes, req.MaxBytes = 1, 1<<31-1
			}
			conns[i].send(req)
		}
	}
	n.eventually("moldau_requests_in_flight", float64(connections*each))
	if grown := held() - before; grown > int64(connections*each)*16<<10 {
		t.Errorf("a waiting fetch holds %d bytes", grown/int64(connections*each))
	}
	n.answers()
	for _, w := range conns {
		w.close()
	}
	n.eventually("moldau_requests_in_flight", 0)
}

// sessions is row 95: fetch sessions that nobody will come back to.
func sessions(t *testing.T) {
	n := start(t, "")
	n.create("orders", 1)
	open := func() {
		w := n.dial()
		defer w.close()
		for range 100 {
			req := fetchOf("orders", 0)
			req.SessionEpoch, req.MaxWaitMillis = 0, 0
			w.send(req)
			if _, err := w.receive(req); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 20 { // as many as there is room for
		open()
	}
	before := held()
	for range fewer(300) {
		open()
	}
	if grown := held() - before; grown > 8<<20 {
		t.Errorf("thousands of sessions more hold %d bytes more", grown)
	}
}

// slowConsumers is row 179: answers that nobody takes stay in the files they come from.
func slowConsumers(t *testing.T) {
	const many = 100
	n := start(t, "")
	n.create("orders", 1)
	for range 40 {
		if code := n.produce("orders", of(record.None, strings.Repeat("x", 900<<10)).bytes()); code != 0 {
			t.Fatalf("produce: %d", code)
		}
	}
	before := held()
	conns := make([]*wire, many)
	for i := range conns {
		conns[i] = n.dial()
		req := fetchOf("orders", 0)
		req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 40<<20, 40<<20
		conns[i].send(req)
		var size [4]byte
		if _, err := conns[i].conn.Read(size[:]); err != nil || binary.BigEndian.Uint32(size[:]) < 30<<20 {
			t.Fatalf("connection %d: an answer of %d bytes, %v", i, binary.BigEndian.Uint32(size[:]), err)
		}
	}
	if grown := held() - before; grown > many*(1<<20) {
		t.Errorf("an answer that is not taken holds %d bytes", grown/many)
	}
	n.answers()
	for _, w := range conns {
		w.close()
	}
}

// manySegments is row 181: records whose times jump make a segment each. A question by time looks into a few of them.
func manySegments(t *testing.T) {
	segments, questions, span := int64(fewer(1500)), int64(200), int64(1<<32)
	var opened atomic.Int64
	disk := vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if op.Kind == vfs.OpOpen && strings.HasPrefix(filepath.Base(filepath.Dir(op.Name)), "orders-") {
			opened.Add(1)
		}
		return nil
	})
	n := startOn(t, disk, "")
	n.create("orders", 1, "segment.ms", "1", "message.timestamp.before.max.ms", "9223372036854775807", "retention.ms", "-1")
	random := random.Seeded(181)
	w := n.dial()
	defer w.close()
	for i := range segments { // a segment ends when a time is later than its first by more than a millisecond
		var b [4]byte
		random.Read(b[:])
		builder := record.NewBuilder(record.CompressionOf(record.None))
		builder.Append(record.Record{Timestamp: (i + 1) * span / segments, Value: []byte("x")})
		builder.Append(record.Record{Timestamp: int64(binary.BigEndian.Uint32(b[:])) % ((i + 1) * span / segments), Value: []byte("x")})
		req := produceOf(9, "orders", builder.Build())
		w.send(req)
		resp, err := w.receive(req)
		if err != nil || resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("produce: %v", err)
		}
	}
	files, err := disk.ReadDir(filepath.Join("data", "orders-0"))
	if err != nil || int64(len(files)) < segments {
		t.Fatalf("%d files, %v", len(files), err)
	}
	before := opened.Load() // what is still to be synced opens each file once more
	for range questions {
		var b [4]byte
		random.Read(b[:])
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version, req.ReplicaID = 7, -1
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = int64(binary.BigEndian.Uint32(b[:]))
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		w.send(req)
		if _, err := w.receive(req); err != nil {
			t.Fatal(err)
		}
	}
	if files := opened.Load() - before; files > 4*segments+4*questions {
		t.Errorf("%d questions by time open %d files", questions, files)
	}
}
