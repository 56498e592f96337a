package config

import (
	"strings"
	"testing"
	"time"
)

// A view puts the broker's own values over those of all brokers, both over the file, and leaves the configuration below as it was.
func TestWith(t *testing.T) {
	base, _ := load(t, "log.retention.hours=100\nmessage.max.bytes=5000\nmin.insync.replicas=3")
	cluster := map[string]string{"log.retention.ms": "70000", "message.max.bytes": "6000", "log.segment.bytes": "soon", "node.id": "7", "sasl.enabled.mechanisms": "PLAIN"}
	view, err := base.With(cluster, map[string]string{"message.max.bytes": "7000"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := view.With(nil, nil) // a view is no base
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		c         *Config
		retention time.Duration
		message   int32
	}{{base, 100 * time.Hour, 5000}, {view, 70 * time.Second, 7000}, {again, 100 * time.Hour, 5000}} {
		topic := c.c.Topic(nil)
		if topic.Retention != c.retention || topic.MaxMessageBytes != c.message || topic.SegmentBytes != 1<<30 || topic.MinInsyncReplicas != 3 || c.c.NodeID != base.NodeID {
			t.Errorf("%+v", topic)
		}
	}
	if base.SameTopics(view) || !base.SameTopics(again) {
		t.Error("what topics follow is not told apart")
	}
	for name, want := range map[string]string{
		"log.retention.ms":  "70000 from 3 log.retention.ms=70000@3 log.retention.hours=100@4 log.retention.hours=168@5",
		"message.max.bytes": "7000 from 2 message.max.bytes=7000@2 message.max.bytes=6000@3 message.max.bytes=5000@4 message.max.bytes=1048588@5",
	} {
		if got := entry(t, view.DescribeBroker(), name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := entry(t, view.DescribeBrokers(), "min.insync.replicas"); got != "3 from 3 min.insync.replicas=3@3" {
		t.Errorf("of all brokers: %s", got)
	}
}

// What test/diff cannot see of the refusals, because Kafka would do it or has other words.
func TestValidateBroker(t *testing.T) {
	base := Default()
	for _, c := range []struct {
		after, other map[string]string
		one          bool
		want         string
	}{
		{map[string]string{"listeners": "PLAINTEXT://:1"}, nil, true, "Cannot update these configs dynamically: [listeners]"},
		{map[string]string{"sasl.enabled.mechanisms": "PLAIN"}, nil, true, "this release does not serve it"},
		{map[string]string{"listener.name.a.ssl.key.password": "secret"}, nil, true, "Invalid value [hidden]"},
		{map[string]string{"log.cleaner.threads": "0"}, nil, true, "should be at least 1"},
		{map[string]string{"log.cleaner.threads": "2"}, map[string]string{"log.cleaner.dedupe.buffer.size": "2097152"}, true, "1MB per cleaner thread"},
		{map[string]string{"log.cleaner.dedupe.buffer.size": "2097152"}, map[string]string{"log.cleaner.threads": "2"}, false, "1MB per cleaner thread"},
		{map[string]string{"log.cleaner.threads": "2", "log.durability": "memory", "a.b": "c"}, nil, false, ""},
	} {
		err := base.ValidateBroker(c.after, c.other, c.one)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%v: %v, want %q", c.after, err, c.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("a secret is told: %v", err)
		}
	}
}
