package chaos

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// fault is something that happens to brokers. It takes place for a while and is healed then; run returns after that.
type fault struct {
	name    string
	missing func(c *cluster) string // why it is not possible on this machine; nil: always
	run     func(s *strike)
}

// strike is one fault as it takes place.
type strike struct {
	*cluster
	load   *load
	random *rand.Rand
	target *node         // a random one
	others [2]*node      // in random order
	length time.Duration // between harm and heal
	over   <-chan struct{}
}

func (s *strike) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.over:
	}
}

// must notes what prevented a fault or its healing, which is a fault of the test.
func (s *strike) must(err error) {
	if err != nil {
		s.found.add("test", "%v", err)
	}
}

func needsCuts(c *cluster) string  { return c.noCuts }
func needsDisks(c *cluster) string { return c.noDisks }

// faults are what happens to brokers.
var faults = []fault{
	{"kill", nil, func(s *strike) {
		s.target.kill()
		s.wait(s.length)
		s.must(s.target.start())
	}},
	{"kill at once", nil, func(s *strike) { // gone for no longer than it takes to start
		for range 1 + s.random.Intn(3) {
			s.target.kill()
			s.must(s.target.start())
			s.wait(time.Duration(s.random.Intn(800)) * time.Millisecond)
		}
	}},
	{"kill all", nil, func(s *strike) {
		var killed sync.WaitGroup
		for _, n := range s.nodes {
			killed.Go(n.kill)
		}
		killed.Wait()
		s.wait(s.length / 4)
		for _, n := range s.nodes {
			s.must(n.start())
			s.wait(time.Duration(s.random.Intn(500)) * time.Millisecond)
		}
	}},
	{"freeze", nil, func(s *strike) {
		s.target.freeze()
		s.wait(s.length)
		s.target.thaw()
	}},
	{"stutter", nil, func(s *strike) { // pauses that may be too short for anybody to notice
		for end := time.Now().Add(s.length); time.Now().Before(end); {
			s.target.freeze()
			s.wait(time.Duration(50+s.random.Intn(1000)) * time.Millisecond)
			s.target.thaw()
			s.wait(time.Duration(50+s.random.Intn(300)) * time.Millisecond)
		}
	}},
	{"restart", nil, func(s *strike) {
		s.target.stop()
		s.wait(s.length / 4)
		s.must(s.target.start())
	}},
	{"rolling restart", nil, func(s *strike) {
		for _, n := range s.nodes {
			n.stop()
			s.must(n.start())
			s.settle()
		}
	}},
	{"cut off", needsCuts, func(s *strike) { // from the others, not from clients
		s.drop(s.out(), s.in())
	}},
	{"cut off from all", needsCuts, func(s *strike) { // from clients, too
		s.drop(s.out(), s.in(), []way{{&s.clients, s.target.host}, {s.target.host, &s.clients}})
	}},
	{"cut between two", needsCuts, func(s *strike) { s.drop(s.out()[:1], s.in()[:1]) }},
	{"mute", needsCuts, func(s *strike) { s.drop(s.out()) }}, // it hears the others
	{"deaf", needsCuts, func(s *strike) { s.drop(s.in()) }},  // they hear it
	{"cut one way", needsCuts, func(s *strike) { s.drop(s.out()[:1]) }},
	{"full disk", needsDisks, func(s *strike) {
		s.must(s.target.disk.fill())
		s.wait(s.length)
		s.must(s.target.disk.free())
	}},
	{"slow sync", needsTracer, func(s *strike) {
		s.slow(time.Duration(100+s.random.Intn(400)) * time.Millisecond)
	}},
	{"clock jump", func(*cluster) string {
		return "the kernel has one clock for all, and a Go program asks it without a library that could lie"
	}, nil},
}

// way is from one host to another.
type way struct{ from, to *host }

// out are the ways from the target to the others.
func (s *strike) out() []way {
	return []way{{s.target.host, s.others[0].host}, {s.target.host, s.others[1].host}}
}

// in are the ways from the others to the target.
func (s *strike) in() []way {
	return []way{{s.others[0].host, s.target.host}, {s.others[1].host, s.target.host}}
}

// drop cuts ways for a while.
func (s *strike) drop(ways ...[]way) {
	for _, w := range slices.Concat(ways...) {
		s.must(s.cut(w.from, w.to))
	}
	s.wait(s.length)
	for _, w := range slices.Concat(ways...) {
		s.must(s.mend(w.from, w.to))
	}
}

// settle waits until all replicas are in sync, as who restarts brokers one after another does. Other faults may keep them from that.
func (s *strike) settle() {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		wrong := 0
		for _, n := range s.nodes {
			wrong += len(n.outOfSync(time.Now().Add(2 * time.Second)))
		}
		if wrong == 0 {
			return
		}
		select {
		case <-s.over:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func needsTracer(*cluster) string {
	if _, err := exec.LookPath("strace"); err != nil {
		return err.Error()
	}
	if self, err := os.Readlink("/proc/self"); err != nil || self != fmt.Sprint(os.Getpid()) {
		return "/proc does not tell of our processes"
	}
	return ""
}

// slow has each sync of the target take longer, by means of strace.
func (s *strike) slow(by time.Duration) {
	s.target.mu.Lock()
	pid := s.target.cmd.Process.Pid
	s.target.mu.Unlock()
	const calls = "fsync,fdatasync,syncfs,sync_file_range"
	cmd := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls, "-e", fmt.Sprintf("inject=%s:delay_enter=%d", calls, by.Microseconds()), "-p", fmt.Sprint(pid))
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		s.must(err)
		return
	}
	s.wait(s.length)
	_ = cmd.Process.Signal(syscall.SIGTERM) // it lets the broker go
	_ = cmd.Wait()
	if words := said.String(); strings.Contains(words, "not permitted") {
		s.found.add("test", "strace: %s", words)
	}
}
