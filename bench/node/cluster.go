package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Cluster is brokers that form one cluster, each of them a process. Their node ids are 1, 2 and so on; functions take indexes, from 0 on.
type Cluster struct {
	Addrs  []string
	pids   []int
	ended  []<-chan struct{} // of the processes
	launch func(i int) error // sets both
	close  func() error
}

// Place is where a broker of a cluster runs.
type Place struct {
	Host  string   // its address
	Enter []string // what goes in front of its command
}

// StartCluster starts the broker exe at each of the places, as voters of one quorum, with directories, settings files and logs below dir. Ports are from
// port on, those of controllers ten above.
func StartCluster(exe, dir string, port int, places []Place, settings ...string) (*Cluster, error) {
	c := &Cluster{pids: make([]int, len(places)), ended: make([]<-chan struct{}, len(places))}
	var voters []string
	address := func(i, port int) string { return net.JoinHostPort(places[i].Host, strconv.Itoa(port+i+1)) }
	for i := range places {
		c.Addrs = append(c.Addrs, address(i, port))
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, address(i, port+10)))
	}
	c.launch = func(i int) error {
		file := filepath.Join(dir, fmt.Sprintf("%d.properties", i+1))
		lines := append([]string{"process.roles=broker,controller", fmt.Sprintf("node.id=%d", i+1), "controller.quorum.voters=" + strings.Join(voters, ","),
			"listeners=PLAINTEXT://" + address(i, port) + ",CONTROLLER://" + address(i, port+10), "controller.listener.names=CONTROLLER",
			"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT", "inter.broker.listener.name=PLAINTEXT",
			"log.dirs=" + filepath.Join(dir, fmt.Sprintf("data-%d", i+1))}, settings...)
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			return err
		}
		log, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("log-%d", i+1)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer log.Close()
		command := append(append([]string{}, places[i].Enter...), exe, "serve", "--config", file)
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			return err
		}
		ended := make(chan struct{})
		c.pids[i], c.ended[i] = cmd.Process.Pid, ended
		go func() {
			_ = cmd.Wait() // how it ended stands in its log
			close(ended)
		}()
		return nil
	}
	c.close = func() error {
		var errs []error
		for i := range c.pids {
			if c.ended[i] == nil {
				continue
			}
			_, _ = c.Signal(i, syscall.SIGCONT), c.Signal(i, syscall.SIGTERM) // it may have ended
			if err := c.AwaitEnd(i); err != nil {
				errs = append(errs, err, c.Signal(i, syscall.SIGKILL), c.AwaitEnd(i))
			}
		}
		return errors.Join(errs...)
	}
	for i := range places {
		if err := c.launch(i); err != nil {
			return nil, errors.Join(fmt.Errorf("start broker %d: %w", i+1, err), c.Stop())
		}
	}
	return c, nil
}

// StartKafkaCluster starts three brokers of Apache Kafka by bench/kafka.sh, from the root of the module, on port and some above it.
func StartKafkaCluster(port int) (*Cluster, error) {
	const brokers = 3
	k, err := newKafka(port)
	if err != nil {
		return nil, err
	}
	c := &Cluster{pids: make([]int, brokers), ended: make([]<-chan struct{}, brokers), close: k.stop}
	find := func(i int) error {
		home, err := k.run("home", k.port)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(home, fmt.Sprintf("%d.pid", i+1)))
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return err
		}
		ended := make(chan struct{})
		c.pids[i], c.ended[i] = pid, ended
		go func() {
			for ; alive(pid); time.Sleep(5 * time.Millisecond) {
			}
			close(ended)
		}()
		return nil
	}
	c.launch = func(i int) error {
		if _, err := k.run("run", k.port, strconv.Itoa(i+1)); err != nil {
			return err
		}
		return find(i)
	}
	if _, err := k.run("start", k.port, strconv.Itoa(brokers)); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	for i := range brokers {
		c.Addrs = append(c.Addrs, fmt.Sprintf("127.0.0.1:%d", port+i))
		if err := find(i); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	return c, nil
}

// Signal sends a signal to the process of a broker.
func (c *Cluster) Signal(i int, s syscall.Signal) error { return syscall.Kill(c.pids[i], s) }

// AwaitEnd returns when the process of a broker has ended.
func (c *Cluster) AwaitEnd(i int) error {
	select {
	case <-c.ended[i]:
		return nil
	case <-time.After(endMax):
		return fmt.Errorf("broker %d has not ended within %v", i+1, endMax)
	}
}

// Again starts a broker whose process has ended.
func (c *Cluster) Again(i int) error { return c.launch(i) }

// Stop ends all brokers.
func (c *Cluster) Stop() error { return c.close() }

// endMax is how long the process of a broker may take to end: Kafka's may take a while.
const endMax = time.Minute

// alive tells whether a process runs; one that has ended and that nobody has waited for does not.
func alive(pid int) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(state), ") ")
	return !strings.HasPrefix(rest, "Z")
}
