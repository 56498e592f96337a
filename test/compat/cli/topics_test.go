package cli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
)

type listedTopic struct {
	Name              string
	ID                string
	Partitions        int
	ReplicationFactor int
	Internal          bool
}

type describedTopic struct {
	Name       string
	ID         string
	Internal   bool
	Partitions []struct {
		Partition, Leader, LeaderEpoch int32
		Replicas, ISR, Offline         []int32
		Start, End                     int64
		ELR, LastKnownELR              []int32
	}
	Configs []struct{ Name, Value, Source string }
}

// topics creates, lists, describes and deletes a topic.
func topics(t *testing.T, c command) {
	topic := c.prefix + "orders"
	c.create(t, topic, "--partitions", "3", "--config", "retention.ms=86400000")
	c.refused(t, 1, []string{"topic", "create", topic}, "create topic "+topic+" on "+c.addr, "TOPIC_ALREADY_EXISTS", "moldau topic describe")
	listed := func() *listedTopic {
		for _, one := range answer[[]listedTopic](t, c, "topic", "list") {
			if one.Name == topic {
				return &one
			}
		}
		return nil
	}
	if one := listed(); one == nil || one.Partitions != 3 || one.ReplicationFactor != c.replicas() || one.Internal || len(one.ID) != 22 {
		t.Errorf("listed as %+v", one)
	}
	d := answer[[]describedTopic](t, c, "topic", "describe", topic)
	if len(d) != 1 || len(d[0].Partitions) != 3 || len(d[0].Partitions[2].ISR) != c.replicas() {
		t.Fatalf("described as %+v", d)
	}
	found := false
	for _, cfg := range d[0].Configs {
		found = found || cfg.Name == "retention.ms" && cfg.Value == "86400000"
	}
	if !found {
		t.Errorf("settings %+v", d[0].Configs)
	}
	if out := c.run(t, "", "topic", "list", "--format", "plain"); !strings.Contains(out, topic+fmt.Sprintf("\t3\t%d\n", c.replicas())) || strings.Contains(out, "PARTITIONS") {
		t.Errorf("plain: %s", out)
	}
	if out := c.run(t, "", "topic", "list"); !strings.HasPrefix(out, "TOPIC ") || strings.Contains(out, "\x1b") {
		t.Errorf("the table has no heading, or colours in a file: %q", out)
	}
	c.run(t, "a:1\nb:2\nc:3\n", "produce", topic, "--key-separator", ":")
	type sizes []struct {
		Name           string
		Records, Bytes int64
		Partitions     []struct {
			Partition      int32
			Records, Bytes int64
			Replicas       []struct {
				Broker    int32
				Directory string
				Bytes     int64
			}
		}
	}
	if s := answer[sizes](t, c, "topic", "size", topic); len(s) != 1 || s[0].Name != topic || s[0].Records != 3 || s[0].Bytes < 2*61 || len(s[0].Partitions) != 3 {
		t.Errorf("its size: %+v", s)
	}
	if out := c.run(t, "", "topic", "size"); !strings.Contains(out, topic+" ") || strings.Contains(out, "__consumer_offsets") {
		t.Errorf("sizes of all topics: %s", out)
	}
	c.refused(t, 1, []string{"topic", "size", topic + "s"}, "size of topic "+topic+"s on "+c.addr, "UNKNOWN_TOPIC_OR_PARTITION", "did you mean "+topic+"?")
	typo := strings.Replace(topic, "orders", "ordesr", 1)
	c.refused(t, 1, []string{"topic", "describe", typo}, "describe topic "+typo+" on "+c.addr, "UNKNOWN_TOPIC_OR_PARTITION", "did you mean "+topic+"?")
	c.run(t, "", "topic", "delete", topic)
	broker.Eventually(t, "the deleted topic is no longer listed", func() bool { return listed() == nil })
	c.refused(t, 1, []string{"topic", "delete", topic}, "UNKNOWN_TOPIC_OR_PARTITION")
	c.run(t, "", "topic", "delete", topic, "--if-exists")
}
