package group

import (
	"strings"
	"testing"
)

func TestSubscription(t *testing.T) {
	for _, c := range []struct {
		name, bytes, topics string
		bad                 bool
	}{
		{"two topics, no user data", "\x00\x00\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff\xff\xff\xff", "a bc", false},
		{"version 3 with owned partitions, a generation and a rack", "\x00\x03\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x02xy\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x05\x00\x01r", "a", false},
		{"no topics", "\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff", "", false},
		{"a version nobody knows", "\x7f\xff\x00\x00\x00\x01\x00\x00\xff\xff\xff\xff", " ", false},
		{"nothing", "", "", true},
		{"a version alone", "\x00\x00", "", true},
		{"a count that is null", "\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", "", true},
		{"more topics than bytes", "\x00\x00\x7f\xff\xff\xff\x00\x01a\xff\xff\xff\xff", "", true},
		{"a name that is null", "\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff", "", true},
		{"a name that is cut off", "\x00\x00\x00\x00\x00\x01\x00\x05ab", "", true},
		{"no user data at all", "\x00\x00\x00\x00\x00\x01\x00\x01a", "", true},
		{"user data that are cut off", "\x00\x00\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x03xy", "", true},
	} {
		topics := map[string]struct{}{}
		ok := appendTopics(topics, []byte(c.bytes))
		if ok == c.bad || ok && strings.TrimSpace(strings.Join(sortedKeys(topics), " ")) != strings.TrimSpace(c.topics) {
			t.Errorf("%s: %v %v", c.name, topics, ok)
		}
	}
}

func TestSubscribes(t *testing.T) {
	with := func(metadata ...string) *group {
		g := &group{state: Stable, protocolType: consumerType, protocol: new("p")}
		for i, md := range metadata {
			g.add(&member{id: string(rune('a' + i)), protocols: []Protocol{{"o", nil}, {"p", []byte(md)}}})
		}
		g.subscription = subscription{} // as after the end of a rebalance
		return g
	}
	good := string(subscriptionOf("a", "b"))
	preparing := with(good)
	preparing.protocol = nil // before its first generation
	other := with(good)
	other.protocolType = "connect"
	for _, c := range []struct {
		name  string
		g     *group
		a, z  bool
		known bool
	}{
		{"consumers", with(good, string(subscriptionOf("c"))), true, false, true},
		{"one member makes no sense", with(good, "nonsense"), true, true, false},
		{"no members", &group{protocolType: consumerType}, false, false, true},
		{"no protocol yet", preparing, true, true, false},
		{"simple", &group{}, false, false, false},
		{"connect", other, false, false, false},
	} {
		_, known := c.g.subscribed()
		if a, z := c.g.subscribes("a"), c.g.subscribes("z"); a != c.a || z != c.z || known != c.known {
			t.Errorf("%s: subscribes to a %v, to z %v, known %v", c.name, a, z, known)
		}
	}
}

func FuzzSubscription(f *testing.F) {
	f.Add(subscriptionOf("a", "b"))
	f.Add([]byte("\x00\x03\x7f\xff\xff\xff\x00\x01a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		topics := map[string]struct{}{}
		appendTopics(topics, b)
		size := 0
		for name := range topics {
			size += 2 + len(name)
		}
		if size > len(b) {
			t.Errorf("%d bytes give topics of %d", len(b), size)
		}
	})
}
