package chaos

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const brokers = 3

// settings are those of a small cluster of three, for Moldau and for Apache Kafka.
const settings = `process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://%s,CONTROLLER://%s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=%s
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=6
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
group.initial.rebalance.delay.ms=0
log.segment.bytes=4194304
`

// cluster is three brokers, each of them a controller too.
type cluster struct {
	*world
	found *findings
	nodes [brokers]*node
}

// node is one broker: a process that is started again and again on the same addresses and data.
type node struct {
	id               int
	host             *host
	addr, controller string
	config           string // file of settings
	data             string // directory
	log              *os.File
	found            *findings
	disk             *disk // nil where there is none of its own

	turn  sync.Mutex // held while it is started or ended
	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
	asked bool          // it was ended, or asked to end
}

// newCluster makes the files of one and starts it. It is stopped when the test ends.
func newCluster(t *testing.T, found *findings) *cluster {
	t.Helper()
	c := &cluster{world: newWorld(), found: found}
	ports := freePorts(t, c.noCuts != "")
	var voters []string
	for i := range c.nodes {
		n := &node{id: i + 1, host: &c.hosts[i], found: found}
		n.addr, n.controller = fmt.Sprintf("%s:%d", n.host.addr, ports[2*i]), fmt.Sprintf("%s:%d", n.host.addr, ports[2*i+1])
		c.nodes[i] = n
		voters = append(voters, fmt.Sprintf("%d@%s", n.id, n.controller))
	}
	home := t.TempDir()
	for _, n := range c.nodes {
		base := filepath.Join(home, fmt.Sprintf("broker-%d", n.id))
		folder := filepath.Join(base, "disk")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if c.noDisks == "" {
			d, err := newDisk(folder)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { d.unmount(t) })
			n.disk = d
		}
		n.config, n.data = filepath.Join(base, "server.properties"), filepath.Join(folder, "data")
		text := fmt.Sprintf(settings, n.id, strings.Join(voters, ","), n.addr, n.controller, n.data)
		if err := os.WriteFile(n.config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var err error
		if n.log, err = os.OpenFile(filepath.Join(base, "output"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.kill()
			if t.Failed() || len(found.kinds()) > 0 {
				n.said(t)
			}
			n.log.Close()
		}
	})
	if *kafka {
		formatKafka(t, c)
	}
	for _, n := range c.nodes {
		if err := n.start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range c.nodes {
		if err := n.answers(2 * time.Minute); err != nil { // a virtual machine on busy processors
			t.Fatalf("broker %d does not answer: %v", n.id, err)
		}
	}
	return c
}

// addresses are where clients begin.
func (c *cluster) addresses() (all []string) {
	for _, n := range c.nodes {
		all = append(all, n.addr)
	}
	return all
}

// freePorts are six. Where brokers share a network they are below those that systems hand out to connections, since a broker that is started
// again must find its own.
func freePorts(t *testing.T, shared bool) []int {
	t.Helper()
	if !shared {
		return []int{9092, 9093, 9092, 9093, 9092, 9093}
	}
	for range 100 {
		base, taken := 20_000+rand.Intn(12_000), false
		var ports []int
		for port := base; port < base+2*brokers && !taken; port++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if taken = err != nil; !taken {
				l.Close()
				ports = append(ports, port)
			}
		}
		if !taken {
			return ports
		}
	}
	t.Fatal("no free ports")
	return nil
}

func moldauCommand(n *node) *exec.Cmd {
	return exec.Command(os.Getenv(program), "serve", "--config", n.config)
}

// kafkaClasses is the class path of Apache Kafka's server.
var kafkaClasses = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("../../bench/kafka.sh", "jars").Output()
	classes, _, _ := strings.Cut(string(out), "\n")
	return classes, err
})

func kafkaCommand(n *node, class string, args ...string) (*exec.Cmd, error) {
	classes, err := kafkaClasses()
	if err != nil {
		return nil, fmt.Errorf("bench/kafka.sh jars: %w", err)
	}
	return exec.Command("java", append([]string{"-server", "-Xms512m", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classes, class}, args...)...), nil
}

func formatKafka(t *testing.T, c *cluster) {
	t.Helper()
	for _, n := range c.nodes {
		cmd, err := kafkaCommand(n, "kafka.tools.StorageTool", "format", "-t", "bW9sZGF1eWFyZHN0aWNrMQ", "-c", n.config)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("format: %v\n%s", err, out)
		}
	}
}

// start starts the process, unless it runs.
func (n *node) start() error {
	n.turn.Lock()
	defer n.turn.Unlock()
	if n.runs() {
		return nil
	}
	cmd, err := moldauCommand(n), error(nil)
	if *kafka {
		if cmd, err = kafkaCommand(n, "kafka.Kafka", n.config); err != nil {
			return err
		}
	}
	cmd.Stdout, cmd.Stderr = n.log, n.log
	if err := n.host.do(cmd.Start); err != nil {
		return fmt.Errorf("start broker %d: %w", n.id, err)
	}
	ended := make(chan struct{})
	n.mu.Lock()
	n.cmd, n.ended, n.asked = cmd, ended, false
	n.mu.Unlock()
	go func() {
		err := cmd.Wait()
		n.mu.Lock()
		if !n.asked {
			n.found.add("ended", "broker %d ended by itself: %v; its output ends with\n%s", n.id, err, n.lastLines(5))
		}
		n.mu.Unlock()
		close(ended)
	}()
	return nil
}

// runs says whether there is a process.
func (n *node) runs() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// signal sends one; to a process that has ended it does nothing.
func (n *node) signal(s syscall.Signal, ends bool) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil {
		gone := make(chan struct{})
		close(gone)
		return gone
	}
	n.asked = n.asked || ends
	_ = n.cmd.Process.Signal(s)
	return n.ended
}

// kill ends it as nothing can prevent.
func (n *node) kill() {
	n.turn.Lock()
	defer n.turn.Unlock()
	<-n.signal(syscall.SIGKILL, true)
}

// stop ends it as an operator does. It has a minute for that.
func (n *node) stop() {
	n.turn.Lock()
	defer n.turn.Unlock()
	select {
	case <-n.signal(syscall.SIGTERM, true):
	case <-time.After(time.Minute):
		n.found.add(ended, "broker %d has not ended a minute after SIGTERM; its output ends with\n%s", n.id, n.lastLines(5))
		<-n.signal(syscall.SIGKILL, true)
	}
}

func (n *node) freeze() { n.signal(syscall.SIGSTOP, false) }
func (n *node) thaw()   { n.signal(syscall.SIGCONT, false) }

// answers waits until the broker answers an ApiVersions request.
func (n *node) answers(within time.Duration) (err error) {
	for end := time.Now().Add(within); ; {
		if err = answers(n.addr); err == nil || time.Now().After(end) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

func answers(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	// length, ApiVersions (18) version 0, correlation id 1, client id "c"
	if _, err := c.Write([]byte{0, 0, 0, 11, 0, 18, 0, 0, 0, 0, 0, 1, 0, 1, 'c'}); err != nil {
		return err
	}
	var head [10]byte // length, correlation id, error code
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	if code := binary.BigEndian.Uint16(head[8:]); code != 0 {
		return fmt.Errorf("ApiVersions sent to %s was answered with error code %d", addr, code)
	}
	return nil
}

func (n *node) lastLines(count int) string {
	b, err := os.ReadFile(n.log.Name())
	if err != nil {
		return err.Error()
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(b)), "\n"), func(line string) bool { return strings.Contains(line, " level=INFO ") })
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// said prints what the broker complained of last.
func (n *node) said(t *testing.T) { t.Logf("broker %d said last:\n%s", n.id, n.lastLines(30)) }
