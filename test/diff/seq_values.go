package diff

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicSetting is a setting of a topic with values at and behind the ends of what it takes.
type topicSetting struct {
	name   string
	values []string
}

// Values that every setting of a type is tried with, whatever its range. Java reads numbers with a sign, and not with an exponent.
var (
	oddInts    = []string{"", " ", "x", "1.5", "1e3", "+5", " 5 ", "0x10", "2147483648", "-2147483649"}
	oddLongs   = []string{"", "x", "1.5", "+5", " 5 ", "5L", "9223372036854775808", "-9223372036854775809"}
	oddDoubles = []string{"", "x", "1,5", "NaN", "1e-3", " 0.5 ", ".5", "0x1p-1", "0.5f", "Infinity", "-0"}
	oddBools   = []string{"", "yes", "1", "TRUE", " false ", "maybe"}
	oddWords   = []string{"", "x", "Producer", " producer "}
	oddLists   = []string{"", ",", "x", "delete,", " compact , delete ", "delete,delete", "delete,x", "Delete"}
)

// topicSettings lists every setting that Kafka describes for a topic. A test holds the list against the recording.
func topicSettings() []topicSetting {
	set := func(name string, odd []string, own ...string) topicSetting {
		return topicSetting{name, append(own, odd...)}
	}
	return []topicSetting{
		set("cleanup.policy", oddLists, "delete", "compact", "compact,delete"),
		set("compression.gzip.level", oddInts, "-2", "-1", "0", "1", "9", "10"),
		set("compression.lz4.level", oddInts, "0", "1", "17", "18"),
		set("compression.type", oddWords, "producer", "none", "uncompressed", "gzip", "GZIP", "brotli"),
		set("compression.zstd.level", oddInts, "-131073", "-131072", "22", "23"),
		set("delete.retention.ms", oddLongs, "-1", "0"),
		set("errors.deadletterqueue.group.enable", oddBools, "true"),
		set("file.delete.delay.ms", oddLongs, "-1", "0"),
		set("flush.messages", oddLongs, "0", "1"),
		set("flush.ms", oddLongs, "-1", "0"),
		set("follower.replication.throttled.replicas", nil, "", "*", "0:1", "0:1,1:1", "0", "0:", ":1", "*,0:1", "0:1,", " 0:1 , 1:1 ", "a:b", "-1:1"),
		set("index.interval.bytes", oddInts, "-1", "0"),
		set("leader.replication.throttled.replicas", nil, "", "*", "0:1", "0:1,1:1", "0", "0:", ":1", "*,0:1", "0:1,", " 0:1 , 1:1 ", "a:b", "-1:1"),
		set("local.retention.bytes", oddLongs, "-3", "-2", "-1", "0", "1"),
		set("local.retention.ms", oddLongs, "-3", "-2", "-1", "0", "1", "604800001"),
		set("max.compaction.lag.ms", oddLongs, "0", "1"),
		set("max.decompressed.message.bytes", oddInts, "0", "1", "2147483639", "2147483640", "2147483647"),
		set("max.message.bytes", oddInts, "-1", "0"),
		set("message.timestamp.after.max.ms", oddLongs, "-1", "0"),
		set("message.timestamp.before.max.ms", oddLongs, "-1", "0"),
		set("message.timestamp.type", oddWords, "CreateTime", "LogAppendTime", "createtime", "NoTimestampType"),
		set("min.cleanable.dirty.ratio", oddDoubles, "-0.1", "0", "1", "1.1"),
		set("min.compaction.lag.ms", oddLongs, "-1", "0", "9223372036854775807"),
		set("min.insync.replicas", oddInts, "0", "1", "2147483647"),
		set("preallocate", oddBools, "true"),
		set("remote.copy.lag.bytes", oddLongs, "-2", "-1", "0"),
		set("remote.copy.lag.ms", oddLongs, "-2", "-1", "0"),
		set("remote.log.copy.disable", oddBools, "true"),
		set("remote.log.delete.on.disable", oddBools, "true"),
		set("remote.storage.enable", oddBools, "false", "true"),
		set("retention.bytes", oddLongs, "-2", "-1", "0"),
		set("retention.ms", oddLongs, "-2", "-1", "0", "1"),
		set("segment.bytes", oddInts, "-1", "0", "14", "1048575", "1048576", "2147483647"),
		set("segment.index.bytes", oddInts, "-1", "0", "3", "4"),
		set("segment.jitter.ms", oddLongs, "-1", "0"),
		set("segment.ms", oddLongs, "0", "1"),
		set("unclean.leader.election.enable", oddBools, "true"),
	}
}

// oddSets are settings that are refused, or not, by what stands beside them, and those that Kafka once had.
var oddSets = [][]string{
	{"min.compaction.lag.ms=10", "max.compaction.lag.ms=9"},
	{"min.compaction.lag.ms=10", "max.compaction.lag.ms=10"},
	{"retention.ms=1000", "local.retention.ms=1001"},
	{"retention.bytes=1000", "local.retention.bytes=1001"},
	{"retention.ms=x", "cleanup.policy=x"},
	{"retention.ms=x", "no.such=1"},
	{"remote.log.copy.disable=true", "remote.log.delete.on.disable=true"},
	{"cleanup.policy=compact", "remote.storage.enable=true"},
	{"message.format.version=3.0-IV1"},
	{"message.downconversion.enable=true"},
	{"message.timestamp.difference.max.ms=1"},
	{"Retention.ms=1"},
	{"retention.ms =1"},
	{"log.retention.ms=1"},
	{"=1"},
}

// keptValues are values that are taken and may be kept in another form.
var keptValues = []string{
	"cleanup.policy= compact , delete ", "compression.gzip.level=+5", "flush.ms= 5 ", "min.cleanable.dirty.ratio=1e-1", "preallocate=TRUE",
	"follower.replication.throttled.replicas= 0:1 , 1:1 ", "leader.replication.throttled.replicas=*", "message.timestamp.type=LogAppendTime",
	"retention.ms=0000060000", "segment.bytes=+1048576", "unclean.leader.election.enable= True ",
}

// refusedSetting finds the setting that a refusal names.
var refusedSetting = regexp.MustCompile(`configuration ([a-z0-9.]+):`)

// valueSequences try every setting of a topic with every odd value, at a topic that is there and at one that is to be made. Nothing is
// kept by the first two: what is asked is whether it would be taken, and if not with which words. The third gives every setting a wrong
// value at once and takes away the one that is named, until none is left.
func valueSequences() []Case {
	each := func(x *Script, try func(configs ...string)) {
		for _, s := range topicSettings() {
			for _, v := range s.values {
				x.Note(fmt.Sprintf("%s=%q", s.name, v))
				try(s.name + "=" + v)
			}
			x.Note(s.name + " null")
			try(s.name)
		}
		for _, set := range oddSets {
			x.Note(strings.Join(set, ", "))
			try(set...)
		}
	}
	return []Case{
		sequence("topic-values-alter", func(x *Script) {
			t := x.Topic("a", 1)
			each(x, func(configs ...string) {
				var ops []kmsg.IncrementalAlterConfigsRequestResourceConfig
				for _, kv := range configs {
					ops = append(ops, alter(opSet, kv))
				}
				req := alterConfigs(1, resourceTopic, t.Name, ops...)
				req.ValidateOnly = true
				x.Do(req)
			})
		}),
		sequence("topic-values-create", func(x *Script) {
			each(x, func(configs ...string) {
				// Version 4 leaves the settings of the topic out of the answer.
				req := createTopics(4, newTopic(x.Name("a"), 1, 1, configs...))
				req.ValidateOnly = true
				x.Do(req)
			})
		}),
		sequence("topic-values-order", func(x *Script) {
			t := x.Topic("a", 1)
			left := map[string]bool{}
			for _, s := range topicSettings() {
				left[s.name] = true
			}
			for len(left) > 0 {
				var ops []kmsg.IncrementalAlterConfigsRequestResourceConfig
				for _, name := range slices.Sorted(maps.Keys(left)) {
					ops = append(ops, alter(opSet, name+"=x"))
				}
				resp, ok := x.Do(alterConfigs(1, resourceTopic, t.Name, ops...)).(*kmsg.IncrementalAlterConfigsResponse)
				if !ok || len(resp.Resources) != 1 || resp.Resources[0].ErrorMessage == nil {
					return
				}
				named := refusedSetting.FindStringSubmatch(*resp.Resources[0].ErrorMessage)
				if named == nil || !left[named[1]] {
					return
				}
				delete(left, named[1])
			}
		}),
		sequence("topic-values-kept", func(x *Script) {
			made := createTopics(7, newTopic(x.Name("a"), 1, 1, keptValues...))
			x.Do(made)
			x.await(x.Name("a"), 1)
			var names []string
			var ops []kmsg.IncrementalAlterConfigsRequestResourceConfig
			for _, kv := range keptValues {
				name, _ := cutConfig(kv)
				names, ops = append(names, name), append(ops, alter(opSet, kv))
			}
			x.shows(resourceTopic, x.Name("a"), names...)
			t := x.Topic("b", 1)
			x.change(resourceTopic, t.Name, ops...)
			x.shows(resourceTopic, t.Name, names...)
		}),
		sequence("describe-synonyms", func(x *Script) {
			x.shows(resourceBroker, "1")
			x.shows(resourceGroup, x.Name("g"))
			x.shows(resourceClient, x.Name("m"))
		}),
	}
}
