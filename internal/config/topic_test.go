package config

import (
	"math"
	"testing"
	"time"
)

// The texts are those of Kafka 4.4.0 for the same values.
func TestValidateTopicInKafkasWords(t *testing.T) {
	const throttled = " must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
	c := Default()
	for _, k := range []struct{ name, value, want string }{
		{"foo", "1", "Unknown topic config name: foo"},
		{"message.format.version", "3.0", "Unknown topic config name: message.format.version"},
		{"retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
		{"retention.ms", "x", "Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "99999999999999999999", "Invalid value 99999999999999999999 for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "0x10", "Invalid value 0x10 for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "1_0", "Invalid value 1_0 for configuration retention.ms: Not a number of type LONG"},
		{"retention.ms", "+7", ""},
		{"retention.ms", " 5 ", ""},
		{"retention.bytes", "-2", ""},
		{"segment.bytes", "10", "Invalid value 10 for configuration segment.bytes: Value must be at least 1048576"},
		{"segment.bytes", "9999999999", "Invalid value 9999999999 for configuration segment.bytes: Not a number of type INT"},
		{"segment.ms", "0", "Invalid value 0 for configuration segment.ms: Value must be at least 1"},
		{"segment.index.bytes", "3", "Invalid value 3 for configuration segment.index.bytes: Value must be at least 4"},
		{"min.insync.replicas", "0", "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"},
		{"cleanup.policy", "foo", "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"},
		{"cleanup.policy", "delete,foo", "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete"},
		{"cleanup.policy", "DELETE", "Invalid value DELETE for configuration cleanup.policy: String must be one of: compact, delete"},
		{"cleanup.policy", "delete,", "Configuration 'cleanup.policy' values must not be empty."},
		{"cleanup.policy", "", ""},
		{"cleanup.policy", "delete,delete", ""},
		{"cleanup.policy", " compact , delete ", ""},
		{"compression.type", "none", "Invalid value none for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer"},
		{"compression.gzip.level", "0", "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
		{"compression.gzip.level", "-1", ""},
		{"compression.lz4.level", "18", "Invalid value 18 for configuration compression.lz4.level: Value must be no more than 17"},
		{"compression.zstd.level", "-131073", "Invalid value -131073 for configuration compression.zstd.level: Value must be at least -131072"},
		{"message.timestamp.type", "x", "Invalid value x for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime"},
		{"unclean.leader.election.enable", "yes", "Invalid value yes for configuration unclean.leader.election.enable: Expected value to be either true or false"},
		{"unclean.leader.election.enable", "True", ""},
		{"min.cleanable.dirty.ratio", "1.5", "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
		{"min.cleanable.dirty.ratio", "-0.1", "Invalid value -0.1 for configuration min.cleanable.dirty.ratio: Value must be at least 0"},
		{"min.cleanable.dirty.ratio", "5e-1", ""},
		{"min.cleanable.dirty.ratio", "0.5f", ""},
		{"min.cleanable.dirty.ratio", "0x1p-1d", ""},
		{"min.cleanable.dirty.ratio", "f", "Invalid value f for configuration min.cleanable.dirty.ratio: Not a number of type DOUBLE"},
		{"min.cleanable.dirty.ratio", "-Infinity", "Invalid value -Infinity for configuration min.cleanable.dirty.ratio: Value must be at least 0"},
		{"min.cleanable.dirty.ratio", "1e999", "Invalid value Infinity for configuration min.cleanable.dirty.ratio: Value must be no more than 1"},
		{"leader.replication.throttled.replicas", "none", "Invalid value [none] for configuration leader.replication.throttled.replicas: leader.replication.throttled.replicas" + throttled},
		{"follower.replication.throttled.replicas", "0:x", "Invalid value [0:x] for configuration follower.replication.throttled.replicas: follower.replication.throttled.replicas" + throttled},
		{"leader.replication.throttled.replicas", "*", ""},
		{"leader.replication.throttled.replicas", "0:1,1:2", ""},
		{"leader.replication.throttled.replicas", "", ""},
		{"leader.replication.throttled.replicas", ",0:1,", ""},
		{"remote.storage.enable", "true", "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
		{"remote.storage.enable", "false", ""},
		{"max.decompressed.message.bytes", "2147483647", "Invalid value 2147483647 for configuration max.decompressed.message.bytes: Value must be no more than 2147483639"},
		{"internal.segment.bytes", "10", ""},
		{"durability", "memory", ""},
		{"durability", "tape", "Invalid value tape for configuration durability: String must be one of: disk, memory"},
	} {
		got := ""
		if err := c.ValidateTopic(k.name, k.value); err != nil {
			got = err.Error()
		}
		if got != k.want {
			t.Errorf("%s=%q: got %q, want %q", k.name, k.value, got, k.want)
		}
	}
}

func TestValidateTopicConfigs(t *testing.T) {
	c := Default()
	for _, k := range []struct {
		set  map[string]string
		want string
	}{
		{map[string]string{"retention.ms": "5", "cleanup.policy": "compact"}, ""},
		{map[string]string{"retention.ms": "x", "zzz": "1"}, "Unknown topic config name: zzz"},
		{map[string]string{"cleanup.policy": "x", "retention.ms": "x", "durability": "x"}, "Invalid value x for configuration retention.ms: Not a number of type LONG"},
		{map[string]string{"max.compaction.lag.ms": "5", "min.compaction.lag.ms": "6"}, "conflict topic config setting min.compaction.lag.ms (6) > max.compaction.lag.ms (5)"},
	} {
		got := ""
		if err := c.ValidateTopicConfigs(k.set); err != nil {
			got = err.Error()
		}
		if got != k.want {
			t.Errorf("%v: got %q, want %q", k.set, got, k.want)
		}
	}
}

func TestTopicOverrides(t *testing.T) {
	c, _ := load(t, "log.durability=memory\nlog.segment.bytes=2097152\nmessage.max.bytes=5000\nlog.cleanup.policy=compact")
	base := c.Topic(nil)
	if base.Durable || base.SegmentBytes != 2<<20 || base.MaxMessageBytes != 5000 || !base.Compact || base.Delete {
		t.Errorf("from the broker: %+v", base)
	}
	got := c.Topic(map[string]string{"durability": "disk", "segment.bytes": " 4194304 ", "retention.ms": "-1", "segment.ms": "9223372036854775807",
		"cleanup.policy": "delete,compact", "message.timestamp.type": "LogAppendTime", "internal.segment.bytes": "100"})
	if !got.Durable || got.SegmentBytes != 100 || got.Retention >= 0 || got.SegmentAge != time.Duration(math.MaxInt64) || !got.Delete || !got.Compact || !got.LogAppendTime {
		t.Errorf("overridden: %+v", got)
	}
	if unsound := c.Topic(map[string]string{"segment.bytes": "x"}); unsound.SegmentBytes != base.SegmentBytes {
		t.Errorf("an unsound override gives %d", unsound.SegmentBytes)
	}
}
