package dump

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/java"
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

// served lists every group with its state, its members and its committed offsets, a line each.
func served(t *testing.T, addr string) (lines []string) {
	t.Helper()
	ctx, admin := broker.Context(t), kadm.NewClient(broker.ClientOf(t, addr))
	listed, err := admin.ListGroups(ctx)
	if err != nil {
		t.Fatalf("list groups: %v", err)
	}
	described, err := admin.DescribeGroups(ctx, listed.Groups()...)
	if err != nil {
		t.Fatalf("describe groups: %v", err)
	}
	for _, g := range listed.Sorted() {
		if g.Group == newer {
			continue // described by other means
		}
		d := described[g.Group]
		lines = append(lines, fmt.Sprintf("group %q: %q, %s, %q %v", g.Group, g.ProtocolType, d.State, d.Protocol, d.Err))
		for _, m := range d.Members {
			a, _ := m.Assigned.AsConsumer()
			j, _ := m.Join.AsConsumer()
			lines = append(lines, fmt.Sprintf("group %q member %q instance %q of %q at %q: %+v %+v", g.Group, m.MemberID, *m.InstanceID, m.ClientID, m.ClientHost, a.Topics, j.Topics))
		}
	}
	for group, os := range admin.FetchManyOffsets(ctx, listed.Groups()...) {
		if os.Err != nil {
			t.Fatalf("offsets of %s: %v", group, os.Err)
		}
		for _, o := range os.Fetched.Sorted() {
			lines = append(lines, fmt.Sprintf("group %q offset of %s-%d: %d epoch %d %q %v", group, o.Topic, o.Partition, o.At, o.LeaderEpoch, o.Metadata, o.Err))
		}
	}
	slices.Sort(lines)
	return lines
}

// kafkaDecode has kafka-dump-log decode the topic of offsets. What it shows must come to the offsets that were served.
func kafkaDecode(t *testing.T, data string, want []string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(data, offsetsTopic+"-*", "*.log"))
	if err != nil || len(logs) < 10 {
		t.Fatalf("%d segments of offsets: %v", len(logs), err)
	}
	slices.Sort(logs) // a partition's segments in their order
	out := java.Run(t, "", "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--offsets-decoder", "--files", strings.Join(logs, ","))
	if c := complaint.FindAllString(out, 10); c != nil {
		t.Errorf("complaints:\n%.2000s", strings.Join(c, "\n"))
	}
	type key struct {
		Type string
		Data struct {
			Group, Topic string
			Partition    int32
		}
	}
	offsets, groups, members := map[key]string{}, map[string]string{}, 0
	for _, m := range regexp.MustCompile(`(?m) key: (\{.*?\}\}) payload: (.*)$`).FindAllStringSubmatch(out, -1) {
		var k key
		if err := json.Unmarshal([]byte(m[1]), &k); err != nil {
			t.Fatalf("key %s: %v", m[1], err)
		}
		switch k.Type {
		case "0", "1":
			k.Type = "offset"
			var v struct {
				Data struct {
					Offset      int64
					LeaderEpoch int32
					Metadata    string
				}
			}
			if delete(offsets, k); m[2] == "<DELETE>" {
				continue
			}
			if err := json.Unmarshal([]byte(m[2]), &v); err != nil {
				t.Fatalf("value %s: %v", m[2], err)
			}
			offsets[k] = fmt.Sprintf("group %q offset of %s-%d: %d epoch %d %q <nil>", k.Data.Group, k.Data.Topic, k.Data.Partition, v.Data.Offset, v.Data.LeaderEpoch, v.Data.Metadata)
		case "2":
			groups[k.Data.Group] = m[2]
			members = max(members, strings.Count(m[2], "memberId"))
		}
	}
	var got []string
	for _, line := range offsets {
		got = append(got, line)
	}
	compare(t, "kafka-dump-log decoded", only(got, "offset of"), only(want, "offset of"))
	if members != 2 || groups["static"] == "" || groups["deleted"] != "<DELETE>" {
		t.Errorf("of the groups it decoded %v", groups)
	}
	t.Logf("kafka-dump-log decoded %d offsets and %d groups of %d segments", len(offsets), len(groups), len(logs))
}

// only keeps the lines that contain the text, and none of transactions, whose ends the tool does not follow.
func only(lines []string, text string) (out []string) {
	for _, l := range lines {
		if strings.Contains(l, text) && !strings.Contains(l, `"transaction `) {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

// compare fails the test with what one has and the other has not.
func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(want) < 10 {
		t.Fatalf("%s: only %d lines are wanted", what, len(want))
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("%s not: %.200s", what, l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("%s besides: %.200s", what, l)
		}
	}
}

// moldauServes puts Kafka's segments of offsets in the place of Moldau's and starts it: it must serve what Kafka served.
//
// Commits name the id of their topic, and Moldau's topics have other ids, so those are exchanged: an offset of another
// topic of the same name is not served.
func moldauServes(t *testing.T, kafka string, want []string) {
	t.Helper()
	dir := t.TempDir()
	p := broker.MoldauIn(t, dir)
	admin := kadm.NewClient(broker.ClientOf(t, p.Addr))
	broker.Create(t, admin, "groups-a", 3)
	broker.Create(t, admin, "groups-b", 1)
	for _, c := range admin.FindGroupCoordinators(broker.Context(t), "any") {
		t.Logf("asking for a coordinator creates the topic of offsets: %v", c.Err)
	}
	var topics kadm.TopicDetails
	broker.Eventually(t, "the topic of offsets is there", func() bool {
		var err error
		topics, err = admin.ListTopicsWithInternal(broker.Context(t))
		return err == nil && len(topics[offsetsTopic].Partitions) == 50
	})
	ids := map[[16]byte][16]byte{}
	for _, topic := range []string{"groups-a", "groups-b"} {
		ids[topicID(t, kafka, topic+"-0")] = topics[topic].ID
	}
	id := topics[offsetsTopic].ID
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p.Data, ".kafka_cleanshutdown")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	segments := 0
	for n := range 50 {
		to := filepath.Join(p.Data, fmt.Sprintf("%s-%d", offsetsTopic, n))
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(to, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(to, "partition.metadata"), fmt.Appendf(nil, "version: 0\ntopic_id: %s", base64.RawURLEncoding.EncodeToString(id[:])))
		logs, err := filepath.Glob(filepath.Join(kafka, fmt.Sprintf("%s-%d", offsetsTopic, n), "*.log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range logs {
			body, err := os.ReadFile(l)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(to, filepath.Base(l)), exchange(t, body, ids))
			segments++
		}
	}
	bringCheckpoint(t, kafka, p.Data)
	p = broker.MoldauIn(t, dir)
	admin = kadm.NewClient(broker.ClientOf(t, p.Addr))
	broker.Eventually(t, "the groups are loaded", func() bool {
		gs, err := admin.ListGroups(broker.Context(t))
		return err == nil && len(gs) > 40
	})
	got := served(t, p.Addr)
	compare(t, "Moldau serves", got, want)
	commit(t, admin, "simple-7", "groups-a", 0, 4711, -1, "of Moldau")
	os, err := admin.FetchOffsets(broker.Context(t), "simple-7")
	if o, ok := os.Lookup("groups-a", 0); err != nil || !ok || o.At != 4711 {
		t.Errorf("a new commit in a group of Kafka's: %+v %v", o, err)
	}
	t.Logf("Moldau serves %d lines of groups, members and offsets from %d segments of Kafka's", len(want), segments)
}

// bringCheckpoint adds the recovery points of Kafka's partitions of offsets to Moldau's. Compacted segments do not join:
// above a recovery point that would be a loss.
func bringCheckpoint(t *testing.T, kafka, moldau string) {
	t.Helper()
	const name = "recovery-point-offset-checkpoint"
	var lines []string
	for i, data := range []string{kafka, moldau} {
		body, err := os.ReadFile(filepath.Join(data, name))
		if err != nil && i == 0 {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(body)) {
			if fields := strings.Fields(line); len(fields) == 3 && (fields[0] == offsetsTopic) == (i == 0) {
				lines = append(lines, line)
			}
		}
	}
	write(t, filepath.Join(moldau, name), fmt.Appendf(nil, "0\n%d\n%s", len(lines), strings.Join(lines, "")))
}

// topicID reads the id that a partition's folder names.
func topicID(t *testing.T, data, partition string) (id [16]byte) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(data, partition, "partition.metadata"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^topic_id: (\S{22})$`).FindSubmatch(body)
	if m == nil {
		t.Fatalf("no topic id in %q", body)
	}
	if _, err := base64.RawURLEncoding.Decode(id[:], m[1]); err != nil {
		t.Fatal(err)
	}
	return id
}

// exchange puts ids in the place of others in a segment, and gives its batches the checksums that this takes. A batch
// begins with its offset and its length, and its checksum, of all that follows, lies 17 bytes after that.
func exchange(t *testing.T, segment []byte, ids map[[16]byte][16]byte) []byte {
	t.Helper()
	segment = bytes.Clone(segment)
	for rest := segment; len(rest) > 0; {
		if len(rest) < 61 {
			t.Fatalf("%d bytes at the end of a segment", len(rest))
		}
		size := 12 + int(binary.BigEndian.Uint32(rest[8:]))
		batch := rest[:size]
		for from, to := range ids {
			copy(batch[21:], bytes.ReplaceAll(batch[21:], from[:], to[:]))
		}
		binary.BigEndian.PutUint32(batch[17:], crc32.Checksum(batch[21:], crc32.MakeTable(crc32.Castagnoli)))
		rest = rest[size:]
	}
	return segment
}

func write(t *testing.T, name string, body []byte) {
	t.Helper()
	if err := os.WriteFile(name, body, 0o644); err != nil {
		t.Fatal(err)
	}
}
