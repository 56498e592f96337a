package broker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// electAll lets every partition without a leader begin with what is there.
func (n *node) electAll() {
	n.t.Helper()
	req := kmsg.NewPtrElectLeadersRequest()
	req.ElectionType, req.TimeoutMillis = 1, 10_000 // unclean
	resp, err := req.RequestWith(n.context(), n.client())
	if err != nil || resp.ErrorCode != 0 {
		n.t.Fatalf("unclean election: %v, %+v", err, resp)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				n.t.Fatalf("unclean election of %s-%d: %v", t.Topic, p.Partition, protocol.ErrorCode(p.ErrorCode))
			}
		}
	}
}

// TestWrongDirectoryID: the metadata do not know the id in meta.properties, so that the partitions of the directory count as lost. Whether
// the right file is put back or not, an election brings back all that was in it, and is needed once.
func TestWrongDirectoryID(t *testing.T) {
	const path = "data/meta.properties"
	for name, back := range map[string]bool{"left as it is": false, "put back": true} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			open := func() *node {
				n, err := startIn(t, mem, "log.dirs=data\noffsets.topic.num.partitions=2")
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			n := open()
			n.create("orders", 1, nil)
			n.produce("orders", 100)
			var offsets kadm.Offsets
			offsets.AddOffset("orders", 0, 42, -1)
			if resp, err := kadm.NewClient(n.client()).CommitOffsets(n.context(), "group", offsets); err != nil || resp.Error() != nil {
				t.Fatal(err, resp.Error())
			}
			n.awaitNoted("orders", 0, "data")
			id := n.dirs[0].ID()
			n.stop()
			right, err := vfs.ReadFile(mem, path)
			if err != nil {
				t.Fatal(err)
			}
			put := func(b []byte) {
				t.Helper()
				if err := vfs.WriteFileAtomic(mem, path, b); err != nil {
					t.Fatal(err)
				}
			}
			put(bytes.Replace(right, []byte(id.String()), []byte(uuid.UUID{1, 2, 3, 4}.String()), 1))
			n = open()
			lost := func() {
				t.Helper()
				if got, code := n.readAt("orders", 0, 1<<20); code != protocol.NotLeaderOrFollower || len(got) > 0 {
					t.Fatalf("a consumer gets %d records and %v", len(got), code)
				}
				if code := n.produceOnce("orders"); code != protocol.NotLeaderOrFollower {
					t.Errorf("a producer is answered with %v", code)
				}
			}
			lost()
			n.stop()
			if back {
				put(right)
			}
			n = open()
			lost()
			n.electAll()
			want := 100
			for range 2 {
				if got, code := n.readAt("orders", 0, 1<<20); code != protocol.None || len(got) != want {
					t.Errorf("%d records and %v, want %d", len(got), code, want)
				}
				if code := n.produceOnce("orders"); code != protocol.None {
					t.Errorf("a producer is answered with %v", code)
				}
				if at := n.committed("group", "orders"); at != 42 {
					t.Errorf("the committed offset is %d", at)
				}
				n.awaitNoted("orders", 0, "data")
				n.stop()
				want++
				n = open()
			}
			n.stop()
		})
	}
}

// TestWrongTopicID: a folder that says it is of another topic id is set aside. Renamed, and without the file that is wrong, it is the
// partition's again. That is done after a clean stop, which leaves no journal.
func TestWrongTopicID(t *testing.T) {
	for name, meanwhile := range map[string]int{"nothing meanwhile": 0, "records meanwhile": 3} {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, clean stop %v", name, clean), func(t *testing.T) {
				mem := vfs.NewMem()
				open := func() *node {
					n, err := startIn(t, mem, "log.dirs=data")
					if err != nil {
						t.Fatal(err)
					}
					return n
				}
				n := open()
				end := func() {
					if clean {
						n.stop()
					} else {
						n.Abort()
					}
				}
				n.create("orders", 1, nil)
				n.produce("orders", 100)
				id := n.publisher.Image().Topic("orders").ID
				n.stop()
				right, err := vfs.ReadFile(mem, "data/orders-0/partition.metadata")
				if err != nil || !strings.Contains(string(right), id.String()) {
					t.Fatalf("%q, %v", right, err)
				}
				wrong := strings.Replace(string(right), id.String(), uuid.UUID{1, 2, 3, 4}.String(), 1)
				if err := vfs.WriteFileAtomic(mem, "data/orders-0/partition.metadata", []byte(wrong)); err != nil {
					t.Fatal(err)
				}
				n = open()
				if got, code := n.readAt("orders", 0, 1<<20); code != protocol.None || len(got) > 0 {
					t.Fatalf("of a folder of another topic %d records are served, and %v", len(got), code)
				}
				for range meanwhile {
					if code := n.produceOnce("orders"); code != protocol.None {
						t.Errorf("a producer is answered with %v", code)
					}
				}
				if end(); !clean { // what the journal has of the new folder must not get into the old one
					open().stop()
				}
				var stray []string
				entries, err := mem.ReadDir("data")
				for _, e := range entries {
					if strings.HasPrefix(e.Name(), "orders-0.") && strings.HasSuffix(e.Name(), "-stray") {
						stray = append(stray, "data/"+e.Name())
					}
				}
				if err != nil || len(stray) != 1 {
					t.Fatalf("set aside: %v, %v", stray, err)
				}
				if meanwhile > 0 {
					if err := mem.Rename("data/orders-0", "data/orders-0.meanwhile"); err != nil {
						t.Fatal(err)
					}
				}
				if err := mem.Remove(stray[0] + "/partition.metadata"); err != nil {
					t.Fatal(err)
				}
				if err := mem.Rename(stray[0], "data/orders-0"); err != nil {
					t.Fatal(err)
				}
				for want := 100; want < 102; want++ {
					n = open()
					if got, code := n.readAt("orders", 0, 1<<20); code != protocol.None || len(got) != want {
						t.Errorf("%d records and %v, want %d", len(got), code, want)
					}
					if code := n.produceOnce("orders"); code != protocol.None {
						t.Errorf("a producer is answered with %v", code)
					}
					end()
				}
				if b, err := vfs.ReadFile(mem, "data/orders-0/partition.metadata"); err != nil || !bytes.Equal(b, right) {
					t.Errorf("the file says %q, %v", b, err)
				}
			})
		}
	}
}
