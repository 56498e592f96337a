package handler

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/quota"
)

// limit sets a quota of the client that the tests' connections say they are.
func (r *rig) limit(name string, v float64) {
	r.t.Helper()
	r.controller.apply(r.t, &metadata.QuotaRecord{Entity: metadata.QuotaEntity{ClientID: metadata.QuotaOf("tester")}, Name: name, Value: &v})
}

// Whatever a request asks for: with its time over the quota, its answer says for how long the client is held back wherever the
// version has a field for it, and the next request of the connection waits, but for no more than a window.
func TestEveryAnswerTellsOfThrottling(t *testing.T) {
	r := newRig(t, "")
	r.groups.reply(nil, coordinator.ErrNotCoordinator)
	r.limit(metadata.QuotaRequestPercentage, 1e-9)
	throttled := r.quotas.Stats().Throttled[quota.Request].Load()
	for _, a := range Table() {
		if a.Key == protocol.KeyDescribeLogDirs {
			continue // there are no directories here
		}
		for v := a.Min; v <= a.Max; v++ {
			req := kmsg.RequestForKey(int16(a.Key))
			if f, ok := req.(*kmsg.ProduceRequest); ok {
				f.Acks = 1
			}
			if f, ok := req.(*kmsg.ApiVersionsRequest); ok {
				f.ClientSoftwareName, f.ClientSoftwareVersion, f.NodeID = "tester", "1", -1
			}
			w := r.dial()
			w.send(v, req)
			resp, err := w.receive(v, req)
			if err != nil {
				continue // some requests without anything in them are refused by closing the connection
			}
			throttled++
			told, ok := resp.(kmsg.ThrottleResponse)
			if ms, _ := throttleOf(told, ok); ok && ms != 1000 && hasThrottle(a.Key, v) {
				t.Errorf("%s version %d: throttled for %d ms, want 1000", a.Key, v, ms)
			}
			w.conn.Close()
		}
	}
	if got := r.quotas.Stats().Throttled[quota.Request].Load(); got != throttled || got == 0 {
		t.Errorf("%d requests were throttled, want %d", got, throttled)
	}
}

func throttleOf(r kmsg.ThrottleResponse, ok bool) (int32, bool) {
	if !ok {
		return 0, false
	}
	return r.Throttle()
}

// hasThrottle says whether the version of an answer has a throttle time.
func hasThrottle(key protocol.APIKey, version int16) bool {
	since := map[protocol.APIKey]int16{
		protocol.KeyListOffsets: 2, protocol.KeyMetadata: 3, protocol.KeyOffsetCommit: 3, protocol.KeyOffsetFetch: 3, protocol.KeyFindCoordinator: 1,
		protocol.KeyJoinGroup: 2, protocol.KeyHeartbeat: 1, protocol.KeyLeaveGroup: 1, protocol.KeySyncGroup: 1, protocol.KeyDescribeGroups: 1,
		protocol.KeyListGroups: 1, protocol.KeyAPIVersions: 1, protocol.KeyDeleteTopics: 1,
	}
	return version >= since[key]
}

// A connection reads on when its throttle time is over, in order; other clients do not wait meanwhile.
func TestThrottledClientWaits(t *testing.T) {
	r := newRig(t, "")
	r.limit(metadata.QuotaRequestPercentage, 1e-9)
	w := r.dial()
	begin := time.Now()
	w.send(9, kmsg.NewPtrMetadataRequest())
	w.send(9, kmsg.NewPtrMetadataRequest())
	if _, err := w.receive(9, kmsg.NewPtrMetadataRequest()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.receive(9, kmsg.NewPtrMetadataRequest()); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < time.Second {
		t.Errorf("the second request was answered after %v, want a second", d)
	}
	other := r.dial()
	begin = time.Now()
	for range 20 {
		frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("other")).AppendRequest(nil, kmsg.NewPtrMetadataRequest(), 1)
		if _, err := other.conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := other.receive(0, kmsg.NewPtrMetadataRequest()); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(begin); d > 10*time.Second { // 20 s if each waited
		t.Errorf("20 requests of another client took %v", d)
	}
}

// Changes of partitions beyond the quota: newer versions are refused topic by topic, older ones are only held back (KIP-599).
func TestMutationQuota(t *testing.T) {
	r := newRig(t, "")
	r.limit(metadata.QuotaControllerMutationRate, 1) // eleven at once
	create := func(v int16, partitions int32, names ...string) (codes []protocol.ErrorCode, ms int32) {
		t.Helper()
		req := kmsg.NewPtrCreateTopicsRequest()
		for _, name := range names {
			rt := kmsg.NewCreateTopicsRequestTopic()
			rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, 1
			req.Topics = append(req.Topics, rt)
		}
		w := r.dial()
		resp := roundTrip[*kmsg.CreateTopicsResponse](w, v, req)
		w.conn.Close()
		for _, rt := range resp.Topics {
			codes = append(codes, protocol.ErrorCode(rt.ErrorCode))
			if rt.ErrorCode == int16(protocol.ThrottlingQuotaExceeded) && rt.ErrorMessage != nil {
				t.Errorf("refused with %q, Kafka has no message", *rt.ErrorMessage)
			}
		}
		return codes, resp.ThrottleMillis
	}
	want := func(what string, codes []protocol.ErrorCode, ms int32, low, high int32, wanted ...protocol.ErrorCode) {
		t.Helper()
		for i := range wanted {
			if i >= len(codes) || codes[i] != wanted[i] {
				t.Fatalf("%s: codes %v, want %v", what, codes, wanted)
			}
		}
		if ms < low || ms > high {
			t.Errorf("%s: throttled for %d ms, want %d to %d", what, ms, low, high)
		}
	}
	const ok, over = protocol.None, protocol.ThrottlingQuotaExceeded
	codes, ms := create(6, 6, "a", "b", "c")
	want("6 + 6 of 11, then one more", codes, ms, 900, 1000, ok, ok, over)
	codes, ms = create(5, 1, "d")
	want("an older version", codes, ms, 1000, 2000, ok)
	codes, ms = create(7, 1, "e")
	want("the newest", codes, ms, 1000, 2000, over)

	more := kmsg.NewPtrCreatePartitionsRequest()
	mt := kmsg.NewCreatePartitionsRequestTopic()
	mt.Topic, mt.Count = "a", 7
	more.Topics = append(more.Topics, mt)
	for v, code := range map[int16]protocol.ErrorCode{2: ok, 3: over} {
		mt.Count++
		more.Topics[0] = mt
		w := r.dial()
		resp := roundTrip[*kmsg.CreatePartitionsResponse](w, v, more)
		w.conn.Close()
		if got := protocol.ErrorCode(resp.Topics[0].ErrorCode); got != code || resp.ThrottleMillis == 0 {
			t.Errorf("CreatePartitions version %d: %s, throttled for %d ms", v, got, resp.ThrottleMillis)
		}
	}
	for _, c := range []struct {
		version int16
		code    protocol.ErrorCode
	}{{5, over}, {6, over}, {4, ok}} {
		req := kmsg.NewPtrDeleteTopicsRequest()
		dt := kmsg.NewDeleteTopicsRequestTopic()
		dt.Topic = kmsg.StringPtr("b")
		req.Topics, req.TopicNames = append(req.Topics, dt), []string{"b"}
		w := r.dial()
		resp := roundTrip[*kmsg.DeleteTopicsResponse](w, c.version, req)
		w.conn.Close()
		if got := protocol.ErrorCode(resp.Topics[0].ErrorCode); got != c.code || resp.ThrottleMillis == 0 {
			t.Errorf("DeleteTopics version %d: %s, throttled for %d ms", c.version, got, resp.ThrottleMillis)
		}
	}

	// A topic that a Metadata request would create is not there either, and nothing tells why, as in Kafka.
	meta := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr("auto")
	meta.Topics, meta.AllowAutoTopicCreation = append(meta.Topics, topic), true
	resp := roundTrip[*kmsg.MetadataResponse](r.dial(), 9, meta)
	if got := protocol.ErrorCode(resp.Topics[0].ErrorCode); got != protocol.UnknownTopicOrPartition || resp.ThrottleMillis != 0 {
		t.Errorf("Metadata: %s, throttled for %d ms", got, resp.ThrottleMillis)
	}
	if r.h.Metadata.Image().Topic("auto") != nil {
		t.Error("a topic was created beyond the quota")
	}
}
