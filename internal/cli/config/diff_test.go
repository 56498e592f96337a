package config

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/output"
)

// answer is a setting as a broker describes it, with what gives it its value, the strongest first.
func answer(name string, synonyms ...kmsg.DescribeConfigsResponseResourceConfigConfigSynonym) setting {
	c := kmsg.DescribeConfigsResponseResourceConfig{Name: name, Source: kmsg.ConfigSourceDefaultConfig, ConfigSynonyms: synonyms}
	if len(synonyms) > 0 {
		c.Value, c.Source = synonyms[0].Value, synonyms[0].Source
	}
	return newSetting(c)
}

func by(source kmsg.ConfigSource, v string) kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
	return kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{Value: &v, Source: source}
}

const (
	static, original = kmsg.ConfigSourceStaticBrokerConfig, kmsg.ConfigSourceDefaultConfig
	dynamic, all     = kmsg.ConfigSourceDynamicBrokerConfig, kmsg.ConfigSourceDynamicDefaultBrokerConfig
	topical          = kmsg.ConfigSourceDynamicTopicConfig
)

func TestDifferences(t *testing.T) {
	broker := []setting{
		answer("log.retention.hours", by(static, "5"), by(original, "168")),
		answer("log.segment.bytes", by(dynamic, "9"), by(static, "8"), by(original, "7")),
		answer("min.insync.replicas", by(all, "1"), by(original, "1")),
		answer("compression.type", by(all, "zstd"), by(original, "producer")),
		answer("num.partitions", by(original, "1")),
		answer("log.retention.ms"),
		answer("broker.rack", by(static, "r")),
		{Name: "ssl.key.password", Source: static.String(), Sensitive: true},
	}
	topic := []setting{
		answer("segment.bytes", by(dynamic, "9"), by(static, "8"), by(original, "7")),
		answer("retention.ms", by(topical, "60000")),
		answer("cleanup.policy", by(topical, "compact"), by(original, "delete")),
		answer("compression.type", by(topical, "zstd"), by(all, "zstd"), by(original, "producer")),
	}
	group := []setting{answer("share.isolation.level", by(kmsg.ConfigSourceGroupConfig, "read_committed"), by(original, "read_uncommitted"))}
	var found []difference
	for _, one := range []struct {
		s        subject
		settings []setting
	}{{one, broker}, {orders, topic}, {subject{kmsg.ConfigResourceTypeGroupConfig, "g"}, group}} {
		found = append(found, one.s.differences(one.settings, broker)...)
	}
	var b bytes.Buffer
	want := "broker\t1\tbroker.rack\tr\t-\tSTATIC_BROKER_CONFIG\n" +
		"broker\tall\tcompression.type\tzstd\tproducer\tDYNAMIC_DEFAULT_BROKER_CONFIG\n" +
		"broker\t1\tlog.retention.hours\t5\t168\tSTATIC_BROKER_CONFIG\n" +
		"broker\t1\tlog.segment.bytes\t9\t7\tDYNAMIC_BROKER_CONFIG\n" +
		"broker\t1\tssl.key.password\t(hidden)\t(hidden)\tSTATIC_BROKER_CONFIG\n" +
		"topic\torders\tcleanup.policy\tcompact\tdelete\tDYNAMIC_TOPIC_CONFIG\n" +
		"topic\torders\tretention.ms\t60000\t18000000\tDYNAMIC_TOPIC_CONFIG\n" +
		"group\tg\tshare.isolation.level\tread_committed\tread_uncommitted\tGROUP_CONFIG\n"
	if err := printDifferences(&b, output.Plain, found); err != nil || b.String() != want {
		t.Errorf("%s, %v\nwant\n%s", b.String(), err, want)
	}
	b.Reset()
	if err := printDifferences(&b, output.Table, nil); err != nil || b.String() != "every setting is at its default\n" {
		t.Errorf("none: %q, %v", b.String(), err)
	}
	b.Reset()
	want = `[
  {
    "kind": "group",
    "name": "g",
    "setting": "share.isolation.level",
    "value": "read_committed",
    "default": "read_uncommitted",
    "source": "GROUP_CONFIG"
  }
]
`
	if err := printDifferences(&b, output.JSON, found[7:]); err != nil || b.String() != want {
		t.Errorf("as JSON: %s, %v", b.String(), err)
	}
}

// TestDefaultsInOtherUnits finds the default of a topic's setting where the broker has it in hours, or has it turned off.
func TestDefaultsInOtherUnits(t *testing.T) {
	for _, c := range []struct {
		setting, want string
		broker        []setting
	}{
		{"retention.ms", "604800000", []setting{answer("log.retention.hours", by(original, "168")), answer("log.retention.minutes"), answer("log.retention.ms")}},
		{"retention.ms", "120000", []setting{answer("log.retention.hours", by(original, "168")), answer("log.retention.minutes", by(static, "2"))}},
		{"retention.ms", "-1", []setting{answer("log.retention.hours", by(static, "-1"))}},
		{"segment.ms", "7", []setting{answer("log.roll.hours", by(original, "168")), answer("log.roll.ms", by(static, "7"))}},
		{"flush.ms", "9223372036854775807", []setting{answer("log.flush.scheduler.interval.ms", by(original, "9223372036854775807"))}},
		{"segment.ms", "-", nil},
		{"segment.bytes", "-", []setting{answer("log.segment.bytes", by(original, "1"))}}, // brokers say this one themselves
	} {
		of := []setting{answer(c.setting, by(topical, "5"))}
		if explainUnits(of, c.broker); of[0].defaultText() != c.want {
			t.Errorf("%s: %s, want %s", c.setting, of[0].defaultText(), c.want)
		}
	}
}

func TestSubjectArgs(t *testing.T) {
	c := setCommand(nil)
	if err := c.Args(c, []string{"topic", "orders", "a=1"}); err != nil {
		t.Error(err)
	}
	want := `want topic|broker|group|client-metrics NAME SETTING=VALUE..., such as "moldau config set topic orders retention.ms=86400000 cleanup.policy=compact,delete"`
	if err := c.Args(c, []string{"topic", "orders"}); err == nil || err.Error() != want {
		t.Errorf("too few words: %v", err)
	}
}
