package tools

import (
	"fmt"
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

// command runs kafka-consumer-groups, and returns what it printed and complained of.
func command(t *testing.T, args ...string) string {
	t.Helper()
	r := java.Try(t, "", append([]string{"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", broker.Addr()}, args...)...)
	if r.Status != 0 {
		t.Errorf("%v: exit status %d\n%s%s", args, r.Status, r.Out, r.Err)
	}
	return r.Out + r.Err
}

// reject expects that none of the patterns is there.
func reject(t *testing.T, out string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if regexp.MustCompile("(?m)" + p).MatchString(out) {
			t.Errorf("%q is in\n%s", p, out)
		}
	}
}

// commit has a group that has no members commit an offset for each partition of a topic.
func commit(t *testing.T, group, topic string, at ...int64) {
	t.Helper()
	var os kadm.Offsets
	for p, o := range at {
		os.Add(kadm.Offset{Topic: topic, Partition: int32(p), At: o, LeaderEpoch: -1})
	}
	if err := broker.Admin(t).CommitAllOffsets(broker.Context(t), group, os); err != nil {
		t.Fatal(err)
	}
}

// committed returns what a group committed for the topic's partitions in their order; -1 is none.
func committed(t *testing.T, group, topic string) (at []int64) {
	t.Helper()
	rs, err := broker.Admin(t).FetchOffsetsForTopics(broker.Context(t), group, topic)
	if err != nil || rs.Error() != nil {
		t.Fatalf("fetch offsets: %v %v", err, rs.Error())
	}
	for _, o := range rs.Sorted() {
		at = append(at, o.At)
	}
	return at
}

// refuse fails the test if a member's commit fails.
func refuse(t *testing.T) func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error) {
	return func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			t.Errorf("commit: %v", err)
			return
		}
		for _, p := range r.Topics[0].Partitions {
			if p.ErrorCode != 0 {
				t.Errorf("commit of partition %d: error %d", p.Partition, p.ErrorCode)
			}
		}
	}
}

// TestGroupsDescribe lists and describes a group with a static and a dynamic member, an empty one and one that is not there.
func TestGroupsDescribe(t *testing.T) {
	t.Parallel()
	topic := broker.Topic(t, 4)
	busy, empty := "busy-"+topic, "empty-"+topic
	producer := broker.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))
	for n := range 40 {
		producer.Produce(broker.Context(t), &kgo.Record{Partition: int32(n % 4), Value: []byte("v")}, nil)
	}
	if err := producer.Flush(broker.Context(t)); err != nil {
		t.Fatal(err)
	}
	commit(t, empty, topic, 3, 10, 0, 7)
	member := func(id string, opts ...kgo.Opt) *kgo.Client {
		return broker.Client(t, append(opts, kgo.ClientID(id), kgo.ConsumerGroup(busy), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.RangeBalancer()), kgo.HeartbeatInterval(100*time.Millisecond),
			kgo.DisableAutoCommit())...)
	}
	one := member("one", kgo.InstanceID("the-first"))
	broker.Eventually(t, "the first joined", func() bool { _, g := one.GroupMetadata(); return g > 0 })
	two := member("two")
	broker.Eventually(t, "both joined", func() bool {
		_, g := one.GroupMetadata()
		_, h := two.GroupMetadata()
		return g > 1 && g == h
	})
	two.CommitOffsetsSync(broker.Context(t), map[string]map[int32]kgo.EpochOffset{topic: {0: {Offset: 4}, 1: {Offset: 5}, 2: {Offset: 6}}}, refuse(t))

	expect(t, command(t, "--list"), "^"+busy+"$", "^"+empty+"$")
	expect(t, command(t, "--list", "--state"), "^GROUP +STATE", "^"+busy+" +Stable", "^"+empty+" +Empty")
	out := command(t, "--list", "--state", "stable", "--type", "classic")
	expect(t, out, "^GROUP +TYPE +STATE", "^"+busy+" +Classic +Stable")
	reject(t, out, empty)
	reject(t, command(t, "--list", "--type", "consumer"), busy, empty)
	expect(t, tool(t, "", "GroupsCommand", "--list"), "^"+busy+" +Classic +consumer", "^"+empty+" +Classic")

	first, second := `the-first-\S{36}`, `two-\S{36}`
	expect(t, command(t, "--describe", "--group", busy), `^GROUP +TOPIC +PARTITION +CURRENT-OFFSET +LOG-END-OFFSET +LAG +CONSUMER-ID +HOST +CLIENT-ID`,
		fmt.Sprintf(`^%s +%s +0 +4 +10 +6 +%s +/127.0.0.1 +one`, busy, topic, first), fmt.Sprintf(`^%s +%s +1 +5 +10 +5 +%s +/127.0.0.1 +one`, busy, topic, first),
		fmt.Sprintf(`^%s +%s +2 +6 +10 +4 +%s +/127.0.0.1 +two`, busy, topic, second), fmt.Sprintf(`^%s +%s +3 +- +10 +- +%s +/127.0.0.1 +two`, busy, topic, second))
	expect(t, command(t, "--describe", "--group", busy, "--offsets", "--verbose"), `PARTITION +LEADER-EPOCH +CURRENT-OFFSET`, fmt.Sprintf(`^%s +%s +0 +0 +4 +10 +6 `, busy, topic))
	expect(t, command(t, "--describe", "--group", busy, "--members", "--verbose"), fmt.Sprintf(`^%s +%s +the-first +/127.0.0.1 +one +2 .*%s:0,1`, busy, first, topic),
		fmt.Sprintf(`^%s +%s .*/127.0.0.1 +two +2 .*%s:2,3`, busy, second, topic))
	expect(t, command(t, "--describe", "--group", busy, "--state"), `^GROUP +COORDINATOR \(ID\) +ASSIGNMENT-STRATEGY +STATE +#MEMBERS`, fmt.Sprintf(`^%s +127.0.0.1:\d+ +\(\d+\) +range +Stable +2`, busy))
	expect(t, command(t, "--describe", "--group", empty, "--group", busy, "--state"), "^"+busy+" .*Stable +2", "^"+empty+" .*Empty +0")

	expect(t, command(t, "--describe", "--group", empty), `has no active members`, fmt.Sprintf(`^%s +%s +0 +3 +10 +7 +- +- +-`, empty, topic))
	expect(t, command(t, "--describe", "--group", empty, "--members"), `has no active members`)
	expect(t, command(t, "--describe", "--group", "no-such-"+topic), `GroupIdNotFoundException: Group no-such-`+topic+` not found`)

	expect(t, command(t, "--reset-offsets", "--group", busy, "--topic", topic, "--to-earliest", "--execute"), `can only be reset if the group '`+busy+`' is inactive, but the current state is Stable`)
	expect(t, command(t, "--delete", "--group", busy), `Group '`+busy+`' could not be deleted due to: .*GroupNotEmptyException`)
	expect(t, command(t, "--delete-offsets", "--group", busy, "--topic", topic), topic+` +\d +Error: .*`)
	if got := committed(t, busy, topic); !slices.Equal(got, []int64{4, 5, 6, -1}) {
		t.Errorf("the busy group committed %v", got)
	}
}

// TestGroupsReset sets a group's offsets in every way, first as a plan, then in earnest.
func TestGroupsReset(t *testing.T) {
	t.Parallel()
	topic := broker.Topic(t, 2)
	group := "reset-" + topic
	// A hundred records in each partition, a minute apart; the last came 30 minutes ago.
	last := time.Now().Add(-30 * time.Minute).Truncate(time.Second).UTC()
	at := func(n int) time.Time { return last.Add(time.Duration(n-99) * time.Minute) }
	producer := broker.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))
	var rs []*kgo.Record
	for n := range 100 {
		rs = append(rs, &kgo.Record{Partition: 0, Value: []byte("v"), Timestamp: at(n)}, &kgo.Record{Partition: 1, Value: []byte("v"), Timestamp: at(n)})
	}
	if err := producer.ProduceSync(broker.Context(t), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "offsets.csv")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%s,0,11\n%s,1,22\n", topic, topic), 0o644); err != nil {
		t.Fatal(err)
	}
	const ago = "a moment after record 29"
	now := func(args ...string) []string { // with the duration that this is when the command starts
		if i := slices.Index(args, ago); i >= 0 {
			args[i] = fmt.Sprintf("PT%dS", int(time.Since(at(29)).Seconds())-1)
		}
		return args
	}
	for _, c := range []struct {
		args []string
		want []int64
	}{
		{[]string{"--topic", topic, "--to-earliest"}, []int64{0, 0}},
		{[]string{"--topic", topic, "--to-latest"}, []int64{100, 100}},
		{[]string{"--topic", topic, "--to-offset", "44"}, []int64{44, 44}},
		{[]string{"--topic", topic, "--to-offset", "1000"}, []int64{100, 100}},
		{[]string{"--topic", topic, "--to-datetime", at(55).Add(-time.Second).Format("2006-01-02T15:04:05.000")}, []int64{55, 55}},
		{[]string{"--topic", topic, "--to-datetime", at(57).Format("2006-01-02T15:04:05.000Z")}, []int64{57, 57}},
		{[]string{"--topic", topic, "--to-datetime", at(101).Format("2006-01-02T15:04:05.000Z")}, []int64{100, 100}},
		{[]string{"--topic", topic, "--by-duration", ago}, []int64{30, 30}},
		{[]string{"--topic", topic, "--shift-by", "-5"}, []int64{25, 25}},
		{[]string{"--topic", topic + ":1", "--shift-by", "10"}, []int64{25, 35}},
		{[]string{"--topic", topic, "--to-current"}, []int64{25, 35}},
		{[]string{"--all-topics", "--shift-by", "1"}, []int64{26, 36}},
		{[]string{"--from-file", file}, []int64{11, 22}},
	} {
		name := strings.ReplaceAll(strings.Join(c.args, " "), topic, "TOPIC")
		before := committed(t, group, topic)
		args := append([]string{"--reset-offsets", "--group", group}, c.args...)
		var lines []string
		for p, o := range c.want {
			if c.args[1] != topic+":1" || p == 1 {
				lines = append(lines, fmt.Sprintf(`^%s +%s +%d +%d`, group, topic, p, o))
			}
		}
		expect(t, command(t, now(append(slices.Clone(args), "--dry-run")...)...), lines...)
		if got := committed(t, group, topic); !slices.Equal(got, before) {
			t.Errorf("%s: a dry run made %v of %v", name, got, before)
		}
		expect(t, command(t, now(append(slices.Clone(args), "--execute")...)...), lines...)
		if got := committed(t, group, topic); !slices.Equal(got, c.want) {
			t.Errorf("%s: committed %v, want %v", name, got, c.want)
		}
	}
	expect(t, command(t, "--reset-offsets", "--group", group, "--all-topics", "--to-current", "--export", "--dry-run"), `^"?`+topic+`"?,0,11$`, `^"?`+topic+`"?,1,22$`)
}

// TestGroupsDelete deletes offsets of a partition and of a topic, and groups.
func TestGroupsDelete(t *testing.T) {
	t.Parallel()
	topic, other := broker.Topic(t, 2), broker.Topic(t, 1)
	one, two := "delete-one-"+topic, "delete-two-"+topic
	commit(t, one, topic, 1, 2)
	commit(t, one, other, 3)
	commit(t, two, topic, 4, 5)
	expect(t, command(t, "--delete-offsets", "--group", one, "--topic", topic+":1"), topic+` +1 +Successful`)
	if a, b := committed(t, one, topic), committed(t, one, other); !slices.Equal(a, []int64{1, -1}) || !slices.Equal(b, []int64{3}) {
		t.Errorf("left are %v and %v", a, b)
	}
	expect(t, command(t, "--delete-offsets", "--group", one, "--topic", other), other+` +0 +Successful`)
	if b := committed(t, one, other); !slices.Equal(b, []int64{-1}) {
		t.Errorf("left are %v", b)
	}
	expect(t, command(t, "--delete", "--group", one, "--group", two), `Deletion of requested consumer groups \(.*\) was successful`)
	if b := committed(t, two, topic); !slices.Equal(b, []int64{-1, -1}) {
		t.Errorf("a deleted group has %v", b)
	}
	reject(t, command(t, "--list"), one, two)
	expect(t, command(t, "--delete", "--group", one), `Group '`+one+`' could not be deleted due to: .*GroupIdNotFoundException`)
}

// partitionOf is the partition of __consumer_offsets that keeps a group: Java's hash of its name without the sign,
// modulo fifty.
func partitionOf(group string) int32 {
	var h int32
	for _, c := range []byte(group) {
		h = 31*h + int32(c)
	}
	if h < 0 {
		h = -h
	}
	return h % 50
}

// TestGroupsFormatters reads the topic of offsets with the tools' own formatters.
func TestGroupsFormatters(t *testing.T) {
	t.Parallel()
	topic := broker.Topic(t, 2)
	group, simple := "formatted-"+topic, "formatted-simple-"+topic
	cl := broker.Client(t, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ClientID("formatted"), kgo.InstanceID("formatted-instance"), kgo.Balancers(kgo.RangeBalancer()),
		kgo.SessionTimeout(44*time.Second), kgo.RebalanceTimeout(55*time.Second))
	broker.Eventually(t, "there is a member", func() bool { _, g := cl.GroupMetadata(); return g > 0 })
	cl.CommitOffsetsSync(broker.Context(t), map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: 3, Offset: 17}}}, refuse(t))
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: topic, Partition: 1, At: 23, LeaderEpoch: -1, Metadata: "some metadata"})
	if err := broker.Admin(t).CommitAllOffsets(broker.Context(t), simple, os); err != nil {
		t.Fatal(err)
	}
	if rs, err := broker.Admin(t).DeleteOffsets(broker.Context(t), simple, os.TopicsSet()); err != nil || rs.Error() != nil {
		t.Fatalf("delete offsets: %v %v", err, rs.Error())
	}
	// Nothing lies between what the formatters print of two records. Each group has its partition, by the hash of its name.
	read := func(group, formatter string) string {
		ends, err := broker.Admin(t).ListEndOffsets(broker.Context(t), "__consumer_offsets")
		end, ok := ends.Lookup("__consumer_offsets", partitionOf(group))
		if err != nil || !ok || end.Err != nil {
			t.Fatalf("the end of the offsets' partition: %+v %v", end, err)
		}
		out := tool(t, "", "consumer.ConsoleConsumer", "--topic", "__consumer_offsets", "--partition", fmt.Sprint(partitionOf(group)), "--offset", "earliest",
			"--max-messages", fmt.Sprint(end.Offset), "--timeout-ms", "15000", "--formatter", "org.apache.kafka.tools.consumer."+formatter)
		var ours strings.Builder
		for line := range strings.Lines(strings.ReplaceAll(out, `}{"key":`, "}\n"+`{"key":`)) {
			if strings.Contains(line, group) {
				ours.WriteString(line)
			}
		}
		return ours.String()
	}
	expect(t, read(group, "OffsetsMessageFormatter"),
		`^\{"key":\{"type":1,"data":\{"group":"`+group+`","topic":"`+topic+`","partition":0\}\},"value":\{"version":\d+,"data":\{"offset":17,"leaderEpoch":3,"metadata":"formatted-instance-[^"]+","commitTimestamp":\d{13},"topicId":"\S{22}"\}\}\}$`)
	expect(t, read(simple, "OffsetsMessageFormatter"),
		`^\{"key":\{"type":1,"data":\{"group":"`+simple+`","topic":"`+topic+`","partition":1\}\},"value":\{"version":\d+,"data":\{"offset":23,"leaderEpoch":-1,"metadata":"some metadata","commitTimestamp":\d{13},"topicId":"\S{22}"\}\}\}$`,
		`^\{"key":\{"type":1,"data":\{"group":"`+simple+`","topic":"`+topic+`","partition":1\}\},"value":null\}$`)
	expect(t, read(group, "GroupMetadataMessageFormatter"),
		`^\{"key":\{"type":2,"data":\{"group":"`+group+`"\}\},"value":\{"version":\d+,"data":\{"protocolType":"consumer","generation":1,"protocol":"range","leader":"formatted-instance-\S{36}","currentStateTimestamp":\d{13},`+
			`"members":\[\{"memberId":"formatted-instance-\S{36}","groupInstanceId":"formatted-instance","clientId":"formatted","clientHost":"/127.0.0.1","rebalanceTimeout":55000,"sessionTimeout":44000,"subscription":".*","assignment":".*"\}\]\}\}\}$`)
}
