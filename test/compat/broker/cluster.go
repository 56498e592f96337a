package broker

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Cluster is several Moldaus that are one cluster, in Kafka's combined mode, with ids from 1. It is the test's own.
type Cluster struct {
	t     testing.TB
	nodes []*clusterNode
}

type clusterNode struct {
	process  *Process // nil: it is down
	dir      string
	settings []string
	admin    string
}

// MoldauCluster starts a cluster; every node has the settings, as KAFKA_NAME=VALUE, where NODE stands for its id.
func MoldauCluster(t testing.TB, brokers int, settings ...string) *Cluster {
	t.Helper()
	ports := freePorts(t, 3*brokers)
	var voters []string
	for i := range brokers {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, ports[brokers+i]))
	}
	c := &Cluster{t: t}
	for i := range brokers {
		n := &clusterNode{dir: filepath.Join(t.TempDir(), fmt.Sprint(i+1)), admin: fmt.Sprintf("127.0.0.1:%d", ports[2*brokers+i]), settings: []string{
			"KAFKA_PROCESS_ROLES=broker,controller", fmt.Sprintf("KAFKA_NODE_ID=%d", i+1), "KAFKA_CONTROLLER_QUORUM_VOTERS=" + strings.Join(voters, ","),
			fmt.Sprintf("KAFKA_LISTENERS=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", ports[i], ports[brokers+i]),
			controllerNames + "=CONTROLLER", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		}}
		n.settings = append(n.settings, "KAFKA_ADMIN_LISTENER="+n.admin)
		for _, s := range settings {
			n.settings = append(n.settings, strings.ReplaceAll(s, "NODE", fmt.Sprint(i+1)))
		}
		c.nodes = append(c.nodes, n)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.Stop(i + 1)
		}
	})
	ids := make([]int, brokers)
	for i := range ids {
		ids[i] = i + 1
	}
	c.Start(ids...)
	return c
}

// freePorts finds ports that nobody uses at the moment.
func freePorts(t testing.TB, n int) (all []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all = append(all, l.Addr().(*net.TCPAddr).Port)
	}
	return all
}

// Start starts nodes at the same time, and returns when they serve.
func (c *Cluster) Start(ids ...int) {
	c.t.Helper()
	var starting sync.WaitGroup
	errs := make([]error, len(ids))
	if _, err := Command(c.t.TempDir()); err != nil {
		c.t.Fatal(err)
	}
	for i, id := range ids {
		n := c.nodes[id-1]
		starting.Go(func() { n.process, errs[i] = Start(n.dir, n.settings) })
	}
	starting.Wait()
	for i, err := range errs {
		if err != nil {
			c.t.Errorf("start node %d: %v", ids[i], err)
		}
	}
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// Stop stops a node cleanly, unless it is down.
func (c *Cluster) Stop(id int) {
	c.t.Helper()
	n := c.nodes[id-1]
	if n.process == nil {
		return
	}
	if err := n.process.Stop(); err != nil {
		c.t.Errorf("stop node %d: %v", id, err)
	}
	n.process = nil
}

// Addr is where the nodes that are up are reached.
func (c *Cluster) Addr() string {
	var all []string
	for _, n := range c.nodes {
		if n.process != nil {
			all = append(all, n.process.Addr)
		}
	}
	return strings.Join(all, ",")
}

// Data is where the topics' directories of a node lie.
func (c *Cluster) Data(id int) string { return filepath.Join(c.nodes[id-1].dir, "data") }

// Metrics are what a node says of itself.
func (c *Cluster) Metrics(id int) string {
	c.t.Helper()
	resp, err := http.Get("http://" + c.nodes[id-1].admin + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("metrics of node %d: %s, %v", id, resp.Status, err)
	}
	return string(text)
}
