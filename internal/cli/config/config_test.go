package config

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/cli/output"
)

var (
	orders  = subject{kmsg.ConfigResourceTypeTopic, "orders"}
	one     = subject{kmsg.ConfigResourceTypeBroker, "1"}
	cluster = subject{kmsg.ConfigResourceTypeBroker, ""}
)

func value(s string) *string { return &s }

// described are settings as a broker sends them: set for the topic over one for the broker, set for the broker, and at the default.
func described() []setting {
	synonym := func(value string, source kmsg.ConfigSource) kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
		return kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{Name: "x", Value: &value, Source: source}
	}
	var all []setting
	for _, c := range []kmsg.DescribeConfigsResponseResourceConfig{
		{Name: "cleanup.policy", Value: value("delete"), Source: kmsg.ConfigSourceDefaultConfig,
			ConfigSynonyms: []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{synonym("delete", kmsg.ConfigSourceDefaultConfig)}},
		{Name: "follower.list", Value: value(""), Source: kmsg.ConfigSourceDefaultConfig},
		{Name: "retention.ms", Value: value("5"), Source: kmsg.ConfigSourceDynamicTopicConfig,
			ConfigSynonyms: []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{synonym("5", kmsg.ConfigSourceDynamicTopicConfig),
				synonym("7", kmsg.ConfigSourceStaticBrokerConfig), synonym("9", kmsg.ConfigSourceDefaultConfig)}},
		{Name: "secret", Source: kmsg.ConfigSourceDynamicTopicConfig, IsSensitive: true},
		{Name: "segment.bytes", Value: value("1"), Source: kmsg.ConfigSourceStaticBrokerConfig, ReadOnly: true,
			ConfigSynonyms: []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{synonym("1", kmsg.ConfigSourceStaticBrokerConfig), synonym("2", kmsg.ConfigSourceDefaultConfig)}},
	} {
		all = append(all, newSetting(c))
	}
	return all
}

func TestParseSubject(t *testing.T) {
	for words, want := range map[string]subject{"topic orders": orders, "broker 1": one, "broker all": cluster, "topic all": {kmsg.ConfigResourceTypeTopic, "all"},
		"group billing": {kmsg.ConfigResourceTypeGroupConfig, "billing"}, "client-metrics m": {kmsg.ConfigResourceTypeClientMetrics, "m"}} {
		kind, name, _ := strings.Cut(words, " ")
		got, err := parseSubject(kind, name)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", words, got, err)
		}
		if k, n := got.words(); k != kind || n != name {
			t.Errorf("%s: back as %s %s", words, k, n)
		}
	}
	for words, want := range map[string]string{
		"user u":   "user: want one of topic, broker, group, client-metrics; users, client ids and addresses have quotas: \"moldau quota\"",
		"colour c": "colour: want one of topic, broker, group, client-metrics", "group ": "group: a name is needed", "broker x": "broker x: want a broker's id, or all for what is set for all of them", "broker -1": "broker -1: want",
	} {
		kind, name, _ := strings.Cut(words, " ")
		if got, err := parseSubject(kind, name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, %v", words, got, err)
		}
	}
}

func TestPrintSettings(t *testing.T) {
	for format, want := range map[output.Format]string{
		output.Table: "SETTING         VALUE     SOURCE                DEFAULT\n" +
			"cleanup.policy  delete    DEFAULT_CONFIG        delete\n" +
			"follower.list   \"\"        DEFAULT_CONFIG        \"\"\n" +
			"retention.ms    5         DYNAMIC_TOPIC_CONFIG  7\n" +
			"secret          (hidden)  DYNAMIC_TOPIC_CONFIG  (hidden)\n" +
			"segment.bytes   1         STATIC_BROKER_CONFIG  2\n",
		output.Plain: "cleanup.policy\tdelete\tDEFAULT_CONFIG\tdelete\nfollower.list\t\"\"\tDEFAULT_CONFIG\t\"\"\nretention.ms\t5\tDYNAMIC_TOPIC_CONFIG\t7\n" +
			"secret\t(hidden)\tDYNAMIC_TOPIC_CONFIG\t(hidden)\nsegment.bytes\t1\tSTATIC_BROKER_CONFIG\t2\n",
	} {
		var b bytes.Buffer
		if err := printSettings(&b, format, orders, described()); err != nil || b.String() != want {
			t.Errorf("%s:\n%s, %v", format, b.String(), err)
		}
	}
	for format, want := range map[output.Format]string{
		output.Table: "nothing is set for all brokers; --all shows the defaults\n", output.Plain: "",
		output.JSON: "{\n  \"kind\": \"broker\",\n  \"name\": \"all\",\n  \"settings\": []\n}\n",
	} {
		var b bytes.Buffer
		if err := printSettings(&b, format, cluster, []setting{}); err != nil || b.String() != want {
			t.Errorf("nothing as %s: %q, %v", format, b.String(), err)
		}
	}
}

// TestJSON holds the names that programs read. Changing one breaks them.
func TestJSON(t *testing.T) {
	settings := described()
	settings[2].Doc = "d"
	for _, c := range []struct {
		document any
		want     string
	}{
		{description{"topic", "orders", settings[2:3]}, `{"kind":"topic","name":"orders","settings":[{"name":"retention.ms","value":"5","source":"DYNAMIC_TOPIC_CONFIG",` +
			`"default":"7","defaultSource":"STATIC_BROKER_CONFIG","readOnly":false,"sensitive":false,"doc":"d"}]}`},
		{settings[3], `{"name":"secret","value":null,"source":"DYNAMIC_TOPIC_CONFIG","default":null,"readOnly":false,"sensitive":true}`},
		{changed{"broker", "1", true, []change{{"a", nil, value("b")}}}, `{"kind":"broker","name":"1","dryRun":true,"changes":[{"name":"a","before":null,"after":"b"}]}`},
	} {
		got, err := json.Marshal(c.document)
		if err != nil || string(got) != c.want {
			t.Errorf("%T: %s, %v", c.document, got, err)
		}
	}
}

func TestNamed(t *testing.T) {
	got, err := named(orders, described(), []string{"segment.bytes", "cleanup.policy"})
	if err != nil || len(got) != 2 || got[0].Name != "segment.bytes" || got[1].Name != "cleanup.policy" {
		t.Errorf("%v, %v", got, err)
	}
	_, err = named(orders, described(), []string{"retention.mss", "colour"})
	want := "topic orders has no setting retention.mss; did you mean retention.ms?\n" +
		"topic orders has no setting colour; \"moldau config describe topic orders --all\" shows all"
	if err == nil || err.Error() != want {
		t.Errorf("error %v", err)
	}
}

func TestParseChanges(t *testing.T) {
	got, err := parseChanges([]string{"retention.ms=5", "cleanup.policy=compact,delete", "x=", "y=a=b"})
	if err != nil || len(got) != 4 || *got[0].After != "5" || *got[1].After != "compact,delete" || *got[2].After != "" || *got[3].After != "a=b" {
		t.Errorf("%v, %v", got, err)
	}
	for bad, want := range map[string]string{"retention.ms": "retention.ms: want SETTING=VALUE", "=5": "=5: want SETTING=VALUE", "a=1 a=2": "a=2: the setting is given twice"} {
		if _, err := parseChanges(strings.Fields(bad)); err == nil || err.Error() != want {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestPrepare(t *testing.T) {
	changes := []change{{Name: "retention.ms", After: value("6")}, {Name: "secret", After: value("s")}, {Name: "segment.byte", After: value("1")}}
	asked, hints, err := prepare(orders, described(), changes)
	if err != nil || len(asked) != 3 || *asked[0].Value != "6" || *asked[1].Value != "s" || asked[0].Op != kmsg.IncrementalAlterConfigOpSet {
		t.Errorf("%+v, %v", asked, err)
	}
	if *changes[0].Before != "5" || *changes[0].After != "6" || changes[1].After != nil || changes[2].Before != nil {
		t.Errorf("to print: %+v", changes)
	}
	if len(hints) != 1 || hints[0] != "segment.byte: did you mean segment.bytes?" {
		t.Errorf("hints %v", hints)
	}
	if _, hints, err = prepare(cluster, nil, []change{{Name: "x", After: value("1")}}); err != nil || len(hints) != 0 {
		t.Errorf("for all brokers: %v, %v", hints, err)
	}

	changes = []change{{Name: "retention.ms"}}
	asked, _, err = prepare(orders, described(), changes)
	if err != nil || asked[0].Op != kmsg.IncrementalAlterConfigOpDelete || asked[0].Value != nil || *changes[0].After != "7" {
		t.Errorf("%+v, %+v, %v", asked, changes, err)
	}
	for _, c := range []struct {
		s    subject
		name string
		want string
	}{
		{orders, "cleanup.policy", "cleanup.policy is not set for topic orders, so there is nothing to take away: it has its value from DEFAULT_CONFIG"},
		{orders, "segment.bytes", "segment.bytes is not set for topic orders, so there is nothing to take away: it has its value from STATIC_BROKER_CONFIG"},
		{orders, "retention", "topic orders has no setting retention; did you mean retention.ms?"},
		{one, "retention.ms", "retention.ms is not set for broker 1, so there is nothing to take away: it has its value from DYNAMIC_TOPIC_CONFIG"},
		{cluster, "x", "x is not set for all brokers"},
	} {
		if _, _, err := prepare(c.s, described(), []change{{Name: c.name}}); err == nil || err.Error() != c.want {
			t.Errorf("%v %s: %v", c.s, c.name, err)
		}
	}
}

func TestPrintChanges(t *testing.T) {
	done := changed{"topic", "orders", false, []change{{"a", nil, value("1")}, {"b", value("2"), value("")}}}
	var b bytes.Buffer
	if err := printChanges(&b, output.Table, done); err != nil || b.String() != "SETTING  BEFORE  AFTER\na        -       1\nb        2       \"\"\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	done.DryRun = true
	b.Reset()
	if err := printChanges(&b, output.Table, done); err != nil || !strings.HasPrefix(b.String(), "SETTING  BEFORE  WOULD BE\n") {
		t.Errorf("%q, %v", b.String(), err)
	}
}
