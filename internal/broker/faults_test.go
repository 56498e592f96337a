package broker

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// readAt fetches from an offset of partition 0 on, at most one batch where it is asked to, and returns the values and the code.
func (n *node) readAt(topic string, offset int64, maxBytes int32) (values []string, code protocol.ErrorCode) {
	n.t.Helper()
	req := fetchOf(topic)
	req.MaxWaitMillis = 0
	part := &req.Topics[0].Partitions[0]
	part.FetchOffset, part.PartitionMaxBytes = offset, maxBytes
	w := n.wire()
	w.send(req)
	var resp kmsg.FetchResponse
	w.receive(&resp, 11)
	answer := resp.Topics[0].Partitions[0]
	for rest := answer.RecordBatches; len(rest) > 0; {
		var b record.Batch
		var err error
		if b, rest, err = record.Next(rest); err != nil {
			n.t.Fatal(err)
		}
		if err := b.CheckCRC(); err != nil {
			n.t.Fatalf("a damaged batch is served: %v", err)
		}
		for r, err := range b.Records(1 << 20) {
			if err != nil {
				n.t.Fatal(err)
			}
			values = append(values, string(r.Value))
		}
	}
	return values, protocol.ErrorCode(answer.ErrorCode)
}

// TestFlippedBit: the batch with the bit is answered with CORRUPT_MESSAGE and named in the log with its file and position; all others are
// served, before and behind it.
func TestFlippedBit(t *testing.T) {
	mem := vfs.NewMem()
	n := start(t, mem, "")
	n.create("topic", 1, nil)
	for range 30 {
		n.produce("topic", 10)
	}
	n.stop()
	entries := tree(t, mem, ".")
	path := ""
	for _, name := range entries {
		if strings.Contains(name, "topic-0") && strings.HasSuffix(name, ".log") {
			path = name
		}
	}
	f, err := mem.OpenFile(path, vfs.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	pos := int64(0)
	damaged := record.Batch(nil)
	for i, rest := 0, b; i <= 15; i++ {
		var err error
		pos = size - int64(len(rest))
		if damaged, rest, err = record.Next(rest); err != nil {
			t.Fatal(err)
		}
	}
	damaged[len(damaged)-3] ^= 0x10
	if _, err := f.WriteAt(damaged, pos); err != nil {
		t.Fatal(err)
	}
	f.Close()

	told := make(lines, 1000)
	n = &node{t: t, net: network.NewMem()}
	if n.Broker, err = Start(Options{Config: configuration(t, ""), FS: mem, Network: n.net, Log: slog.New(slog.NewTextHandler(told, nil))}); err != nil {
		t.Fatal(err)
	}
	at, behind := damaged.BaseOffset(), damaged.NextOffset()
	if got, code := n.readAt("topic", 0, 1<<20); code != protocol.None || int64(len(got)) != at {
		t.Errorf("a read from the start has %d records and %v, want %d", len(got), code, at)
	}
	for range 3 {
		if got, code := n.readAt("topic", at, 1<<20); code != protocol.CorruptMessage || len(got) != 0 {
			t.Errorf("a read of the damaged batch has %d records and %v", len(got), code)
		}
	}
	if got, code := n.readAt("topic", behind, 1<<20); code != protocol.None || int64(len(got)) != 300-behind {
		t.Errorf("a read from behind has %d records and %v, want %d", len(got), code, 300-behind)
	}
	// A client is told, and may pass over it.
	c := n.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"topic": {0: kgo.NewOffset().At(at)}}), kgo.KeepRetryableFetchErrors())
	var bad error
	for bad == nil {
		c.PollFetches(n.context()).EachError(func(_ string, _ int32, err error) { bad = err })
	}
	if !strings.Contains(bad.Error(), "CORRUPT_MESSAGE") {
		t.Errorf("the client was told %v", bad)
	}
	n.produce("topic", 1)
	n.stop()
	told.once(t, fmt.Sprintf("%s at %d, offset %d", filepath.ToSlash(path), pos, at))
}

// TestUnreadableSegment: a read that fails is answered with KAFKA_STORAGE_ERROR and takes nothing offline; it is served when the disk gives
// the bytes again.
func TestUnreadableSegment(t *testing.T) {
	var broken atomic.Bool
	mem := vfs.NewMem()
	disk := vfs.NewFault(mem, func(op vfs.Op) error {
		if broken.Load() && op.Kind == vfs.OpRead && strings.Contains(op.Name, "bad-0") {
			return syscall.EIO
		}
		return nil
	})
	n := start(t, disk, "")
	n.create("bad", 1, nil)
	n.create("good", 1, nil)
	n.produce("bad", 10)
	n.produce("good", 10)
	n.stop()
	n = start(t, disk, "")
	broken.Store(true)
	if _, code := n.readAt("bad", 0, 1<<20); code != protocol.StorageError {
		t.Errorf("a read of a bad block was answered with %v", code)
	}
	if got, code := n.readAt("good", 0, 1<<20); code != protocol.None || len(got) != 10 {
		t.Errorf("another partition gave %d records and %v", len(got), code)
	}
	broken.Store(false)
	if got, code := n.readAt("bad", 0, 1<<20); code != protocol.None || len(got) != 10 {
		t.Errorf("later it gave %d records and %v", len(got), code)
	}
	n.produce("bad", 1)
	n.stop()
}

// TestFaultyDirectory lets one of two directories fail in each way. Its producers hear of KAFKA_STORAGE_ERROR at once, those of the other are
// served, and when the directory is back after a restart it has all that was acknowledged.
func TestFaultyDirectory(t *testing.T) {
	eio := func(kinds ...vfs.OpKind) func(vfs.Op) error {
		return func(op vfs.Op) error {
			for _, k := range kinds {
				if op.Kind == k {
					return syscall.EIO
				}
			}
			return nil
		}
	}
	for name, fault := range map[string]func(vfs.Op) error{
		"no write": eio(vfs.OpWrite),
		"no sync":  eio(vfs.OpSync, vfs.OpDatasync, vfs.OpSyncDir, vfs.OpSyncFS),
		"short write": func(op vfs.Op) error {
			if op.Kind == vfs.OpWrite {
				return &vfs.Partial{N: op.N / 2, Err: syscall.EIO}
			}
			return nil
		},
		"read-only": func(op vfs.Op) error {
			if op.Kind.Changes() || op.Kind == vfs.OpPreallocate {
				return syscall.EROFS
			}
			return nil
		},
		"vanished": func(op vfs.Op) error {
			switch op.Kind {
			case vfs.OpOpen, vfs.OpCreate, vfs.OpRename, vfs.OpRemove, vfs.OpStat, vfs.OpReadDir, vfs.OpSyncDir, vfs.OpMkdirAll:
				return syscall.ENOENT
			case vfs.OpWrite, vfs.OpSync, vfs.OpDatasync, vfs.OpRead:
				return syscall.EIO
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			mem := vfs.NewMem()
			disk := vfs.NewFault(mem, func(op vfs.Op) error {
				if broken.Load() && strings.HasPrefix(op.Name, "bad/") {
					return fault(op)
				}
				return nil
			})
			properties := "log.dirs=bad,good\nmetadata.log.dir=good"
			n, err := startIn(t, disk, properties)
			if err != nil {
				t.Fatal(err)
			}
			n.create("on-bad", 1, nil)
			n.create("on-good", 1, nil)
			if _, dir := n.replicas.Placed(n.publisher.Image().Topic("on-bad").ID, 0); dir != 0 {
				t.Fatalf("on-bad is in directory %d", dir)
			}
			n.produce("on-bad", 100)
			n.produce("on-good", 100)
			broken.Store(true)
			for range 3 {
				if code := n.produceOnce("on-bad"); code != protocol.StorageError {
					t.Errorf("a producer was answered with %v", code)
				}
			}
			if code := n.produceOnce("on-good"); code != protocol.None {
				t.Errorf("a producer to the other directory was answered with %v", code)
			}
			if got, code := n.readAt("on-good", 0, 1<<20); code != protocol.None || len(got) != 101 {
				t.Errorf("the other directory gave %d records and %v", len(got), code)
			}
			if name != "vanished" {
				if got, code := n.readAt("on-bad", 0, 1<<20); code != protocol.None || len(got) != 100 {
					t.Errorf("a reader of what is there gets %d records and %v", len(got), code)
				}
			}
			if d := n.logDirs(); protocol.ErrorCode(d["bad"].ErrorCode) != protocol.StorageError || d["good"].ErrorCode != 0 {
				t.Errorf("the directories are described as %v and %v", d["bad"].ErrorCode, d["good"].ErrorCode)
			}
			n.create("new", 1, nil) // goes where there is a disk
			if code := n.produceOnce("new"); code != protocol.None {
				t.Errorf("a producer to a new topic was answered with %v", code)
			}
			n.Abort()
			broken.Store(false)
			if n, err = startIn(t, mem, properties); err != nil {
				t.Fatal(err)
			}
			for topic, want := range map[string]int{"on-bad": 100, "on-good": 101, "new": 1} {
				if got, code := n.readAt(topic, 0, 1<<20); code != protocol.None || len(got) < want {
					t.Errorf("after a restart %s has %d records, want %d; %v", topic, len(got), want, code)
				}
			}
			if code := n.produceOnce("on-bad"); code != protocol.None {
				t.Errorf("after a restart a producer was answered with %v", code)
			}
			n.stop()
		})
	}
}

// TestNearlyFullDisk: producers are refused before there is no space at all; groups commit, readers read, topics are made and deleted
// in what is kept, and producers are served again when a topic was deleted, without a restart.
func TestNearlyFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(48 << 20)
	var failed atomic.Int64
	n := start(t, vfs.NewFault(mem, func(op vfs.Op) error {
		if free, _ := mem.Free("."); op.Kind == vfs.OpWrite && int64(free) < op.N {
			failed.Add(1)
		}
		return nil
	}), "offsets.topic.num.partitions=1\n")
	n.create("fill", 1, nil)
	n.create("other", 1, nil)
	n.produce("other", 10)
	admin := kadm.NewClient(n.client())
	commit := func(at int64) {
		t.Helper()
		var offsets kadm.Offsets
		offsets.AddOffset("other", 0, at, -1)
		if resp, err := admin.CommitOffsets(n.context(), "group", offsets); err != nil || resp.Error() != nil {
			t.Fatal(err, resp.Error())
		}
	}
	commit(1)
	large := make([]byte, 500_000)
	for i := 0; n.dirs[0].Condition() != logdir.Full; i++ {
		if code := n.produceValue("fill", large); code != protocol.None && code != protocol.StorageError || i > 10_000 {
			t.Fatalf("producer %d was answered with %v", i, code)
		}
	}
	if free, _ := mem.Free("."); free < 1<<19 { // what is noted in the background takes some of the reserve
		t.Fatalf("only %d bytes are free when it counts as full", free)
	}
	if code := n.produceValue("fill", large); code != protocol.StorageError {
		t.Errorf("a large batch was answered with %v", code)
	}
	if code := n.produceOnce("other"); code != protocol.StorageError {
		t.Errorf("a small batch was answered with %v", code)
	}
	for i := range 50 {
		commit(int64(i))
	}
	if got, code := n.readAt("other", 0, 1<<20); code != protocol.None || len(got) != 10 {
		t.Errorf("a reader got %d records and %v", len(got), code)
	}
	n.create("new", 1, nil)
	n.remove("fill")
	deadline := time.Now().Add(20 * time.Second)
	for code := protocol.StorageError; code != protocol.None; code = n.produceOnce("other") {
		if time.Now().After(deadline) {
			t.Fatalf("with space again a producer is answered with %v", code)
		}
		runtime.Gosched()
	}
	if failed.Load() > 0 {
		t.Errorf("%d writes found no space", failed.Load())
	}
	n.stop()
}

// TestLostDirectory: a node starts without a directory that is lost for good, and with an empty one in its place. What was in it has no leader
// until somebody says that it may begin with what is there, which is nothing, or the folders that were saved; all else is served at once.
func TestLostDirectory(t *testing.T) {
	for name, after := range map[string]string{"left out": "log.dirs=good", "replaced": "log.dirs=new,good", "saved": "log.dirs=good"} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			n, err := startIn(t, mem, "log.dirs=bad,good\nmetadata.log.dir=good")
			if err != nil {
				t.Fatal(err)
			}
			n.create("on-bad", 1, nil)
			n.create("on-good", 1, nil)
			n.produce("on-bad", 100)
			n.produce("on-good", 100)
			n.awaitNoted("on-good", 0, "good") // a replica of which the metadata do not know the directory yet counts as lost with any
			n.Abort()
			kept := 0
			if name == "saved" {
				kept = 100
				if err := mem.Rename("bad/on-bad-0", "good/on-bad-0"); err != nil {
					t.Fatal(err)
				}
			}
			if n, err = startIn(t, mem, after+"\nmetadata.log.dir=good"); err != nil {
				t.Fatal(err)
			}
			if code := n.produceOnce("on-bad"); code != protocol.NotLeaderOrFollower {
				t.Errorf("a producer to what is lost was answered with %v", code)
			}
			elect := kmsg.NewPtrElectLeadersRequest()
			elect.ElectionType = 1 // unclean
			elect.TimeoutMillis = 10_000
			elect.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "on-bad", Partitions: []int32{0}}}
			if resp, err := elect.RequestWith(n.context(), n.client()); err != nil || resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
				t.Fatalf("unclean election: %v, %+v", err, resp)
			}
			for topic, want := range map[string]int{"on-bad": kept, "on-good": 100} {
				if got, code := n.readAt(topic, 0, 1<<20); code != protocol.None || len(got) != want {
					t.Errorf("%s has %d records, want %d; %v", topic, len(got), want, code)
				}
				if code := n.produceOnce(topic); code != protocol.None {
					t.Errorf("a producer to %s was answered with %v", topic, code)
				}
			}
			n.stop()
		})
	}
}
