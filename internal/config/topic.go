package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Topic is the effective configuration of one topic: its own settings over the broker's. Durations that do not fit are the
// longest there is.
type Topic struct {
	Delete, Compact bool          // cleanup.policy; with neither, records stay
	Retention       time.Duration // retention.ms; < 0: no limit
	RetentionBytes  int64         // retention.bytes; < 0: no limit

	SegmentBytes       int64         // segment.bytes
	SegmentAge         time.Duration // segment.ms
	SegmentJitter      time.Duration // segment.jitter.ms
	SegmentIndexBytes  int64         // segment.index.bytes
	IndexIntervalBytes int64         // index.interval.bytes
	FileDeleteDelay    time.Duration // file.delete.delay.ms
	Preallocate        bool          // preallocate

	Durable       bool          // durability=disk
	FlushMessages int64         // flush.messages
	FlushInterval time.Duration // flush.ms

	MaxMessageBytes      int32  // max.message.bytes
	MaxDecompressedBytes int64  // max.decompressed.message.bytes
	Compression          string // compression.type: producer, uncompressed, gzip, snappy, lz4 or zstd
	GzipLevel            int
	LZ4Level             int
	ZstdLevel            int

	LogAppendTime     bool  // message.timestamp.type
	TimestampBeforeMs int64 // message.timestamp.before.max.ms; as long as a timestamp, in milliseconds
	TimestampAfterMs  int64 // message.timestamp.after.max.ms

	MinInsyncReplicas int  // min.insync.replicas; 0: nobody set it, so that it goes by the number of replicas (metadata.MinISR)
	UncleanElection   bool // unclean.leader.election.enable

	MinCleanableRatio float64       // min.cleanable.dirty.ratio
	MinCompactionLag  time.Duration // min.compaction.lag.ms
	MaxCompactionLag  time.Duration // max.compaction.lag.ms
	DeleteRetention   time.Duration // delete.retention.ms
}

// Topic returns the effective configuration of a topic with these overrides. An override that is unknown or unsound counts
// as absent: the controller let it in, so this broker is the older one.
func (c *Config) Topic(overrides map[string]string) Topic {
	v := func(name string) value {
		if raw, ok := overrides[name]; ok {
			if parsed, err := topicIndex[name].parse(raw); err == nil {
				return parsed
			}
		}
		return c.defaults[name]
	}
	policy := v("cleanup.policy").list
	t := Topic{
		Delete:               slices.Contains(policy, "delete"),
		Compact:              slices.Contains(policy, "compact"),
		Retention:            millis(v("retention.ms").num),
		RetentionBytes:       v("retention.bytes").num,
		SegmentBytes:         v("segment.bytes").num,
		SegmentAge:           millis(v("segment.ms").num),
		SegmentJitter:        millis(v("segment.jitter.ms").num),
		SegmentIndexBytes:    v("segment.index.bytes").num,
		IndexIntervalBytes:   v("index.interval.bytes").num,
		FileDeleteDelay:      millis(v("file.delete.delay.ms").num),
		Preallocate:          v("preallocate").yes,
		Durable:              v("durability").text == "disk",
		FlushMessages:        v("flush.messages").num,
		FlushInterval:        millis(v("flush.ms").num),
		MaxMessageBytes:      int32(v("max.message.bytes").num),
		MaxDecompressedBytes: v("max.decompressed.message.bytes").num,
		Compression:          v("compression.type").text,
		GzipLevel:            int(v("compression.gzip.level").num),
		LZ4Level:             int(v("compression.lz4.level").num),
		ZstdLevel:            int(v("compression.zstd.level").num),
		LogAppendTime:        v("message.timestamp.type").text == "LogAppendTime",
		TimestampBeforeMs:    v("message.timestamp.before.max.ms").num,
		TimestampAfterMs:     v("message.timestamp.after.max.ms").num,
		MinInsyncReplicas:    int(v("min.insync.replicas").num),
		UncleanElection:      v("unclean.leader.election.enable").yes,
		MinCleanableRatio:    v("min.cleanable.dirty.ratio").float,
		MinCompactionLag:     millis(v("min.compaction.lag.ms").num),
		MaxCompactionLag:     millis(v("max.compaction.lag.ms").num),
		DeleteRetention:      millis(v("delete.retention.ms").num),
	}
	if _, own := overrides[minISR]; !own && !c.minISRSet {
		t.MinInsyncReplicas = 0
	}
	if small, ok := overrides["internal.segment.bytes"]; ok {
		if parsed, err := topicIndex["internal.segment.bytes"].parse(small); err == nil {
			t.SegmentBytes = parsed.num
		}
	}
	return t
}

// TopicType returns the type of a topic setting, so that append and subtract are refused where it is no list.
func TopicType(name string) (Type, bool) {
	s := topicIndex[name]
	if s == nil {
		return 0, false
	}
	return s.Type, true
}

// TopicList returns the elements of a list setting in force under these overrides, for append and subtract.
func (c *Config) TopicList(name string, overrides map[string]string) []string {
	s := topicIndex[name]
	if s == nil || s.Type != List {
		return nil
	}
	if raw, ok := overrides[name]; ok {
		return splitList(strings.TrimSpace(raw))
	}
	return slices.Clone(c.defaults[name].list)
}

// ValidateTopic checks one setting of a topic. The error is an Error with Kafka's text.
func (c *Config) ValidateTopic(name, text string) error {
	s := topicIndex[name]
	if s == nil {
		return errorf("Unknown topic config name: %s", name)
	}
	v, err := s.parse(text)
	if err != nil {
		return err
	}
	if name == "remote.storage.enable" && v.yes {
		return errorf("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	return nil
}

// turns is the order in which Kafka judges the values of several settings: the first that is wrong is the one it names.
var turns = []string{
	"segment.bytes", "segment.ms", "segment.jitter.ms", "segment.index.bytes", "flush.messages", "flush.ms", "retention.bytes", "retention.ms",
	"max.message.bytes", "max.decompressed.message.bytes", "index.interval.bytes", "delete.retention.ms", "min.compaction.lag.ms",
	"max.compaction.lag.ms", "file.delete.delay.ms", "min.cleanable.dirty.ratio", "cleanup.policy", "unclean.leader.election.enable",
	"min.insync.replicas", "compression.type", "compression.gzip.level", "compression.lz4.level", "compression.zstd.level", "preallocate",
	"message.timestamp.type", "message.timestamp.before.max.ms", "message.timestamp.after.max.ms", "leader.replication.throttled.replicas",
	"follower.replication.throttled.replicas", "remote.storage.enable", "local.retention.ms", "local.retention.bytes", "remote.log.copy.disable",
	"remote.copy.lag.ms", "remote.copy.lag.bytes", "remote.log.delete.on.disable", "errors.deadletterqueue.group.enable",
}

// turn is a setting's place among turns; what Kafka does not know comes last.
func turn(name string) int {
	if i := slices.Index(turns, name); i >= 0 {
		return i
	}
	return len(turns)
}

// ValidateTopicConfigs checks the whole set of a topic's overrides, first each name, then each value in
// Kafka's order, then what concerns two.
func (c *Config) ValidateTopicConfigs(overrides map[string]string) error {
	var names []string
	for name := range overrides {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if topicIndex[name] == nil {
			return errorf("Unknown topic config name: %s", name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(turn(a), turn(b)) })
	for _, name := range names {
		if err := c.ValidateTopic(name, overrides[name]); err != nil {
			return err
		}
	}
	lag := func(name string) int64 {
		if raw, ok := overrides[name]; ok {
			v, _ := topicIndex[name].parse(raw) // checked above
			return v.num
		}
		return c.defaults[name].num
	}
	if low, high := lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms"); low > high {
		return errorf("conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", low, high)
	}
	return nil
}

// topicDefaults derives the defaults of topic settings. Where the broker has one setting for each of several units, the
// finest that is set counts.
func (l *loader) topicDefaults(c *Config) {
	c.defaults = make(map[string]value, len(topicTable))
	for i := range topicTable {
		s := &topicTable[i]
		if v, ok := l.parsed[s.From]; ok && s.From != "" {
			c.defaults[s.Name] = v
		} else if !s.Unset {
			v, err := s.parse(s.Default)
			if err != nil {
				panic(fmt.Sprintf("default of %s: %v", s.Name, err)) // the table is wrong
			}
			c.defaults[s.Name] = v
		}
	}
	const minute, hour = 60 * 1000, 60 * 60 * 1000
	finest := func(units ...unit) int64 {
		for _, u := range units {
			if v, ok := l.parsed[u.name]; ok {
				return v.num * u.ms
			}
		}
		return 0
	}
	retention := finest(unit{"log.retention.ms", 1}, unit{"log.retention.minutes", minute}, unit{"log.retention.hours", hour})
	roll := finest(unit{"log.roll.ms", 1}, unit{"log.roll.hours", hour})
	jitter := finest(unit{"log.roll.jitter.ms", 1}, unit{"log.roll.jitter.hours", hour})
	flush := finest(unit{"log.flush.interval.ms", 1}, unit{"log.flush.scheduler.interval.ms", 1})
	if retention == 0 {
		l.failKey("log.retention.ms", "log.retention.ms must be unlimited (-1) or, greater than or equal to 1")
	}
	if roll < 1 {
		l.failKey("log.roll.ms", "log.roll.ms must be greater than or equal to 1")
	}
	if jitter < 0 {
		l.failKey("log.roll.jitter.ms", "log.roll.jitter.ms must be greater than or equal to 0")
	}
	c.defaults["retention.ms"] = value{num: max(retention, -1)}
	c.defaults["segment.ms"] = value{num: roll}
	c.defaults["segment.jitter.ms"] = value{num: jitter}
	c.defaults["flush.ms"] = value{num: flush}
}

type unit struct {
	name string
	ms   int64
}
