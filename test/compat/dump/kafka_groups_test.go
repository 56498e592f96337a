package dump

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/test/compat/broker"
)

// cleaned are settings with which Kafka compacts the topic of offsets while we look.
const cleaned = `offsets.topic.segment.bytes=1048576
log.cleaner.backoff.ms=500
log.cleaner.min.cleanable.ratio=0.01`

// fillCleaned has Kafka write several segments of commits of the same few offsets, and waits until it compacted them.
// Then it commits in transactions, of which one is aborted, and as a member of the newer kind of group.
func fillCleaned(t *testing.T, p *broker.Process) {
	t.Helper()
	ctx, cl := broker.Context(t), broker.ClientOf(t, p.Addr)
	admin := kadm.NewClient(cl)
	for i := range 700 {
		commit(t, admin, "busy", "groups-a", int32(i%2), int64(i), 0, strings.Repeat("m", 4000))
	}
	size := func() (sum int64) {
		logs, err := filepath.Glob(filepath.Join(p.Data, offsetsTopic+"-*", "*.log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range logs {
			if s, err := os.Stat(l); err == nil {
				sum += s.Size()
			}
		}
		return sum
	}
	broker.Eventually(t, "Kafka compacts the topic of offsets", func() bool { return size() < 2<<20 })

	topics, err := admin.ListTopics(ctx, "groups-b")
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"committed", "aborted", "open"} {
		group := "transaction " + end
		commit(t, admin, group, "groups-b", 0, 5, -1, "before")
		tx := broker.ClientOf(t, p.Addr, kgo.TransactionalID(end), kgo.DefaultProduceTopic("groups-a"))
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := tx.ProduceSync(ctx, &kgo.Record{Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		commitInTransaction(t, tx, end, group, topics["groups-b"], 50)
		how := kgo.TryCommit
		switch end {
		case "open":
			continue
		case "aborted":
			how = kgo.TryAbort
		}
		if err := tx.EndTransaction(ctx, how); err != nil {
			t.Fatalf("end a transaction: %v", err)
		}
		want := map[string]int64{"committed": 50, "aborted": 5}[end]
		broker.Eventually(t, "the transaction's end acts on its offsets", func() bool {
			os, err := admin.FetchOffsets(ctx, group)
			o, _ := os.Lookup("groups-b", 0)
			return err == nil && o.At == want
		})
	}

	member := broker.ClientOf(t, p.Addr, kgo.ConsumerGroup(newer), kgo.ConsumeTopics("groups-a"), kgo.ServerSideBalancer(), kgo.DisableAutoCommit())
	broker.Eventually(t, "a member of the newer kind joined", func() bool { _, g := member.GroupMetadata(); return g > 0 })
	member.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{"groups-a": {2: {Epoch: 0, Offset: 77}}}, failed(t))
}

// newer is a group of the kind of KIP-848, whose records Kafka keeps in the same topic.
const newer = "of the newer kind"

// commitInTransaction has a transactional producer commit an offset without being a member.
func commitInTransaction(t *testing.T, cl *kgo.Client, id, group string, topic kadm.TopicDetail, at int64) {
	t.Helper()
	ctx := broker.Context(t)
	producer, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = id, producer, epoch, group
	if r, err := add.RequestWith(ctx, cl); err != nil || r.ErrorCode != 0 {
		t.Fatalf("add offsets to a transaction: %+v %v", r, err)
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = id, producer, epoch, group
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic.Topic, topic.ID
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset, rp.Metadata = at, kmsg.StringPtr("in a transaction")
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	if r, err := req.RequestWith(ctx, cl); err != nil || r.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("commit offsets in a transaction: %+v %v", r, err)
	}
}

// failed fails the test if a member's commit fails.
func failed(t *testing.T) func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error) {
	return func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, err error) {
		if err != nil || r.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Errorf("commit: %+v %v", r, err)
		}
	}
}
