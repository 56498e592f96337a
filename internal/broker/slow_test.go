package broker

import (
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// stuckDisk is a disk whose data directory answers no call of some kinds, syncs unless others are named, from stick on until it is let go.
type stuckDisk struct {
	vfs.FS
	hang atomic.Pointer[chan struct{}]
}

func newStuckDisk(kinds ...vfs.OpKind) *stuckDisk {
	if kinds == nil {
		kinds = []vfs.OpKind{vfs.OpSync, vfs.OpDatasync}
	}
	return newStuckUnder("data", kinds...)
}

// newStuckUnder is a disk of which another directory does not answer.
func newStuckUnder(dir string, kinds ...vfs.OpKind) *stuckDisk {
	d := &stuckDisk{}
	d.FS = vfs.NewFault(vfs.NewMem(), func(op vfs.Op) error {
		if c := d.hang.Load(); c != nil && strings.HasPrefix(op.Name, dir) && slices.Contains(kinds, op.Kind) {
			<-*c
		}
		return nil
	})
	return d
}

func (d *stuckDisk) stick() {
	c := make(chan struct{})
	d.hang.Store(&c)
}

func (d *stuckDisk) letGo() {
	if c := d.hang.Swap(nil); c != nil {
		close(*c)
	}
}

// until polls for what must come to be.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (n *node) produceRequest(topic string, acks int16, timeout int32, bytes int) *kmsg.ProduceRequest {
	b := record.NewBuilder(record.Compression{})
	b.Append(record.Record{Timestamp: 1, Value: make([]byte, bytes)})
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 8, acks, timeout
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: b.Build()}}}}
	return req
}

// TestStuckDisk: while syncs do not return, producers of acks=all wait until their time-out and hear REQUEST_TIMED_OUT; what they pipeline is held up and not
// kept in memory; others are served. When the disk is back, what waited is acknowledged.
func TestStuckDisk(t *testing.T) {
	disk := newStuckDisk()
	told := make(lines, 1000)
	n := &node{t: t, disk: disk, net: network.NewMem()}
	var err error
	n.Broker, err = Start(Options{Config: configuration(t, "metadata.log.dir=meta\n"), FS: disk, Network: n.net, Log: slog.New(slog.NewTextHandler(told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		disk.letGo()
		if n.Broker != nil {
			n.Abort()
		}
	})
	n.create("waits", 1, nil)
	n.create("read", 1, nil)
	n.produce("read", 10)
	disk.stick()

	produce := func(acks int16, timeout int32) protocol.ErrorCode {
		w := n.wire()
		w.send(n.produceRequest("waits", acks, timeout, 10))
		var resp kmsg.ProduceResponse
		w.receive(&resp, 8)
		return protocol.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if code := produce(-1, 200); code != protocol.RequestTimedOut {
		t.Errorf("acks=all is answered %v", code)
	}
	if code := produce(1, 200); code != protocol.None {
		t.Errorf("acks=1 is answered %v", code)
	}
	if got := n.consume("read", 0, 10); len(got) != 10 {
		t.Errorf("another partition gives %d records", len(got))
	}

	const size, each, connections = 50_000, 200, 4
	var sent atomic.Int64
	for range connections {
		w := n.wire()
		req := n.produceRequest("waits", -1, 1<<30, size)
		go func() { // which is held up
			for range each {
				w.send(req)
				sent.Add(1)
			}
		}()
		go func() { _, _ = io.Copy(io.Discard, w.conn) }()
	}
	limit := connections * 128
	until(t, "the connections have as many requests in flight as they may", func() bool { return n.server.Moment().InFlight >= limit })
	if m := n.server.Moment(); m.InFlight > limit || m.Memory > connections*(1<<20) {
		t.Errorf("%d requests in flight hold %d bytes", m.InFlight, m.Memory)
	}
	if got := n.consume("read", 0, 10); len(got) != 10 {
		t.Errorf("another partition gives %d records", len(got))
	}
	until(t, "the sync is seen to wait", func() bool { return n.dirs[0].Waiting() > time.Second })
	disk.letGo()
	until(t, "all that waited is answered", func() bool { return sent.Load() == connections*each && n.server.Moment().InFlight == 0 })
	if code := produce(-1, 20_000); code != protocol.None {
		t.Errorf("acks=all is answered %v when the disk is back", code)
	}
	n.stop()
	told.once(t, "disk is slow")
}

// TestStopWithAStuckDisk: a stop does not wait for a sync that does not return.
func TestStopWithAStuckDisk(t *testing.T) {
	disk := newStuckDisk()
	n := &node{t: t, disk: disk, net: network.NewMem()}
	var err error
	if n.Broker, err = Start(Options{Config: configuration(t, "metadata.log.dir=meta\n"), FS: disk, Network: n.net}); err != nil {
		t.Fatal(err)
	}
	n.hangs = time.Second
	n.create("waits", 1, nil)
	disk.stick()
	w := n.wire()
	w.send(n.produceRequest("waits", -1, 100, 10))
	var resp kmsg.ProduceResponse
	w.receive(&resp, 8)
	if err := n.stopInTime(); err == nil || !strings.Contains(err.Error(), "the disk of data does not answer") {
		t.Errorf("the stop says %v", err)
	}
	disk.letGo()
}

// TestStopWhenTheDiskHangsInIt: nothing is under way when the stop begins, and then the disk does not answer the first call of one kind.
func TestStopWhenTheDiskHangsInIt(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpWrite, vfs.OpDatasync, vfs.OpSync, vfs.OpSyncDir, vfs.OpCreate, vfs.OpTruncate, vfs.OpRename, vfs.OpStat, vfs.OpClose,
		vfs.OpRemoveAll} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			disk := newStuckDisk(kind)
			defer disk.letGo()
			n := &node{t: t, disk: disk, net: network.NewMem()}
			var err error
			if n.Broker, err = Start(Options{Config: configuration(t, "metadata.log.dir=meta\n"), FS: disk, Network: n.net}); err != nil {
				t.Fatal(err)
			}
			n.hangs = time.Millisecond // it is looked at after a second only
			n.create("written", 1, nil)
			n.produce("written", 10)
			until(t, "nothing is under way", func() bool { return n.dirs[0].Waiting() == 0 })
			disk.stick()
			stopped := make(chan error, 1)
			go func() { stopped <- n.stopInTime() }()
			select {
			case err := <-stopped:
				if err == nil || !strings.Contains(err.Error(), "the disk of data does not answer") {
					t.Errorf("the stop says %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("the stop waits for ever")
			}
		})
	}
}

// TestStopIsBounded: a disk that does not answer holds up a stop no longer than it may, also where nobody watches its calls: in a request that is being
// served, and in the directory of the metadata.
func TestStopIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		disk *stuckDisk
		want string
	}{
		"metadata": {newStuckUnder("meta", vfs.OpClose), "to close the directory of the metadata"},
		"request":  {newStuckUnder("data/written-0", vfs.OpWrite), "to end requests under way"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer c.disk.letGo()
			n := &node{t: t, disk: c.disk, net: network.NewMem()}
			var err error
			if n.Broker, err = Start(Options{Config: configuration(t, "metadata.log.dir=meta\n"), FS: c.disk, Network: n.net}); err != nil {
				t.Fatal(err)
			}
			n.hangs = time.Second
			n.create("written", 1, nil)
			n.produce("written", 10)
			c.disk.stick()
			if name == "request" {
				n.wire().send(n.produceRequest("written", 1, 100, 10))
				until(t, "the request is being served", func() bool { return n.server.Moment().InFlight > 0 })
			}
			stopped := make(chan error, 1)
			go func() { stopped <- n.stopInTime() }()
			select {
			case err := <-stopped:
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("the stop says %v", err)
				}
			case <-time.After(40 * time.Second):
				t.Error("the stop waits for ever")
			}
		})
	}
}
