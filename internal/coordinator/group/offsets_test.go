package group

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group/stored"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
)

// book is a machine with the log that it wrote.
type book struct {
	*Machine
	t   testing.TB
	now time.Time
	log []coordinator.Record
}

func newBook(t testing.TB) *book {
	return &book{t: t, now: start, Machine: newTestMachine(Settings{})}
}

// ask does a step and returns its answer.
func (b *book) ask(request any) (answer any) {
	out := &coordinator.Out{}
	b.Step(b.now, coordinator.NewCall(request, func(a any, _ error) { answer = a }), out)
	b.log = append(b.log, out.Records...)
	out.Deliver()
	return answer
}

// wait lets time pass and the machine do what is due.
func (b *book) wait(d time.Duration) {
	end := b.now.Add(d)
	for due := b.Due(); !due.IsZero() && !due.After(end); due = b.Due() {
		b.now = due
		out := &coordinator.Out{}
		b.Tick(b.now, out)
		b.log = append(b.log, out.Records...)
	}
	b.now = end
}

// reload replays a log into a new machine.
func (b *book) reload(log []coordinator.Record) *Machine {
	b.t.Helper()
	m := New(b.settings, random.Seeded(9), nil)
	for _, r := range log {
		if err := m.Replay(r); err != nil {
			b.t.Fatal(err)
		}
	}
	m.Loaded(b.now, &coordinator.Out{})
	return m
}

func idOf(n byte) uuid.UUID { return uuid.UUID{15: n} }

// commit commits offset for partitions of a topic without membership.
func (b *book) commit(group, topic string, id byte, offset int64, partitions ...int32) {
	b.t.Helper()
	r := &CommitRequest{Group: group, Generation: -1, Retention: -1, Topics: []CommitTopic{{Topic: topic, ID: idOf(id)}}}
	for _, p := range partitions {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, CommitPartition{Partition: p, Offset: offset, LeaderEpoch: -1})
	}
	for _, p := range b.ask(r).(*CommitResponse).Topics[0].Partitions {
		if p.Code != protocol.None {
			b.t.Fatalf("commit of partition %d: %v", p.Partition, p.Code)
		}
	}
}

// held is everything a machine has committed, as text.
func held(m *Machine) string {
	var s strings.Builder
	for _, id := range m.ids() {
		g := m.find(id)
		g.offsets.check()
		for _, t := range g.offsets.sorted() {
			for i := range t.all() {
				fmt.Fprintf(&s, "%s %s-%d %+v\n", id, t.name, t.list[i].partition, t.at(i))
			}
		}
	}
	return s.String()
}

// short is what is committed as group/topic-partition=offset.
func short(m *Machine) string {
	var all []string
	for _, id := range m.ids() {
		g := m.find(id)
		g.offsets.check()
		for _, t := range g.offsets.sorted() {
			for i := range t.all() {
				all = append(all, fmt.Sprintf("%s/%s-%d=%d", id, t.name, t.list[i].partition, t.at(i).Offset))
			}
		}
	}
	return strings.Join(all, " ")
}

// Offsets of a topic are those that a plain map would hold, whatever the order in which they come and go.
func TestTopicOffsetsModel(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var o offsets
		model := map[int32]stored.Offset{}
		spread := []int32{8, 300, 3000}[seed%3]
		order := rng.Perm(int(spread))
		for step := range 3000 {
			p := rng.Int32N(spread) - spread/8
			switch {
			case seed%4 == 1: // one after the other, either way
				p = int32(step) % spread
				if seed%8 == 1 {
					p = spread - p
				}
			case seed%4 == 2:
				p = int32(order[step%len(order)])
			}
			if remove := rng.IntN(3) == 0 || seed%5 == 0 && step > 1500; remove {
				had := false
				if x := o.topics["t"]; x != nil {
					had = x.remove(p)
					o.trim(x)
				}
				if _, want := model[p]; had != want {
					t.Fatalf("seed %d step %d: partition %d removed: %v", seed, step, p, had)
				}
				delete(model, p)
			} else {
				v := stored.Offset{Offset: rng.Int64(), LeaderEpoch: rng.Int32(), CommittedMs: int64(step), ExpiresMs: stored.None, TopicID: idOf(1 + byte(step/1000))}
				switch rng.IntN(12) {
				case 0:
					v.Metadata = "some"
				case 1:
					v.ExpiresMs, v.TopicID = 5, uuid.UUID{}
				case 2:
					v.TopicID = idOf(byte(rng.IntN(4)))
				case 3:
					v.CommittedMs = math.MinInt64 + 1
				}
				o.topic("t").put(p, &v)
				model[p] = v
			}
			if got, ok := o.get("t", p); ok != (model[p] != stored.Offset{}) || ok && got != model[p] {
				t.Fatalf("seed %d step %d: partition %d is %+v, %v, want %+v", seed, step, p, got, ok, model[p])
			}
			if step%250 == 0 {
				o.check()
				compareToModel(t, &o, model)
			}
		}
		compareToModel(t, &o, model)
	}
}

func compareToModel(t *testing.T, o *offsets, model map[int32]stored.Offset) {
	t.Helper()
	if o.empty() != (len(model) == 0) || o.count() != len(model) {
		t.Fatalf("%d offsets, empty %v, want %d", o.count(), o.empty(), len(model))
	}
	keys := slices.Sorted(maps.Keys(model))
	for _, x := range o.topics {
		x.compact()
		for i := range x.all() {
			p := x.list[i].partition
			if len(keys) == 0 || keys[0] != p || x.at(i) != model[p] {
				t.Fatalf("partition %d is %+v, want %+v", p, x.at(i), model[p])
			}
			keys = keys[1:]
		}
	}
	if len(keys) > 0 {
		t.Fatalf("partitions %v are not there", keys)
	}
}

// No stored time can be taken for the mark of a removed offset.
func TestOldestTime(t *testing.T) {
	var x topicOffsets
	x.put(0, &stored.Offset{CommittedMs: math.MinInt64, ExpiresMs: stored.None})
	if _, ok := x.get(0); !ok {
		t.Error("an offset committed at the beginning of time is not there")
	}
}

func TestCommit(t *testing.T) {
	b := newBook(t)
	r := &CommitRequest{Group: "g", Generation: -1, Retention: -1, Topics: []CommitTopic{
		{Topic: "a", ID: idOf(1), Partitions: []CommitPartition{
			{Partition: 1, Offset: 5, LeaderEpoch: 3, Metadata: "m"},
			{Partition: 0, Offset: -9, LeaderEpoch: -7},
			{Partition: 1, Offset: 6, LeaderEpoch: -1}, // again: the last one counts
			{Partition: 2, Metadata: strings.Repeat("ä", 4096)},
			{Partition: 3, Metadata: strings.Repeat("ä", 4097)},
			{Partition: 4, Metadata: strings.Repeat("😀", 2048)}, // two of Java's characters each
			{Partition: 5, Metadata: strings.Repeat("😀", 2048) + "x"},
		}},
		{Topic: "b", ID: idOf(2), Partitions: []CommitPartition{{Partition: 0, Offset: 1}}},
		{Topic: "a", ID: idOf(1), Partitions: []CommitPartition{{Partition: 9, Offset: 1}}},
	}}
	want := &CommitResponse{Topics: []CommittedTopic{
		{"a", idOf(1), []CommittedPartition{{1, 0}, {0, 0}, {1, 0}, {2, 0}, {3, protocol.OffsetMetadataTooLarge}, {4, 0}, {5, protocol.OffsetMetadataTooLarge}}},
		{"b", idOf(2), []CommittedPartition{{0, 0}}},
		{"a", idOf(1), []CommittedPartition{{9, 0}}},
	}}
	if got := b.ask(r); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if len(b.log) != 7 {
		t.Errorf("%d records", len(b.log))
	}
	if got, want := short(b.Machine), "g/a-0=-9 g/a-1=6 g/a-2=0 g/a-4=0 g/a-9=1 g/b-0=1"; got != want {
		t.Errorf("%s", got)
	}
	if got, want := held(b.reload(b.log)), held(b.Machine); got != want {
		t.Errorf("after a load:\n%swant\n%s", got, want)
	}
	o, _ := b.find("g").offsets.get("a", 0)
	if want := (stored.Offset{Offset: -9, LeaderEpoch: -7, CommittedMs: start.UnixMilli(), ExpiresMs: stored.None, TopicID: idOf(1)}); o != want {
		t.Errorf("%+v", o)
	}
}

// Who may commit is the group's business; here it is that a refusal is one for all, and leaves nothing behind.
func TestCommitRefused(t *testing.T) {
	b := newBook(t)
	ids, _ := stable(b.Machine, "g", 1)
	for _, c := range []struct {
		group, member string
		generation    int32
		code          protocol.ErrorCode
	}{
		{"g", ids[0], 1, protocol.None},
		{"g", ids[0], 0, protocol.IllegalGeneration},
		{"g", ids[0], -1, protocol.IllegalGeneration},
		{"g", "other", 1, protocol.UnknownMemberID},
		{"g", "", -1, protocol.UnknownMemberID},
		{"missing", "", 0, protocol.GroupIDNotFound},
		{"missing", "x", 7, protocol.GroupIDNotFound},
	} {
		written, before := len(b.log), held(b.Machine)
		resp := b.ask(&CommitRequest{Group: c.group, Member: c.member, Generation: c.generation, Retention: -1, Topics: []CommitTopic{
			{Topic: "t", Partitions: []CommitPartition{{Partition: 0}, {Partition: 1}}}, {Topic: "u", Partitions: []CommitPartition{{Partition: 2}}}}}).(*CommitResponse)
		want := &CommitResponse{Topics: []CommittedTopic{{Topic: "t", Partitions: []CommittedPartition{{0, c.code}, {1, c.code}}},
			{Topic: "u", Partitions: []CommittedPartition{{2, c.code}}}}}
		if !reflect.DeepEqual(resp, want) {
			t.Errorf("%+v: %+v", c, resp)
		}
		if c.code != protocol.None && (len(b.log) != written || held(b.Machine) != before) {
			t.Errorf("%+v: something was committed", c)
		}
	}
	if b.find("missing") != nil {
		t.Error("a refused commit made a group")
	}
}

// A commit of which nothing is taken leaves no group behind.
func TestCommitOfNothing(t *testing.T) {
	b := newBook(t)
	b.settings.MaxRecordBytes = 10_000
	long, many := CommitPartition{Metadata: strings.Repeat("x", 4097)}, make([]CommitPartition, 1000)
	for want, partitions := range map[protocol.ErrorCode][]CommitPartition{protocol.OffsetMetadataTooLarge: {long, long}, protocol.UnknownServerError: many, protocol.None: nil} {
		resp := b.ask(&CommitRequest{Group: "g", Generation: -1, Retention: -1, Topics: []CommitTopic{{Topic: "t", Partitions: partitions}}}).(*CommitResponse)
		for _, p := range resp.Topics[0].Partitions {
			if p.Code != want {
				t.Errorf("%v, want %v", p.Code, want)
			}
		}
		if len(resp.Topics[0].Partitions) != len(partitions) || len(b.groups) != 0 || len(b.log) != 0 {
			t.Errorf("%v: %d groups, %d records", want, len(b.groups), len(b.log))
		}
	}
}

// A commit keeps the session of its member alive.
func TestCommitIsSignOfLife(t *testing.T) {
	b := newBook(t)
	ids, _ := stable(b.Machine, "g", 1) // sessions of 45 seconds
	for range 4 {
		b.wait(40 * time.Second)
		b.ask(&CommitRequest{Group: "g", Member: ids[0], Generation: 1, Retention: -1, Topics: []CommitTopic{{Topic: "t", Partitions: []CommitPartition{{Offset: 1}}}}})
	}
	if s := b.find("g").state; s != Stable {
		t.Errorf("the group is %v", s)
	}
	b.wait(46 * time.Second)
	if s := b.find("g").state; s != Empty {
		t.Errorf("the group is %v", s)
	}
}

// The records of a commit have to fit a batch, as in Kafka.
func TestCommitLimit(t *testing.T) {
	b := newBook(t)
	b.settings.MaxRecordBytes = 1 << 20
	r := &CommitRequest{Group: "g", Generation: -1, Retention: -1, Topics: []CommitTopic{{Topic: "t"}}}
	for range 100_000 {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, CommitPartition{})
	}
	if c := b.ask(r).(*CommitResponse).Topics[0].Partitions[99_999].Code; c != protocol.UnknownServerError || len(b.log) > 0 {
		t.Errorf("%v, %d records", c, len(b.log))
	}
	r.Topics[0].Partitions = r.Topics[0].Partitions[:12_000]
	if c := b.ask(r).(*CommitResponse).Topics[0].Partitions[11_999].Code; c != protocol.None {
		t.Error(c)
	}
	r.Group = strings.Repeat("g", math.MaxInt16) // is in every record
	if c := b.ask(r).(*CommitResponse).Topics[0].Partitions[0].Code; c != protocol.UnknownServerError {
		t.Error(c)
	}
}

func TestFetchOffsets(t *testing.T) {
	b := newBook(t)
	b.commit("g", "a", 1, 10, 5, 1)
	b.commit("g", "b", 2, 20, 0)
	b.ask(&CommitRequest{Group: "g", Generation: -1, Retention: 0, Topics: []CommitTopic{{Topic: "c", ID: idOf(3), Partitions: []CommitPartition{{Partition: 0, Offset: 30, LeaderEpoch: 4}}}}})
	b.ask(&CommitRequest{Group: "g", Generation: -1, Retention: -1, Topics: []CommitTopic{{Topic: "b", ID: idOf(2), Partitions: []CommitPartition{{Partition: 1, Offset: 21, LeaderEpoch: 4, Metadata: "m"}}}}})
	none := func(p int32) FetchedPartition {
		return FetchedPartition{Partition: p, Offset: -1, LeaderEpoch: -1, Metadata: new("")}
	}
	some := func(p int32, offset int64, epoch int32, metadata string) FetchedPartition {
		return FetchedPartition{Partition: p, Offset: offset, LeaderEpoch: epoch, Metadata: &metadata}
	}
	for _, c := range []struct {
		name string
		r    FetchRequest
		want FetchResponse
	}{
		{"all, in order", FetchRequest{Group: "g", All: true, RequireStable: true}, FetchResponse{Topics: []FetchedTopic{
			{"a", idOf(1), []FetchedPartition{some(1, 10, -1, ""), some(5, 10, -1, "")}},
			{"b", idOf(2), []FetchedPartition{some(0, 20, -1, ""), some(1, 21, 4, "m")}},
			{"c", uuid.UUID{}, []FetchedPartition{some(0, 30, -1, "")}}}}},
		{"nothing of nobody", FetchRequest{Group: "nobody", All: true}, FetchResponse{Topics: []FetchedTopic{}}},
		{"some of nobody", FetchRequest{Group: "nobody", Topics: []FetchTopic{{"a", uuid.UUID{}, []int32{1, 1}}}},
			FetchResponse{Topics: []FetchedTopic{{"a", uuid.UUID{}, []FetchedPartition{none(1), none(1)}}}}},
		{"as asked for", FetchRequest{Group: "g", Topics: []FetchTopic{{"b", uuid.UUID{}, []int32{1, 7, -1, 0}}, {"x", uuid.UUID{}, []int32{0}}, {"b", uuid.UUID{}, nil}}},
			FetchResponse{Topics: []FetchedTopic{{"b", uuid.UUID{}, []FetchedPartition{some(1, 21, 4, "m"), none(7), none(-1), some(0, 20, -1, "")}},
				{"x", uuid.UUID{}, []FetchedPartition{none(0)}}, {"b", uuid.UUID{}, []FetchedPartition{}}}}},
		{"by the right id", FetchRequest{Group: "g", Topics: []FetchTopic{{"a", idOf(1), []int32{1}}}}, FetchResponse{Topics: []FetchedTopic{{"a", idOf(1), []FetchedPartition{some(1, 10, -1, "")}}}}},
		{"of a topic that was replaced", FetchRequest{Group: "g", Topics: []FetchTopic{{"a", idOf(9), []int32{1}}}}, FetchResponse{Topics: []FetchedTopic{{"a", idOf(9), []FetchedPartition{none(1)}}}}},
		{"committed without an id", FetchRequest{Group: "g", Topics: []FetchTopic{{"c", idOf(9), []int32{0}}}}, FetchResponse{Topics: []FetchedTopic{{"c", idOf(9), []FetchedPartition{some(0, 30, -1, "")}}}}},
	} {
		if got := b.ask(&c.r).(*FetchResponse); fmt.Sprint(deref(got)) != fmt.Sprint(deref(&c.want)) {
			t.Errorf("%s: %+v, want %+v", c.name, deref(got), deref(&c.want))
		}
	}
}

// deref is a response without pointers, for comparisons.
func deref(r *FetchResponse) (s []string) {
	s = append(s, fmt.Sprint(r.Code, len(r.Topics)))
	for _, t := range r.Topics {
		s = append(s, fmt.Sprint(t.Topic, t.ID, len(t.Partitions)))
		for _, p := range t.Partitions {
			s = append(s, fmt.Sprintf("%d %d %d %q %v", p.Partition, p.Offset, p.LeaderEpoch, *p.Metadata, p.Code))
		}
	}
	return s
}

func TestDeleteOffsets(t *testing.T) {
	b := newBook(t)
	b.commit("simple", "t", 1, 1, 0, 1, 2)
	ids, _ := stable(b.Machine, "team", 1) // reads "topic"
	for _, topic := range []string{"topic", "other"} {
		b.ask(&CommitRequest{Group: "team", Member: ids[0], Generation: 1, Retention: -1, Topics: []CommitTopic{{Topic: topic, Partitions: []CommitPartition{{Offset: 5}}}}})
	}
	stable(b.Machine, "connect", 1)
	b.find("connect").protocolType = "connect"
	for _, c := range []struct {
		group string
		t     []FetchTopic
		want  DeleteOffsetsResponse
		wrote int
	}{
		{"missing", []FetchTopic{{Topic: "t", Partitions: []int32{0}}}, DeleteOffsetsResponse{Code: protocol.GroupIDNotFound}, 0},
		{"connect", []FetchTopic{{Topic: "t", Partitions: []int32{0}}}, DeleteOffsetsResponse{Code: protocol.NonEmptyGroup}, 0},
		{"simple", []FetchTopic{{Topic: "t", Partitions: []int32{1, 7, 1}}, {Topic: "x", Partitions: []int32{0}}},
			DeleteOffsetsResponse{Topics: []CommittedTopic{{Topic: "t", Partitions: []CommittedPartition{{1, 0}, {7, 0}, {1, 0}}}, {Topic: "x", Partitions: []CommittedPartition{{0, 0}}}}}, 1},
		{"team", []FetchTopic{{Topic: "topic", Partitions: []int32{0, 1}}, {Topic: "other", Partitions: []int32{0}}},
			DeleteOffsetsResponse{Topics: []CommittedTopic{{Topic: "topic", Partitions: []CommittedPartition{{0, protocol.GroupSubscribedToTopic}, {1, protocol.GroupSubscribedToTopic}}},
				{Topic: "other", Partitions: []CommittedPartition{{0, 0}}}}}, 1},
	} {
		before := len(b.log)
		if got := b.ask(&DeleteOffsetsRequest{Group: c.group, Topics: c.t}).(*DeleteOffsetsResponse); !reflect.DeepEqual(got, &c.want) {
			t.Errorf("%s: %+v", c.group, got)
		}
		if len(b.log)-before != c.wrote {
			t.Errorf("%s: %d records", c.group, len(b.log)-before)
		}
	}
	if got, want := short(b.Machine), "simple/t-0=1 simple/t-2=1 team/topic-0=5"; got != want {
		t.Errorf("%s", got)
	}
	b.ask(&DeleteOffsetsRequest{Group: "simple", Topics: []FetchTopic{{Topic: "t", Partitions: []int32{0, 2}}}})
	if b.find("simple") == nil {
		t.Error("the group went before the check")
	}
	if b.wait(11 * time.Minute); b.find("simple") != nil {
		t.Error("a group without members and offsets is still there")
	}
}

// A group that is deleted takes its offsets along, unless their tombstones would be more than a request may write.
func TestDeleteGroupWithOffsets(t *testing.T) {
	b := newBook(t)
	b.commit("g", "t", 1, 1, 4, 2)
	if r := b.ask(&DeleteRequest{Group: "g"}).(*DeleteResponse); r.Code != protocol.None || b.find("g") != nil {
		t.Errorf("%+v", r)
	}
	if n := len(b.log); n != 5 || b.log[2].Value != nil || b.log[3].Value != nil || b.log[4].Value != nil {
		t.Errorf("%d records: %v", n, b.log)
	}
	if m := b.reload(b.log); len(m.groups) != 0 {
		t.Error("the group is back after a load")
	}
	long := strings.Repeat("g", math.MaxInt16)
	for i := range int32(tombstonesMax/math.MaxInt16 + 1) {
		b.commit(long, "t", 1, 1, i)
	}
	before := held(b.Machine)
	if r := b.ask(&DeleteRequest{Group: long}).(*DeleteResponse); r.Code != protocol.UnknownServerError || held(b.Machine) != before {
		t.Errorf("%v", r.Code)
	}
	all := FetchTopic{Topic: "t"}
	for i := range int32(1000) {
		all.Partitions = append(all.Partitions, i)
	}
	if r := b.ask(&DeleteOffsetsRequest{Group: long, Topics: []FetchTopic{all}}).(*DeleteOffsetsResponse); r.Code != protocol.UnknownServerError || held(b.Machine) != before {
		t.Errorf("%v", r.Code)
	}
}

// Random calls leave what their records, all of them or only the newest of each key, bring back.
func TestOffsetsReplay(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b := newBook(t)
		b.settings.RetentionCheck, b.settings.OffsetsRetention = time.Minute, 10*time.Minute
		b.upkeep.check = b.now
		topics := map[string]uuid.UUID{}
		for i := range 4 {
			topics[fmt.Sprint("t", i)] = idOf(byte(i + 1))
		}
		next := byte(9)
		for range 400 {
			g, topic := fmt.Sprint("g", rng.IntN(5)), fmt.Sprint("t", rng.IntN(4))
			id, exists := topics[topic]
			switch k := rng.IntN(20); {
			case k < 11 && exists:
				r := &CommitRequest{Group: g, Generation: -1, Retention: -1, Topics: []CommitTopic{{Topic: topic, ID: id}}}
				if rng.IntN(6) == 0 {
					r.Retention = time.Duration(rng.IntN(20)) * time.Minute
				}
				for range rng.IntN(9) {
					p := CommitPartition{Partition: rng.Int32N(30), Offset: rng.Int64N(1000), LeaderEpoch: rng.Int32N(3)}
					if rng.IntN(3) == 0 {
						p.Metadata = "m"
					}
					r.Topics[0].Partitions = append(r.Topics[0].Partitions, p)
				}
				b.ask(r)
			case k < 13:
				b.ask(&DeleteOffsetsRequest{Group: g, Topics: []FetchTopic{{Topic: topic, Partitions: []int32{rng.Int32N(30), rng.Int32N(30)}}}})
			case k < 14:
				b.ask(&DeleteRequest{Group: g})
			case k < 15 && exists:
				b.ask(&TopicsDeleted{Topics: []DeletedTopic{{topic, id}}})
				delete(topics, topic)
			case k < 16 && !exists:
				topics[topic] = idOf(next)
				next++
			default:
				b.wait(time.Duration(rng.IntN(300)) * time.Second)
			}
		}
		want := held(b.Machine)
		if got := held(b.reload(b.log)); got != want {
			t.Fatalf("seed %d: a load gives\n%swant\n%s", seed, got, want)
		}
		if got := held(b.reload(compacted(b.log, rng))); got != want {
			t.Fatalf("seed %d: a load of a compacted log gives\n%swant\n%s", seed, got, want)
		}
	}
}

// compacted leaves of each key the newest record, and of tombstones only some.
func compacted(log []coordinator.Record, rng *rand.Rand) (left []coordinator.Record) {
	newest := map[string]int{}
	for i, r := range log {
		newest[string(r.Key)] = i
	}
	for i, r := range log {
		if newest[string(r.Key)] == i && (r.Value != nil || rng.IntN(2) == 0) {
			left = append(left, r)
		}
	}
	return left
}

// A load takes what no machine of ours wrote: old versions, tombstones of nothing, and offsets of a group that became one of KIP-848.
func TestReplayForeign(t *testing.T) {
	b := newBook(t)
	legacy := append([]byte{0, 0}, stored.AppendOffsetKey(nil, "g", "t", 0)[2:]...)
	m := b.reload([]coordinator.Record{
		{Key: stored.AppendOffsetKey(nil, "nobody", "t", 0)},
		{Key: stored.AppendGroupKey(nil, "nobody")},
		{Key: legacy, Value: []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x01m\x00\x00\x00\x00\x00\x00\x00\x05")},
		{Key: stored.AppendOffsetKey(nil, "g", "t", 1), Value: (&stored.Offset{Offset: 8, ExpiresMs: stored.None}).Append(nil)},
		{Key: stored.AppendOffsetKey(nil, "g", "none", 1)},
		{Key: stored.AppendGroupKey(nil, "g"), Value: (&stored.Group{ProtocolType: consumerType, Generation: 4}).Append(nil)},
		{Key: stored.AppendGroupKey(nil, "g")},
		{Key: []byte{0, 3, 0, 1, 'g'}, Value: []byte{0, 0}},
		{Key: nil, Value: []byte{0, 0}}, {Key: []byte{0}, Value: []byte{0, 0}}, {Key: []byte("\x00\x02\x00\x09short")}, // what an administrator wrote by mistake
	})
	if got, want := short(m), "g/t-0=7 g/t-1=8"; got != want {
		t.Errorf("%s", got)
	}
	if g := m.find("g"); g.state != Empty || g.protocolType != "" || m.find("nobody") != nil {
		t.Errorf("%+v", g)
	}
	for _, r := range []coordinator.Record{{Key: stored.AppendGroupKey(nil, "g"), Value: []byte{0, 9}}, {Key: stored.AppendOffsetKey(nil, "g", "t", 0), Value: []byte{0, 9}}} {
		if err := m.Replay(r); err == nil {
			t.Errorf("record %v is taken", r)
		}
	}
}

// A hundred thousand partitions come and go in any order. Lists that moved with each of them would take most of a minute.
func TestManyPartitions(t *testing.T) {
	const n = 100_000
	rng := rand.New(rand.NewPCG(1, 1))
	up := make([]int, n)
	for i := range up {
		up[i] = i
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	for name, order := range map[string][]int{"up": up, "down": down, "any": rng.Perm(n)} {
		var x topicOffsets
		for _, p := range order {
			x.put(int32(p), &stored.Offset{Offset: int64(p), ExpiresMs: stored.None})
		}
		for i := range x.all() {
			if x.list[i].offset != int64(x.list[i].partition) {
				t.Fatalf("%s: %+v", name, x.list[i])
			}
		}
		for _, p := range order {
			if !x.remove(int32(p)) {
				t.Fatalf("%s: partition %d is not there", name, p)
			}
			x.trim()
		}
		if x.live != 0 || len(x.list) > 2*tailMax {
			t.Errorf("%s: %d live, %d in the list", name, x.live, len(x.list))
		}
	}
}

// What Kafka 4.4 wrote is loaded, and served.
func TestReplayKafka(t *testing.T) {
	text, err := os.ReadFile("stored/testdata/kafka-4.4.0.hex")
	if err != nil {
		t.Fatal(err)
	}
	var log []coordinator.Record
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] != "#" {
			key, err := hex.DecodeString(f[0])
			if err != nil {
				t.Fatal(err)
			}
			value, _ := hex.DecodeString(f[1]) // nil for a tombstone
			if f[1] == "-" {
				value = nil
			}
			log = append(log, coordinator.Record{Key: key, Value: value})
		}
	}
	m := newBook(t).reload(log)
	if got, want := short(m), "expires/orders-0=42 expires/orders-1=43 simple-v10/orders-0=42 simple-v10/orders-1=43 simple-v2/orders-0=42 simple-v2/orders-1=43 "+
		"simple-v5/orders-0=42 simple-v5/orders-1=43 simple-v9/orders-0=42 simple-v9/orders-1=43 team/orders-2=7"; got != want {
		t.Errorf("%s", got)
	}
	if o, _ := m.find("simple-v9").offsets.get("orders", 1); o.Metadata != "märz" || o.LeaderEpoch != 5 || o.TopicID.IsZero() {
		t.Errorf("%+v", o)
	}
	if o, _ := m.find("expires").offsets.get("orders", 1); o.ExpiresMs != o.CommittedMs+86400000 {
		t.Errorf("%+v", o)
	}
	if g := m.find("team"); g.state != Empty || g.protocolType != consumerType || g.generation != 3 || m.find("deleted") != nil {
		t.Errorf("%+v", g)
	}
}

// The limit of a record changes while the machine runs.
func TestRecordLimitChanges(t *testing.T) {
	b := newBook(t)
	commit := func() protocol.ErrorCode {
		resp := b.ask(&CommitRequest{Group: "g", Generation: -1, Retention: -1, Topics: []CommitTopic{{Topic: "t", Partitions: make([]CommitPartition, 20)}}})
		return resp.(*CommitResponse).Topics[0].Partitions[0].Code
	}
	for _, c := range []struct {
		limit int
		want  protocol.ErrorCode
	}{{0, protocol.None}, {300, protocol.UnknownServerError}, {30_000, protocol.None}} {
		b.Step(b.now, &coordinator.Call{Request: &RecordLimit{Bytes: c.limit}}, &coordinator.Out{})
		if got := commit(); got != c.want {
			t.Errorf("with %d bytes a commit is answered %v, want %v", c.limit, got, c.want)
		}
	}
}
