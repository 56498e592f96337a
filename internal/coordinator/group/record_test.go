package group

import (
	"errors"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
)

// TestReplayOddGroups loads what no coordinator should have written, or one of long ago has.
func TestReplayOddGroups(t *testing.T) {
	member := func(id string, instance *string) stored.Member {
		return stored.Member{Member: id, Instance: instance, ClientID: "c", ClientHost: "/h", RebalanceTimeoutMs: 5000, SessionTimeoutMs: 10000, Subscription: subscriptionOf("t"), Assignment: []byte("x")}
	}
	for _, c := range []struct {
		name    string
		record  stored.Group
		state   State
		leader  string
		members int
	}{
		{"empty", stored.Group{ProtocolType: "consumer", Generation: 5, StateSinceMs: 7}, Empty, "", 0},
		{"a leader without members", stored.Group{ProtocolType: "consumer", Generation: 5, Leader: new("a")}, Empty, "", 0},
		{"no leader", stored.Group{ProtocolType: "consumer", Protocol: new("range"), Members: []stored.Member{member("a", nil), member("b", nil)}}, Stable, "a", 2},
		{"a leader who is no member", stored.Group{ProtocolType: "consumer", Protocol: new("range"), Leader: new("z"), Members: []stored.Member{member("a", nil)}}, Stable, "a", 1},
		{"no protocol", stored.Group{ProtocolType: "consumer", Leader: new("a"), Members: []stored.Member{member("a", nil)}}, Stable, "a", 1},
		{"a member twice", stored.Group{ProtocolType: "consumer", Protocol: new("range"), Members: []stored.Member{member("a", nil), member("a", nil)}}, Stable, "a", 1},
		{"an instance twice", stored.Group{ProtocolType: "consumer", Protocol: new("range"), Members: []stored.Member{member("a", new("i")), member("b", new("i"))}}, Stable, "a", 1},
		{"a member without an id", stored.Group{ProtocolType: "consumer", Protocol: new("range"), Members: []stored.Member{member("", nil)}}, Empty, "", 0},
	} {
		m := newTestMachine(Settings{})
		if err := m.Replay(coordinator.Record{Key: stored.AppendGroupKey(nil, "g"), Value: c.record.Append(nil)}); err != nil {
			t.Fatal(err)
		}
		m.Loaded(start, &coordinator.Out{})
		g := m.find("g")
		if g.state != c.state || g.leader != c.leader || len(g.members) != c.members || g.generation != c.record.Generation || g.since != c.record.StateSinceMs {
			t.Errorf("%s: %v, %q leads %d members", c.name, g.state, g.leader, len(g.members))
		}
		if what := broken(m, g); what != "" {
			t.Errorf("%s: %s", c.name, what)
		}
	}
}

func TestReplayTombstones(t *testing.T) {
	m := newTestMachine(Settings{})
	replay := func(key, value []byte) {
		t.Helper()
		if err := m.Replay(coordinator.Record{Key: key, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	key := stored.AppendGroupKey(nil, "g")
	replay(key, nil) // of a group that compaction has removed
	replay(key, (&stored.Group{ProtocolType: "consumer", Generation: 3}).Append(nil))
	replay(key, nil)
	if m.find("g") != nil {
		t.Error("the group has survived its tombstone")
	}
	// Offsets outlive it: they have tombstones of their own.
	replay(stored.AppendOffsetKey(nil, "g", "t", 0), (&stored.Offset{Offset: 5, LeaderEpoch: -1, ExpiresMs: -1}).Append(nil))
	replay(key, (&stored.Group{ProtocolType: "consumer", Generation: 3}).Append(nil))
	replay(key, nil)
	if g := m.find("g"); g == nil || g.generation != 0 || g.protocolType != "" || g.offsets.empty() {
		t.Errorf("the offsets have gone with the group: %+v", g)
	}
}

func TestReplayErrors(t *testing.T) {
	m := newTestMachine(Settings{})
	for name, r := range map[string]coordinator.Record{
		"offset": {Key: stored.AppendOffsetKey(nil, "g", "t", 0), Value: []byte{0, 4, 0}},
		"group":  {Key: stored.AppendGroupKey(nil, "g"), Value: []byte{0, 3, 0}},
	} {
		if err := m.Replay(r); !errors.Is(err, stored.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := m.Replay(coordinator.Record{Key: []byte{0, 3, 0, 1, 'g'}, Value: []byte("anything")}); err != nil {
		t.Errorf("a record of another kind of group: %v", err)
	}
}

// TestEndlessTimeouts sets a timer beyond what can be counted.
func TestEndlessTimeouts(t *testing.T) {
	m := newTestMachine(Settings{})
	m.begin(start.Add(time.Hour), &coordinator.Out{})
	var x timer
	m.set(&x, 1<<63-1, timerSession)
	if x.due <= 0 || m.timers.next(m.instant(start.Add(1<<62))) != nil {
		t.Errorf("it is due %d", x.due)
	}
}
