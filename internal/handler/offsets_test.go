package handler

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// withTopics makes a rig with topics of three partitions and returns their ids.
func withTopics(t *testing.T, names ...string) (*rig, *wire, map[string]uuid.UUID) {
	t.Helper()
	r := newRig(t, "")
	w := r.dial()
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range names {
		req.Topics = append(req.Topics, kmsg.CreateTopicsRequestTopic{Topic: name, NumPartitions: 3, ReplicationFactor: 1})
	}
	ids := map[string]uuid.UUID{}
	for _, topic := range roundTrip[*kmsg.CreateTopicsResponse](w, 7, req).Topics {
		if topic.ErrorCode != 0 {
			t.Fatalf("%s: %d %s", topic.Topic, topic.ErrorCode, *topic.ErrorMessage)
		}
		ids[topic.Topic] = topic.TopicID
	}
	return r, w, ids
}

// accept answers every commit with None for each partition, or with another code.
func (r *rig) accept(code protocol.ErrorCode) {
	r.groups.reply(nil, nil)
	r.groups.answer = func(request any) (any, error) {
		resp := &group.CommitResponse{}
		for _, t := range request.(*group.CommitRequest).Topics {
			answer := group.CommittedTopic{Topic: t.Topic, ID: t.ID}
			for _, p := range t.Partitions {
				answer.Partitions = append(answer.Partitions, group.CommittedPartition{Partition: p.Partition, Code: code})
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil
	}
}

func commitOf(ids map[string]uuid.UUID, topics ...any) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = "g", 4, "me", new("disk-1")
	for i := 0; i < len(topics); i += 2 {
		t := kmsg.OffsetCommitRequestTopic{Topic: topics[i].(string), TopicID: ids[topics[i].(string)]}
		if t.TopicID == [16]byte{} {
			t.TopicID = uuid.UUID{1, 2, byte(len(t.Topic))}
		}
		for _, p := range topics[i+1].([]int32) {
			t.Partitions = append(t.Partitions, kmsg.OffsetCommitRequestTopicPartition{Partition: p, Offset: 100 + int64(p), LeaderEpoch: 7, Metadata: new("m")})
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// committed is an answer as text: topic partition=code ...
func committed(resp *kmsg.OffsetCommitResponse, ids map[string]uuid.UUID) string {
	var s []string
	for _, t := range resp.Topics {
		for name, id := range ids {
			if resp.Version >= 10 && id == t.TopicID {
				t.Topic = name
			}
		}
		if t.Topic == "" {
			t.Topic = "?"
		}
		for _, p := range t.Partitions {
			t.Topic += fmt.Sprintf(" %d=%d", p.Partition, p.ErrorCode)
		}
		s = append(s, t.Topic)
	}
	return strings.Join(s, ", ")
}

func TestOffsetCommitAtEveryVersion(t *testing.T) {
	r, w, ids := withTopics(t, "a", "b")
	for v := int16(2); v <= 10; v++ {
		r.accept(protocol.None)
		req := commitOf(ids, "a", []int32{0, 1, 0})
		req.RetentionTimeMillis = 5000
		req.Topics[0].Partitions[1].Metadata = nil
		resp := roundTrip[*kmsg.OffsetCommitResponse](w, v, req)
		if got := committed(resp, ids); got != "a 0=0 1=0 0=0" {
			t.Errorf("version %d answers %s", v, got)
		}
		want := &group.CommitRequest{Group: "g", Generation: 4, Member: "me", Retention: -1, Topics: []group.CommitTopic{{Topic: "a", ID: ids["a"],
			Partitions: []group.CommitPartition{{Offset: 100, LeaderEpoch: -1, Metadata: "m"}, {Partition: 1, Offset: 101, LeaderEpoch: -1}, {Offset: 100, LeaderEpoch: -1, Metadata: "m"}}}}}
		if v <= 4 {
			want.Retention = 5 * time.Second
		}
		if v >= 6 {
			for i := range want.Topics[0].Partitions {
				want.Topics[0].Partitions[i].LeaderEpoch = 7
			}
		}
		if v >= 7 {
			want.Instance = new("disk-1")
		}
		if got := r.groups.last(); !reflect.DeepEqual(got, want) {
			t.Errorf("version %d asked %+v, want %+v", v, got, want)
		}

		// What does not exist is refused here, and answered first; the rest goes on.
		unknown := "zzz 0=3 1=3 5=3"
		if v >= 10 {
			unknown = "? 0=100 1=100 5=100"
		}
		resp = roundTrip[*kmsg.OffsetCommitResponse](w, v, commitOf(ids, "b", []int32{0, 9, -1}, "zzz", []int32{0, 1}, "a", []int32{2}, "b", []int32{1}, "zzz", []int32{5}))
		if got, want := committed(resp, ids), "b 9=3 -1=3 0=0 1=0, "+unknown+", a 2=0"; got != want {
			t.Errorf("version %d answers %s, want %s", v, got, want)
		}
		// Without anything refused a topic that is named twice is answered twice.
		resp = roundTrip[*kmsg.OffsetCommitResponse](w, v, commitOf(ids, "b", []int32{0}, "a", []int32{2}, "b", []int32{1}))
		if got := committed(resp, ids); got != "b 0=0, a 2=0, b 1=0" {
			t.Errorf("version %d answers %s", v, got)
		}
		// The group is not asked for nothing.
		r.accept(protocol.None)
		resp = roundTrip[*kmsg.OffsetCommitResponse](w, v, commitOf(ids, "zzz", []int32{}, "a", []int32{}, "b", []int32{3}))
		if got, want := committed(resp, ids), map[bool]string{false: "zzz, b 3=3", true: "?, b 3=3"}[v >= 10]; got != want || r.groups.last() != nil {
			t.Errorf("version %d answers %s", v, got)
		}

		// The group's refusals.
		missing := 22
		if v >= 9 {
			missing = 69
		}
		r.accept(protocol.GroupIDNotFound)
		resp = roundTrip[*kmsg.OffsetCommitResponse](w, v, commitOf(ids, "a", []int32{0, 1}))
		if got, want := committed(resp, ids), fmt.Sprintf("a 0=%d 1=%d", missing, missing); got != want {
			t.Errorf("version %d answers a missing group with %s", v, got)
		}
		r.accept(protocol.RebalanceInProgress)
		if got := committed(roundTrip[*kmsg.OffsetCommitResponse](w, v, commitOf(ids, "a", []int32{0})), ids); got != "a 0=27" {
			t.Errorf("version %d answers %s", v, got)
		}
		for err, code := range map[error]int16{coordinator.ErrLoading: 14, coordinator.ErrNotCoordinator: 16, coordinator.ErrUnavailable: 15, coordinator.ErrTimeout: 15} {
			r.groups.reply(nil, fmt.Errorf("some: %w", err))
			resp = roundTrip[*kmsg.OffsetCommitResponse](w, v, commitOf(ids, "a", []int32{0, 3}, "b", []int32{1}))
			if got, want := committed(resp, ids), fmt.Sprintf("a 3=3 0=%d, b 1=%d", code, code); got != want {
				t.Errorf("version %d answers %v with %s", v, err, got)
			}
		}
		// Very old consumers commit without a group; bytes that are no text are none.
		r.accept(protocol.None)
		req = commitOf(ids, "a", []int32{0})
		req.Group = ""
		if got := committed(roundTrip[*kmsg.OffsetCommitResponse](w, v, req), ids); got != "a 0=0" || r.groups.last() == nil {
			t.Errorf("version %d answers %s", v, got)
		}
		r.accept(protocol.None)
		req.Group = "\xff"
		if got := committed(roundTrip[*kmsg.OffsetCommitResponse](w, v, req), ids); got != "a 0=24" || r.groups.last() != nil {
			t.Errorf("version %d answers %s", v, got)
		}
	}
}

func TestCommitRetention(t *testing.T) {
	for ms, want := range map[int64]time.Duration{
		-1: -1, -2: 0, math.MinInt64: 0, 0: 0, 1: time.Millisecond, math.MaxInt64: math.MaxInt64 / time.Millisecond * time.Millisecond,
	} {
		if got := commitRetention(ms); got != want {
			t.Errorf("%d ms: %v, want %v", ms, got, want)
		}
	}
}

type fetchAsk struct {
	topic      string
	partitions []int32
}

// fetchOf asks for topics of groups, or for all where there are no topics.
func fetchOf(ids map[string]uuid.UUID, groups []string, topics ...fetchAsk) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.RequireStable = groups[0], true
	for _, t := range topics {
		req.Topics = append(req.Topics, kmsg.OffsetFetchRequestTopic{Topic: t.topic, Partitions: t.partitions})
	}
	for i, g := range groups {
		x := kmsg.OffsetFetchRequestGroup{Group: g, MemberID: new("me"), MemberEpoch: int32(i)}
		for _, t := range topics {
			id := ids[t.topic]
			if id.IsZero() {
				id = uuid.UUID{1, 2, 3}
			}
			x.Topics = append(x.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: t.topic, TopicID: id, Partitions: t.partitions})
		}
		req.Groups = append(req.Groups, x)
	}
	return req
}

// fetched is an answer as text.
func fetched(resp *kmsg.OffsetFetchResponse, ids map[string]uuid.UUID) (s string) {
	if resp.Version < 8 {
		s = fmt.Sprintf("%d", resp.ErrorCode)
		for _, t := range resp.Topics {
			s += " " + t.Topic
			for _, p := range t.Partitions {
				s += fmt.Sprintf(" %d:%d/%d/%s/%d", p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata, p.ErrorCode)
			}
		}
		return s
	}
	for _, g := range resp.Groups {
		s += fmt.Sprintf("[%s %d", g.Group, g.ErrorCode)
		for _, t := range g.Topics {
			for name, id := range ids {
				if resp.Version >= 10 && id == t.TopicID {
					t.Topic = name
				}
			}
			if t.Topic == "" {
				t.Topic = "?"
			}
			s += " " + t.Topic
			for _, p := range t.Partitions {
				s += fmt.Sprintf(" %d:%d/%d/%s/%d", p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata, p.ErrorCode)
			}
		}
		s += "]"
	}
	return s
}

func TestOffsetFetchAtEveryVersion(t *testing.T) {
	r, w, ids := withTopics(t, "a", "b")
	answer := func(request any) (any, error) {
		q := request.(*group.FetchRequest)
		if q.All { // one of the topics is gone, another was replaced
			return &group.FetchResponse{Topics: []group.FetchedTopic{
				{Topic: "a", ID: uuid.UUID{9}, Partitions: []group.FetchedPartition{{Partition: 1, Offset: 5, LeaderEpoch: 2, Metadata: new("m")}}},
				{Topic: "gone", ID: uuid.UUID{8}, Partitions: []group.FetchedPartition{{Partition: 0, Offset: 6, LeaderEpoch: -1, Metadata: new("")}}}}}, nil
		}
		resp := &group.FetchResponse{}
		for _, t := range q.Topics {
			answer := group.FetchedTopic{Topic: t.Topic, ID: t.ID}
			for _, p := range t.Partitions {
				answer.Partitions = append(answer.Partitions, group.FetchedPartition{Partition: p, Offset: int64(10 + p), LeaderEpoch: 3, Metadata: new(q.Group)})
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil
	}
	for v := int16(1); v <= 10; v++ {
		r.groups.reply(nil, nil)
		r.groups.answer = answer
		epoch := int32(-1) // as the response is read where the version has none
		if v >= 5 {
			epoch = 3
		}
		check := func(what string, req *kmsg.OffsetFetchRequest, below8, from8, from10 string) {
			t.Helper()
			want := below8
			if v >= 8 {
				want = from8
			}
			if v >= 10 {
				want = from10
			}
			if got := fetched(roundTrip[*kmsg.OffsetFetchResponse](w, v, req), ids); got != want {
				t.Errorf("version %d, %s: %s, want %s", v, what, got, want)
			}
		}
		e := fmt.Sprint(epoch)
		check("some", fetchOf(ids, []string{"g", "h", "g"}, fetchAsk{"a", []int32{2, 0, 2}}, fetchAsk{"zzz", []int32{1}}, fetchAsk{"b", []int32{0}}),
			"0 a 2:12/"+e+"/g/0 0:10/"+e+"/g/0 2:12/"+e+"/g/0 zzz 1:11/"+e+"/g/0 b 0:10/"+e+"/g/0",
			"[g 0 a 2:12/3/g/0 0:10/3/g/0 2:12/3/g/0 zzz 1:11/3/g/0 b 0:10/3/g/0][h 0 a 2:12/3/h/0 0:10/3/h/0 2:12/3/h/0 zzz 1:11/3/h/0 b 0:10/3/h/0][g 0 a 2:12/3/g/0 0:10/3/g/0 2:12/3/g/0 zzz 1:11/3/g/0 b 0:10/3/g/0]",
			"[g 0 a 2:12/3/g/0 0:10/3/g/0 2:12/3/g/0 b 0:10/3/g/0 ? 1:-1/-1//100][h 0 a 2:12/3/h/0 0:10/3/h/0 2:12/3/h/0 b 0:10/3/h/0 ? 1:-1/-1//100][g 0 a 2:12/3/g/0 0:10/3/g/0 2:12/3/g/0 b 0:10/3/g/0 ? 1:-1/-1//100]")
		q := *r.groups.last().(*group.FetchRequest)
		if q.RequireStable != (v >= 7) || q.All || v >= 9 && (orEmpty(q.Member) != "me" || q.MemberEpoch < 0) || v < 8 && q.MemberEpoch != -1 {
			t.Errorf("version %d asked %+v", v, q)
		}
		for _, topic := range q.Topics {
			if want := ids[topic.Topic]; v >= 10 && topic.ID != want || v < 10 && !topic.ID.IsZero() {
				t.Errorf("version %d asked for %+v", v, topic)
			}
		}
		if v >= 2 {
			e := "-1"
			if v >= 5 {
				e = "2"
			}
			check("all", fetchOf(ids, []string{"g"}), "0 a 1:5/"+e+"/m/0 gone 0:6/-1//0", "[g 0 a 1:5/2/m/0 gone 0:6/-1//0]", "[g 0 a 1:5/2/m/0]")
		}
		none := fetchOf(ids, []string{"g"})
		none.Topics, none.Groups[0].Topics = []kmsg.OffsetFetchRequestTopic{}, []kmsg.OffsetFetchRequestGroupTopic{}
		check("no topics", none, "0", "[g 0]", "[g 0]")
		if q := r.groups.last().(*group.FetchRequest); q.All {
			t.Errorf("version %d takes no topics for all", v)
		}
		none.Group, none.Groups[0].Group = "", ""
		check("the empty group", none, "0", "[ 0]", "[ 0]")

		asked := fetchAsk{"a", []int32{0, 7}}
		for err, code := range map[error]int{coordinator.ErrLoading: 14, coordinator.ErrNotCoordinator: 16, coordinator.ErrUnavailable: 16, coordinator.ErrTimeout: 16} {
			r.groups.reply(nil, err)
			top := fmt.Sprint(code)
			if v == 1 {
				top = fmt.Sprintf("0 a 0:-1/-1//%d 7:-1/-1//%d", code, code)
			}
			check(err.Error(), fetchOf(ids, []string{"g", "h"}, asked, fetchAsk{"zzz", []int32{1}}),
				top+map[bool]string{true: fmt.Sprintf(" zzz 1:-1/-1//%d", code)}[v == 1], fmt.Sprintf("[g %d][h %d]", code, code), fmt.Sprintf("[g %d][h %d]", code, code))
		}
		r.groups.reply(nil, errors.New("not to be asked"))
		top := "24"
		if v == 1 {
			top = "0 a 0:-1/-1//24 7:-1/-1//24"
		}
		check("no text", fetchOf(ids, []string{"\xff"}, asked), top, "[\xff 24]", "[\xff 24]")
	}
	if resp := roundTrip[*kmsg.OffsetFetchResponse](w, 9, kmsg.NewPtrOffsetFetchRequest()); len(resp.Groups) != 0 {
		t.Errorf("%+v", resp)
	}
}

func TestOffsetDelete(t *testing.T) {
	r, w, ids := withTopics(t, "a", "b")
	request := func(g string, topics ...fetchAsk) *kmsg.OffsetDeleteRequest {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = g
		for _, t := range topics {
			x := kmsg.OffsetDeleteRequestTopic{Topic: t.topic}
			for _, p := range t.partitions {
				x.Partitions = append(x.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
			}
			req.Topics = append(req.Topics, x)
		}
		return req
	}
	answered := func(resp *kmsg.OffsetDeleteResponse) string {
		s := fmt.Sprint(resp.ErrorCode)
		for _, t := range resp.Topics {
			s += " " + t.Topic
			for _, p := range t.Partitions {
				s += fmt.Sprintf(" %d=%d", p.Partition, p.ErrorCode)
			}
		}
		return s
	}
	r.groups.reply(nil, nil)
	r.groups.answer = func(request any) (any, error) {
		resp := &group.DeleteOffsetsResponse{}
		for _, t := range request.(*group.DeleteOffsetsRequest).Topics {
			answer := group.CommittedTopic{Topic: t.Topic, ID: t.ID}
			for _, p := range t.Partitions {
				answer.Partitions = append(answer.Partitions, group.CommittedPartition{Partition: p, Code: protocol.GroupSubscribedToTopic})
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil
	}
	for _, c := range []struct {
		req  *kmsg.OffsetDeleteRequest
		want string
	}{
		{request("g"), "0"},
		{request(""), "24"},
		{request("\xff", fetchAsk{"a", []int32{0}}), "24"},
		{request("g", fetchAsk{"a", []int32{0, 0, 9, -1, 2}}, fetchAsk{"zzz", []int32{0, 0}}, fetchAsk{"a", []int32{1}}, fetchAsk{"b", nil}, fetchAsk{"yyy", nil}),
			"0 a 9=3 -1=3 0=86 0=86 2=86 1=86 zzz 0=3 0=3 yyy"},
		{request("g", fetchAsk{"a", []int32{0, 0}}, fetchAsk{"b", []int32{2}}, fetchAsk{"a", []int32{1}}), "0 a 0=86 0=86 b 2=86 a 1=86"},
	} {
		if got := answered(roundTrip[*kmsg.OffsetDeleteResponse](w, 0, c.req)); got != c.want {
			t.Errorf("%+v: %s, want %s", c.req, got, c.want)
		}
	}
	want := &group.DeleteOffsetsRequest{Group: "g", Topics: []group.FetchTopic{{Topic: "a", ID: ids["a"], Partitions: []int32{0, 0}},
		{Topic: "b", ID: ids["b"], Partitions: []int32{2}}, {Topic: "a", ID: ids["a"], Partitions: []int32{1}}}}
	if got := r.groups.last(); !reflect.DeepEqual(got, want) {
		t.Errorf("asked %+v", got)
	}
	// A refusal of the group stands for all.
	r.groups.reply(&group.DeleteOffsetsResponse{Code: protocol.GroupIDNotFound}, nil)
	if got := answered(roundTrip[*kmsg.OffsetDeleteResponse](w, 0, request("g", fetchAsk{"zzz", []int32{0}}))); got != "69" {
		t.Error(got)
	}
	r.groups.reply(nil, coordinator.ErrLoading)
	if got := answered(roundTrip[*kmsg.OffsetDeleteResponse](w, 0, request("g", fetchAsk{"a", []int32{0, 9}}))); got != "14" {
		t.Error(got)
	}
}

// A few bytes that ask for much are answered only if there is memory for the answer.
func TestOffsetAnswersArePaidFor(t *testing.T) {
	r, _, ids := withTopics(t, "a")
	all := &group.FetchResponse{Topics: []group.FetchedTopic{{Topic: "a", Partitions: make([]group.FetchedPartition, 1000)}}}
	for i := range all.Topics[0].Partitions {
		all.Topics[0].Partitions[i].Metadata = new("")
	}
	r.groups.reply(all, nil)
	many := fetchOf(ids, make([]string, 1000))
	serve := func(limit int64, ask func(c call, answer func(kmsg.Response))) (resp kmsg.Response, took int64) {
		answered := make(chan kmsg.Response, 1)
		ask(call{version: 9, charge: func(n int64) bool {
			if took+n > limit {
				return false
			}
			took += n
			return true
		}}, func(r kmsg.Response) { answered <- r })
		return <-answered, took
	}
	fetch := func(c call, answer func(kmsg.Response)) { serveOffsetFetch(r.h, c, many, answer) }
	if resp, took := serve(1<<40, fetch); resp == nil || took < 1000*1000*48 {
		t.Errorf("a million offsets took %d bytes", took)
	}
	for _, limit := range []int64{0, 1 << 10, 10 << 20} {
		if resp, _ := serve(limit, fetch); resp != nil {
			t.Errorf("a million offsets found place in %d bytes", limit)
		}
	}
	r.accept(protocol.None)
	commit := commitOf(ids, "a", make([]int32, 100_000))
	if resp, _ := serve(1<<20, func(c call, answer func(kmsg.Response)) { serveOffsetCommit(r.h, c, commit, answer) }); resp != nil {
		t.Error("a large commit was answered without memory")
	}
	del := kmsg.NewPtrOffsetDeleteRequest()
	del.Group, del.Topics = "g", []kmsg.OffsetDeleteRequestTopic{{Topic: "a", Partitions: make([]kmsg.OffsetDeleteRequestTopicPartition, 100_000)}}
	if resp, _ := serve(1<<20, func(c call, answer func(kmsg.Response)) { serveOffsetDelete(r.h, c, del, answer) }); resp != nil {
		t.Error("a large delete was answered without memory")
	}
}

// TestOffsetFetchOfADoubtfulCoordinator: a broker that may have been replaced says so of a group that another one could keep by now, and of no other one.
func TestOffsetFetchOfADoubtfulCoordinator(t *testing.T) {
	r, w, _ := withTopics(t, "a")
	doubtful := true
	r.h.Doubtful = func() bool { return doubtful }
	r.groups.reply(&group.FetchResponse{}, nil)
	fetch := func(want protocol.ErrorCode) {
		t.Helper()
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group, req.Topics = "g", []kmsg.OffsetFetchRequestTopic{{Topic: "a", Partitions: []int32{0}}}
		if resp := roundTrip[*kmsg.OffsetFetchResponse](w, 7, req); resp.ErrorCode != int16(want) {
			t.Errorf("answered with code %d, want %s", resp.ErrorCode, want)
		}
	}
	records := offsetsTopicElsewhere()
	r.controller.apply(t, records...)
	fetch(protocol.None)
	r.controller.apply(t, &metadata.PartitionChangeRecord{TopicID: records[0].(*metadata.TopicRecord).ID, Replicas: []int32{testNode, 8}, ISR: []int32{testNode, 8}, Directories: make([]uuid.UUID, 2)})
	fetch(protocol.NotCoordinator)
	doubtful = false
	fetch(protocol.None)
}
