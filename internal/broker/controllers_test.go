package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/vfs"
)

// TestControllerListener reaches the node by the listener that controller.listener.names names, on a port that was left open, and is told of it.
func TestControllerListener(t *testing.T) {
	n := start(t, vfs.NewMem(), "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:0\ncontroller.listener.names=CONTROLLER\n"+
		"controller.quorum.bootstrap.servers=127.0.0.1:9093\n")
	if len(n.Addresses()) != 1 || len(n.ControllerAddresses()) != 1 {
		t.Fatalf("serves on %v, controller on %v", n.Addresses(), n.ControllerAddresses())
	}
	at := n.ControllerAddresses()[0]
	_, text, _ := strings.Cut(at, ":")
	port, err := strconv.Atoi(text)
	if err != nil || port == 0 {
		t.Fatalf("controller on %s", at)
	}
	cl := n.client(kgo.SeedBrokers(at))
	ctx := n.context()

	cluster := kmsg.NewPtrDescribeClusterRequest()
	cluster.EndpointType = 2
	if r, err := cluster.RequestWith(ctx, cl.SeedBrokers()[0]); err != nil || r.ErrorCode != 0 || r.ControllerID != 1 || len(r.Brokers) != 1 || int(r.Brokers[0].Port) != port {
		t.Errorf("cluster %+v: %v", r, err)
	}
	quorum := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{{}}
	quorum.Topics = append(quorum.Topics, topic)
	for _, broker := range []*kgo.Broker{cl.SeedBrokers()[0], n.client().SeedBrokers()[0]} {
		r, err := quorum.RequestWith(ctx, broker)
		if err != nil || r.ErrorCode != 0 || len(r.Nodes) != 1 || len(r.Nodes[0].Listeners) != 1 {
			t.Fatalf("quorum %+v: %v", r, err)
		}
		if l := r.Nodes[0].Listeners[0]; l.Name != "CONTROLLER" || l.Host != "127.0.0.1" || int(l.Port) != port {
			t.Errorf("the voter is at %+v, not on port %d", l, port)
		}
	}
	if r, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, cl.SeedBrokers()[0]); err == nil {
		t.Errorf("metadata of brokers by the listener for controllers: %+v", r)
	}
}

// TestNoControllerListener names no listener for controllers, so that none is open and no voter has an address.
func TestNoControllerListener(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	if at := n.ControllerAddresses(); len(at) != 0 {
		t.Errorf("controller on %v", at)
	}
	quorum := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{{}}
	quorum.Topics = append(quorum.Topics, topic)
	r, err := quorum.RequestWith(n.context(), n.client().SeedBrokers()[0])
	if err != nil || len(r.Nodes) != 1 || len(r.Nodes[0].Listeners) != 0 {
		t.Errorf("quorum %+v: %v", r, err)
	}
}

// TestAdvertisedController tells clients of the controller what advertised.listeners says, and where controller.quorum.voters says so the quorum's voter.
func TestAdvertisedController(t *testing.T) {
	n := start(t, vfs.NewMem(), "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\ncontroller.listener.names=CONTROLLER\n"+
		"advertised.listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://controller.example:19093\ncontroller.quorum.voters=1@voter.example:29093\n")
	cl := n.client(kgo.SeedBrokers("127.0.0.1:9093"))
	cluster := kmsg.NewPtrDescribeClusterRequest()
	cluster.EndpointType = 2
	if r, err := cluster.RequestWith(n.context(), cl.SeedBrokers()[0]); err != nil || len(r.Brokers) != 1 || r.Brokers[0].Host != "controller.example" || r.Brokers[0].Port != 19093 {
		t.Errorf("cluster %+v: %v", r, err)
	}
	quorum := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{{}}
	quorum.Topics = append(quorum.Topics, topic)
	r, err := quorum.RequestWith(n.context(), cl.SeedBrokers()[0])
	if err != nil || len(r.Nodes) != 1 || len(r.Nodes[0].Listeners) != 1 || r.Nodes[0].Listeners[0].Host != "voter.example" || r.Nodes[0].Listeners[0].Port != 29093 {
		t.Errorf("quorum %+v: %v", r, err)
	}
}

// TestStopDoesNotWaitForTheController: a tool that asks by the listener for controllers, and is not answered since the quorum is gone, holds up no stop.
func TestStopDoesNotWaitForTheController(t *testing.T) {
	c := newSeveral(t, "")
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	last := c.leader()
	for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
		if id != last {
			c.kill(id)
		}
	}
	n := c.nodes[last]
	delete(c.nodes, last)
	cl := c.client(kgo.SeedBrokers(fmt.Sprintf("n%d:9093", last)))
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "never", 1, 1
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis, req.Topics = 60_000, append(req.Topics, topic)
		_, err := req.RequestWith(ctx, cl.SeedBrokers()[0])
		asked <- err
	}()
	tools := &n.together.tools
	c.await("a request that waits for the controller", func() bool {
		tools.Lock()
		defer tools.Unlock()
		return len(tools.under) > 0
	})
	stopped := make(chan struct{})
	go func() {
		n.stopServing(0)
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(15 * time.Second): // a request finds no controller after 30
		t.Error("waited for the service of clients to end")
		<-stopped
	}
	for _, d := range n.dirs {
		_ = d.Abort()
	}
	n.part()
	n.stopQuorum()
	n.stopAdmin()
	cancel()
	<-asked
}
