// Package tools tests the broker with Apache Kafka's own command-line tools. It holds tests only and needs Java.
package tools

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/group"
	"github.com/moldau/moldau/test/compat/java"
)

func TestMain(m *testing.M) {
	group.Parallel()
	broker.Main(m)
}

// tool runs one of the tools on the broker.
func tool(t *testing.T, stdin, class string, args ...string) string {
	t.Helper()
	return java.Run(t, stdin, append([]string{"org.apache.kafka.tools." + class, "--bootstrap-server", broker.Addr()}, args...)...)
}

func expect(t *testing.T, out string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(out) {
			t.Errorf("no %q in\n%s", p, out)
		}
	}
}

// TestTopics creates, lists, describes, alters and deletes a topic.
func TestTopics(t *testing.T) {
	t.Parallel()
	name := broker.Name(t)
	tool(t, "", "TopicCommand", "--create", "--topic", name, "--partitions", "2", "--replication-factor", fmt.Sprint(broker.Replicas()), "--config", "retention.ms=12345678")
	if r := java.Try(t, "", "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", broker.Addr(), "--create", "--topic", name); r.Status == 0 {
		t.Error("a topic was created twice")
	}
	expect(t, tool(t, "", "TopicCommand", "--list"), "^"+name+"$")
	tool(t, "", "TopicCommand", "--alter", "--topic", name, "--partitions", "5")
	expect(t, tool(t, "", "TopicCommand", "--describe", "--topic", name),
		fmt.Sprintf(`Topic: \S+\s+TopicId: \S{22}\s+PartitionCount: 5\s+ReplicationFactor: %d\s+Configs: .*retention.ms=12345678`, broker.Replicas()),
		fmt.Sprintf(`Partition: 4\s+Leader: [0-9]+\s+Replicas: [0-9]+(,[0-9]+){%d}\s+Isr: [0-9]`, broker.Replicas()-1))
	configs := []string{"kafka.admin.ConfigCommand", "--bootstrap-server", broker.Addr(), "--entity-type", "topics", "--entity-name", name}
	java.Run(t, "", append(configs, "--alter", "--add-config", "max.message.bytes=54321", "--delete-config", "retention.ms")...)
	out := java.Run(t, "", append(configs, "--describe", "--all")...)
	expect(t, out, `max.message.bytes=54321 .*DYNAMIC_TOPIC_CONFIG:max.message.bytes=54321`, `retention.ms=604800000 sensitive=false synonyms=\{\}`, `cleanup.policy=delete`)
	tool(t, "", "TopicCommand", "--delete", "--topic", name)
	broker.Eventually(t, "the deleted topic is no longer listed", func() bool { return !strings.Contains(tool(t, "", "TopicCommand", "--list"), name) })
}

// TestConsole writes with every codec and acks, with keys and headers, and reads from several offsets.
func TestConsole(t *testing.T) {
	for codec, acks := range map[string]string{"none": "0", "gzip": "1", "snappy": "all", "lz4": "1", "zstd": "all"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			topic := broker.Topic(t, 1)
			var sent, want strings.Builder
			for i := range 50 {
				fmt.Fprintf(&sent, "h:%d|k%d|value %d, value, value, value, value\n", i, i, i)
				fmt.Fprintf(&want, "Offset:%d|h:%d|k%d|value %d, value, value, value, value\n", i, i, i, i)
			}
			tool(t, sent.String(), "ConsoleProducer", "--topic", topic, "--compression-codec", codec, "--command-property", "acks="+acks,
				"--reader-property", "parse.key=true", "--reader-property", "parse.headers=true", "--reader-property", "key.separator=|", "--reader-property", "headers.delimiter=|")
			got := tool(t, "", "consumer.ConsoleConsumer", "--topic", topic, "--partition", "0", "--offset", "earliest", "--max-messages", "50", "--timeout-ms", "20000",
				"--formatter-property", "print.key=true", "--formatter-property", "print.headers=true", "--formatter-property", "print.offset=true", "--formatter-property", "key.separator=|")
			if got != want.String() {
				t.Errorf("read\n%s", got)
			}
		})
	}
}

// filled makes a topic of 100 records, a second apart.
func filled(t *testing.T) (topic string, start int64) {
	t.Helper()
	topic = broker.Topic(t, 1)
	cl := broker.Client(t, kgo.DefaultProduceTopic(topic))
	start = time.Now().Add(-time.Hour).UnixMilli()
	var rs []*kgo.Record
	for n := range 100 {
		rs = append(rs, &kgo.Record{Value: fmt.Appendf(nil, "%d", n), Timestamp: time.UnixMilli(start + int64(n)*1000)})
	}
	if err := cl.ProduceSync(broker.Context(t), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return topic, start
}

// TestConsumeOffset starts at an offset, and at the end, where it times out without a record.
func TestConsumeOffset(t *testing.T) {
	t.Parallel()
	topic, _ := filled(t)
	args := []string{"consumer.ConsoleConsumer", "--topic", topic, "--partition", "0"}
	if got := tool(t, "", args[0], append(args[1:], "--offset", "97", "--max-messages", "3", "--isolation-level", "read_committed")...); got != "97\n98\n99\n" {
		t.Errorf("read %q from offset 97", got)
	}
	if got := tool(t, "", args[0], append(args[1:], "--timeout-ms", "1500")...); got != "" {
		t.Errorf("read %q from the end", got)
	}
}

// TestGetOffsets asks for every --time, before and after records were deleted.
func TestGetOffsets(t *testing.T) {
	t.Parallel()
	topic, start := filled(t)
	ask := func(times map[string]string) {
		t.Helper()
		for at, want := range times {
			if got := strings.TrimSpace(tool(t, "", "GetOffsetShell", "--topic", topic, "--time", at)); got != want {
				t.Errorf("--time %s: %q, want %q", at, got, want)
			}
		}
	}
	ask(map[string]string{
		"latest": topic + ":0:100", "-2": topic + ":0:0", "max-timestamp": topic + ":0:99", "earliest-local": topic + ":0:0",
		fmt.Sprint(start + 41_500): topic + ":0:42", fmt.Sprint(start + 1_000_000): "",
		"latest-tiered": "", "earliest-pending-upload": "",
	})
	file := filepath.Join(t.TempDir(), "offsets.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"partitions":[{"topic":%q,"partition":0,"offset":30}],"version":1}`, topic), 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, tool(t, "", "DeleteRecordsCommand", "--offset-json-file", file), `partition: `+topic+`-0\s+low_watermark: 30`)
	ask(map[string]string{"earliest": topic + ":0:30", "-1": topic + ":0:100"})
}

// TestPerformance writes 50,000 records with kafka-producer-perf-test.
func TestPerformance(t *testing.T) {
	t.Parallel()
	topic := broker.Topic(t, 3)
	out := java.Run(t, "", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", "50000", "--record-size", "200", "--throughput", "-1",
		"--bootstrap-server", broker.Addr(), "--command-property", "acks=all", "compression.type=lz4")
	expect(t, out, `^50000 records sent, .* 99\.9th`)
	ends, err := broker.Admin(t).ListEndOffsets(broker.Context(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, p := range ends[topic] {
		sum += p.Offset
	}
	if sum != 50_000 {
		t.Errorf("%d records are there", sum)
	}
}

// TestVerifiable writes with kafka-verifiable-producer and compares its acknowledgements with what is there.
func TestVerifiable(t *testing.T) {
	t.Parallel()
	topic := broker.Topic(t, 2)
	// It ends its work when its machine ends, so it needs one of its own.
	out := broker.Tool(t, "", "org.apache.kafka.tools.VerifiableProducer", "--bootstrap-server", broker.Addr(), "--topic", topic, "--max-messages", "500", "--repeating-keys", "7")
	acked := map[string]string{}
	for line := range strings.Lines(out) {
		var e struct {
			Name, Value       string
			Partition, Offset int64
			Sent, Acked       int
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Name == "producer_send_success" {
			acked[fmt.Sprintf("%d-%d", e.Partition, e.Offset)] = e.Value
		}
	}
	if len(acked) != 500 {
		t.Fatalf("%d of 500 acknowledged\n%s", len(acked), out)
	}
	cl := broker.Client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for ctx, n := broker.Context(t), 0; n < 500; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fs.Records() {
			n++
			if at := fmt.Sprintf("%d-%d", r.Partition, r.Offset); acked[at] != string(r.Value) {
				t.Errorf("at %s lies %s, acknowledged was %s", at, r.Value, acked[at])
			}
		}
	}
}

// TestApiVersions holds what the tool says of the broker against the page that says what is served: those APIs in these versions, and no others.
func TestApiVersions(t *testing.T) {
	t.Parallel()
	out := tool(t, "", "BrokerApiVersionsCommand")
	page, err := os.ReadFile(filepath.Join(broker.Root(), "docs/compatibility.md"))
	if err != nil {
		t.Fatal(err)
	}
	served, missing := 0, 0
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| (\w+) \| [0-9-]+ \|(?: (\d+)(?:-(\d+))? \|)?`).FindAllStringSubmatch(string(page), -1) {
		versions := m[3]
		switch {
		case m[2] == "Produce": // listed from version 0 for librdkafka's sake
			versions = "0 to " + m[4]
		case m[4] != "":
			versions += " to " + m[4]
		}
		if m[3] == "" {
			missing++
			reject(t, out, `\(`+m[1]+`\): [0-9]`)
			continue
		}
		served++
		// The tool is a release older than the protocol, and has no name for what is new.
		expect(t, out, `^\s+(`+m[2]+`\(`+m[1]+`\): `+versions+` \[usable: \d+\]|UNKNOWN\(`+m[1]+`\): `+versions+`,?$)`)
	}
	if served < 40 || missing < 10 {
		t.Errorf("the page names %d APIs that are served and %d that are not", served, missing)
	}
}

// TestReplicaVerification lets kafka-replica-verification, which Kafka still has and means to remove, compare replicas; where there is one there is nothing to compare.
func TestReplicaVerification(t *testing.T) {
	t.Parallel()
	topic, _ := filled(t)
	cmd, err := java.Command("org.apache.kafka.tools.ReplicaVerificationTool", "--broker-list", broker.Addr(), "--topics-include", topic, "--report-interval-ms", "500")
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer end.Stop()
	defer cmd.Wait()
	defer cmd.Process.Kill()
	// It reports until it is ended: what it has fetched at first, and in the end that all is fetched.
	want := "max lag is 0 for partition " + topic + "-0 at offset 100 among 1 partitions"
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatalf("the tool ended before it said %q", want)
		}
		if strings.HasSuffix(lines.Text(), want) {
			return
		}
	}
}
