package group

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/moldau/moldau/test/compat/broker"
)

// Life has members join, leave, be killed and start again. They commit each record, so that each is read once.
func Life(t testing.TB, c Client) {
	s := newScene(t, c, short)
	a := s.join("a", Each, "")
	s.stable(1)
	s.round()

	b := s.join("b", Each, "")
	s.stable(2)
	s.round()
	if n := s.partitionsOf("b"); n != partitions/2 {
		t.Errorf("the second member read from %d partitions", n)
	}
	b.Close()
	s.members(1) // it left rather than being given up
	s.stable(1)
	s.round()

	killed := s.join("killed", Each, "")
	s.stable(2)
	s.round()
	killed.kill()
	s.members(2) // nobody knows yet
	s.stable(1)
	s.round()
	a.Close()
	s.empty()

	missed := s.produce()
	restarted := s.join("restarted", Each, "")
	s.stable(1)
	s.read(missed, 1)
	s.committed()
	s.healthy("a", "b", "restarted")
	restarted.Close()
	s.empty()
	if _, err := s.admin.DeleteGroup(broker.Context(t), s.group); err != nil {
		t.Errorf("delete group: %v", err)
	}
	t.Logf("%s: joined, rebalanced on join, leave and kill, committed, restarted", s.group)
}

// empty waits until the group is empty.
func (s *scene) empty() {
	s.Helper()
	s.wait("the group is empty", func() bool { return s.describe().State == "Empty" })
}

// Restart ends a member and starts another: without commits it reads everything again, also after a kill, and with the
// library's own commits only what is new.
func Restart(t testing.TB, c Client) {
	s := newScene(t, c, short)
	first := s.produce()
	for i, end := range []func(*member){(*member).Close, (*member).kill, (*member).Close} {
		m := s.join(fmt.Sprint("forgetful ", i), None, "")
		s.stable(1)
		s.read(first, i+1)
		s.healthy(m.name)
		end(m)
	}
	if os, err := s.admin.FetchOffsets(broker.Context(t), s.group); err != nil || len(os[s.topic]) != 0 {
		t.Errorf("committed %v: %v", os, err)
	}

	m := s.join("automatic", Auto, "")
	s.stable(1)
	s.read(first, 4)
	m.Close()
	s.committed()
	second := s.produce()
	m = s.join("automatic again", Auto, "")
	s.stable(1)
	s.read(second, 1)
	m.Close()
	s.committed()
	s.read(first, 4)
	s.healthy("automatic", "automatic again")
	t.Logf("%s: without commits a member starts again at the same offsets, with automatic ones it goes on", s.group)
}

// Cooperative sees a member keep what it keeps while another comes and goes.
func Cooperative(t testing.TB, c Client) {
	s := newScene(t, c, long)
	s.join("a", Each, "")
	s.stable(1)
	s.round()
	lost := func(want int) {
		t.Helper()
		var n int
		s.wait(fmt.Sprintf("the first member lost %d partitions", want), func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			n = s.lost["a"]
			return n >= want
		})
		if n != want {
			t.Errorf("the first member lost %d partitions, not %d", n, want)
		}
	}
	lost(0)
	b := s.join("b", Each, "")
	if d := s.stable(2); d.Protocol != "cooperative-sticky" {
		t.Errorf("the group's protocol is %q", d.Protocol)
	}
	s.round()
	lost(partitions / 2)
	b.Close()
	s.stable(1)
	s.round()
	lost(partitions / 2)
	s.healthy("a", "b")
	t.Logf("%s: a member gave up half of its partitions and kept the others through two rebalances", s.group)
}

// Static ends a static member and starts it again, which the other one does not notice; another of the same name
// fences it; an admin removes it.
func Static(t testing.TB, c Client) {
	s := newScene(t, c, long)
	a := s.join("a", Each, "instance-a")
	s.stable(1)
	b := s.join("b", Each, "instance-b")
	before := s.stable(2)
	s.round()
	a.Close()
	s.members(2) // it does not leave
	again := s.join("a again", Each, "instance-a")
	missed := s.produce()
	s.read(missed, 1)
	s.committed()
	after := s.describe()
	if len(after.Members) != 2 || after.State != "Stable" || before.Members[0].MemberID == after.Members[0].MemberID || before.Members[1].MemberID != after.Members[1].MemberID {
		t.Errorf("a static member's restart made %s\nof %s", text(after), text(before))
	}
	if assigned(before, 0) != assigned(after, 0) || assigned(before, 1) != assigned(after, 1) {
		t.Errorf("a static member's restart made %s\nof %s", text(after), text(before))
	}
	s.healthy("a", "b", "a again")

	usurper := s.join("usurper", Each, "instance-a")
	var told error
	s.wait("the member whose name was taken is told", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if errs := s.errors["a again"]; len(errs) > 0 {
			told = errs[0]
		}
		return told != nil
	})
	again.kill()
	s.round()
	s.healthy("b", "usurper")
	t.Logf("%s: a static member was restarted without a rebalance; one that was fenced was told: %.300v", s.group, told)

	usurper.Close()
	b.Close()
	s.members(2)
	for _, instance := range []string{"instance-b", "instance-a"} {
		rs, err := s.admin.LeaveGroup(broker.Context(t), kadm.LeaveGroup(s.group).InstanceIDs(instance).Reason("removed by the test"))
		if err != nil || rs.Error() != nil {
			t.Errorf("remove %s: %v %v", instance, err, rs.Error())
		}
	}
	s.empty()
}

// text shows a group's members.
func text(d kadm.DescribedGroup) string {
	out := d.State
	for i, m := range d.Members {
		out += fmt.Sprintf(" [%s %s]", m.MemberID, assigned(d, i))
	}
	return out
}

// assigned shows the partitions of a member.
func assigned(d kadm.DescribedGroup, i int) string {
	if a, ok := d.Members[i].Assigned.AsConsumer(); ok {
		return fmt.Sprint(a.Topics)
	}
	return ""
}
