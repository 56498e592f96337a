package broker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/vfs"
)

// manyGroups are so many that all partitions of __consumer_offsets keep some.
const manyGroups = 100

// commitAll commits an offset for each of many groups.
func (n *node) commitAll(offset int64) {
	n.t.Helper()
	admin := kadm.NewClient(n.client())
	for i := range manyGroups {
		offsets := kadm.Offsets{}
		offsets.AddOffset("orders", 0, offset+int64(i), -1)
		if err := admin.CommitAllOffsets(n.context(), fmt.Sprint("group-", i), offsets); err != nil {
			n.t.Fatalf("commit: %v", err)
		}
	}
}

// committedAll sees that what commitAll has committed is there.
func (n *node) committedAll(offset int64) {
	n.t.Helper()
	admin := kadm.NewClient(n.client())
	for i := range manyGroups {
		offsets, err := admin.FetchOffsets(n.context(), fmt.Sprint("group-", i))
		if o, ok := offsets.Lookup("orders", 0); err != nil || !ok || o.At != offset+int64(i) {
			n.t.Fatalf("group %d has committed %+v, %v", i, o, err)
		}
	}
}

// TestOffsetsTopicDoesNotGrow: keys belong to partitions by their number, so with a new one the offsets of most groups would not be found,
// and their consumers would read everything again.
func TestOffsetsTopicDoesNotGrow(t *testing.T) {
	disk := vfs.NewMem()
	n := start(t, disk, "")
	n.create("orders", 1, nil)
	n.commitAll(1000)
	admin := kadm.NewClient(n.client())
	resp, err := admin.UpdatePartitions(n.context(), 60, offsetsTopic, "orders")
	if err != nil || !errors.Is(resp[offsetsTopic].Err, kerr.InvalidPartitions) || resp["orders"].Err != nil {
		t.Fatalf("grow: %+v, %v", resp, err)
	}
	n.committedAll(1000)
	n.stop()
	n = start(t, disk, "")
	n.committedAll(1000)
}

// TestOffsetsTopicIsDeleted takes all groups away. They begin anew with the next topic.
func TestOffsetsTopicIsDeleted(t *testing.T) {
	disk := vfs.NewMem()
	n := start(t, disk, "")
	n.create("orders", 1, nil)
	for round := range 3 {
		n.commitAll(int64(1000 * round))
		resp, err := kadm.NewClient(n.client()).DeleteTopics(n.context(), offsetsTopic)
		if err != nil || resp.Error() != nil {
			t.Fatalf("delete: %v, %v", err, resp.Error())
		}
	}
	n.commitAll(5000)
	n.stop()
	n = start(t, disk, "")
	n.committedAll(5000)
}

// TestGarbageInOffsetsTopic: who may write to the topic can write what is no record of groups. The groups must be served all the same.
func TestGarbageInOffsetsTopic(t *testing.T) {
	disk := vfs.NewMem()
	n := start(t, disk, "")
	n.create("orders", 1, nil)
	n.commitAll(1000)
	c := n.client(kgo.ClientID("__admin_client"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for p := range int32(50) {
		for _, key := range []string{"", "x", "\x00\x01", "\x00\x02\x7f\xff", "\x00\x63what comes later", "\xff\xff\xff"} {
			if err := c.ProduceSync(n.context(), &kgo.Record{Topic: offsetsTopic, Partition: p, Key: []byte(key), Value: []byte("garbage")}).FirstErr(); err != nil {
				t.Fatalf("produce key %q: %v", key, err)
			}
		}
	}
	n.committedAll(1000)
	n.stop()
	n = start(t, disk, "")
	n.committedAll(1000)
	n.commitAll(2000)
	n.committedAll(2000)
}

// TestOffsetsKeptForEver sets the longest retention that the setting can hold.
func TestOffsetsKeptForEver(t *testing.T) {
	n := start(t, vfs.NewMem(), "offsets.retention.minutes=2147483647\noffsets.retention.check.interval.ms=1\n")
	n.create("orders", 1, nil)
	n.commitAll(1000)
	n.committedAll(1000) // dozens of checks later
	if kept := groupSettings(configuration(t, "offsets.retention.minutes=2147483647\n")).OffsetsRetention; kept < 200*365*24*time.Hour {
		t.Errorf("offsets are kept for %v", kept)
	}
}
