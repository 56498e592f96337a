package broker

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/vfs"
)

// minISR is what the cluster says of a topic's min.insync.replicas.
func (c *several) minISR(topic string) (value string, source kmsg.ConfigSource) {
	c.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{"min.insync.replicas"}
	req.Resources = append(req.Resources, r)
	resp := ask(c, func(ctx context.Context, cl *kgo.Client) (*kmsg.DescribeConfigsResponse, error) {
		return req.RequestWith(ctx, cl)
	})
	if len(resp.Resources) != 1 || resp.Resources[0].ErrorCode != 0 || len(resp.Resources[0].Configs) != 1 {
		c.t.Fatalf("%+v", resp)
	}
	e := resp.Resources[0].Configs[0]
	return *e.Value, e.Source
}

// TestDefaultsOfThreeBrokers: a topic for which nobody set anything has three replicas, of which two must be in sync. With two of them lost acks=all is refused until
// somebody says that one is enough.
func TestDefaultsOfThreeBrokers(t *testing.T) {
	c := newSeveral(t, "metadata.log.dir=meta\n")
	c.dirs = "one,two"
	var mu sync.Mutex
	broken := map[int]string{}
	c.fault = func(id int, op vfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if dir := broken[id]; dir != "" && strings.HasPrefix(op.Name, dir+"/") && op.Kind.Changes() {
			return syscall.EIO
		}
		return nil
	}
	c.start(1, 2, 3)
	c.until("three brokers that serve", c.one(), unfenced(1, 2, 3))
	c.create("plain", 1, -1)
	c.create("two", 1, 2)
	c.inSync("plain")
	for _, n := range c.nodes { // each may be asked
		c.until("both topics", n, func(img *metadata.Image) bool { return img.Topic("plain") != nil && img.Topic("two") != nil })
	}
	topic := func() *metadata.Topic { return c.one().publisher.Image().Topic("plain") }
	if n := len(topic().Partitions[0].Replicas); n != 3 {
		t.Fatalf("%d replicas", n)
	}
	is := func(name, value string, source kmsg.ConfigSource) {
		t.Helper()
		if v, s := c.minISR(name); v != value || s != source {
			t.Errorf("min.insync.replicas of %s is %s, from %v, want %s from %v", name, v, s, value, source)
		}
	}
	is("plain", "2", kmsg.ConfigSourceDefaultConfig)
	is("two", "1", kmsg.ConfigSourceDynamicDefaultBrokerConfig)

	produce := func(opts ...kgo.Opt) error {
		cl := c.client(append(opts, kgo.DefaultProduceTopic("plain"), kgo.MetadataMinAge(50*time.Millisecond), kgo.DisableIdempotentWrite())...)
		defer cl.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return cl.ProduceSync(ctx, kgo.StringRecord("v")).FirstErr()
	}
	if err := produce(); err != nil {
		t.Fatal(err)
	}
	leader := topic().Partitions[0].Leader
	left := 3
	for id, n := range c.nodes {
		if int32(id) == leader {
			continue
		}
		_, dir := n.replicas.Placed(topic().ID, 0)
		mu.Lock()
		broken[id] = filepath.Base(n.dirs[dir].Path())
		mu.Unlock()
		left--
		if err := produce(kgo.RequiredAcks(kgo.LeaderAck())); err != nil { // the replica appends, and finds out
			t.Fatal(err)
		}
		c.await("the lost replica to leave the ISR", func() bool { return len(topic().Partitions[0].ISR) == left })
		if left == 2 {
			if err := produce(); err != nil {
				t.Fatalf("with one replica lost: %v", err)
			}
		}
	}
	if elr := topic().Partitions[0].ELR; len(elr) != 1 {
		t.Errorf("the ELR is %v", elr)
	}
	if err := produce(kgo.RecordRetries(1)); !errors.Is(err, kerr.NotEnoughReplicas) {
		t.Errorf("with two replicas lost: %v", err)
	}
	one := "1"
	resp, err := kadm.NewClient(c.client()).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "min.insync.replicas", Value: &one}}, "plain")
	if err != nil || resp[0].Err != nil {
		t.Fatal(err, resp)
	}
	c.await("every broker to hear of it", func() bool {
		for _, n := range c.nodes {
			if len(n.publisher.Image().Topic("plain").Partitions[0].ELR) > 0 {
				return false
			}
		}
		return true
	})
	is("plain", "1", kmsg.ConfigSourceDynamicTopicConfig)
	if err := produce(); err != nil {
		t.Errorf("where one is enough: %v", err)
	}
}
