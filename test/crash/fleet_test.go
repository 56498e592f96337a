package crash

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fleet is three nodes that form a cluster, each with a disk of its own. They end in the same instant, and start together.
type fleet struct {
	nodes  []*process
	addr   string // of all, with commas
	random *rand.Rand
	runs   int
	client *kgo.Client // whose patience is short
}

const nodes = 3

// newFleet makes one in which all topics have three replicas, with further settings for each node.
func newFleet(t *testing.T, properties string) *fleet {
	t.Helper()
	f := &fleet{addr: *bootstrap, random: rand.New(rand.NewSource(*seed))}
	if f.addr == "" {
		ports := freePorts(t, 2*nodes)
		var voters, brokers []string
		for i := range nodes {
			brokers = append(brokers, fmt.Sprintf("127.0.0.1:%d", ports[i]))
			voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, ports[nodes+i]))
		}
		f.addr = strings.Join(brokers, ",")
		exe := built(t)
		for i, at := range brokers {
			p := newNode(t, exe, "", 1)
			_, controller, _ := strings.Cut(voters[i], "@")
			p.configure(t, fmt.Sprintf("node.id=%d\nprocess.roles=broker,controller\nlisteners=PLAINTEXT://%s,CONTROLLER://%s\ncontroller.listener.names=CONTROLLER\n"+
				"controller.quorum.voters=%s\ndefault.replication.factor=3\nmin.insync.replicas=2\noffsets.topic.replication.factor=3\n%s",
				i+1, at, controller, strings.Join(voters, ","), properties))
			f.nodes = append(f.nodes, p)
		}
	}
	var err error
	if f.client, err = kgo.NewClient(seeds(f.addr), kgo.MetadataMinAge(20*time.Millisecond), kgo.AlwaysRetryEOF(), kgo.RetryTimeout(time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	return f
}

// freePorts are so many in a row, below those that systems hand out to connections: a node that starts again must find its own.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	const low, high, tries = 20_000, 32_000, 200
	for range tries {
		base, free := low+rand.Intn(high-low-n), []int{}
		for port := base; port < base+n; port++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				break
			}
			l.Close()
			free = append(free, port)
		}
		if len(free) == n {
			return free
		}
	}
	t.Fatalf("no %d free ports in a row between %d and %d", n, low, high)
	return nil
}

// launch starts all nodes. What it returns gives, for each, nil when it says that it serves, or why it ended.
func (f *fleet) launch(t *testing.T) <-chan error {
	t.Helper()
	f.runs++
	serve := make(chan error, nodes)
	for i, p := range f.nodes {
		p.cmd = p.command()
		out, err := p.cmd.StdoutPipe()
		if err == nil {
			err = p.cmd.Start()
		}
		if err != nil {
			t.Fatalf("start node %d: %v", i+1, err)
		}
		go func() { // ends with the process
			lines, serves := bufio.NewScanner(out), false
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "moldau: broker ") && !serves {
					serves = true
					serve <- nil
				}
			}
			if !serves {
				serve <- fmt.Errorf("node %d ended", i+1)
			}
		}()
	}
	return serve
}

// start starts all nodes and returns once each answers.
func (f *fleet) start(t *testing.T) {
	t.Helper()
	if f.nodes == nil {
		if f.runs++; f.runs > 1 {
			shell(t, *startCommand)
		}
	} else {
		serve, late := f.launch(t), time.After(time.Minute)
		for range f.nodes {
			select {
			case err := <-serve:
				if err != nil {
					t.Fatal(err)
				}
			case <-late:
				t.Fatal("not all nodes say that they serve, after a minute")
			}
		}
	}
	for _, addr := range strings.Split(f.addr, ",") {
		if err := answers(addr); err != nil {
			t.Fatalf("the broker at %s does not answer: %v", addr, err)
		}
	}
}

// startAndKill kills all nodes while they start.
func (f *fleet) startAndKill(t *testing.T, after time.Duration) {
	t.Helper()
	if f.nodes == nil {
		return
	}
	f.launch(t)
	<-time.After(after)
	f.kill(t)
}

// kill ends all nodes at once. Half the cuts of the power find the processes stopped, the others let them run on for a moment on disks
// that have failed.
func (f *fleet) kill(t *testing.T) {
	t.Helper()
	if f.nodes == nil {
		shell(t, *killCommand)
		return
	}
	if *power {
		if f.random.Intn(2) == 0 {
			for _, p := range f.nodes {
				if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
					t.Fatalf("stop: %v", err)
				}
			}
		}
		var cuts sync.WaitGroup
		failed := make(chan error, nodes)
		for _, p := range f.nodes {
			cuts.Go(func() { failed <- p.disks[0].cut() })
		}
		cuts.Wait()
		for range f.nodes {
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range f.nodes {
		_ = p.cmd.Process.Kill()
	}
	for _, p := range f.nodes {
		p.end()
		for _, d := range p.disks {
			d.replug(t)
		}
	}
}

// led waits until the leader of every partition answers, by itself, and then until all replicas are in sync. It returns how long after
// the moment given that was.
func (f *fleet) led(t *testing.T, since time.Time) (led, inSync time.Duration) {
	t.Helper()
	admin := kadm.NewClient(f.client)
	var missing error
	for led == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		ends, err := kadm.ListedOffsets(nil), error(nil)
		topics, err := admin.ListTopicsWithInternal(ctx)
		if err == nil {
			err = topics.Error()
		}
		if err == nil {
			if ends, err = admin.ListEndOffsets(ctx, topics.Names()...); err == nil {
				err = ends.Error()
			}
		}
		cancel()
		if missing = err; err == nil {
			led = time.Since(since)
		} else if time.Since(since) > ledWithin {
			t.Fatalf("%v after the start some partitions have no leader that answers: %v", ledWithin, missing)
		}
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		topics, err := admin.ListTopicsWithInternal(ctx)
		cancel()
		behind := 0
		for _, topic := range topics {
			for _, p := range topic.Partitions {
				if len(p.ISR) < len(p.Replicas) {
					behind++
				}
			}
		}
		if err == nil && behind == 0 {
			return led, time.Since(since)
		}
		if time.Since(since) > 2*ledWithin {
			t.Fatalf("%v after the start %d partitions have replicas that are not in sync: %v", 2*ledWithin, behind, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// ledWithin is how long partitions may be without a leader after all nodes were gone.
const ledWithin = 30 * time.Second

// remove deletes topics.
func (f *fleet) remove(t *testing.T, names ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for left := names; len(left) > 0; <-time.After(20 * time.Millisecond) {
		deleted, err := kadm.NewClient(f.client).DeleteTopics(ctx, left...)
		left = slices.DeleteFunc(left, func(name string) bool {
			d, answered := deleted[name]
			return err == nil && answered && (d.Err == nil || errors.Is(d.Err, kerr.UnknownTopicOrPartition))
		})
		if ctx.Err() != nil {
			t.Fatalf("topics %v cannot be deleted: %v %+v", left, err, deleted)
		}
	}
}
