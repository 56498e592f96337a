package config

import (
	"strconv"
	"strings"
)

// parseHostLimits reads HOST:LIMIT, separated by commas. A host may have colons itself.
func parseHostLimits(text string) (map[string]int, error) {
	limits := map[string]int{}
	if strings.TrimSpace(text) == "" {
		return limits, nil
	}
	for entry := range strings.SplitSeq(text, ",") {
		at := strings.LastIndexByte(entry, ':')
		if at < 0 {
			return nil, errorf("Error parsing configuration property 'max.connections.per.ip.overrides': begin 0, end -1, length %d", len(entry))
		}
		limit, err := strconv.ParseInt(strings.TrimSpace(entry[at+1:]), 10, 32)
		if err != nil {
			return nil, errorf("For input string: %q", strings.TrimSpace(entry[at+1:]))
		}
		limits[strings.Trim(strings.TrimSpace(entry[:at]), "[]")] = int(limit)
	}
	return limits, nil
}

func hostLimits(_ *Setting, v *value) error {
	_, err := parseHostLimits(v.text)
	return err
}

// perListenerLimits are the settings that act for one listener under its prefix.
var perListenerLimits = []string{"max.connections", "max.connection.creation.rate"}

// actsForListener says whether a setting under the prefix of a listener does anything in this release.
func actsForListener(key string) bool {
	if !strings.HasPrefix(key, "listener.name.") {
		return false
	}
	for _, name := range perListenerLimits {
		if strings.HasSuffix(key, "."+name) && strings.Count(strings.TrimSuffix(key, "."+name), ".") == 2 {
			return true
		}
	}
	return false
}

// ListenerLimits returns how many connections a listener may have, and how many new ones a second: its own settings where there are some,
// otherwise those of all listeners.
func (c *Config) ListenerLimits(listener string) (connections, rate int) {
	return c.ofListener(listener, "max.connections"), c.ofListener(listener, "max.connection.creation.rate")
}

func (c *Config) ofListener(listener, name string) int {
	key := "listener.name." + strings.ToLower(listener) + "." + name
	for _, layer := range []map[string]string{c.own, c.cluster} {
		if text, ok := layer[key]; ok {
			if v, err := brokerIndex[name].parse(text); err == nil { // another release may have let it in
				return int(v.num)
			}
		}
	}
	if v, ok := c.set[key]; ok {
		if v, err := brokerIndex[name].parse(v.text); err == nil {
			return int(v.num)
		}
	}
	return int(c.Number(name))
}
