package tools

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/java"
)

// TestConfigs changes settings of all brokers, of one, of a group and of a subscription to client metrics, and takes them back.
func TestConfigs(t *testing.T) {
	t.Parallel()
	name, last := broker.Name(t), fmt.Sprint(broker.Brokers())
	configs := func(args ...string) string {
		t.Helper()
		return java.Run(t, "", append([]string{"kafka.admin.ConfigCommand", "--bootstrap-server", broker.Addr()}, args...)...)
	}
	for _, c := range []struct {
		entity         []string
		setting, value string
		source         string
	}{
		{[]string{"--entity-type", "brokers", "--entity-default"}, "log.cleaner.backoff.ms", "16000", "DYNAMIC_DEFAULT_BROKER_CONFIG"},
		{[]string{"--entity-type", "brokers", "--entity-name", last}, "log.cleaner.io.buffer.load.factor", "0.8", "DYNAMIC_BROKER_CONFIG"},
		{[]string{"--entity-type", "groups", "--entity-name", name}, "consumer.session.timeout.ms", "50000", "DYNAMIC_GROUP_CONFIG"},
		{[]string{"--entity-type", "client-metrics", "--entity-name", name}, "interval.ms", "1000", "DYNAMIC_CLIENT_METRICS_CONFIG"},
	} {
		is := regexp.QuoteMeta(c.setting + "=" + c.value)
		configs(append(c.entity, "--alter", "--add-config", c.setting+"="+c.value)...)
		expect(t, configs(append(c.entity, "--describe")...), is+` sensitive=false synonyms=\{`+c.source+":"+is)
		configs(append(c.entity, "--alter", "--delete-config", c.setting)...)
		if out := configs(append(c.entity, "--describe")...); regexp.MustCompile(is).MatchString(out) {
			t.Errorf("%s is still set:\n%s", c.setting, out)
		}
	}
	wrong := java.Try(t, "", "kafka.admin.ConfigCommand", "--bootstrap-server", broker.Addr(), "--entity-type", "brokers", "--entity-name", last, "--alter", "--add-config", "node.id=9")
	if wrong.Status == 0 {
		t.Error("node.id was changed")
	}
}
