package broker

import (
	"errors"
	"hash/crc32"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/quota"
	"github.com/moldau/moldau/internal/server"
	"github.com/moldau/moldau/internal/vfs"
)

// limit sets a quota of the one user that there is; 0 removes it.
func (n *node) limit(key string, value float64) {
	n.t.Helper()
	user := "ANONYMOUS"
	altered, err := kadm.NewClient(n.client()).AlterClientQuotas(n.context(), []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "user", Name: &user}}, Ops: []kadm.AlterClientQuotaOp{{Key: key, Value: value, Remove: value == 0}}}})
	for _, a := range altered {
		err = errors.Join(err, a.Err)
	}
	if err != nil {
		n.t.Fatalf("set %s: %v", key, err)
	}
}

// produceOf makes a request with one record of n bytes.
func produceOf(topic string, acks int16, n int) *kmsg.ProduceRequest {
	r := kmsg.Record{Value: make([]byte, n)}
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	batch := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: r.AppendTo(nil)}
	batch.Length = int32(len(batch.AppendTo(nil)) - 12)
	batch.CRC = int32(crc32.Checksum(batch.AppendTo(nil)[21:], crc32.MakeTable(crc32.Castagnoli)))
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(8)
	req.Acks, req.TimeoutMillis = acks, 30000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batch.AppendTo(nil)
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// throttleOf is what the first bytes of a client are throttled for.
func throttleOf(bytes int, quota float64) int32 {
	return int32(math.Floor((float64(bytes)/10-quota)/quota*10_000 + 0.5))
}

// TestQuotaActsOnOpenConnections: a quota counts from the next request on, whose answer comes at once; the one after it waits. When the
// quota is gone, nothing waits.
func TestQuotaActsOnOpenConnections(t *testing.T) {
	for _, acks := range []int16{1, -1} {
		n := start(t, vfs.NewMem(), "")
		n.create("orders", 1, nil)
		w := n.wire()
		_ = w.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		ask := func(req *kmsg.ProduceRequest) int32 {
			t.Helper()
			w.send(req)
			var resp kmsg.ProduceResponse
			w.receive(&resp, 8)
			if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Fatalf("produce: error %d", code)
			}
			return resp.ThrottleMillis
		}
		req := produceOf("orders", acks, 1040)
		size := len(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)) - 4
		if ms := ask(req); ms != 0 {
			t.Errorf("without a quota: throttled for %d ms", ms)
		}
		n.limit("producer_byte_rate", 100)
		begin := time.Now()
		if ms := ask(req); ms != throttleOf(size, 100) || ms <= 0 {
			t.Errorf("acks %d: throttled for %d ms, want %d", acks, ms, throttleOf(size, 100))
		}
		n.limit("producer_byte_rate", 0)
		if ms := ask(req); ms != 0 {
			t.Errorf("when the quota is gone: throttled for %d ms", ms)
		}
		if d := time.Since(begin); d < time.Duration(throttleOf(size, 100))*time.Millisecond {
			t.Errorf("the next request was answered after %v", d)
		}
		n.stop()
	}
}

// TestSilentProduceIsThrottled: acks=0 is not answered, but what follows waits.
func TestSilentProduceIsThrottled(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	n.create("orders", 1, nil)
	n.limit("producer_byte_rate", 100)
	w := n.wire()
	_ = w.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	req := produceOf("orders", 0, 1040)
	size := len(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)) - 4
	begin := time.Now()
	w.send(req)
	meta := kmsg.NewPtrMetadataRequest()
	meta.SetVersion(8)
	w.send(meta)
	var resp kmsg.MetadataResponse
	w.receive(&resp, 8)
	if d := time.Since(begin); d < time.Duration(throttleOf(size, 100))*time.Millisecond {
		t.Errorf("the next request was answered after %v", d)
	}
}

// TestThrottledFetchIsEmpty: over the quota a fetch brings no records, and counts for nothing: later it brings them all.
func TestThrottledFetchIsEmpty(t *testing.T) {
	n := start(t, vfs.NewMem(), "")
	n.create("orders", 1, nil)
	w := n.wire()
	_ = w.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	w.send(produceOf("orders", -1, 5000))
	var produced kmsg.ProduceResponse
	w.receive(&produced, 8)

	n.limit("consumer_byte_rate", 500) // 5000 at once, and the batch is a little more
	fetched := n.handler.Stats().FetchedBytes.Load()
	ask := func(epoch int32) *kmsg.FetchResponse {
		t.Helper()
		req := fetchOf("orders")
		req.SetVersion(11)
		req.SessionEpoch, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = epoch, 1000, 1, 1<<20
		w.send(req)
		resp := new(kmsg.FetchResponse)
		w.receive(resp, 11)
		return resp
	}
	resp := ask(0)
	if len(resp.Topics) != 0 || resp.SessionID != 0 || resp.ErrorCode != 0 {
		t.Errorf("over the quota: %d topics, session %d, error %d; want nothing", len(resp.Topics), resp.SessionID, resp.ErrorCode)
	}
	if resp.ThrottleMillis <= 0 || resp.ThrottleMillis > 1000 {
		t.Errorf("throttled for %d ms", resp.ThrottleMillis)
	}
	if got := n.handler.Stats().FetchedBytes.Load(); got != fetched {
		t.Errorf("%d bytes count as fetched", got-fetched)
	}
	for range 100 { // the rate is taken over a longer time with every millisecond
		if resp = ask(0); len(resp.Topics) > 0 {
			break
		}
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions[0].RecordBatches) < 5000 || resp.SessionID == 0 || resp.ThrottleMillis != 0 {
		t.Errorf("later: %d topics, session %d, throttled for %d ms", len(resp.Topics), resp.SessionID, resp.ThrottleMillis)
	}
	if got := n.quotas.Stats().Throttled[quota.Fetch].Load(); got == 0 {
		t.Error("nothing counts as throttled")
	}
}

// eventually waits for what happens in the background.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

// TestLimitsOfHosts: limits may name hosts, and act when their addresses have been looked up.
func TestLimitsOfHosts(t *testing.T) {
	n := start(t, vfs.NewMem(), "max.connections.per.ip.overrides=127.1:5,10.0.0.1:6\n")
	eventually(t, "the limit of a host acts", func() bool {
		return n.server.InForce().Hosts["127.0.0.1"] == 5 && n.server.InForce().Hosts["10.0.0.1"] == 6
	})
	ip := "127.2"
	altered, err := kadm.NewClient(n.client()).AlterClientQuotas(n.context(), []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "ip", Name: &ip}}, Ops: []kadm.AlterClientQuotaOp{{Key: "connection_creation_rate", Value: 1}}}})
	if err = errors.Join(err, altered[0].Err); err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddr("127.0.0.2")
	eventually(t, "the quota of a host acts", func() bool {
		return n.connections.From("PLAINTEXT", false, at.String()) > 0
	})
	if got := n.connectionLimits(n.live.now()); got.All != server.NoLimit || got.PerHost != server.NoLimit || got.Protected != "" {
		t.Errorf("limits that are not set: %+v", got)
	}
}
