package kcat

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
)

const session = 12 * time.Second // which a member on a busy machine keeps

// member is a kcat -G: what it printed so far, as partition/offset.
type member struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it ended
	mu   sync.Mutex
	read []string
	says []string // its remarks on standard error
}

// join starts a kcat in the group. It commits what it read every 100 ms and when it leaves.
func join(t *testing.T, group, topic string, opts ...string) *member {
	t.Helper()
	args := append([]string{
		"-b", broker.Addr(), "-X", "broker.address.family=v4", "-X", "auto.offset.reset=earliest", "-X", fmt.Sprintf("session.timeout.ms=%d", session.Milliseconds()),
		"-X", "heartbeat.interval.ms=500", "-X", "auto.commit.interval.ms=100", "-u", "-f", "%p/%o\n",
	}, opts...)
	m := &member{cmd: exec.Command("kcat", append(args, "-G", group, topic)...), done: make(chan struct{})}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	remarks, err := m.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines sync.WaitGroup
	lines.Go(func() { m.collect(bufio.NewScanner(out), &m.read) })
	lines.Go(func() { m.collect(bufio.NewScanner(remarks), &m.says) })
	go func() {
		lines.Wait()
		_ = m.cmd.Wait()
		close(m.done)
	}()
	t.Cleanup(func() {
		_ = m.cmd.Process.Kill()
		<-m.done
	})
	return m
}

func (m *member) collect(lines *bufio.Scanner, to *[]string) {
	for lines.Scan() {
		m.mu.Lock()
		*to = append(*to, lines.Text())
		m.mu.Unlock()
	}
}

func (m *member) records() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.read...)
}

func (m *member) remarks() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.says, "\n")
}

// leave ends it as Ctrl-C does.
func (m *member) leave(t *testing.T) {
	t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-m.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("kcat does not end: %s", m.remarks())
	}
}

func (m *member) kill(t *testing.T) {
	t.Helper()
	if err := m.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-m.done
}

// group is a group under test and its topic of two partitions.
type group struct {
	t           *testing.T
	admin       *kadm.Client
	cl          *kgo.Client
	name, topic string
	sent        int // records in each partition
}

func newGroup(t *testing.T) *group {
	topic := broker.Topic(t, 2)
	g := &group{t: t, name: topic, topic: topic, admin: broker.Admin(t), cl: broker.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))}
	t.Cleanup(func() { _, _ = g.admin.DeleteGroups(broker.Context(t), g.name) })
	return g
}

// send adds ten records to each partition.
func (g *group) send() {
	g.t.Helper()
	var rs []*kgo.Record
	for i := range 20 {
		rs = append(rs, &kgo.Record{Topic: g.topic, Partition: int32(i % 2), Value: []byte("x")})
	}
	if err := g.cl.ProduceSync(broker.Context(g.t), rs...).FirstErr(); err != nil {
		g.t.Fatal(err)
	}
	g.sent += 10
}

// expect waits until the members, and those before them, have read every record, and fails when one was read twice.
func (g *group) expect(what string, members ...*member) {
	g.t.Helper()
	count := map[string]int{}
	broker.Eventually(g.t, what, func() bool {
		clear(count)
		for _, m := range members {
			for _, r := range m.records() {
				count[r]++
			}
		}
		for p := range 2 {
			for o := range g.sent {
				if count[fmt.Sprintf("%d/%d", p, o)] == 0 {
					return false
				}
			}
		}
		return true
	})
	for r, n := range count {
		if n > 1 {
			g.t.Errorf("%s: %s was read %d times", what, r, n)
		}
	}
}

// stable waits until so many members share the partitions, and returns the generation's member ids and their partitions.
func (g *group) stable(members int) map[string][]int32 {
	g.t.Helper()
	parts := map[string][]int32{}
	broker.Eventually(g.t, fmt.Sprintf("%d members share the partitions of %s", members, g.topic), func() bool {
		described, err := g.admin.DescribeGroups(broker.Context(g.t), g.name)
		if err != nil || described[g.name].State != "Stable" || len(described[g.name].Members) != members {
			return false
		}
		clear(parts)
		read := 0
		for _, m := range described[g.name].Members {
			if a, ok := m.Assigned.AsConsumer(); ok {
				for _, t := range a.Topics {
					parts[m.MemberID] = append(parts[m.MemberID], t.Partitions...)
					read += len(t.Partitions)
				}
			}
		}
		return read == 2
	})
	return parts
}

// committed waits until the group committed all that was sent.
func (g *group) committed() {
	g.t.Helper()
	broker.Eventually(g.t, "all is committed", func() bool {
		offsets, err := g.admin.FetchOffsets(broker.Context(g.t), g.name)
		if err != nil {
			return false
		}
		for p := range int32(2) {
			if o, ok := offsets.Lookup(g.topic, p); !ok || o.At != int64(g.sent) {
				return false
			}
		}
		return true
	})
}

// TestGroupTakeover has two kcats in a group, of which one leaves and one is killed: the other takes over each time.
func TestGroupTakeover(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	a := join(t, g.name, g.topic)
	g.stable(1)
	g.send()
	g.expect("one member reads both partitions", a)

	b := join(t, g.name, g.topic)
	if parts := g.stable(2); len(parts) != 2 {
		t.Errorf("two members, the partitions are %v", parts)
	}
	g.send()
	g.expect("each reads its partition", a, b)
	if len(b.records()) != 10 {
		t.Errorf("the second member read %d records of 10", len(b.records()))
	}

	g.committed()
	b.leave(t)
	left := time.Now()
	g.stable(1)
	if took := time.Since(left); took > session {
		t.Errorf("a member that left was waited for, %v", took)
	}
	g.send()
	g.expect("one left, the other took over", a, b)

	c := join(t, g.name, g.topic)
	g.stable(2)
	g.send()
	g.expect("a third member reads", a, b, c)
	g.committed()
	c.kill(t)
	killed := time.Now()
	g.send()
	g.expect("one was killed, the other took over", a, b, c)
	t.Logf("killed: taken over after %v", time.Since(killed).Round(100*time.Millisecond))
	for name, m := range map[string]*member{"first": a, "second": b} {
		if !strings.Contains(m.remarks(), "rebalanced") {
			t.Errorf("the %s kcat tells of no rebalance: %s", name, m.remarks())
		}
	}
}

// TestGroupRestart expects a restarted kcat to go on at the commit of the one before.
func TestGroupRestart(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	var all []*member
	for range 3 {
		g.send()
		m := join(t, g.name, g.topic)
		all = append(all, m)
		g.expect("the restarted one goes on at the commit", all...)
		m.leave(t)
		g.committed()
	}
	g.send()
	m := join(t, g.name, g.topic)
	all = append(all, m)
	g.expect("it reads", all...)
	g.committed()
	m.kill(t) // its session lasts a while longer
	g.send()
	g.expect("one that follows a kill goes on at the commit", append(all, join(t, g.name, g.topic))...)
}

// TestGroupAssignors joins by every assignor that kcat's librdkafka has.
func TestGroupAssignors(t *testing.T) {
	t.Parallel()
	for _, assignor := range []string{"range", "roundrobin", "cooperative-sticky"} {
		t.Run(assignor, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t)
			opt := "partition.assignment.strategy=" + assignor
			a := join(t, g.name, g.topic, "-X", opt)
			g.stable(1)
			b := join(t, g.name, g.topic, "-X", opt)
			g.stable(2)
			g.send()
			g.expect("both read", a, b)
			described, err := g.admin.DescribeGroups(broker.Context(t), g.name)
			if err != nil || described[g.name].Protocol != assignor {
				t.Errorf("the assignor is %q, %v", described[g.name].Protocol, err)
			}
		})
	}
}

// TestGroupStaticMember restarts a static member within its session: it has its partition again, no rebalance happens.
func TestGroupStaticMember(t *testing.T) {
	t.Parallel()
	g := newGroup(t)
	static := func(instance string) *member {
		return join(t, g.name, g.topic, "-X", "group.instance.id="+instance, "-X", "session.timeout.ms=30000")
	}
	a := static("a")
	g.stable(1)
	b := static("b")
	g.stable(2)
	g.send()
	g.expect("both read", a, b)
	g.committed()
	remarks := a.remarks()
	b.kill(t)
	again := static("b")
	g.send()
	g.expect("the static member came back", a, b, again)
	if len(again.records()) != 10 {
		t.Errorf("it read %d records of 10", len(again.records()))
	}
	if a.remarks() != remarks {
		t.Errorf("the other member noticed: %s", strings.TrimPrefix(a.remarks(), remarks))
	}
}
