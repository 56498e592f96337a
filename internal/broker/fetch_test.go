package broker

import (
	"encoding/binary"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/vfs"
)

// wire is a bare connection: what is sent on it is looked at in that order, which tells when a fetch is parked.
type wire struct {
	t    *testing.T
	conn network.Conn
	sent int32
}

func (n *node) wire() *wire {
	n.t.Helper()
	conn, err := n.net.Dial(n.context(), "127.0.0.1:9092")
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	return &wire{t: n.t, conn: conn}
}

func (w *wire) send(req kmsg.Request) {
	w.t.Helper()
	w.sent++
	if _, err := w.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, w.sent)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) receive(resp kmsg.Response, version int16) {
	w.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(w.conn, size[:]); err != nil {
		w.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(w.conn, body); err != nil {
		w.t.Fatal(err)
	}
	resp.SetVersion(version)
	if err := resp.ReadFrom(body[4:]); err != nil {
		w.t.Fatal(err)
	}
}

func fetchOf(topics ...string) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 11, -1, 1<<30, 1, 1<<20
	for _, name := range topics {
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes = 1 << 20
		req.Topics = append(req.Topics, kmsg.FetchRequestTopic{Topic: name, Partitions: []kmsg.FetchRequestTopicPartition{p}})
	}
	return req
}

// TestParkedFetchHearsOfADeletedTopic deletes one of two topics that a fetch waits for.
func TestParkedFetchHearsOfADeletedTopic(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	n.create("stays", 1, nil)
	n.create("goes", 1, nil)
	w := n.wire()
	w.send(fetchOf("stays", "goes"))
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.Version, remove.TopicNames = 3, []string{"goes"}
	w.send(remove)
	var resp kmsg.FetchResponse
	w.receive(&resp, 11)
	// The replica goes a moment before the topic leaves the metadata that requests go by; either sends the client to look again.
	gone := map[protocol.ErrorCode]bool{protocol.UnknownTopicOrPartition: true, protocol.NotLeaderOrFollower: true}
	if len(resp.Topics) != 2 || resp.Topics[0].Partitions[0].ErrorCode != 0 || resp.Topics[1].Topic != "goes" ||
		!gone[protocol.ErrorCode(resp.Topics[1].Partitions[0].ErrorCode)] {
		t.Errorf("the fetch was answered %+v", resp.Topics)
	}
	n.stop()
}

// TestCoordinatorsTopicsAreMadeAsTheyNeedThem asks for internal topics. Made with the defaults of other topics one would be of no use to
// its coordinator, who could not make it any more.
func TestCoordinatorsTopicsAreMadeAsTheyNeedThem(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	w := n.wire()
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.AllowAutoTopicCreation = 9, true
	for _, name := range []string{"__consumer_offsets", "__transaction_state", "orders"} {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(name)})
	}
	w.send(req)
	admin := kadm.NewClient(n.client())
	topics, err := admin.ListTopicsWithInternal(n.context())
	for err == nil && !topics.Has("orders") {
		topics, err = admin.ListTopicsWithInternal(n.context())
	}
	if err != nil || topics.Has("__transaction_state") || len(topics["__consumer_offsets"].Partitions) != 50 {
		t.Errorf("topics %v, %v", topics, err)
	}
	configs, err := admin.DescribeTopicConfigs(n.context(), "__consumer_offsets")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range configs[0].Configs {
		got[c.Key] = c.MaybeValue()
	}
	if got["cleanup.policy"] != "compact" || got["segment.bytes"] != "104857600" {
		t.Errorf("settings %v", got)
	}
	n.stop()
}
