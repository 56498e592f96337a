package broker

import (
	"reflect"
	"testing"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/record"
)

// reaching has, for every setting of a topic that claims to act, a value that is not the default, and with it what its partitions act on.
var reaching = map[string]struct {
	value string
	acts  func(*partition.Settings) any
	want  any
}{
	"cleanup.policy":                  {"compact", func(s *partition.Settings) any { return [3]bool{s.Log.Compact, s.Log.Delete, s.Rules.Compacted} }, [3]bool{true, false, true}},
	"compression.gzip.level":          {"3", level, 3},
	"compression.lz4.level":           {"5", level, 5},
	"compression.zstd.level":          {"7", level, 7},
	"compression.type":                {"lz4", func(s *partition.Settings) any { return s.Rules.Compression.Codec }, record.LZ4},
	"delete.retention.ms":             {"5000", func(s *partition.Settings) any { return s.Log.DeleteRetention.Milliseconds() }, int64(5000)},
	"durability":                      {"memory", func(s *partition.Settings) any { return s.Log.Durable }, false},
	"file.delete.delay.ms":            {"5000", func(s *partition.Settings) any { return s.Log.FileDeleteDelay.Milliseconds() }, int64(5000)},
	"flush.messages":                  {"7", func(s *partition.Settings) any { return s.Log.FlushMessages }, int64(7)},
	"flush.ms":                        {"7", func(s *partition.Settings) any { return s.Log.FlushInterval.Milliseconds() }, int64(7)},
	"index.interval.bytes":            {"0", func(s *partition.Settings) any { return s.Log.IndexIntervalBytes }, int32(-1)}, // which a log takes for none
	"max.compaction.lag.ms":           {"7", func(s *partition.Settings) any { return s.Log.MaxCompactionLag.Milliseconds() }, int64(7)},
	"max.decompressed.message.bytes":  {"7", func(s *partition.Settings) any { return [2]int64{s.Rules.MaxDecompressedBytes, s.Rules.MaxRecordBytes} }, [2]int64{7, 7}},
	"max.message.bytes":               {"7", func(s *partition.Settings) any { return s.Rules.MaxBatchBytes }, int64(7)},
	"message.timestamp.after.max.ms":  {"7", func(s *partition.Settings) any { return s.Rules.AfterMax }, int64(7)},
	"message.timestamp.before.max.ms": {"7", func(s *partition.Settings) any { return s.Rules.BeforeMax }, int64(7)},
	"message.timestamp.type":          {"LogAppendTime", func(s *partition.Settings) any { return s.Rules.TimestampType }, record.LogAppendTime},
	"min.cleanable.dirty.ratio":       {"0.25", func(s *partition.Settings) any { return s.Log.MinCleanableRatio }, 0.25},
	"min.compaction.lag.ms":           {"7", func(s *partition.Settings) any { return s.Log.MinCompactionLag.Milliseconds() }, int64(7)},
	"min.insync.replicas":             {"2", func(s *partition.Settings) any { return s.MinISR }, 2},
	"preallocate":                     {"true", func(s *partition.Settings) any { return s.Log.Preallocate }, true},
	"retention.bytes":                 {"7", func(s *partition.Settings) any { return s.Log.RetentionBytes }, int64(7)},
	"retention.ms":                    {"7", func(s *partition.Settings) any { return s.Log.RetentionAge.Milliseconds() }, int64(7)},
	"segment.bytes":                   {"2097152", func(s *partition.Settings) any { return s.Log.SegmentBytes }, int64(2097152)},
	"internal.segment.bytes":          {"7", func(s *partition.Settings) any { return s.Log.SegmentBytes }, int64(7)},
	"segment.index.bytes":             {"64", func(s *partition.Settings) any { return s.Log.SegmentIndexBytes }, int32(64)},
	"segment.jitter.ms":               {"7", func(s *partition.Settings) any { return s.Log.SegmentJitter.Milliseconds() }, int64(7)},
	"segment.ms":                      {"7", func(s *partition.Settings) any { return s.Log.SegmentAge.Milliseconds() }, int64(7)},
}

func level(s *partition.Settings) any { return s.Rules.Compression.Level }

// TestTopicSettingsReachTheirPartitions: what the page says acts is handed to those who act on it, whether the topic has set it or its
// broker, and nothing but it changes with it.
func TestTopicSettingsReachTheirPartitions(t *testing.T) {
	for _, s := range config.TopicSettings() {
		if s.Class != config.Honoured {
			continue
		}
		o, ok := reaching[s.Name]
		if !ok {
			t.Errorf("%s is said to act, and nothing shows that it reaches the partitions", s.Name)
			continue
		}
		overrides := map[string]string{}
		switch s.Name { // a level acts where its codec is asked for
		case "compression.gzip.level", "compression.lz4.level", "compression.zstd.level":
			overrides["compression.type"] = s.Name[len("compression.") : len(s.Name)-len(".level")]
		}
		before := partitionSettings(config.Default(), "t", overrides)
		if len(overrides) == 0 && s.Name != "compression.type" && reflect.DeepEqual(o.acts(before), o.want) {
			t.Errorf("%s: %v is the default", s.Name, o.want)
		}
		broker, _, err := config.Load(config.Sources{FileName: "f", File: []byte(s.From + "=" + o.value)})
		if s.From != "" && err != nil {
			t.Fatal(err)
		}
		if s.From != "" {
			if got := o.acts(partitionSettings(broker, "t", overrides)); !reflect.DeepEqual(got, o.want) {
				t.Errorf("%s=%s of the broker: %v, want %v", s.From, o.value, got, o.want)
			}
		}
		overrides[s.Name] = o.value
		if got := o.acts(partitionSettings(config.Default(), "t", overrides)); !reflect.DeepEqual(got, o.want) {
			t.Errorf("%s=%s: %v, want %v", s.Name, o.value, got, o.want)
		}
	}
}
