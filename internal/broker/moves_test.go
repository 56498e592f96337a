package broker

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/vfs"
)

// moveTo asks for a partition to be moved and returns the code of the answer.
func (n *node) moveTo(topic string, number int32, dir string) protocol.ErrorCode {
	n.t.Helper()
	req := kmsg.NewPtrAlterReplicaLogDirsRequest()
	path, err := filepath.Abs(dir)
	if err != nil {
		n.t.Fatal(err)
	}
	req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: path, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: topic, Partitions: []int32{number}}}}}
	resp, err := req.RequestWith(n.context(), n.client().SeedBrokers()[0])
	if err != nil {
		n.t.Fatal(err)
	}
	if len(resp.Topics) != 1 || resp.Topics[0].Topic != topic || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Partitions[0].Partition != number {
		n.t.Fatalf("answer %+v", resp.Topics)
	}
	return protocol.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// awaitNoted waits until the metadata say that a partition lies in a directory.
func (n *node) awaitNoted(topic string, number int32, dir string) {
	n.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		for _, d := range n.dirs {
			p := n.publisher.Image().Topic(topic).Partitions[number]
			if filepath.Base(d.Path()) == dir && len(p.Directories) == 1 && p.Directories[0] == d.ID() {
				return
			}
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("the metadata do not say that %s-%d lies in %s", topic, number, dir)
		}
		time.Sleep(time.Millisecond)
	}
}

// lies returns the directory of a partition, and that of its copy where one is being made.
func (n *node) lies(topic string, number int32) (dir, future string) {
	n.t.Helper()
	for name, d := range n.logDirs() {
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				switch {
				case t.Topic != topic || p.Partition != number:
				case p.IsFuture:
					future = name
				default:
					dir = name
				}
			}
		}
	}
	return dir, future
}

// awaitMoved waits until a partition lies in a directory and no copy of it is made.
func (n *node) awaitMoved(topic string, number int32, want string) {
	n.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		dir, future := n.lies(topic, number)
		if dir == want && future == "" {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s-%d lies in %s, its copy in %q, want %s", topic, number, dir, future, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// await waits until something is so.
func (n *node) await(what string, is func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func other(dir string) string { return map[string]string{"one": "two", "two": "one"}[dir] }

const twoDirs = "log.dirs=one,two\nmetadata.log.dir=meta\n"

// folders lists what lies in the data directories of a partition.
func folders(t *testing.T, disk vfs.FS, partition string) (all []string) {
	t.Helper()
	for _, dir := range []string{"one", "two"} {
		entries, err := disk.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() == partition || strings.HasPrefix(e.Name(), partition+".") && !strings.HasSuffix(e.Name(), "-delete") {
				all = append(all, dir+"/"+e.Name())
			}
		}
	}
	return all
}

// TestReplicaMoves: while producers write and a consumer reads, a replica moves to and fro; nothing is lost, nothing comes twice, and a restart
// finds it where it was moved to last.
func TestReplicaMoves(t *testing.T) {
	disk := vfs.NewMem()
	n, err := startIn(t, disk, twoDirs)
	if err != nil {
		t.Fatal(err)
	}
	n.create("topic", 1, map[string]*string{"segment.bytes": new("1048576")})
	home, _ := n.lies("topic", 0)
	n.awaitNoted("topic", 0, home)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	var sent [3]int
	for i := range sent {
		c := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var rs []*kgo.Record
				for range 20 {
					rs = append(rs, &kgo.Record{Topic: "topic", Value: fmt.Appendf(make([]byte, 0, 300), "%d %d %s", i, sent[i], strings.Repeat("x", 250))})
					sent[i]++
				}
				if err := c.ProduceSync(n.context(), rs...).FirstErr(); err != nil {
					t.Errorf("producer %d: %v", i, err)
					return
				}
			}
		})
	}
	at := home
	for range 8 {
		if code := n.moveTo("topic", 0, other(at)); code != protocol.None {
			t.Fatalf("move: %s", code)
		}
		n.awaitMoved("topic", 0, other(at))
		at = other(at)
	}
	if code := n.moveTo("topic", 0, other(at)); code != protocol.None {
		t.Fatalf("move: %s", code)
	}
	n.awaitMoved("topic", 0, other(at))
	at = other(at)
	close(stop)
	wait.Wait()
	check := func() {
		t.Helper()
		total := sent[0] + sent[1] + sent[2]
		next := [3]int{}
		c := n.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"topic": {0: kgo.NewOffset().At(0)}}))
		for seen := 0; seen < total; {
			fetched := c.PollFetches(n.context())
			if err := fetched.Err(); err != nil {
				t.Fatal(err)
			}
			for _, r := range fetched.Records() {
				var who, which int
				if _, err := fmt.Sscanf(string(r.Value), "%d %d", &who, &which); err != nil || r.Offset != int64(seen) || which != next[who] {
					t.Fatalf("offset %d, want %d: record %d of producer %d, want %d", r.Offset, seen, which, who, next[who])
				}
				next[who]++
				seen++
			}
		}
		c.Close()
	}
	check()
	n.awaitNoted("topic", 0, at)
	n.stop()
	if got := folders(t, disk, "topic-0"); len(got) != 1 || got[0] != at+"/topic-0" {
		t.Errorf("after a stop there are %v, want it in %s", got, at)
	}
	if n, err = startIn(t, disk, twoDirs); err != nil {
		t.Fatal(err)
	}
	n.awaitMoved("topic", 0, at)
	check()
	t.Logf("%v records", sent)
	n.stop()
}

// slow is a limit on moves under which none of more than a few records ends.
const slow = twoDirs + "replica.alter.log.dirs.io.max.bytes.per.second=1\n"

// moving starts a node on which the replica of a topic is on its way from its home to the other directory, and for long.
func moving(t *testing.T, disk vfs.FS) (n *node, home string) {
	t.Helper()
	n, err := startIn(t, disk, slow)
	if err != nil {
		t.Fatal(err)
	}
	n.create("topic", 1, nil)
	n.fill("topic", 3)
	home, _ = n.lies("topic", 0)
	n.moveTo("topic", 0, other(home))
	return n, home
}

// TestMovesThatDoNotEnd: one is seen, cancelled, replaced, interrupted by a stop and by a kill, and ended by the deletion of the topic.
func TestMovesThatDoNotEnd(t *testing.T) {
	disk := vfs.NewMem()
	three := strings.Replace(slow, "one,two", "one,two,three", 1)
	n, err := startIn(t, disk, three)
	if err != nil {
		t.Fatal(err)
	}
	n.create("topic", 1, nil)
	n.fill("topic", 3)
	home, _ := n.lies("topic", 0)
	targets := map[string][2]string{"one": {"two", "three"}, "two": {"one", "three"}, "three": {"one", "two"}}[home]
	moving := func(to string) {
		t.Helper()
		if dir, future := n.lies("topic", 0); dir != home || future != to {
			t.Fatalf("lies in %s, copy in %q, want %s and %q", dir, future, home, to)
		}
	}
	for _, to := range []string{targets[0], targets[0], targets[1]} {
		if code := n.moveTo("topic", 0, to); code != protocol.None {
			t.Fatalf("move to %s: %s", to, code)
		}
		moving(to)
	}
	for name, d := range n.logDirs() {
		for _, topic := range d.Topics {
			if p := topic.Partitions[0]; p.IsFuture && (p.OffsetLag <= 0 || name != targets[1]) {
				t.Errorf("the copy in %s lags by %d", name, p.OffsetLag)
			}
		}
	}
	if code := n.moveTo("topic", 0, home); code != protocol.None {
		t.Fatalf("cancel: %s", code)
	}
	moving("")
	if code := n.moveTo("topic", 0, home); code != protocol.None {
		t.Fatalf("move to where it is: %s", code)
	}
	moving("")
	n.moveTo("topic", 0, targets[0])
	n.stop()
	if n, err = startIn(t, disk, three); err != nil {
		t.Fatal(err)
	}
	moving(targets[0])
	n.Abort()
	if n, err = startIn(t, disk, three); err != nil {
		t.Fatal(err)
	}
	moving(targets[0])
	n.moveTo("topic", 0, home)
	n.Abort()
	if n, err = startIn(t, disk, three); err != nil {
		t.Fatal(err)
	}
	moving("")
	n.moveTo("topic", 0, targets[0])
	n.remove("topic")
	if dir, future := n.lies("topic", 0); dir != "" || future != "" {
		t.Errorf("of a deleted topic there is %s and %s", dir, future)
	}
	n.stop()
	for _, name := range tree(t, disk, ".") {
		if strings.Contains(name, "topic-0") && !strings.Contains(name, "-delete") {
			t.Errorf("%s is left", name)
		}
	}
}

// fill writes some MiB to partition 0.
func (n *node) fill(topic string, mib int) {
	n.t.Helper()
	c := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(300_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range mib * 4 {
		if err := c.ProduceSync(n.context(), &kgo.Record{Topic: topic, Value: make([]byte, 256<<10)}).FirstErr(); err != nil {
			n.t.Fatal(err)
		}
	}
}

// remove deletes a topic.
func (n *node) remove(topic string) {
	n.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = new(topic)
	req.Topics = append(req.Topics, rt)
	req.TopicNames = []string{topic}
	resp, err := req.RequestWith(n.context(), n.client())
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		n.t.Fatalf("delete topic: %v %+v", err, resp)
	}
}

// TestMoveOfWhatIsNotThere: the directory is kept in mind for a partition that is made later.
func TestMoveOfWhatIsNotThere(t *testing.T) {
	disk := vfs.NewMem()
	n, err := startIn(t, disk, twoDirs)
	if err != nil {
		t.Fatal(err)
	}
	if code := n.moveTo("topic", 0, "elsewhere"); code != protocol.LogDirNotFound {
		t.Errorf("a directory that is none: %s", code)
	}
	if code := n.moveTo(strings.Repeat("x", 249), 0, "one"); code != protocol.InvalidTopic {
		t.Errorf("a long name: %s", code)
	}
	for i := range int32(4) {
		if code := n.moveTo("topic", i, "two"); code != protocol.UnknownTopicOrPartition {
			t.Errorf("a partition that is not there: %s", code)
		}
	}
	n.create("topic", 4, nil)
	for i := range int32(4) {
		if dir, _ := n.lies("topic", i); dir != "two" {
			t.Errorf("partition %d is made in %s", i, dir)
		}
	}
	n.moveTo("topic", 0, "one") // without a record
	n.awaitMoved("topic", 0, "one")
	n.stop()
	if n, err = startIn(t, disk, twoDirs); err != nil {
		t.Fatal(err)
	}
	if dir, _ := n.lies("topic", 0); dir != "one" {
		t.Errorf("an empty partition that was moved is in %s", dir)
	}
	n.stop()
}

// TestCopyWithoutItsLog: a directory is taken away with the log of which another has a copy. The copy is not taken for the log.
func TestCopyWithoutItsLog(t *testing.T) {
	disk := vfs.NewMem()
	n, home := moving(t, disk)
	n.stop()
	n, err := startIn(t, disk, "log.dirs="+other(home)+"\nmetadata.log.dir=meta\n")
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, end := mustPlaced(t, n, "topic").Offsets()
	if end != 0 {
		t.Errorf("the log ends at %d", end)
	}
	n.stop()
	stray := false
	for _, name := range tree(t, disk, other(home)) {
		stray = stray || strings.HasSuffix(name, "-stray")
	}
	if !stray {
		t.Error("the copy was not set aside")
	}
	if _, err := disk.Stat(filepath.Join(home, "topic-0", "00000000000000000000.log")); err != nil {
		t.Error(err)
	}
}

func mustPlaced(t *testing.T, n *node, topic string) interface {
	ID() commitlog.ID
	Offsets() (int64, int64, int64, int64)
} {
	t.Helper()
	p, _ := n.replicas.Placed(n.publisher.Image().Topic(topic).ID, 0)
	if p == nil {
		t.Fatal("no replica")
	}
	return p
}
