package dump

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
)

const offsetsTopic = "__consumer_offsets"

// commit has a group commit an offset, with metadata, without being its member.
func commit(t *testing.T, admin *kadm.Client, group, topic string, partition int32, at int64, epoch int32, metadata string) {
	t.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: topic, Partition: partition, At: at, LeaderEpoch: epoch, Metadata: metadata})
	if err := admin.CommitAllOffsets(broker.Context(t), group, os); err != nil {
		t.Fatalf("commit of %s: %v", group, err)
	}
}

// fillGroups leaves groups of every kind: without members, with static ones, left, empty, partly and wholly deleted,
// and one that committed offsets of a topic that is gone.
func fillGroups(t *testing.T, addr string) {
	t.Helper()
	ctx, admin := broker.Context(t), kadm.NewClient(broker.ClientOf(t, addr))
	broker.Create(t, admin, "groups-a", 3)
	broker.Create(t, admin, "groups-b", 1)
	broker.Create(t, admin, "groups-gone", 1)
	for i := range 40 {
		group := fmt.Sprintf("simple-%d", i)
		for round := range 3 {
			commit(t, admin, group, "groups-a", int32(i%3), int64(1000*i+round), int32(i%2-1), "mëtadata "+strings.Repeat("m", 10*i))
		}
		commit(t, admin, group, "groups-b", 0, int64(i), -1, "")
	}
	for _, group := range []string{"deleted", "partly deleted", "of a topic that is gone"} {
		commit(t, admin, group, "groups-a", 0, 1, -1, "")
		commit(t, admin, group, "groups-b", 0, 2, -1, "")
		commit(t, admin, group, "groups-gone", 0, 3, -1, "")
	}
	if rs, err := admin.DeleteGroups(ctx, "deleted"); err != nil || rs.Error() != nil {
		t.Fatalf("delete a group: %v %v", err, rs.Error())
	}
	one := kadm.TopicsSet{}
	one.Add("groups-a", 0)
	if rs, err := admin.DeleteOffsets(ctx, "partly deleted", one); err != nil || rs.Error() != nil {
		t.Fatalf("delete offsets: %v %v", err, rs.Error())
	}
	if rs, err := admin.DeleteTopics(ctx, "groups-gone"); err != nil || rs.Error() != nil {
		t.Fatalf("delete a topic: %v %v", err, rs.Error())
	}
	broker.Eventually(t, "the offsets of a deleted topic are gone", func() bool {
		os, err := admin.FetchOffsets(ctx, "of a topic that is gone")
		return err == nil && len(os) == 2
	})

	members := map[string][]string{"left": {"", ""}, "static": {"one", "two"}}
	for group, instances := range members {
		var cls []*kgo.Client
		for i, instance := range instances {
			opts := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics("groups-a"), kgo.Balancers(kgo.RangeBalancer()), kgo.SessionTimeout(5 * time.Minute), kgo.HeartbeatInterval(100 * time.Millisecond),
				kgo.DisableAutoCommit(), kgo.ClientID(fmt.Sprintf("member-%d", i))}
			if instance != "" {
				opts = append(opts, kgo.InstanceID(instance))
			}
			cl := broker.ClientOf(t, addr, opts...)
			broker.Eventually(t, fmt.Sprintf("member %d of %s joined", i, group), func() bool { _, g := cl.GroupMetadata(); return g > 0 })
			cls = append(cls, cl)
		}
		broker.Eventually(t, "the members of "+group+" have the same generation", func() bool {
			_, g := cls[0].GroupMetadata()
			_, h := cls[1].GroupMetadata()
			return g == h
		})
		for i, cl := range cls {
			cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{"groups-a": {int32(i): {Epoch: 0, Offset: int64(70 + i)}}}, failed(t))
		}
		for _, cl := range cls {
			cl.Close()
		}
	}
}
