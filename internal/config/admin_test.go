package config

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestAdmin(t *testing.T) {
	if a := Default().Admin(); a.Listener != nil || a.SeriesMax != 1000 || len(a.Hosts) != 0 {
		t.Errorf("by default %+v", a)
	}
	c, warnings := load(t, "admin.listener=broker-1:9644\nadmin.hosts=metrics.example,other\nadmin.metrics.series.max=7\nadvertised.listeners=PLAINTEXT://kafka.example:9092")
	a := c.Admin()
	if a.Listener == nil || a.Listener.Address() != "broker-1:9644" || a.SeriesMax != 7 ||
		!slices.Equal(a.Hosts, []string{"broker-1", "kafka.example", "metrics.example", "other"}) {
		t.Errorf("%+v", a)
	}
	if text := strings.Join(warnings, "\n"); !strings.Contains(text, "admin.listener broker-1:9644 is open to other machines") {
		t.Errorf("an address that others reach is not told of: %s", text)
	}
	c, warnings, err := Load(Sources{Environment: []string{"KAFKA_ADMIN_LISTENER=[::1]:1", "KAFKA_ADMIN_METRICS_SERIES_MAX=9"}, Flags: Flags{Admin: "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Admin(); a.Listener.Address() != "127.0.0.1:0" || a.SeriesMax != 9 {
		t.Errorf("a flag and the environment: %+v", a)
	}
	if len(warnings) > 0 {
		t.Errorf("warned of loopback: %v", warnings)
	}
	for _, bad := range []string{"admin.listener=9644", "admin.listener=:", "admin.listener=http://127.0.0.1:9644", "admin.listener=127.0.0.1:65536",
		"admin.metrics.series.max=-1", "admin.metrics.series.max=100001", "logging.format=xml", "logging.level=loud", "admin.listner=127.0.0.1:1"} {
		if _, _, err := Load(Sources{FileName: "f", File: []byte(bad)}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestLogging(t *testing.T) {
	if l := Default().Logging(); l.JSON || l.Level != slog.LevelInfo {
		t.Errorf("by default %+v", l)
	}
	c, _ := load(t, "logging.format=json\nlogging.level=debug")
	if l := c.Logging(); !l.JSON || l.Level != slog.LevelDebug {
		t.Errorf("%+v", l)
	}
}

// What Kafka does not know is not in what DescribeConfigs lists, unless it is set.
func TestOwnSettingsAreListedWhereSet(t *testing.T) {
	listed := func(c *Config) (names []string) {
		for _, e := range c.DescribeBroker() {
			if strings.HasPrefix(e.Name, "admin.") || strings.HasPrefix(e.Name, "logging.") {
				names = append(names, e.Name)
			}
		}
		return names
	}
	if names := listed(Default()); len(names) > 0 {
		t.Errorf("by default %v", names)
	}
	c, _ := load(t, "admin.listener=127.0.0.1:1\nlogging.level=warn")
	if names := listed(c); !slices.Equal(names, []string{"admin.listener", "logging.level"}) {
		t.Errorf("set: %v", names)
	}
}
