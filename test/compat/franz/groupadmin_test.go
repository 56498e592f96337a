package franz

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
)

// commit has a group commit offsets without members: 10 in partition 0 and 20 in partition 1, with metadata.
func commit(t *testing.T, admin *kadm.Client, group, topic string) kadm.Offsets {
	t.Helper()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: topic, Partition: 0, At: 10, LeaderEpoch: 0, Metadata: "zero"})
	os.Add(kadm.Offset{Topic: topic, Partition: 1, At: 20, LeaderEpoch: -1})
	rs, err := admin.CommitOffsets(broker.Context(t), group, os)
	if err != nil || rs.Error() != nil {
		t.Fatalf("commit: %v %v", err, rs.Error())
	}
	return os
}

// same compares fetched offsets with those that were committed, which bear no topic id.
func same(t *testing.T, what string, got kadm.Offsets, want kadm.Offsets) {
	t.Helper()
	list := got.Sorted()
	for i := range list {
		list[i].TopicID = kadm.TopicID{}
	}
	if !slices.Equal(list, want.Sorted()) {
		t.Errorf("%s: %+v, want %+v", what, list, want.Sorted())
	}
}

// TestGroupOffsets commits and fetches without members: by topic, all, of several groups, by topic id.
func TestGroupOffsets(t *testing.T) {
	t.Parallel()
	ctx, admin, topic := broker.Context(t), broker.Admin(t), broker.Topic(t, 3)
	one, two := "offsets-one-"+topic, "offsets-two-"+topic
	want := commit(t, admin, one, topic)
	commit(t, admin, two, topic)

	for name, fetch := range map[string]func() (kadm.OffsetResponses, error){
		"all":    func() (kadm.OffsetResponses, error) { return admin.FetchOffsets(ctx, one) },
		"stable": func() (kadm.OffsetResponses, error) { return admin.FetchOffsets(kadm.RequireStable(ctx), one) },
	} {
		rs, err := fetch()
		if err != nil || rs.Error() != nil {
			t.Fatalf("fetch %s: %v %v", name, err, rs.Error())
		}
		same(t, name, rs.Offsets(), want)
	}
	rs, err := admin.FetchOffsetsForTopics(ctx, one, topic)
	if o, ok := rs.Lookup(topic, 2); err != nil || !ok || o.At != -1 || o.Err != nil {
		t.Errorf("a partition without a commit: %+v %v", o, err)
	}
	if o, _ := rs.Lookup(topic, 0); o.At != 10 || o.Metadata != "zero" || o.LeaderEpoch != 0 {
		t.Errorf("for a topic: %+v", o)
	}
	many := admin.FetchManyOffsets(ctx, one, two, "no-such-group-"+topic)
	if many.Error() != nil || len(many) != 3 || len(many["no-such-group-"+topic].Fetched) != 0 {
		t.Errorf("of many groups: %+v", many)
	}
	same(t, "one of many", many[one].Fetched.Offsets(), want)
	same(t, "two of many", many[two].Fetched.Offsets(), want)

	topics, err := admin.ListTopics(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	var byID kadm.OffsetsByID
	byID.Add(kadm.Offset{Topic: topic, TopicID: topics[topic].ID, Partition: 2, At: 30, LeaderEpoch: -1, Metadata: "by id"})
	if rs, err := admin.CommitOffsetsByID(ctx, one, byID); err != nil || len(rs) != 1 {
		t.Fatalf("commit by id: %+v %v", rs, err)
	}
	if err := admin.CommitAllOffsetsByID(ctx, two, byID); err != nil {
		t.Errorf("commit all by id: %v", err)
	}
	ids, err := admin.FetchOffsetsByID(ctx, one)
	if o, ok := ids.Lookup(topics[topic].ID, 2); err != nil || !ok || o.Err != nil || o.At != 30 || o.Metadata != "by id" {
		t.Errorf("by id: %+v %v", o, err)
	}

	var long kadm.Offsets
	long.Add(kadm.Offset{Topic: topic, Partition: 0, At: 1, Metadata: strings.Repeat("m", 4097)})
	long.Add(kadm.Offset{Topic: topic, Partition: 1, At: 21, LeaderEpoch: -1, Metadata: strings.Repeat("m", 4096)})
	rs, err = admin.CommitOffsets(ctx, one, long)
	if err != nil || !errors.Is(rs[topic][0].Err, kerr.OffsetMetadataTooLarge) || rs[topic][1].Err != nil {
		t.Errorf("with long metadata: %+v %v", rs, err)
	}
	var none kadm.Offsets
	none.Add(kadm.Offset{Topic: "no-such-topic-" + topic, Partition: 0, At: 1})
	if rs, err = admin.CommitOffsets(ctx, one, none); err != nil || !errors.Is(rs.Error(), kerr.UnknownTopicOrPartition) {
		t.Errorf("to a topic that is not there: %+v %v", rs, err)
	}
	rs, err = admin.FetchOffsets(ctx, one)
	if err != nil || rs[topic][0].At != 10 || rs[topic][1].At != 21 || rs[topic][2].At != 30 {
		t.Errorf("in the end: %+v %v", rs, err)
	}
}

// TestGroupLists lists by state and type, describes groups with and without members, and counts what they lag behind.
func TestGroupLists(t *testing.T) {
	t.Parallel()
	ctx, admin, topic := broker.Context(t), broker.Admin(t), broker.Topic(t, 2)
	empty, stable := "lists-empty-"+topic, "lists-stable-"+topic
	commit(t, admin, empty, topic)
	produce(t, broker.Client(t, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner())), []*kgo.Record{{Value: []byte("a")}, {Partition: 1, Value: []byte("b")}})
	cl := broker.Client(t, kgo.ConsumerGroup(stable), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Balancers(kgo.RangeBalancer()),
		kgo.ClientID("lister"), kgo.DisableAutoCommit())
	poll(t, cl, 2)
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		types, states []string
		empty, stable bool
	}{
		{nil, nil, true, true}, {nil, []string{"Empty"}, true, false}, {nil, []string{"stable"}, false, true}, {nil, []string{"Empty", "Stable"}, true, true},
		{nil, []string{"Dead"}, false, false}, {[]string{"classic"}, nil, true, true}, {[]string{"Classic"}, []string{"Stable"}, false, true}, {[]string{"consumer"}, nil, false, false},
	} {
		l, err := admin.ListGroupsByType(ctx, c.types, c.states...)
		if err != nil {
			t.Fatalf("list %v %v: %v", c.types, c.states, err)
		}
		if _, ok := l[empty]; ok != c.empty {
			t.Errorf("list %v %v has the empty group: %v", c.types, c.states, ok)
		}
		if g, ok := l[stable]; ok != c.stable || ok && (g.ProtocolType != "consumer" || g.State != "Stable") {
			t.Errorf("list %v %v has the stable group: %v %+v", c.types, c.states, ok, g)
		}
	}

	none := "no-such-group-" + topic
	ds, err := admin.DescribeGroups(ctx, empty, stable, none)
	if err != nil {
		t.Fatal(err)
	}
	if d := ds[empty]; d.State != "Empty" || len(d.Members) != 0 || d.Err != nil || d.ProtocolType != "" {
		t.Errorf("the empty group: %+v", d)
	}
	d := ds[stable]
	if d.State != "Stable" || d.Protocol != "range" || d.ProtocolType != "consumer" || len(d.Members) != 1 || d.Err != nil {
		t.Fatalf("the stable group: %+v", d)
	}
	if m := d.Members[0]; m.ClientID != "lister" || !strings.HasPrefix(m.MemberID, "lister-") || m.ClientHost != "/127.0.0.1" || m.InstanceID != nil {
		t.Errorf("its member: %+v", m)
	}
	if as := d.AssignedPartitions(); len(as[topic]) != 2 || !slices.Equal(d.JoinTopics(), []string{topic}) {
		t.Errorf("its member has %v of %v", as, d.JoinTopics())
	}
	if d := ds[none]; d.State != "Dead" || !errors.Is(d.Err, kerr.GroupIDNotFound) {
		t.Errorf("a group that is not there: %+v", d)
	}

	lags, err := admin.Lag(ctx, empty, stable)
	if err != nil || !lags.Ok() {
		t.Fatalf("lag: %v %v", err, lags.Error())
	}
	if n := lags[stable].Lag.Total(); n != 0 {
		t.Errorf("the stable group lags by %d", n)
	}
	produce(t, broker.Client(t, kgo.DefaultProduceTopic(topic)), records(7))
	if lags, err = admin.Lag(ctx, stable); err != nil || lags[stable].Lag.Total() != 7 {
		t.Errorf("the stable group lags by %d after 7 records: %v", lags[stable].Lag.Total(), err)
	}
	for g, c := range admin.FindGroupCoordinators(ctx, empty, stable, none) {
		if c.Err != nil || c.NodeID < 0 || c.Port == 0 {
			t.Errorf("the coordinator of %s: %+v", g, c)
		}
	}
}

// TestGroupDeletes deletes offsets and groups: not those in use.
func TestGroupDeletes(t *testing.T) {
	t.Parallel()
	ctx, admin, topic := broker.Context(t), broker.Admin(t), broker.Topic(t, 2)
	empty, stable := "deletes-empty-"+topic, "deletes-stable-"+topic
	commit(t, admin, empty, topic)
	cl := broker.Client(t, kgo.ConsumerGroup(stable), kgo.ConsumeTopics(topic))
	broker.Eventually(t, "there is a member", func() bool { _, g := cl.GroupMetadata(); return g > 0 })

	zero := kadm.TopicsSet{}
	zero.Add(topic, 0)
	if rs, err := admin.DeleteOffsets(ctx, empty, zero); err != nil || rs.Error() != nil {
		t.Errorf("delete offsets: %v %v", err, rs.Error())
	}
	rs, err := admin.FetchOffsets(ctx, empty)
	if err != nil || len(rs[topic]) != 1 || rs[topic][1].At != 20 {
		t.Errorf("after a delete of partition 0: %+v %v", rs, err)
	}
	if rs, err := admin.DeleteOffsets(ctx, stable, zero); err != nil || !errors.Is(rs.Error(), kerr.GroupSubscribedToTopic) {
		t.Errorf("delete offsets in use: %v %v", err, rs.Error())
	}
	if _, err := admin.DeleteOffsets(ctx, "no-such-group-"+topic, zero); !errors.Is(err, kerr.GroupIDNotFound) {
		t.Errorf("delete offsets of a group that is not there: %v", err)
	}
	ds, err := admin.DeleteGroups(ctx, empty, stable, "no-such-group-"+topic)
	if err != nil || ds[empty].Err != nil || !errors.Is(ds[stable].Err, kerr.NonEmptyGroup) || !errors.Is(ds["no-such-group-"+topic].Err, kerr.GroupIDNotFound) {
		t.Errorf("delete groups: %+v %v", ds, err)
	}
	if rs, err = admin.FetchOffsets(ctx, empty); err != nil || len(rs) != 0 {
		t.Errorf("the deleted group has offsets: %+v %v", rs, err)
	}
	l, err := admin.ListGroups(ctx)
	if _, ok := l[empty]; err != nil || ok {
		t.Errorf("the deleted group is listed: %v", err)
	}
	cl.Close()
	if d, err := admin.DeleteGroup(ctx, stable); err != nil || d.Err != nil {
		t.Errorf("delete a group that was left: %+v %v", d, err)
	}
}

// TestGroupOfDeletedTopic loses a topic's offsets with the topic.
func TestGroupOfDeletedTopic(t *testing.T) {
	t.Parallel()
	ctx, admin, topic, other := broker.Context(t), broker.Admin(t), broker.Topic(t, 2), broker.Topic(t, 2)
	group := "deleted-topic-" + topic
	commit(t, admin, group, topic)
	commit(t, admin, group, other)
	if rs, err := admin.DeleteTopics(ctx, topic); err != nil || rs.Error() != nil {
		t.Fatalf("delete topic: %v %v", err, rs.Error())
	}
	broker.Eventually(t, "the deleted topic's offsets are gone, the other's are there", func() bool {
		rs, err := admin.FetchOffsets(ctx, group)
		return err == nil && len(rs[topic]) == 0 && len(rs[other]) == 2
	})
}
