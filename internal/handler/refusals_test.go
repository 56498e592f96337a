package handler

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/protocol"
)

func TestOutcomeIsTheFirstError(t *testing.T) {
	topic := "orders"
	metadata := kmsg.NewPtrMetadataResponse()
	metadata.Topics = []kmsg.MetadataResponseTopic{{Topic: &topic, Partitions: []kmsg.MetadataResponseTopicPartition{{}, {ErrorCode: 5}}}, {ErrorCode: 3}}
	commit := kmsg.NewPtrOffsetCommitResponse()
	commit.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "a"}, {Topic: "b", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{}, {ErrorCode: -1}}}}
	create := kmsg.NewPtrCreateTopicsResponse()
	create.Topics = []kmsg.CreateTopicsResponseTopic{{Topic: "new", ErrorCode: 36}}
	heartbeat := kmsg.NewPtrHeartbeatResponse()
	heartbeat.ErrorCode = 27
	long := kmsg.NewPtrDeleteTopicsResponse()
	long.Topics = make([]kmsg.DeleteTopicsResponseTopic, 2*outcomeMax)
	long.Topics[2*outcomeMax-1].ErrorCode = 3 // too far down to be looked for
	said := "Invalid value soon for configuration retention.ms: Not a number of type LONG"
	alter, broker := kmsg.NewPtrIncrementalAlterConfigsResponse(), kmsg.NewPtrIncrementalAlterConfigsResponse()
	alter.Resources = []kmsg.IncrementalAlterConfigsResponseResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "orders", ErrorCode: 40, ErrorMessage: &said}}
	broker.Resources = []kmsg.IncrementalAlterConfigsResponseResource{{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1", ErrorCode: 42}}
	for _, k := range []struct {
		resp kmsg.Response
		want outcome
	}{
		{metadata, outcome{code: protocol.LeaderNotAvailable, topic: "orders"}},
		{commit, outcome{code: protocol.UnknownServerError, topic: "b"}},
		{create, outcome{code: protocol.TopicAlreadyExists, topic: "new"}},
		{heartbeat, outcome{code: protocol.RebalanceInProgress}},
		{alter, outcome{protocol.InvalidConfig, "orders", said}},
		{broker, outcome{code: protocol.InvalidRequest}},
		{long, outcome{}},
		{kmsg.NewPtrHeartbeatResponse(), outcome{}},
		{kmsg.NewPtrFindCoordinatorResponse(), outcome{}},
	} {
		if got := outcomeOf(k.resp); got != k.want {
			t.Errorf("%T: %+v, want %+v", k.resp, got, k.want)
		}
	}
}

// Every answer that the table can give is looked into, however it is nested.
func TestOutcomeOfEveryAnswer(t *testing.T) {
	for _, a := range table {
		resp := kmsg.ResponseForKey(int16(a.key))
		if got := outcomeOf(resp); got.code != protocol.None {
			t.Errorf("%s: an empty answer counts as %s", a.key, got.code)
		}
	}
}

func TestOutcomeAllocatesNothing(t *testing.T) {
	commit := kmsg.NewPtrOffsetCommitResponse()
	commit.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "a", Partitions: make([]kmsg.OffsetCommitResponseTopicPartition, 10)}}
	outcomeOf(commit)
	if n := testing.AllocsPerRun(100, func() { outcomeOf(commit) }); n != 0 {
		t.Errorf("%v allocations an answer", n)
	}
}

func TestRefusalsDoNotFlood(t *testing.T) {
	var l refusals
	now := time.Unix(1000, 0)
	lines, silent := 0, 0
	take := func(r refusal) {
		if n, ok := l.take(now, r); ok {
			lines++
			silent += n
		}
	}
	for range 100 {
		take(refusal{protocol.KeyProduce, protocol.UnknownTopicOrPartition, "a"})
		take(refusal{protocol.KeyProduce, protocol.UnknownTopicOrPartition, "b"})
	}
	if lines != 2 || silent != 0 {
		t.Fatalf("%d lines, %d told of", lines, silent)
	}
	for i := range 1000 { // a client that thinks of ever new topics
		take(refusal{protocol.KeyMetadata, protocol.UnknownTopicOrPartition, fmt.Sprint(i)})
	}
	if lines != refusalsMax || len(l.lines) != refusalsMax {
		t.Fatalf("%d lines", lines)
	}
	now = now.Add(refusalPause)
	take(refusal{protocol.KeyProduce, protocol.UnknownTopicOrPartition, "a"})
	if lines != refusalsMax+1 || lines+l.silent+silent != 1201 {
		t.Errorf("%d lines, and %d told of, of 1201", lines, silent)
	}
}

func TestLevelsOfRefusals(t *testing.T) {
	failed := errors.New("read: input/output error")
	for _, k := range []struct {
		code protocol.ErrorCode
		why  error
		want slog.Level
	}{
		{protocol.StorageError, failed, slog.LevelWarn},
		{protocol.StorageError, nil, slog.LevelDebug},
		{protocol.StorageError, fmt.Errorf("append: %w", commitlog.ErrReadOnly), slog.LevelDebug},
		{protocol.UnknownServerError, nil, slog.LevelWarn},
		{protocol.MemberIDRequired, nil, slog.LevelDebug},
		{protocol.TopicAlreadyExists, nil, slog.LevelInfo},
	} {
		if got := refusalLevel(k.code, k.why); got != k.want {
			t.Errorf("%s, %v: %s", k.code, k.why, got)
		}
	}
}

// BenchmarkAnswer compares the search for an error with what encoding the same answer costs.
func BenchmarkAnswer(b *testing.B) {
	heartbeat := kmsg.NewPtrHeartbeatResponse()
	heartbeat.SetVersion(4)
	commit := kmsg.NewPtrOffsetCommitResponse()
	commit.SetVersion(8)
	commit.Topics = []kmsg.OffsetCommitResponseTopic{{Topic: "a", Partitions: make([]kmsg.OffsetCommitResponseTopicPartition, 10)}}
	var buf []byte
	for name, resp := range map[string]kmsg.Response{"heartbeat": heartbeat, "commit": commit} {
		b.Run(name+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buf = resp.AppendTo(buf[:0])
			}
		})
		b.Run(name+"/outcome", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				outcomeOf(resp)
			}
		})
	}
}
