package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/vfs"
)

// TestAdvertisedAddress: clients are told the address that advertised.listeners names, not the one they came in by, with node and rack.
func TestAdvertisedAddress(t *testing.T) {
	file := "listeners=PLAINTEXT://127.0.0.1:9092\nadvertised.listeners=PLAINTEXT://broker.example.org:1234\nbroker.rack=r1\nnode.id=7\nlog.dirs=data\n"
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte(file)})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, disk: vfs.NewMem(), net: network.NewMem()}
	if n.Broker, err = Start(Options{Config: cfg, FS: n.disk, Network: n.net}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Broker.Abort)
	r, err := kmsg.NewPtrMetadataRequest().RequestWith(n.context(), n.client().SeedBrokers()[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Brokers) != 1 || r.Brokers[0].NodeID != 7 || r.Brokers[0].Host != "broker.example.org" || r.Brokers[0].Port != 1234 || r.Brokers[0].Rack == nil || *r.Brokers[0].Rack != "r1" {
		t.Errorf("clients are told %+v", r.Brokers)
	}
}
