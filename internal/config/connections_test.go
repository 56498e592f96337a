package config

import (
	"maps"
	"strings"
	"testing"
)

func TestLimitsOfConnections(t *testing.T) {
	c, warnings, err := Load(Sources{FileName: "test", File: []byte(`
listeners=PLAINTEXT://127.0.0.1:9092,Outside://127.0.0.1:9093
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OUTSIDE:PLAINTEXT
max.connections=100
max.connection.creation.rate=50
max.connections.per.ip.overrides=10.0.0.1:5, [::1]:6,host:0
listener.name.outside.max.connections=7
listener.name.outside.max.connection.creation.rate=8
`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		if strings.Contains(w, "nothing in this release acts on it") {
			t.Errorf("warned: %s", w)
		}
	}
	if want := map[string]int{"10.0.0.1": 5, "::1": 6, "host": 0}; !maps.Equal(c.ConnectionsOfHosts, want) {
		t.Errorf("limits of hosts are %v, want %v", c.ConnectionsOfHosts, want)
	}
	check := func(c *Config, listener string, connections, rate int) {
		t.Helper()
		if n, r := c.ListenerLimits(listener); n != connections || r != rate {
			t.Errorf("%s has %d connections, %d a second; want %d, %d", listener, n, r, connections, rate)
		}
	}
	check(c, "PLAINTEXT", 100, 50)
	check(c, "OUTSIDE", 7, 8)
	now, err := c.With(map[string]string{"listener.name.outside.max.connections": "9", "max.connections": "101"},
		map[string]string{"listener.name.outside.max.connections": "10"})
	if err != nil {
		t.Fatal(err)
	}
	check(now, "PLAINTEXT", 101, 50)
	check(now, "OUTSIDE", 10, 8)
	if idle := now.Idle(); len(idle) != 0 {
		t.Errorf("idle are %q", idle)
	}
	for change, want := range map[string]string{
		"max.connections=0":                       "Invalid value org.apache.kafka.common.config.ConfigException: Invalid max.connections 0 for configuration Invalid dynamic configuration",
		"listener.name.outside.max.connections=0": "Invalid value org.apache.kafka.common.config.ConfigException: Invalid max.connections 0 for configuration Invalid dynamic configuration",
		"max.connection.creation.rate=0":          "Invalid value org.apache.kafka.common.config.ConfigException: Invalid max.connection.creation.rate 0 for configuration Invalid dynamic configuration",
		"max.connections.per.ip.overrides=abc":    "Error parsing configuration property 'max.connections.per.ip.overrides': begin 0, end -1, length 3",
		"max.connections.per.ip.overrides=a:b":    `For input string: "b"`,
		"max.connections=200":                     "",
		"listener.name.outside.max.connections=1": "",
	} {
		name, value, _ := strings.Cut(change, "=")
		got := ""
		if err := c.ValidateBroker(map[string]string{name: value}, nil, true); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", change, got, want)
		}
	}
}
