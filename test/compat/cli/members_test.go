package cli

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
)

// members consumes in groups.
func members(t *testing.T, c command) {
	for name, tell := range map[string]func(*testing.T, command){
		"share": share, "interval": interval, "static": static, "count": counted, "pipe": closedPipe, "mistakes": memberMistakes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := c
			c.prefix += name + "-"
			tell(t, c)
		})
	}
}

// send sends records of these values to a partition.
func (c command) send(t *testing.T, topic string, partition int, values ...string) {
	t.Helper()
	c.run(t, strings.Join(values, "\n")+"\n", "produce", topic, "--partition", fmt.Sprint(partition))
}

// settled waits until so many members share so many partitions.
func (c command) settled(t *testing.T, group string, members, partitions int) describedGroup {
	t.Helper()
	var d describedGroup
	broker.Eventually(t, fmt.Sprintf("%d members of group %s share %d partitions", members, group, partitions), func() bool {
		out, _, status := c.try(t, "", "group", "list", "--format", "plain")
		if status != 0 || !strings.Contains(out, group+"\t") {
			return false
		}
		d = c.describe(t, group)
		n := 0
		for _, m := range d.Members {
			for _, a := range m.Assignment {
				n += len(a.Partitions)
			}
		}
		return d.State == "Stable" && len(d.Members) == members && n == partitions
	})
	return d
}

// share has two members share two partitions, until one is interrupted and leaves its partition to the other. Nothing is lost and,
// since both end cleanly, nothing comes twice.
func share(t *testing.T, c command) {
	topic, group := c.prefix+"orders", c.prefix+"g"
	c.create(t, topic, "--partitions", "2")
	c.send(t, topic, 0, "a")
	c.send(t, topic, 1, "b")
	args := []string{"consume", topic, "--group", group, "--follow", "--from", "earliest", "--format", "{partition} {value}", "--commit-interval", "1h"}
	first := c.start(t, args...)
	got := first.next(t, 2)
	second := c.start(t, args...)
	d := c.settled(t, group, 2, 2)
	for _, m := range d.Members {
		if len(m.Assignment) != 1 || m.Assignment[0].Topic != topic || len(m.Assignment[0].Partitions) != 1 || m.ClientID != "moldau-cli" || m.InstanceID != nil || m.Host != "127.0.0.1" {
			t.Errorf("member %+v", m)
		}
	}
	if d.Assignor != "cooperative-sticky" || d.Offsets[0].MemberID == nil || *d.Offsets[0].MemberID == *d.Offsets[1].MemberID {
		t.Errorf("described as %+v", d)
	}
	c.send(t, topic, 0, "c")
	c.send(t, topic, 1, "d")
	firsts, seconds := first.next(t, 1), second.next(t, 1)
	if firsts[0][0] == seconds[0][0] {
		t.Errorf("both members have read partition %c", firsts[0][0])
	}
	got = append(append(got, firsts...), seconds...)

	members := []string{"has 2 members", "moldau group describe"}
	c.refused(t, 1, []string{"group", "reset", group, "--to-earliest", "--yes"}, append(members, "reset group "+group+" on "+c.addr, "the group is Stable")...)
	c.refused(t, 1, []string{"group", "delete", group, "--yes"}, append(members, "delete group "+group+" on "+c.addr, "NON_EMPTY_GROUP")...)
	c.refused(t, 1, []string{"group", "delete-offsets", group, "--topic", topic, "--yes"}, "GROUP_SUBSCRIBED_TO_TOPIC", "moldau group describe")

	rest, notes, status := second.stop(t, os.Interrupt)
	if status != 0 || notes != "" {
		t.Errorf("interrupted: status %d, %s", status, notes)
	}
	got = append(got, rest...)
	c.send(t, topic, 0, "e")
	c.send(t, topic, 1, "f")
	got = append(got, first.next(t, 2)...)
	rest, notes, status = first.stop(t, os.Interrupt)
	if status != 0 || notes != "" {
		t.Errorf("interrupted: status %d, %s", status, notes)
	}
	got = append(got, rest...)
	slices.Sort(got)
	if want := []string{"0 a", "0 c", "0 e", "1 b", "1 d", "1 f"}; !slices.Equal(got, want) {
		t.Errorf("both have read %q, want %q", got, want)
	}
	if got := c.committed(t, group); !maps.Equal(got, map[int32]int64{0: 3, 1: 3}) {
		t.Errorf("committed %v", got)
	}
	if out := c.run(t, "", "consume", topic, "--group", group); out != "" {
		t.Errorf("read again: %q", out)
	}
}

// interval kills a member that commits every 100 ms: what it has committed does not come again.
func interval(t *testing.T, c command) {
	topic, group := c.prefix+"orders", c.prefix+"g"
	c.create(t, topic)
	c.send(t, topic, 0, "a", "b")
	args := []string{"consume", topic, "--group", group, "--from", "start", "--follow", "--commit-interval", "100ms", "--session-timeout", "6s"}
	m := c.start(t, args...)
	m.next(t, 2)
	broker.Eventually(t, "two records are committed", func() bool { return maps.Equal(c.committed(t, group), map[int32]int64{0: 2}) })
	c.send(t, topic, 0, "c")
	m.next(t, 1)
	broker.Eventually(t, "three records are committed", func() bool { return maps.Equal(c.committed(t, group), map[int32]int64{0: 3}) })
	m.stop(t, os.Kill)
	c.send(t, topic, 0, "d")
	if out := c.run(t, "", "consume", topic, "--group", group); out != "d\n" { // once the session of the first has timed out
		t.Errorf("the next member has read %q", out)
	}
}

// static restarts a member that has a name: it has its place at once. A second one of that name takes it over.
func static(t *testing.T, c command) {
	topic, group := c.prefix+"orders", c.prefix+"g"
	c.create(t, topic, "--partitions", "2")
	c.send(t, topic, 1, "a")
	args := []string{"consume", topic, "--group", group, "--from", "start", "--follow", "--instance-id", "one", "--session-timeout", "12s"}
	m := c.start(t, args...)
	m.next(t, 1)
	d := c.settled(t, group, 1, 2)
	if id := d.Members[0].InstanceID; id == nil || *id != "one" {
		t.Errorf("member %+v", d.Members[0])
	}
	if _, notes, status := m.stop(t, os.Interrupt); status != 0 || notes != "" {
		t.Errorf("interrupted: status %d, %s", status, notes)
	}
	c.settled(t, group, 1, 2)
	c.refused(t, 1, []string{"group", "delete", group, "--yes"}, "NON_EMPTY_GROUP", "has 1 member;", "session time-out")
	c.send(t, topic, 1, "b")
	m = c.start(t, args...)
	if got := m.next(t, 1); got[0] != "b" {
		t.Errorf("after its restart it has read %q", got)
	}
	c.settled(t, group, 1, 2)
	other := c.start(t, args...)
	_, notes, status := m.wait(t)
	if status != 1 || !strings.Contains(notes, "FENCED_INSTANCE_ID; another member with the same --instance-id has taken its place") {
		t.Errorf("the fenced one: status %d, %s", status, notes)
	}
	c.send(t, topic, 1, "c")
	for got := ""; got != "c"; {
		got = other.next(t, 1)[0] // b before it, if the one that was fenced had no time to commit
	}
	if _, notes, status := other.stop(t, os.Interrupt); status != 0 || notes != "" {
		t.Errorf("interrupted: status %d, %s", status, notes)
	}
	broker.Eventually(t, "the group forgets the member", func() bool { return c.describe(t, group).State == "Empty" })
	c.run(t, "", "group", "reset", group, "--to-earliest", "--yes")
}

// counted stops after a number of records and commits these.
func counted(t *testing.T, c command) {
	topic, group := c.prefix+"orders", c.prefix+"g"
	c.create(t, topic)
	c.send(t, topic, 0, "a", "b", "c", "d", "e")
	for _, want := range []string{"a\nb\n", "c\nd\n", "e\n", ""} {
		if out := c.run(t, "", "consume", topic, "--group", group, "--count", "2"); out != want {
			t.Errorf("read %q, want %q", out, want)
		}
	}
}

// closedPipe has a reader that takes one line of many, as head does: the member leaves, and has committed no more than was taken
// from it.
func closedPipe(t *testing.T, c command) {
	topic, group := c.prefix+"orders", c.prefix+"g"
	c.create(t, topic)
	c.send(t, topic, 0, slices.Repeat([]string{strings.Repeat("x", 1000)}, 5000)...)
	script := fmt.Sprintf("set -o pipefail; '%s' consume '%s' --group '%s' --bootstrap '%s' | head -n 1", c.exe, topic, group, c.addr)
	out, err := exec.Command("bash", "-c", script).CombinedOutput()
	if err != nil || len(out) != 1001 {
		t.Errorf("%v: %.2000s", err, out)
	}
	d := c.describe(t, group)
	if d.State != "Empty" || d.Lag == 0 && len(d.Offsets) > 0 {
		t.Errorf("afterwards: %+v", d)
	}
}

func memberMistakes(t *testing.T, c command) {
	topic, group := c.prefix+"orders", c.prefix+"g"
	c.create(t, topic)
	c.refused(t, 1, []string{"consume", topic, "--group", group, "--session-timeout", "1s"}, "join group "+group+" on "+c.addr, "INVALID_SESSION_TIMEOUT", "--session-timeout")
	c.refused(t, 1, []string{"consume", topic + "x", "--group", group}, "consume topic "+topic+"x on "+c.addr, "UNKNOWN_TOPIC_OR_PARTITION", "did you mean "+topic+"?")
	if out := c.run(t, "", "consume", topic, "--group", group); out != "" {
		t.Errorf("an empty topic has %q", out)
	}
}
