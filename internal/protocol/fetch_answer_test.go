package protocol

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// response is an answer with everything that may be in one for a follower.
func response() *FetchResponse {
	return &FetchResponse{ThrottleMs: 3, SessionID: 77, Topics: []FetchResponseTopic{
		{ID: uuid.UUID{1}, Partitions: []FetchResponsePartition{
			{Partition: 1, HighWatermark: 10, LastStableOffset: 9, LogStartOffset: 2, PreferredReadReplica: -1,
				Records: []vfs.Span{vfs.MemSpan([]byte("some ")), vfs.MemSpan([]byte("records"))}, Replica: &ReplicaAnswer{10, 20, 5}},
			{Partition: 2, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1, Error: NotLeaderOrFollower,
				CurrentLeader: &CurrentLeader{3, 8}},
		}},
		{ID: uuid.UUID{2}, Partitions: []FetchResponsePartition{
			{HighWatermark: 4, LastStableOffset: 4, PreferredReadReplica: -1, DivergingEpoch: &EpochEndOffset{6, 3}, Replica: &ReplicaAnswer{4, 3, 7},
				Aborted: []AbortedTransaction{{1, 2}}},
		}},
	}, NodeEndpoints: []NodeEndpoint{{ID: 1, Host: "host", Port: 9092}}}
}

func encoded(t *testing.T, f *FetchResponse) (body []byte) {
	t.Helper()
	_, spans := f.AppendTo(nil, nil, FollowerVersion)
	for _, s := range spans {
		var err error
		if body, err = s.AppendTo(body); err != nil {
			t.Fatal(err)
		}
	}
	return body
}

func TestFetchAnswer(t *testing.T) {
	body := encoded(t, response())
	var a FetchAnswer
	for range 2 { // into what was used before, too
		if err := a.Decode(body); err != nil {
			t.Fatal(err)
		}
	}
	if a.ThrottleMs != 3 || a.Error != None || a.SessionID != 77 || len(a.Partitions) != 3 {
		t.Fatalf("%+v", a)
	}
	p := a.Partitions[0]
	if p.TopicID != (uuid.UUID{1}) || p.Partition != 1 || p.HighWatermark != 10 || p.LastStableOffset != 9 || p.LogStartOffset != 2 || string(p.Records) != "some records" ||
		!p.Told || p.Replica != (ReplicaAnswer{10, 20, 5}) || p.Diverges {
		t.Errorf("%+v", p)
	}
	if p = a.Partitions[1]; p.Error != NotLeaderOrFollower || p.Told || len(p.Records) > 0 {
		t.Errorf("%+v", p)
	}
	if p = a.Partitions[2]; p.TopicID != (uuid.UUID{2}) || !p.Diverges || p.Diverging != (EpochEndOffset{6, 3}) || p.Replica.LeaderEpoch != 7 {
		t.Errorf("%+v", p)
	}
	for n := range body {
		if err := a.Decode(body[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(body), err)
		}
	}
	if err := a.Decode(append(body, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte too many: %v", err)
	}
}

// FuzzFetchAnswer: no answer makes a follower panic, or take more memory than it has received.
func FuzzFetchAnswer(f *testing.F) {
	var t testing.T
	f.Add(encoded(&t, response()))
	f.Add(encoded(&t, &FetchResponse{SessionID: 1}))
	f.Fuzz(func(t *testing.T, body []byte) {
		var a FetchAnswer
		if a.Decode(body) != nil {
			return
		}
		records := 0
		for _, p := range a.Partitions {
			records += len(p.Records)
		}
		if records > len(body) || len(a.Partitions)*fetchedMin > len(body) {
			t.Errorf("%d partitions with %d bytes of records in %d bytes", len(a.Partitions), records, len(body))
		}
	})
}

func TestSyncedEnd(t *testing.T) {
	req := FetchRequest{ReplicaID: 2, ReplicaEpoch: 9, SessionEpoch: -1, Topics: []FetchTopic{{ID: uuid.UUID{1}, Partitions: []FetchPartition{
		{Partition: 1, FetchOffset: 7, HighWatermark: math.MaxInt64, SyncedEnd: 5}, {Partition: 2, HighWatermark: 3, SyncedEnd: 0}, {Partition: 3, HighWatermark: math.MaxInt64, SyncedEnd: -1}}}}}
	for version, want := range map[int16][3]int64{18: {5, 0, -1}, 17: {5, 0, -1}, 16: {-1, -1, -1}} {
		body := req.AppendTo(nil, version)
		var got FetchRequest
		if err := got.Decode(version, body); err != nil {
			t.Fatal(err)
		}
		for i, p := range got.Topics[0].Partitions {
			if p.SyncedEnd != want[i] {
				t.Errorf("version %d, partition %d: synced to %d, want %d", version, i, p.SyncedEnd, want[i])
			}
		}
		if !bytes.Equal(got.AppendTo(nil, version), body) {
			t.Errorf("version %d: written again it is another request", version)
		}
	}
}
