package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func entry(t *testing.T, all []Entry, name string) string {
	t.Helper()
	show := func(v *string) string {
		if v == nil {
			return "null"
		}
		return *v
	}
	for _, e := range all {
		if e.Name == name {
			var b strings.Builder
			fmt.Fprintf(&b, "%s from %d", show(e.Value), e.Source)
			for _, s := range e.Synonyms {
				fmt.Fprintf(&b, " %s=%s@%d", s.Name, show(s.Value), s.Source)
			}
			return b.String()
		}
	}
	return "absent"
}

// Values, sources and synonyms as Kafka 4.4.0 answers for the same settings.
func TestDescribeTopic(t *testing.T) {
	overrides := map[string]string{"retention.ms": "+7", "cleanup.policy": " compact , delete ", "segment.bytes": "2097152", "preallocate": "True"}
	for file, want := range map[string]map[string]string{
		"": {
			"retention.ms":                   "7 from 1 retention.ms=7@1",
			"cleanup.policy":                 "compact,delete from 1 cleanup.policy=compact,delete@1 log.cleanup.policy=delete@5",
			"preallocate":                    "true from 1 preallocate=true@1 log.preallocate=false@5",
			"segment.bytes":                  "2097152 from 1 segment.bytes=2097152@1 log.segment.bytes=1073741824@5",
			"segment.ms":                     "604800000 from 5",
			"flush.ms":                       "9223372036854775807 from 5",
			"min.insync.replicas":            "1 from 3 min.insync.replicas=1@3 min.insync.replicas=1@5",
			"min.cleanable.dirty.ratio":      "0.5 from 5 log.cleaner.min.cleanable.ratio=0.5@5",
			"max.message.bytes":              "1048588 from 5 message.max.bytes=1048588@5",
			"remote.storage.enable":          "false from 5",
			"internal.segment.bytes":         "absent",
			"durability":                     "disk from 5 log.durability=disk@5",
			"unclean.leader.election.enable": "false from 5 unclean.leader.election.enable=false@5",
		},
		"log.retention.hours=100\nlog.roll.ms=77\nlog.segment.bytes=3145728\nlog.durability=memory": {
			"retention.ms":  "7 from 1 retention.ms=7@1",
			"segment.ms":    "77 from 4 log.roll.ms=77@4 log.roll.hours=168@5",
			"segment.bytes": "2097152 from 1 segment.bytes=2097152@1 log.segment.bytes=3145728@4 log.segment.bytes=1073741824@5",
			"durability":    "memory from 4 log.durability=memory@4 log.durability=disk@5",
		},
	} {
		c, _ := load(t, file)
		all := c.DescribeTopic(overrides, 1)
		for name, line := range want {
			if got := entry(t, all, name); got != line {
				t.Errorf("%q %s: got %s, want %s", file, name, got, line)
			}
		}
	}
	if n := len(Default().DescribeTopic(nil, 1)); n != 38 { // Kafka's 37 and durability
		t.Errorf("%d settings", n)
	}
}

// TestMinISRByReplicas: min.insync.replicas of a topic goes by its replicas where nobody set it, and by nothing else where somebody did, be it to Kafka's default.
func TestMinISRByReplicas(t *testing.T) {
	one := map[string]string{minISR: "1"}
	for _, c := range []struct {
		what            string
		file            string
		cluster, topic  map[string]string
		set, source     int
		described, more string // of a topic whose replicas ask for one, and for two
	}{
		{"unset", "", nil, nil, 0, 5, "1 from 3 min.insync.replicas=1@3 min.insync.replicas=1@5", "2 from 5 min.insync.replicas=2@5"},
		{"file", "min.insync.replicas=1", nil, nil, 1, 4, "1 from 3 min.insync.replicas=1@3 min.insync.replicas=1@4 min.insync.replicas=1@5", ""},
		{"all brokers", "", one, nil, 1, 3, "1 from 3 min.insync.replicas=1@3 min.insync.replicas=1@5", ""},
		{"topic", "", nil, one, 1, 1, "1 from 1 min.insync.replicas=1@1 min.insync.replicas=1@3 min.insync.replicas=1@5", ""},
		{"three", "min.insync.replicas=3", nil, nil, 3, 4, "3 from 3 min.insync.replicas=3@3 min.insync.replicas=3@4 min.insync.replicas=1@5", ""},
		{"not sound", "", map[string]string{minISR: "0"}, nil, 0, 5, "", "2 from 5 min.insync.replicas=2@5"},
	} {
		base, _ := load(t, c.file)
		cfg, err := base.With(c.cluster, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Topic(c.topic).MinInsyncReplicas; got != c.set {
			t.Errorf("%s: %d, want %d", c.what, got, c.set)
		}
		if got := entry(t, cfg.DescribeTopic(c.topic, 1), minISR); got != c.described && c.described != "" {
			t.Errorf("%s, one replica: %s, want %s", c.what, got, c.described)
		}
		if c.more == "" {
			c.more = c.described
		}
		if got := entry(t, cfg.DescribeTopic(c.topic, 2), minISR); got != c.more {
			t.Errorf("%s, three replicas: %s, want %s", c.what, got, c.more)
		}
		if got := int(cfg.CreatedSource(minISR, c.topic, 2)); got != c.source && !(c.what == "file" || c.what == "three") {
			t.Errorf("%s, made with three replicas: from %d, want %d", c.what, got, c.source)
		}
		if same := base.SameTopics(cfg); same == (c.what == "all brokers") {
			t.Errorf("%s: topics are the same before and after: %v", c.what, same)
		}
	}
}

func TestDescribeBroker(t *testing.T) {
	c, _ := load(t, "log.retention.minutes=5\nlog.retention.hours=2\nnode.id=4\nssl.keystore.type=PKCS12\nproducer.id.expiration.check.interval.ms=9")
	all := c.DescribeBroker()
	for name, want := range map[string]string{
		"num.partitions":                           "1 from 5 num.partitions=1@5",
		"log.retention.ms":                         "null from 5",
		"log.retention.minutes":                    "5 from 4 log.retention.minutes=5@4 log.retention.hours=2@4 log.retention.hours=168@5",
		"log.retention.hours":                      "2 from 4 log.retention.hours=2@4 log.retention.hours=168@5",
		"node.id":                                  "4 from 4 node.id=4@4 node.id=1@5",
		"broker.id":                                "4 from 4 broker.id=4@4 broker.id=-1@5",
		"ssl.key.password":                         "null from 5",
		"advertised.listeners":                     "null from 5",
		"log.cleaner.io.max.bytes.per.second":      "1.7976931348623157E308 from 5 log.cleaner.io.max.bytes.per.second=1.7976931348623157E308@5",
		"producer.id.expiration.check.interval.ms": "9 from 4 producer.id.expiration.check.interval.ms=9@4 producer.id.expiration.check.interval.ms=600000@5",
		"server.max.startup.time.ms":               "absent",
	} {
		if got := entry(t, all, name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if n := len(Default().DescribeBroker()); n != 351 { // Kafka's 350 and log.durability
		t.Errorf("%d settings", n)
	}
}

func TestTable(t *testing.T) {
	for _, table := range [][]Setting{brokerTable, topicTable} {
		seen := map[string]bool{}
		for _, s := range table {
			if seen[s.Name] {
				t.Errorf("%s is in the table twice", s.Name)
			}
			seen[s.Name] = true
			if !s.Unset {
				if v, err := s.parse(s.Default); err != nil || s.format(v) != s.Default {
					t.Errorf("default %q of %s reads as %q, %v", s.Default, s.Name, s.format(v), err)
				}
			}
			if s.Doc == "" || !strings.HasSuffix(s.Doc, ".") || strings.Contains(s.Doc, "|") {
				t.Errorf("doc line of %s: %q", s.Name, s.Doc)
			}
			if s.From != "" && brokerIndex[s.From] == nil {
				t.Errorf("%s follows %s, which is unknown", s.Name, s.From)
			}
			if removed(s.Name) {
				t.Errorf("%s is known and passed over", s.Name)
			}
		}
	}
}

func TestPageIsFresh(t *testing.T) {
	const path = "../../docs/configuration.md"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != Page() {
		t.Errorf("%s is stale: run go generate ./internal/docgen", path)
	}
}

func TestFormatDouble(t *testing.T) {
	for want, f := range map[string]float64{"0.5": 0.5, "2.0": 2, "1.0E7": 1e7, "1.0E-4": 0.0001, "1.7976931348623157E308": 1.7976931348623157e308, "0.0": 0} {
		if got := formatDouble(f); got != want {
			t.Errorf("%v prints %s, want %s", f, got, want)
		}
	}
}
