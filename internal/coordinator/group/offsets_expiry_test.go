package group

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// The rules of KIP-211, each with the offset that just expires and the one that just does not. Checks are every minute.
func TestExpiry(t *testing.T) {
	const retention = time.Hour
	commitAs := func(b *book, member string, generation int32, retention time.Duration, topic string, partition int32) {
		r := &CommitRequest{Group: "g", Member: member, Generation: generation, Retention: retention,
			Topics: []CommitTopic{{Topic: topic, Partitions: []CommitPartition{{Partition: partition, Offset: 1}}}}}
		if c := b.ask(r).(*CommitResponse).Topics[0].Partitions[0].Code; c != protocol.None {
			b.t.Fatal(c)
		}
	}
	for _, c := range []struct {
		name   string
		before func(b *book)
		left   string // an hour and a check after the start
		gone   bool   // and the group with it
	}{
		{"nothing is committed", func(b *book) {}, "", true},
		{"without membership: since the commit", func(b *book) {
			b.commit("g", "t", 1, 1, 0)
			b.wait(10 * time.Minute)
			b.commit("g", "t", 1, 1, 1)
		}, "g/t-1=1", false},
		{"without membership: all are old", func(b *book) { b.commit("g", "t", 1, 1, 0, 1) }, "", true},
		{"empty: since the group is empty", func(b *book) {
			b.joined("connect")
			commitAs(b, b.find("g").leader, 1, -1, "t", 0)
			b.alive(30 * time.Minute)
			b.leave()
		}, "g/t-0=1", false},
		{"empty for long", func(b *book) {
			b.joined("connect")
			commitAs(b, b.find("g").leader, 1, -1, "t", 0)
			b.leave()
		}, "", true},
		{"empty, and committed to since", func(b *book) {
			b.joined("consumer")
			commitAs(b, b.find("g").leader, 1, -1, "t", 1)
			b.leave()
			b.wait(30 * time.Minute)
			commitAs(b, "", -1, -1, "t", 0)
		}, "", true},
		{"empty, and since when is not known", func(b *book) {
			b.commit("g", "t", 1, 1, 0)
			b.wait(30 * time.Minute)
			b.commit("g", "t", 1, 1, 1)
			g := b.find("g")
			g.protocolType, g.since = consumerType, stored.None
		}, "g/t-1=1", false},
		{"stable: topics that nobody reads", func(b *book) {
			b.joined("consumer") // reads "topic"
			commitAs(b, b.find("g").leader, 1, -1, "topic", 0)
			commitAs(b, b.find("g").leader, 1, -1, "old", 0)
			b.alive(30 * time.Minute)
			commitAs(b, b.find("g").leader, 1, -1, "old", 1)
		}, "g/old-1=1 g/topic-0=1", false},
		{"stable, but it is not known what they read", func(b *book) {
			b.joined("consumer")
			b.find("g").members[0].protocols[0].Metadata = []byte("nonsense")
			b.find("g").subscription = subscription{}
			commitAs(b, b.find("g").leader, 1, -1, "old", 0)
		}, "g/old-0=1", false},
		{"stable, and no consumers", func(b *book) {
			b.joined("connect")
			commitAs(b, b.find("g").leader, 1, 0, "old", 0)
		}, "g/old-0=1", false},
		{"in a rebalance", func(b *book) {
			b.joined("consumer")
			commitAs(b, b.find("g").leader, 1, -1, "old", 0)
			b.find("g").state = PreparingRebalance
		}, "g/old-0=1", false},
		{"with an expiry of its own", func(b *book) {
			commitAs(b, "", -1, 0, "t", 0)
			commitAs(b, "", -1, 61*time.Minute, "t", 1)
			commitAs(b, "", -1, 61*time.Minute+time.Millisecond, "t", 2)
			commitAs(b, "", -1, math.MaxInt64, "t", 3)
		}, "g/t-2=1 g/t-3=1", false},
		{"with an expiry, then without", func(b *book) {
			commitAs(b, "", -1, 0, "t", 0)
			b.wait(30 * time.Second)
			commitAs(b, "", -1, -1, "t", 0)
			b.wait(31 * time.Minute)
			commitAs(b, "", -1, -1, "t", 0)
		}, "g/t-0=1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBook(t)
			b.settings.OffsetsRetention, b.settings.RetentionCheck = retention, time.Minute
			b.scheduleCheck(b.now)
			b.findOrCreate("g")
			c.before(b)
			b.alive(start.Add(62*time.Minute - time.Millisecond).Sub(b.now)) // the last check is after 61 minutes
			if got := short(b.Machine); got != c.left {
				t.Errorf("left are %q, want %q", got, c.left)
			}
			if gone := b.find("g") == nil; gone != c.gone {
				t.Errorf("gone: %v", gone)
			}
			if got, want := held(b.reload(b.log)), held(b.Machine); got != want {
				t.Errorf("a load gives\n%swant\n%s", got, want)
			}
		})
	}
}

// An offset expires when the retention is over, not a millisecond before.
func TestExpiryToTheMillisecond(t *testing.T) {
	b := newBook(t)
	b.settings.OffsetsRetention = time.Hour
	b.commit("g", "t", 1, 1, 0)
	g := b.find("g")
	x := g.offsets.topics["t"]
	for after, want := range map[time.Duration]bool{time.Hour - time.Millisecond: false, time.Hour: true} {
		b.Machine.now = start.Add(after)
		if got := b.expired(g, x, x.at(0)); got != want {
			t.Errorf("after %v: %v", after, got)
		}
	}
}

// joined makes group g stable, with one member that reads "topic".
func (b *book) joined(protocolType string) {
	delete(b.groups, "g")
	_, records := stable(b.Machine, "g", 1)
	b.log = append(b.log, records...)
	b.find("g").protocolType = protocolType
}

// alive waits while the members of group g send heartbeats, if there are any.
func (b *book) alive(d time.Duration) {
	for end := b.now.Add(d); b.now.Before(end); {
		b.wait(min(20*time.Second, end.Sub(b.now)))
		if g := b.find("g"); g != nil && len(g.members) > 0 && g.state == Stable {
			b.ask(&HeartbeatRequest{Group: "g", Member: g.leader, Generation: g.generation})
		}
		if g := b.find("g"); g != nil && g.state == PreparingRebalance {
			b.Machine.now = b.now
			b.renew(g, g.members[0])
		}
	}
}

func (b *book) leave() {
	b.ask(&LeaveRequest{Group: "g", Members: []LeaveMember{{Member: b.find("g").leader}}})
	if s := b.find("g").state; s != Empty {
		b.t.Fatal(s)
	}
}

// A group without offsets whose first member is on its way waits for it.
func TestExpiryLeavesPending(t *testing.T) {
	b := newBook(t)
	b.settings.RetentionCheck = time.Second
	b.scheduleCheck(b.now)
	r := b.ask(&JoinRequest{Group: "g", SessionTimeout: 10 * time.Second, RebalanceTimeout: time.Minute, ProtocolType: consumerType,
		Protocols: []Protocol{{"range", nil}}, RequireMemberID: true}).(*JoinResponse)
	if r.Code != protocol.MemberIDRequired {
		t.Fatal(r.Code)
	}
	if b.wait(5 * time.Second); b.find("g") == nil {
		t.Error("the group went while a member had an id and no place")
	}
	if b.wait(15 * time.Second); b.find("g") != nil {
		t.Error("a group that nobody joined is still there")
	}
}

func TestTopicsDeleted(t *testing.T) {
	b := newBook(t)
	b.commit("g", "t", 1, 1, 0, 1)
	b.commit("g", "u", 3, 1, 0)
	b.commit("h", "t", 1, 1, 0)
	b.commit("h", "t", 2, 1, 1) // of a new topic of that name
	b.ask(&CommitRequest{Group: "h", Generation: -1, Retention: time.Hour, Topics: []CommitTopic{{Topic: "t", ID: idOf(1), Partitions: []CommitPartition{{Partition: 2}}}}})
	before := len(b.log)
	b.ask(&TopicsDeleted{Topics: []DeletedTopic{{"t", idOf(1)}, {"x", idOf(7)}}})
	if got, want := short(b.Machine), "g/u-0=1 h/t-1=1"; got != want {
		t.Errorf("left are %q", got)
	}
	if n := len(b.log) - before; n != 4 {
		t.Errorf("%d records", n)
	}
	b.ask(&TopicsDeleted{Topics: []DeletedTopic{{"t", idOf(2)}, {"t", idOf(9)}, {"u", idOf(3)}}})
	if got := short(b.Machine); got != "" {
		t.Errorf("left are %q", got)
	}
	if b.find("g") == nil || b.find("h") == nil {
		t.Error("a group went before the check")
	}
	if got, want := held(b.reload(b.log)), held(b.Machine); got != want {
		t.Errorf("a load gives\n%swant\n%s", got, want)
	}
}

func TestTopicsKnown(t *testing.T) {
	b := newBook(t)
	b.commit("g", "same", 1, 1, 0, 1)
	b.commit("g", "gone", 2, 1, 0)
	b.commit("h", "new", 3, 1, 0)
	b.commit("h", "new", 4, 1, 1)
	b.ask(&CommitRequest{Group: "h", Generation: -1, Retention: time.Hour, Topics: []CommitTopic{{Topic: "new", Partitions: []CommitPartition{{Partition: 2}}},
		{Topic: "gone", Partitions: []CommitPartition{{Partition: 2}}}}})
	known := map[string]uuid.UUID{"same": idOf(1), "new": idOf(4)}
	b.ask(&TopicsKnown{ID: func(topic string) (uuid.UUID, bool) { id, ok := known[topic]; return id, ok }})
	if got, want := short(b.Machine), "g/same-0=1 g/same-1=1 h/new-1=1 h/new-2=0"; got != want {
		t.Errorf("left are %q", got)
	}
	if got, want := held(b.reload(b.log)), held(b.Machine); got != want {
		t.Errorf("a load gives\n%swant\n%s", got, want)
	}
}

// The end of a topic that a thousand groups read, or of one read by a group with a monstrous name, is written in steps of a bounded
// size, and other calls come in between.
func TestSweepInSteps(t *testing.T) {
	for _, c := range []struct {
		groups, partitions, name int
	}{{1000, 20, 20}, {1, 60_000, 1}, {3, 30, math.MaxInt16}} {
		b := newBook(t)
		var all []int32
		for i := range c.partitions {
			all = append(all, int32(i))
		}
		name := func(i int) string { return fmt.Sprintf("%d%s", i, strings.Repeat("x", c.name-1)) }
		for i := range c.groups {
			b.commit(name(i), "t", 1, 1, all...)
			b.commit(name(i), "u", 2, 1, 0)
		}
		left := func() (n int) {
			for _, g := range b.groups {
				n += g.offsets.count()
			}
			return n
		}
		out, steps, due := &coordinator.Out{}, 0, b.Due()
		b.Step(b.now, coordinator.NewCall(&TopicsDeleted{Topics: []DeletedTopic{{"t", idOf(1)}}}, nil), out)
		for ; ; steps++ {
			size := 0
			for _, r := range out.Records {
				size += len(r.Key) + len(r.Value)
			}
			if size > sweepBytes+math.MaxInt16+offsetOverhead+10 {
				t.Fatalf("%+v: %d bytes in step %d", c, size, steps)
			}
			if b.Due() == due {
				break // nothing is left but the next check
			}
			if out = (&coordinator.Out{}); !b.Due().After(b.now) {
				t.Fatalf("%+v: no pause before step %d", c, steps)
			}
			b.now = b.Due()
			if steps == 1 { // somebody else's turn; it is kept, being of a new topic
				b.commit(name(c.groups-1), "t", 9, 7, 0)
			}
			b.Tick(b.now, out)
		}
		if want := c.groups + 1; left() != want || steps < 2 {
			t.Errorf("%+v: %d offsets are left after %d steps", c, left(), steps)
		}
	}
}

// A sweep for expired offsets that is not through when the next is due is not begun a second time.
func TestSweepsDoNotPileUp(t *testing.T) {
	b := newBook(t)
	b.settings.RetentionCheck, b.settings.OffsetsRetention = time.Millisecond, time.Minute
	var all []int32
	for i := range 60_000 {
		all = append(all, int32(i))
	}
	b.commit("g", "t", 1, 1, all...)
	b.scheduleCheck(b.now)
	b.now = b.now.Add(time.Hour)
	for range 1000 {
		b.Tick(b.now, &coordinator.Out{})
		if len(b.upkeep.sweeps) > 1 {
			t.Fatal("two sweeps at once")
		}
		b.now = b.now.Add(sweepPause)
		if len(b.groups) == 0 {
			return
		}
	}
	t.Errorf("%d offsets are left", b.find("g").offsets.count())
}
