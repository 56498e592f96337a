package tools

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/java"
)

// several are three brokers that tools are pointed at.
type several struct {
	*broker.Cluster
	t *testing.T
}

func newSeveral(t *testing.T, settings ...string) several {
	return several{broker.MoldauCluster(t, 3, append([]string{"KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS=3", "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0"}, settings...)...), t}
}

func (c several) tool(class string, args ...string) string {
	c.t.Helper()
	return java.Run(c.t, "", append([]string{"org.apache.kafka.tools." + class, "--bootstrap-server", c.Addr()}, args...)...)
}

// client is one of those that are up.
func (c several) client(opts ...kgo.Opt) *kgo.Client {
	return broker.ClientOf(c.t, strings.Split(c.Addr(), ",")[0], append(opts, kgo.SeedBrokers(strings.Split(c.Addr(), ",")...))...)
}

func (c several) write(topic string, records int) {
	c.t.Helper()
	cl := c.client(kgo.DefaultProduceTopic(topic))
	defer cl.Close()
	for i := range records {
		if err := cl.ProduceSync(broker.Context(c.t), &kgo.Record{Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// partition waits for partition 0 of a topic to be as it should.
func (c several) partition(topic, what string, is func(kadm.PartitionDetail) bool) {
	c.t.Helper()
	cl := c.client()
	defer cl.Close()
	broker.Eventually(c.t, topic+"-0 "+what, func() bool {
		topics, err := kadm.NewClient(cl).ListTopics(broker.Context(c.t), topic)
		return err == nil && is(topics[topic].Partitions[0])
	})
}

// TestReassignmentsBetweenBrokers lets kafka-reassign-partitions move a partition to other brokers, cancel what cannot be done, and say how far it is.
func TestReassignmentsBetweenBrokers(t *testing.T) {
	t.Parallel()
	c := newSeveral(t, "KAFKA_LOG_SEGMENT_DELETE_DELAY_MS=0")
	c.tool("TopicCommand", "--create", "--topic", "moved", "--replica-assignment", "1")
	c.write("moved", 100)
	files := t.TempDir()
	reassign := func(plan string, args ...string) string {
		t.Helper()
		file := filepath.Join(files, "plan.json")
		if err := os.WriteFile(file, []byte(`{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[`+plan+`]}]}`), 0o644); err != nil {
			t.Fatal(err)
		}
		return c.tool("reassign.ReassignPartitionsCommand", append([]string{"--reassignment-json-file", file}, args...)...)
	}
	move := func(plan string) {
		t.Helper()
		expect(t, reassign(plan, "--execute"), `Successfully started partition reassignment for moved-0`)
		broker.Eventually(t, "the partition on "+plan, func() bool {
			return strings.Contains(reassign(plan, "--verify"), "Reassignment of partition moved-0 is completed.")
		})
		expect(t, c.tool("TopicCommand", "--describe", "--topic", "moved"), `Partition: 0\s+Leader: \d+\s+Replicas: `+plan+`\s+Isr: [\d,]+`)
	}
	for _, plan := range []string{"2,3", "3,1,2", "3"} {
		move(plan)
	}
	for _, id := range []int{1, 2} {
		broker.Eventually(t, fmt.Sprintf("nothing left on broker %d", id), func() bool {
			left, err := filepath.Glob(filepath.Join(c.Data(id), "moved-0*"))
			return err == nil && len(left) == 0
		})
	}
	generate := filepath.Join(files, "topics.json")
	if err := os.WriteFile(generate, []byte(`{"topics":[{"topic":"moved"}],"version":1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	expect(t, c.tool("reassign.ReassignPartitionsCommand", "--generate", "--topics-to-move-json-file", generate, "--broker-list", "1,2"),
		`(?s)Current partition replica assignment.*"replicas":\[3\].*Proposed partition reassignment configuration.*"replicas":\[[12]\]`)

	// A broker that is away cannot take a replica. The tool does not ask for that, but others may.
	c.Stop(2)
	var away kadm.AlterPartitionAssignmentsReq
	away.Assign("moved", 0, []int32{2})
	cl := c.client()
	started, err := kadm.NewClient(cl).AlterPartitionAssignments(broker.Context(t), away)
	if err != nil || started.Error() != nil {
		t.Fatal(err, started.Error())
	}
	expect(t, c.tool("reassign.ReassignPartitionsCommand", "--list"), `moved-0: replicas: 2,3. adding: 2. removing: 3.`)
	expect(t, reassign("2", "--verify"), `Reassignment of partition moved-0 is still in progress.`)
	expect(t, reassign("2", "--cancel", "--preserve-throttles"), `Successfully cancelled partition reassignment for: moved-0`)
	expect(t, c.tool("reassign.ReassignPartitionsCommand", "--list"), `No partition reassignments found.`)
	expect(t, c.tool("TopicCommand", "--describe", "--topic", "moved"), `Replicas: 3\s+Isr: 3`)
	got := c.tool("consumer.ConsoleConsumer", "--topic", "moved", "--partition", "0", "--offset", "earliest", "--max-messages", "100", "--timeout-ms", "20000")
	if lines := strings.Fields(got); len(lines) != 100 || lines[0] != "0" || lines[99] != "99" {
		t.Errorf("read %d records", len(lines))
	}
}

// TestElectionsOfACluster lets kafka-leader-election give leadership back to a broker that was away, and elect one that lacks records where no other
// is left.
func TestElectionsOfACluster(t *testing.T) {
	t.Parallel()
	c := newSeveral(t, "KAFKA_AUTO_LEADER_REBALANCE_ENABLE=false")
	c.tool("TopicCommand", "--create", "--topic", "orders", "--replica-assignment", "1:2")
	c.write("orders", 10)
	elect := func(kind string) string {
		t.Helper()
		return c.tool("LeaderElectionCommand", "--election-type", kind, "--topic", "orders", "--partition", "0")
	}
	expect(t, elect("preferred"), `Valid replica already elected for partitions orders-0`)
	c.Stop(1)
	c.partition("orders", "is led by the other broker", func(p kadm.PartitionDetail) bool { return p.Leader == 2 })
	c.Start(1)
	c.partition("orders", "is in sync", func(p kadm.PartitionDetail) bool { return len(p.ISR) == 2 && p.Leader == 2 })
	expect(t, elect("preferred"), `Successfully completed leader election \(PREFERRED\) for partitions orders-0`)
	c.partition("orders", "is led by its preferred leader", func(p kadm.PartitionDetail) bool { return p.Leader == 1 })

	c.Stop(2)
	c.partition("orders", "is on one broker", func(p kadm.PartitionDetail) bool { return len(p.ISR) == 1 && p.Leader == 1 })
	c.write("orders", 10)
	c.Stop(1)
	c.Start(2)
	c.partition("orders", "has no leader", func(p kadm.PartitionDetail) bool { return p.Leader == -1 })
	expect(t, elect("unclean"), `Successfully completed leader election \(UNCLEAN\) for partitions orders-0`)
	c.partition("orders", "is led by who is left", func(p kadm.PartitionDetail) bool { return p.Leader == 2 })
	c.Start(1)
	c.partition("orders", "is in sync again", func(p kadm.PartitionDetail) bool { return len(p.ISR) == 2 })
}

// TestConsoleConsumerInARack reads with client.rack from the replica in that rack, which is not the leader.
func TestConsoleConsumerInARack(t *testing.T) {
	t.Parallel()
	c := newSeveral(t, "KAFKA_REPLICA_SELECTOR_CLASS=org.apache.kafka.common.replica.RackAwareReplicaSelector", "KAFKA_BROKER_RACK=rackNODE")
	c.tool("TopicCommand", "--create", "--topic", "orders", "--replica-assignment", "1:2:3")
	c.write("orders", 50)
	c.partition("orders", "is in sync", func(p kadm.PartitionDetail) bool { return len(p.ISR) == 3 && p.Leader == 1 })
	for _, way := range []string{"--command-property", "--group"} {
		args := []string{"--topic", "orders", "--max-messages", "50", "--timeout-ms", "20000", "--command-property", "client.rack=rack2"}
		if way == "--group" {
			args = append(args, "--group", "readers", "--from-beginning")
		} else {
			args = append(args, "--partition", "0", "--offset", "earliest")
		}
		got := c.tool("consumer.ConsoleConsumer", args...)
		if lines := strings.Fields(got); len(lines) != 50 || lines[49] != "49" {
			t.Errorf("read %d records", len(lines))
		}
	}
	for id := 1; id <= 3; id++ {
		m := regexp.MustCompile(`(?m)^moldau_topic_fetched_bytes_total\{topic="orders"\} (\d+)`).FindStringSubmatch(c.Metrics(id))
		if m == nil || (m[1] != "0") != (id == 2) {
			t.Errorf("broker %d says %q", id, m)
		}
	}
}
