package controller

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
)

// configs stands in for the table of configurations.
type configs struct{}

func validateTopic(name, value string) error {
	switch name {
	case "retention.ms", "min.insync.replicas":
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			return fmt.Errorf("Invalid value %s for configuration %s: Not a number of type LONG", value, name)
		}
	case "cleanup.policy", "unclean.leader.election.enable":
	default:
		return fmt.Errorf("Unknown topic config name: %s", name)
	}
	return nil
}

func (configs) ValidateTopicSet(all map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := validateTopic(name, all[name]); err != nil {
			return err
		}
	}
	if all["retention.ms"] == "13" && all["cleanup.policy"] == "compact" {
		return errors.New("13 and compact do not go together")
	}
	return nil
}

func (configs) TopicList(name string) (string, bool) {
	if name == "cleanup.policy" {
		return "delete", true
	}
	return "", false
}

func (configs) CheckBroker(_ int32, name string) Error {
	if name != "" && name != "1" {
		return Error{protocol.InvalidRequest, "another broker"}
	}
	return Error{}
}

func (configs) BrokerList(name, done string) (string, Error) {
	if name == "log.cleanup.policy" {
		return "delete", Error{}
	}
	return "", Error{protocol.InvalidConfig, "no " + done + " to " + name}
}

func (configs) ValidateBroker(img *metadata.Image, name string, after map[string]string) Error {
	other := metadata.Resource{Type: metadata.ResourceBroker, Name: "1"}
	if name != "" {
		other.Name = ""
	}
	if after["fixed"] != "" || after["sum"]+img.Config(other)["sum"] == "55" {
		return Error{protocol.InvalidRequest, "does not go"}
	}
	return Error{}
}

func (configs) ValidateGroup(after map[string]string) Error         { return wanted(after) }
func (configs) ValidateClientMetrics(after map[string]string) Error { return wanted(after) }

func wanted(after map[string]string) Error {
	if after["bad"] != "" {
		return Error{protocol.InvalidConfig, "bad"}
	}
	return Error{}
}

func (configs) TopicRules(overrides map[string]string) Rules {
	r := Rules{Unclean: overrides["unclean.leader.election.enable"] == "true"}
	if v, err := strconv.Atoi(overrides["min.insync.replicas"]); err == nil {
		r.MinISR = v
	}
	return r
}

// bench is an image that requests are stepped on.
type bench struct {
	t        testing.TB
	img      *metadata.Image
	settings Settings
	random   random.Source
	records  []metadata.Record // of the last request
}

func newBench(t testing.TB, seed uint64, brokers int) *bench {
	b := &bench{t: t, img: metadata.Empty, settings: Settings{Configs: configs{}}, random: random.Seeded(seed)}
	b.do(&StartCluster{ClusterID: "cluster"})
	for id := range int32(brokers) {
		b.register(id, byte(id)+1)
	}
	return b
}

func (b *bench) do(r Request) Response {
	b.t.Helper()
	var response Response
	b.records, response = Step(b.img, b.settings, r, b.random)
	decoded, err := metadata.Decode(metadata.Encode(b.records))
	if err != nil {
		b.t.Fatal(err)
	}
	after, _, err := metadata.Apply(b.img, b.img.Index()+1, decoded)
	if err != nil {
		b.t.Fatalf("%T: %v", r, err)
	}
	b.img = after
	return response
}

func (b *bench) register(id int32, dir byte) int64 {
	b.t.Helper()
	r := b.do(&RegisterBroker{ClusterID: "cluster", ID: id, Incarnation: uuid.New(b.random), Directories: []uuid.UUID{{dir}},
		Listeners: []metadata.Listener{{Name: "PLAINTEXT", Host: "localhost", Port: 9092 + id}}, Unfence: true}).(*RegisterBrokerResponse)
	if r.Error.Failed() {
		b.t.Fatal(r.Error)
	}
	return r.Epoch
}

func (b *bench) create(topics ...NewTopic) []TopicCreated {
	b.t.Helper()
	return b.do(&CreateTopics{Topics: topics}).(*CreateTopicsResponse).Topics
}

func auto(name string) NewTopic { return NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1} }

func TestCreateTopicsAnswers(t *testing.T) {
	b := newBench(t, 1, 1)
	b.create(auto("there"), auto("with.dot"))
	long := strings.Repeat("x", 250)
	assigned := func(name string, partitions int32, factor int16, assignments ...Assignment) NewTopic {
		return NewTopic{Name: name, Partitions: partitions, ReplicationFactor: factor, Assignments: assignments}
	}
	for _, c := range []struct {
		topic NewTopic
		code  protocol.ErrorCode
		text  string
	}{
		{auto("new"), protocol.None, ""},
		{auto("there"), protocol.TopicAlreadyExists, "Topic 'there' already exists."},
		{auto("with.dot"), protocol.TopicAlreadyExists, "Topic 'with.dot' already exists."},
		{auto("with_dot"), protocol.InvalidTopic, "Topic 'with_dot' collides with existing topic: with.dot"},
		{auto(""), protocol.InvalidTopic, "Topic name is invalid: the empty string is not allowed"},
		{auto("."), protocol.InvalidTopic, "Topic name is invalid: '.' is not allowed"},
		{auto(".."), protocol.InvalidTopic, "Topic name is invalid: '..' is not allowed"},
		{auto(long), protocol.InvalidTopic, "Topic name is invalid: the length of '" + long + "' is longer than the max allowed length 249"},
		{auto("a b"), protocol.InvalidTopic, "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{auto("__cluster_metadata"), protocol.InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited."},
		{NewTopic{Name: "p", Partitions: 0, ReplicationFactor: 1}, protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."},
		{NewTopic{Name: "p", Partitions: 1, ReplicationFactor: 0}, protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."},
		{NewTopic{Name: "p", Partitions: 1, ReplicationFactor: 2}, protocol.InvalidReplicationFactor,
			"Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."},
		{NewTopic{Name: "p", Partitions: 10001, ReplicationFactor: 1}, protocol.PolicyViolation, "Excessively large number of partitions per request."},
		{assigned("p", 1, -1, Assignment{0, []int32{0}}), protocol.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1."},
		{assigned("p", -1, 1, Assignment{0, []int32{0}}), protocol.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1."},
		{assigned("p", -1, -1, Assignment{0, []int32{0}}, Assignment{0, []int32{0}}), protocol.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition 0"},
		{assigned("p", -1, -1, Assignment{1, []int32{0}}), protocol.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"},
		{assigned("p", -1, -1, Assignment{0, nil}), protocol.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list."},
		{assigned("p", -1, -1, Assignment{0, []int32{7}}), protocol.InvalidReplicaAssignment, "The manual partition assignment includes broker 7, but no such broker is registered."},
		{assigned("p", -1, -1, Assignment{0, []int32{0, 0}}), protocol.InvalidReplicaAssignment, "The manual partition assignment includes the broker 0 more than once."},
		{NewTopic{Name: "p", Partitions: 1, ReplicationFactor: 1, Configs: []Config{{"a", nil}, {"b", nil}}}, protocol.InvalidConfig, "Null value not supported for topic configs: a,b"},
		{NewTopic{Name: "p", Partitions: 1, ReplicationFactor: 1, Configs: []Config{{"a", new("1")}}}, protocol.InvalidConfig, "Unknown topic config name: a"},
		{NewTopic{Name: "p", Partitions: 1, ReplicationFactor: 1, Configs: []Config{{"retention.ms", new(strings.Repeat("1", 32768))}}}, protocol.InvalidConfig,
			"The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes."},
		{NewTopic{Name: "p", Partitions: 1, ReplicationFactor: 1, Configs: []Config{{"retention.ms", new("13")}, {"cleanup.policy", new("compact")}}}, protocol.InvalidConfig,
			"13 and compact do not go together"},
	} {
		img := b.img
		got := b.do(&CreateTopics{Topics: []NewTopic{c.topic}, ValidateOnly: true}).(*CreateTopicsResponse).Topics
		if len(got) != 1 || got[0].Name != c.topic.Name || got[0].Error != (Error{c.code, c.text}) {
			t.Errorf("%.20s: %+v\nwant %d %s", c.topic.Name, got, c.code, c.text)
		}
		if len(b.records) > 0 || b.img.TopicCount() != img.TopicCount() {
			t.Errorf("%.20s: validating made records", c.topic.Name)
		}
	}
	got := b.create(auto("twice"), auto("once"), auto("twice"))
	if len(got) != 2 || got[0].Name != "once" || got[1].Error != (Error{protocol.InvalidRequest, "Duplicate topic name."}) || b.img.Topic("twice") != nil {
		t.Errorf("%+v", got)
	}
}

func TestCreateTopicsCreates(t *testing.T) {
	b := newBench(t, 1, 3)
	b.settings.Partitions = 4
	got := b.create(NewTopic{Name: "a", Partitions: -1, ReplicationFactor: -1, Configs: []Config{{"retention.ms", new("5")}}},
		NewTopic{Name: "b", Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{1, []int32{2, 0}}, {0, []int32{1, 2}}}})
	a, m := b.img.Topic("a"), b.img.Topic("b")
	if a.ID != got[0].ID || got[0].Partitions != 4 || got[0].ReplicationFactor != 3 || a.Configs["retention.ms"] != "5" || len(a.Partitions) != 4 {
		t.Fatalf("%+v %+v", got[0], a)
	}
	leaders := make(map[int32]int)
	for _, p := range a.Partitions[:3] {
		leaders[p.Leader]++
		if !slices.Equal(p.ISR, p.Replicas) || p.LeaderEpoch != 0 || p.Directories[0] != (uuid.UUID{byte(p.Replicas[0]) + 1}) {
			t.Fatalf("%+v", p)
		}
	}
	if len(leaders) != 3 {
		t.Fatalf("leaders %v", leaders)
	}
	if !slices.Equal(m.Partitions[0].Replicas, []int32{1, 2}) || m.Partitions[1].Leader != 2 {
		t.Fatalf("%+v", m.Partitions)
	}
}

func TestPlacementSpreadsOverRacks(t *testing.T) {
	var brokers []*metadata.Broker
	for id := range int32(9) {
		brokers = append(brokers, &metadata.Broker{ID: id, Rack: string(rune('a' + id%3))})
	}
	placed, why := place(brokers, 900, 3, random.Seeded(5))
	if why != "" {
		t.Fatal(why)
	}
	led, held := make(map[int32]int), make(map[int32]int)
	for _, replicas := range placed {
		racks := map[int32]bool{}
		for _, id := range replicas {
			racks[id%3] = true
			held[id]++
		}
		led[replicas[0]]++
		if len(racks) != 3 {
			t.Fatalf("%v stand in %d racks", replicas, len(racks))
		}
	}
	for id := range int32(9) {
		if led[id] != 100 || held[id] != 300 {
			t.Fatalf("broker %d leads %d and holds %d", id, led[id], held[id])
		}
	}
	brokers[4].Fenced = true
	placed, _ = place(brokers, 90, 9, random.Seeded(5))
	for _, replicas := range placed {
		if replicas[0] == 4 || len(slices.Compact(slices.Sorted(slices.Values(replicas)))) != 9 {
			t.Fatalf("placed %v", replicas)
		}
	}
}

func TestDeleteTopicsAnswers(t *testing.T) {
	b := newBench(t, 1, 1)
	made := b.create(auto("a"), auto("b"), auto("c"), auto("d"))
	name := func(s string) TopicRef { return TopicRef{Name: &s} }
	id := func(i int) TopicRef { return TopicRef{ID: made[i].ID} }
	both := TopicRef{Name: new("a"), ID: made[0].ID}
	unknown := TopicRef{ID: uuid.UUID{1}}
	got := b.do(&DeleteTopics{Topics: []TopicRef{name("a"), id(1), id(2), name("c"), name("x"), unknown, {}, both, name("d"), name("d")}}).(*DeleteTopicsResponse)
	var lines []string
	for _, r := range got.Topics {
		n := "-"
		if r.Name != nil {
			n = *r.Name
		}
		lines = append(lines, fmt.Sprintf("%s %v %d %s", n, !r.ID.IsZero(), r.Error.Code, r.Error.Message))
	}
	want := []string{
		"- false 42 Neither topic name nor id were specified.",
		"a true 42 You may not specify both topic name and topic id.",
		"d false 42 Duplicate topic name.",
		"- true 100 This server does not host this topic ID.",
		"c true 42 The provided topic name maps to an ID that was already supplied.",
		"x false 3 This server does not host this topic-partition.",
		"b true 0 ",
		"a true 0 ",
	}
	if !slices.Equal(lines, want) {
		t.Fatalf("%s", strings.Join(lines, "\n"))
	}
	if b.img.Topic("a") != nil || b.img.Topic("b") != nil || b.img.Topic("c") == nil || b.img.Topic("d") == nil {
		t.Fatal("the wrong topics are gone")
	}
	if again := b.create(auto("a"))[0]; again.ID == made[0].ID {
		t.Fatal("an id came back")
	}
}

func TestCreatePartitionsAnswers(t *testing.T) {
	b := newBench(t, 1, 2)
	b.create(NewTopic{Name: "a", Partitions: 2, ReplicationFactor: 2})
	for _, c := range []struct {
		topic MorePartitions
		code  protocol.ErrorCode
		text  string
	}{
		{MorePartitions{"x", 3, nil}, protocol.UnknownTopicOrPartition, ""},
		{MorePartitions{"a", 2, nil}, protocol.InvalidPartitions, "Topic already has 2 partition(s)."},
		{MorePartitions{"a", 1, nil}, protocol.InvalidPartitions, "The topic a currently has 2 partition(s); 1 would not be an increase."},
		{MorePartitions{"a", -1, nil}, protocol.InvalidPartitions, "The topic a currently has 2 partition(s); -1 would not be an increase."},
		{MorePartitions{"a", 4, [][]int32{{0, 1}}}, protocol.InvalidReplicaAssignment, "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."},
		{MorePartitions{"a", 3, [][]int32{{0}}}, protocol.InvalidReplicaAssignment,
			"The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with previous partitions, which have 2 replica(s)."},
		{MorePartitions{"a", 10003, nil}, protocol.PolicyViolation, "Excessively large number of additional partitions per request."},
		{MorePartitions{"a", 5, nil}, protocol.None, ""},
	} {
		got := b.do(&CreatePartitions{Topics: []MorePartitions{c.topic}, ValidateOnly: true}).(*CreatePartitionsResponse).Topics
		if len(got) != 1 || got[0].Error != (Error{c.code, c.text}) || len(b.records) > 0 {
			t.Errorf("%+v: %+v", c.topic, got)
		}
	}
	b.do(&CreatePartitions{Topics: []MorePartitions{{"a", 4, [][]int32{{1, 0}, {0, 1}}}, {"b", 4, nil}, {"b", 4, nil}}})
	if p := b.img.Topic("a").Partitions; len(p) != 4 || p[2].Leader != 1 || p[3].Leader != 0 {
		t.Fatalf("%+v", p)
	}
}

func TestAlterConfigsAnswers(t *testing.T) {
	b := newBench(t, 1, 1)
	b.create(NewTopic{Name: "a", Partitions: 1, ReplicationFactor: 1, Configs: []Config{{"retention.ms", new("5")}}})
	a := metadata.Resource{Type: metadata.ResourceTopic, Name: "a"}
	topic := func(name string) metadata.Resource {
		return metadata.Resource{Type: metadata.ResourceTopic, Name: name}
	}
	for _, c := range []struct {
		r    metadata.Resource
		ops  []ConfigOp
		code protocol.ErrorCode
		text string
		want string // all configurations of topic a afterwards
	}{
		{a, []ConfigOp{{"retention.ms", OpSet, new("7")}}, 0, "", "map[retention.ms:7]"},
		{a, []ConfigOp{{"cleanup.policy", OpAppend, new("compact,delete")}}, 0, "", "map[cleanup.policy:delete,compact retention.ms:7]"},
		{a, []ConfigOp{{"cleanup.policy", OpSubtract, new("delete,x")}}, 0, "", "map[cleanup.policy:compact retention.ms:7]"},
		{a, []ConfigOp{{"retention.ms", OpSet, new("13")}}, protocol.InvalidConfig, "13 and compact do not go together", "map[cleanup.policy:compact retention.ms:7]"},
		{a, []ConfigOp{{"retention.ms", OpDelete, nil}, {"never", OpDelete, nil}}, 0, "", "map[cleanup.policy:compact]"},
		{a, []ConfigOp{{"cleanup.policy", OpDelete, new("x")}}, 0, "", "map[]"},
		{a, []ConfigOp{{"retention.ms", OpAppend, new("7")}}, protocol.InvalidConfig, "Can't APPEND to key retention.ms because its type is not LIST.", "map[]"},
		{a, []ConfigOp{{"retention.ms", OpSubtract, new("7")}}, protocol.InvalidConfig, "Can't SUBTRACT to key retention.ms because its type is not LIST.", "map[]"},
		{a, []ConfigOp{{"x", OpSet, nil}, {"y", OpAppend, nil}}, protocol.InvalidRequest, "Null value not supported for : x, y", "map[]"},
		{a, []ConfigOp{{"x", OpSet, new("1")}, {"x", OpDelete, nil}}, protocol.InvalidRequest, "Error due to duplicate config keys", "map[]"},
		{a, []ConfigOp{{"x", OpSet, new("1")}}, protocol.InvalidConfig, "Unknown topic config name: x", "map[]"},
		{a, []ConfigOp{{"retention.ms", OpSet, new("y")}}, protocol.InvalidConfig, "Invalid value y for configuration retention.ms: Not a number of type LONG", "map[]"},
		{a, []ConfigOp{{"retention.ms", 9, new("1")}}, protocol.UnknownServerError, "", "map[]"},
		{topic("b"), []ConfigOp{{"retention.ms", OpSet, new("1")}}, protocol.UnknownTopicOrPartition, "The topic 'b' does not exist.", "map[]"},
		{topic(""), nil, protocol.InvalidRequest, "Default topic resources are not allowed.", "map[]"},
		{topic("a b"), nil, protocol.InvalidTopic, "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", "map[]"},
		{metadata.Resource{Type: 99, Name: "a"}, nil, protocol.InvalidRequest, "Unknown resource type 99", "map[]"},
	} {
		request := &AlterConfigs{Resources: []AlterResource{{Resource: c.r, Ops: c.ops}}, ValidateOnly: true}
		before := fmt.Sprint(b.img.Topic("a").Configs)
		for range 2 {
			got := b.do(request).(*AlterConfigsResponse).Resources
			if len(got) != 1 || got[0].Resource != c.r || got[0].Error != (Error{c.code, c.text}) {
				t.Errorf("%+v: %+v", c.ops, got)
			}
			if request.ValidateOnly && fmt.Sprint(b.img.Topic("a").Configs) != before {
				t.Errorf("%+v: validating changed something", c.ops)
			}
			request.ValidateOnly = false
		}
		if now := fmt.Sprint(b.img.Topic("a").Configs); now != c.want {
			t.Errorf("%+v: %s, want %s", c.ops, now, c.want)
		}
	}
	got := b.do(&AlterConfigs{Resources: []AlterResource{{Resource: a}, {Resource: a}}}).(*AlterConfigsResponse).Resources
	if len(got) != 2 || got[1].Error != (Error{protocol.InvalidRequest, "Each resource must appear at most once."}) {
		t.Errorf("%+v", got)
	}
}

func TestLoneBrokerLeadsAgain(t *testing.T) {
	b := newBench(t, 1, 1)
	b.create(auto("a"))
	first := b.img.Broker(0).Epoch
	if epoch := b.register(0, 1); epoch <= first { // killed: it never said that it stops
		t.Fatalf("epoch %d after %d", epoch, first)
	}
	if p := b.img.Topic("a").Partitions[0]; p.Leader != 0 || !slices.Equal(p.ISR, []int32{0}) || p.LeaderEpoch != 1 || p.PartitionEpoch != 1 {
		t.Fatalf("%+v", p)
	}
	epoch := b.img.Broker(0).Epoch
	b.do(&AlterBroker{ID: 0, Epoch: epoch, State: ControlledShutdown})
	if p := b.img.Topic("a").Partitions[0]; p.Leader != -1 || !slices.Equal(p.ELR, []int32{0}) || p.LeaderEpoch != 2 {
		t.Fatalf("%+v", p)
	}
	b.register(0, 1)
	if p := b.img.Topic("a").Partitions[0]; p.Leader != 0 || len(p.ELR) != 0 || p.LeaderEpoch != 3 {
		t.Fatalf("%+v", p)
	}
	b.register(0, 99) // another disk: what was on the old one is gone
	if p := b.img.Topic("a").Partitions[0]; p.Leader != -1 || len(p.ISR)+len(p.ELR) != 0 || !slices.Equal(p.LastKnownELR, []int32{0}) {
		t.Fatalf("an empty replica leads: %+v", p)
	}
}

func TestDirectoryThatFailsLosesItsPartitions(t *testing.T) {
	b := newBench(t, 1, 2)
	b.create(NewTopic{Name: "a", Partitions: 1, ReplicationFactor: -1, Assignments: nil}, NewTopic{Name: "b", Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{0, 1}}}})
	old := b.img.Broker(0)
	r := b.do(&RegisterBroker{ClusterID: "cluster", ID: 0, Incarnation: old.Incarnation, Directories: []uuid.UUID{{77}}}).(*RegisterBrokerResponse)
	if p := b.img.Topic("b").Partitions[0]; r.Epoch != old.Epoch || p.Leader != 1 || !slices.Equal(p.ISR, []int32{1}) || len(p.ELR) != 0 {
		t.Fatalf("%+v %+v", r, p)
	}
}

// TestLossCountsOnce: who started without some of its data and has caught up does not lose its place to a late copy of what it said then.
func TestLossCountsOnce(t *testing.T) {
	b := newBench(t, 1, 3)
	id := b.create(NewTopic{Name: "a", Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{0, 1, 2}}}})[0].ID
	r := &RegisterBroker{ClusterID: "cluster", ID: 1, Incarnation: uuid.New(b.random), Directories: []uuid.UUID{{2}}, Lossy: []uuid.UUID{{2}}, Unfence: true}
	epoch := b.do(r).(*RegisterBrokerResponse).Epoch
	p := b.img.Partition(id, 0)
	if metadata.Has(p.ISR, 1) || metadata.Has(p.ELR, 1) {
		t.Fatalf("it lost data: %+v", p)
	}
	all := []ISRMember{{0, b.img.Broker(0).Epoch}, {1, epoch}, {2, b.img.Broker(2).Epoch}}
	b.do(&AlterPartition{Broker: p.Leader, Epoch: b.img.Broker(p.Leader).Epoch,
		Partitions: []ProposedISR{{TopicID: id, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, ISR: all}}})
	if p = b.img.Partition(id, 0); len(p.ISR) != 3 {
		t.Fatalf("it caught up: %+v", p)
	}
	if again := b.do(r).(*RegisterBrokerResponse).Epoch; again != epoch || b.img.Partition(id, 0) != p {
		t.Errorf("a copy of the registration gives epoch %d, not %d, and %+v", again, epoch, b.img.Partition(id, 0))
	}
	again := *r
	again.Incarnation = uuid.New(b.random)
	if b.do(&again); metadata.Has(b.img.Partition(id, 0).ISR, 1) {
		t.Errorf("it lost data again: %+v", b.img.Partition(id, 0))
	}
}

func TestRegistrationAnswers(t *testing.T) {
	b := newBench(t, 1, 2)
	ask := func(r RegisterBroker) Error {
		if r.ClusterID == "" {
			r.ClusterID = "cluster"
		}
		return b.do(&r).(*RegisterBrokerResponse).Error
	}
	for _, c := range []struct {
		r    RegisterBroker
		code protocol.ErrorCode
		text string
	}{
		{RegisterBroker{ClusterID: "other"}, protocol.InconsistentClusterID, "Expected cluster ID cluster, but got cluster ID other"},
		{RegisterBroker{}, protocol.InvalidRegistration, "No directories specified in request"},
		{RegisterBroker{Directories: []uuid.UUID{{}}}, protocol.InvalidRegistration, "Reserved directory ID in request"},
		{RegisterBroker{Directories: []uuid.UUID{{5}, {5}}}, protocol.InvalidRegistration, "Duplicate directory ID in request"},
		{RegisterBroker{Directories: []uuid.UUID{{2}}}, protocol.InvalidRegistration, "Broker 1 is already registered with directory " + uuid.UUID{2}.String()},
	} {
		if got := ask(c.r); got != (Error{c.code, c.text}) || len(b.records) > 0 {
			t.Errorf("%+v: %+v", c.r, got)
		}
	}
	same := b.img.Broker(0)
	if e := ask(RegisterBroker{ID: 0, Incarnation: same.Incarnation, Directories: []uuid.UUID{{1}}, Rack: "r"}); e.Failed() {
		t.Fatal(e)
	}
	if now := b.img.Broker(0); now.Epoch != same.Epoch || now.Rack != "r" || now.Fenced {
		t.Fatalf("%+v", now)
	}
	stale := b.do(&AlterBroker{ID: 0, Epoch: same.Epoch + 50, State: Fenced}).(*AlterBrokerResponse)
	if stale.Error.Code != protocol.StaleBrokerEpoch {
		t.Fatal(stale.Error)
	}
	if r := b.do(&AllocateProducerIDs{BrokerID: 0, BrokerEpoch: 99}).(*AllocateProducerIDsResponse); r.Error.Code != protocol.StaleBrokerEpoch {
		t.Fatal(r.Error)
	}
	for want := int64(0); want < 3000; want += 1000 {
		r := b.do(&AllocateProducerIDs{BrokerID: 0, BrokerEpoch: same.Epoch}).(*AllocateProducerIDsResponse)
		if r.First != want || r.Count != 1000 {
			t.Fatalf("%+v", r)
		}
	}
}

// TestInvariantsHold steps random requests on a cluster of five brokers and checks the invariants of partitions after each.
func TestInvariantsHold(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			if first, again := runSeed(t, seed), runSeed(t, seed); first != again {
				t.Fatal("the same seed gave another image")
			}
		})
	}
}

func runSeed(t *testing.T, seed uint64) [32]byte {
	rng := rand.New(rand.NewPCG(seed, 2))
	b := newBench(t, seed, 5)
	ids := make(map[uuid.UUID]string)
	for range 600 {
		before, request := b.img, anyRequest(b, rng)
		b.do(request)
		checkInvariants(t, before, b.img, b.records, ids, request)
	}
	return b.img.Hash()
}

func anyRequest(b *bench, rng *rand.Rand) Request {
	id := rng.Int32N(5)
	name := fmt.Sprint("t", rng.IntN(12))
	epoch := int64(-1)
	if broker := b.img.Broker(id); broker != nil && rng.IntN(10) > 0 {
		epoch = broker.Epoch
	}
	switch rng.IntN(26) {
	case 24:
		r := &LoseReplicas{Broker: id, Epoch: epoch}
		if t := b.img.Topic(name); t != nil {
			r.Replicas = []LostReplica{{t.ID, rng.Int32N(4)}, {t.ID, rng.Int32N(4)}}
		}
		return r
	case 0, 1, 2:
		t := NewTopic{Name: name, Partitions: 1 + rng.Int32N(6), ReplicationFactor: 1 + int16(rng.IntN(4))}
		if rng.IntN(3) == 0 {
			t.Configs = []Config{{"min.insync.replicas", new(fmt.Sprint(1 + rng.IntN(3)))}}
		}
		if rng.IntN(4) == 0 {
			t.Configs = append(t.Configs, Config{"unclean.leader.election.enable", new("true")})
		}
		return &CreateTopics{Topics: []NewTopic{t}}
	case 3:
		return &DeleteTopics{Topics: []TopicRef{{Name: &name}}}
	case 4:
		return &CreatePartitions{Topics: []MorePartitions{{name, 1 + rng.Int32N(9), nil}}}
	case 5, 6, 7:
		state := []BrokerState{Fenced, Unfenced, ControlledShutdown, Fenced, Unfenced, Unregistered}[rng.IntN(6)]
		return &AlterBroker{ID: id, Epoch: epoch, State: state}
	case 8, 9, 10, 11:
		r := &RegisterBroker{ClusterID: "cluster", ID: id, Incarnation: uuid.New(b.random), Directories: []uuid.UUID{{byte(id) + 1}, {byte(id) + 101}}, Unfence: rng.IntN(3) > 0}
		switch rng.IntN(8) {
		case 0:
			r.Lossy = r.Directories
		case 1:
			r.Directories = []uuid.UUID{uuid.New(b.random)}
		case 2:
			r.Directories = r.Directories[:1]
		}
		return r
	case 13, 14:
		r := &AssignDirectories{Broker: id}
		if t := b.img.Topic(name); t != nil {
			for i := range t.Partitions {
				r.Replicas = append(r.Replicas, AssignDirectory{t.ID, int32(i), uuid.UUID{byte(id) + 1 + 100*byte(rng.IntN(2))}})
			}
		}
		return r
	case 15:
		return &LoseDirectories{Broker: id, Epoch: epoch, Directories: []uuid.UUID{{byte(id) + 1 + 100*byte(rng.IntN(2))}}}
	case 12:
		return &AllocateProducerIDs{BrokerID: id, BrokerEpoch: epoch}
	case 16, 17, 18:
		r := &Reassign{KeepFactor: rng.IntN(4) == 0}
		for range 1 + rng.IntN(3) {
			a := Reassignment{Topic: fmt.Sprint("t", rng.IntN(12)), Partition: rng.Int32N(4)}
			if rng.IntN(5) > 0 {
				for _, id := range rng.Perm(5)[:1+rng.IntN(4)] {
					a.Replicas = append(a.Replicas, int32(id))
				}
			}
			r.Partitions = append(r.Partitions, a)
		}
		return r
	case 19, 20, 21, 22, 23:
		if r := anyISR(b, rng); r != nil {
			return r
		}
	}
	return &AlterConfigs{Resources: []AlterResource{{Resource: metadata.Resource{Type: metadata.ResourceTopic, Name: name},
		Ops: []ConfigOp{{"min.insync.replicas", OpSet, new(fmt.Sprint(1 + rng.IntN(3)))}}}}}
}

// anyISR proposes an ISR of some partition as its leader might.
func anyISR(b *bench, rng *rand.Rand) Request {
	for t := range b.img.TopicsFrom(fmt.Sprint("t", rng.IntN(12))) {
		number := rng.Int32N(int32(len(t.Partitions)))
		p := t.Partitions[number]
		if p.Leader == metadata.NoLeader {
			continue
		}
		a := ProposedISR{TopicID: t.ID, Number: number, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch}
		for _, id := range p.Replicas {
			if broker := b.img.Broker(id); id == p.Leader || broker.Active() && rng.IntN(4) > 0 {
				a.ISR = append(a.ISR, ISRMember{id, broker.Epoch})
			}
		}
		return &AlterPartition{Broker: p.Leader, Epoch: b.img.Broker(p.Leader).Epoch, Partitions: []ProposedISR{a}}
	}
	return nil
}

// proposed says whether a leader says in this request that the broker is in sync.
func proposed(request Request, topic uuid.UUID, number, id int32) bool {
	r, ok := request.(*AlterPartition)
	return ok && r.Partitions[0].TopicID == topic && r.Partitions[0].Number == number &&
		slices.ContainsFunc(r.Partitions[0].ISR, func(m ISRMember) bool { return m.ID == id })
}

// checkInvariants are I10 to I12 and I20, and that what should never come back does not.
func checkInvariants(t *testing.T, before, after *metadata.Image, records []metadata.Record, ids map[uuid.UUID]string, request Request) {
	t.Helper()
	changes := make(map[string]int32)
	for _, r := range records {
		if c, ok := r.(*metadata.PartitionChangeRecord); ok {
			changes[fmt.Sprint(c.TopicID, c.Number)]++
		}
		if c, ok := r.(*metadata.TopicRecord); ok {
			if other, used := ids[c.ID]; used {
				t.Fatalf("%s has the id of %s", c.Name, other)
			}
			ids[c.ID] = c.Name
		}
	}
	for topic := range after.Topics() {
		rules := configs{}.TopicRules(topic.Configs)
		for i, p := range topic.Partitions {
			where := fmt.Sprintf("%s-%d %+v", topic.Name, i, p)
			subset := func(list []int32) bool {
				return !slices.ContainsFunc(list, func(id int32) bool { return !metadata.Has(p.Replicas, id) })
			}
			if p.Leader != metadata.NoLeader && !metadata.Has(p.ISR, p.Leader) {
				t.Fatalf("I11: leader out of the ISR: %s", where)
			}
			if p.Leader != metadata.NoLeader && !after.Broker(p.Leader).Active() {
				t.Fatalf("a broker that is not active leads: %s", where)
			}
			if !subset(p.ISR) || !subset(p.ELR) || slices.ContainsFunc(p.ISR, func(id int32) bool { return metadata.Has(p.ELR, id) }) {
				t.Fatalf("I11: ISR and ELR are not disjoint subsets: %s", where)
			}
			for _, id := range p.ISR {
				if b := after.Broker(id); b == nil || b.Fenced {
					t.Fatalf("I11: fenced broker in the ISR: %s", where)
				}
			}
			for _, id := range p.ISR {
				if id != p.Leader && !p.Online(after.Broker(id)) {
					t.Fatalf("the directory of %d is offline, which is in the ISR: %s", id, where)
				}
			}
			old := before.Partition(topic.ID, int32(i))
			if online := filter(p.ISR, func(id int32) bool { return p.Online(after.Broker(id)) }); len(online) >= p.MinISR(rules.MinISR) && len(p.ELR) > 0 {
				t.Fatalf("I11: ELR beside a whole ISR: %s", where)
			}
			if len(p.ISR)+len(p.ELR) == 0 && p.Leader != metadata.NoLeader {
				t.Fatalf("I12: a leader out of nothing: %s", where)
			}
			if old == nil {
				continue
			}
			if p.PartitionEpoch != old.PartitionEpoch+changes[fmt.Sprint(topic.ID, i)] {
				t.Fatalf("I10: partition epoch %d after %d: %s", p.PartitionEpoch, old.PartitionEpoch, where)
			}
			if p.LeaderEpoch < old.LeaderEpoch || p.Leader != old.Leader && p.LeaderEpoch == old.LeaderEpoch {
				t.Fatalf("I10: leader epoch %d after %d: %s", p.LeaderEpoch, old.LeaderEpoch, where)
			}
			if !rules.Unclean && p.Leader != metadata.NoLeader && !metadata.Has(old.ISR, p.Leader) && !metadata.Has(old.ELR, p.Leader) && !proposed(request, topic.ID, int32(i), p.Leader) {
				t.Fatalf("unclean election from %+v: %s", old, where)
			}
			checkReassigned(t, where, old, p, rules, func(id int32) bool { return proposed(request, topic.ID, int32(i), id) })
		}
	}
	for _, b := range after.Brokers() {
		if old := before.Broker(b.ID); old != nil && b.Epoch < old.Epoch {
			t.Fatalf("I10: broker epoch %d after %d", b.Epoch, old.Epoch)
		}
	}
	if after.NextBrokerEpoch() < before.NextBrokerEpoch() || after.NextProducerID() < before.NextProducerID() {
		t.Fatal("a counter went back")
	}
}

// checkReassigned is I20: what a reassignment changes it changes so that nothing that is in sync is lost.
func checkReassigned(t *testing.T, where string, old, p *metadata.Partition, rules Rules, proposed func(int32) bool) {
	t.Helper()
	if p.Reassignment != nil {
		r := p.Reassignment
		if len(r.Adding)+len(r.Removing) == 0 || slices.ContainsFunc(r.Adding, func(id int32) bool { return !metadata.Has(p.Replicas, id) || metadata.Has(r.Removing, id) }) ||
			slices.ContainsFunc(r.Removing, func(id int32) bool { return !metadata.Has(p.Replicas, id) }) || len(r.Removing) == len(p.Replicas) {
			t.Fatalf("I20: adding %v, removing %v: %s", r.Adding, r.Removing, where)
		}
	}
	for _, id := range p.ISR {
		if !metadata.Has(old.ISR, id) && !metadata.Has(old.ELR, id) && !proposed(id) && !rules.Unclean {
			t.Fatalf("I20: %d came into the ISR, after %+v: %s", id, old, where)
		}
	}
	gone := slices.ContainsFunc(old.Replicas, func(id int32) bool { return !metadata.Has(p.Replicas, id) })
	cancelled := old.Reassignment != nil && slices.ContainsFunc(old.Reassignment.Adding, func(id int32) bool { return !metadata.Has(p.Replicas, id) })
	if gone && !cancelled && p.Reassignment == nil && slices.ContainsFunc(p.Replicas, func(id int32) bool { return !metadata.Has(p.ISR, id) }) {
		t.Fatalf("I20: a replica was taken out before all that stay were in sync, of %+v: %s", old, where)
	}
	if gone && p.LeaderEpoch == old.LeaderEpoch {
		t.Fatalf("I20: who was taken out hears nothing of it: %s", where)
	}
}

func TestStepIsPure(t *testing.T) {
	b := newBench(t, 3, 3)
	hash := b.img.Hash()
	request := &CreateTopics{Topics: []NewTopic{{Name: "a", Partitions: 7, ReplicationFactor: 2}}}
	first, r1 := Step(b.img, b.settings, request, random.Seeded(9))
	again, r2 := Step(b.img, b.settings, request, random.Seeded(9))
	if !reflect.DeepEqual(first, again) || !reflect.DeepEqual(r1, r2) || b.img.Hash() != hash {
		t.Fatal("two runs differ, or the image changed")
	}
}

// Settings of the resources other than topics, as requests that follow one another.
func TestAlterOtherResources(t *testing.T) {
	b := newBench(t, 1, 1)
	one, all := metadata.Resource{Type: metadata.ResourceBroker, Name: "1"}, metadata.Resource{Type: metadata.ResourceBroker}
	group, metrics := metadata.Resource{Type: metadata.ResourceGroup, Name: "g"}, metadata.Resource{Type: metadata.ResourceClientMetrics, Name: "m"}
	set := func(name, value string) ConfigOp { return ConfigOp{name, OpSet, &value} }
	const elr = "while ELR is enabled."
	for i, c := range []struct {
		r       metadata.Resource
		replace bool
		ops     []ConfigOp
		want    Error
		after   string
	}{
		{one, false, []ConfigOp{set("sum", "5"), set("unheard.of", "x")}, Error{}, "map[sum:5 unheard.of:x]"},
		{all, false, []ConfigOp{set("sum", "5")}, Error{protocol.InvalidRequest, "does not go"}, "map[]"},
		{all, false, []ConfigOp{set("sum", "6"), {"log.cleanup.policy", OpAppend, new("compact")}}, Error{}, "map[log.cleanup.policy:delete,compact sum:6]"},
		{one, false, []ConfigOp{{"sum", OpAppend, new("1")}}, Error{protocol.InvalidConfig, "no append to sum"}, "map[sum:5 unheard.of:x]"},
		{one, false, []ConfigOp{{"sum", 9, new("1")}}, Error{protocol.InvalidRequest, "Unknown operations type 9"}, "map[sum:5 unheard.of:x]"},
		{one, true, []ConfigOp{set("fixed", "1")}, Error{protocol.InvalidRequest, "does not go"}, "map[sum:5 unheard.of:x]"},
		{one, true, []ConfigOp{set("new", "1")}, Error{}, "map[new:1]"},
		{one, false, []ConfigOp{set("min.insync.replicas", "2")}, Error{protocol.InvalidConfig, "Broker-level min.insync.replicas cannot be altered " + elr}, "map[new:1]"},
		{one, true, nil, Error{}, "map[]"},
		{all, true, nil, Error{protocol.InvalidConfig, "Cluster-level min.insync.replicas cannot be removed " + elr}, "map[log.cleanup.policy:delete,compact sum:6]"},
		{all, true, []ConfigOp{set("min.insync.replicas", "2")}, Error{}, "map[min.insync.replicas:2]"},
		{metadata.Resource{Type: metadata.ResourceBroker, Name: "2"}, false, nil, Error{protocol.InvalidRequest, "another broker"}, "map[]"},
		{group, false, []ConfigOp{set("a", "1")}, Error{}, "map[a:1]"},
		{group, false, []ConfigOp{set("bad", "1")}, Error{protocol.InvalidConfig, "bad"}, "map[a:1]"},
		{group, false, []ConfigOp{{"a", OpSubtract, new("1")}}, Error{protocol.InvalidConfig, "Can't SUBTRACT to key a because its type is not LIST."}, "map[a:1]"},
		{group, true, []ConfigOp{set("b", "2")}, Error{}, "map[b:2]"},
		{metadata.Resource{Type: metadata.ResourceGroup}, false, nil, Error{protocol.InvalidRequest, "Default group resources are not allowed."}, "map[]"},
		{metrics, false, []ConfigOp{set("a", "1")}, Error{}, "map[a:1]"},
		{metrics, false, []ConfigOp{{"a", OpDelete, nil}}, Error{}, "map[]"},
		{metadata.Resource{Type: metadata.ResourceClientMetrics}, false, nil, Error{protocol.InvalidRequest, "Subscription name can't be empty"}, "map[]"},
		{metadata.Resource{Type: 8, Name: "1"}, true, nil, Error{protocol.InvalidRequest, "Unknown resource type 8"}, "map[]"},
	} {
		got := b.do(&AlterConfigs{Resources: []AlterResource{{c.r, c.ops, c.replace}}}).(*AlterConfigsResponse).Resources
		if len(got) != 1 || got[0].Error != c.want {
			t.Errorf("request %d: %+v, want %+v", i, got, c.want)
		}
		if now := b.img.Config(c.r); fmt.Sprint(now) != c.after {
			t.Errorf("request %d: %v is set, want %s", i, now, c.after)
		}
	}
	var names []string
	for r := range b.img.Configured() {
		names = append(names, fmt.Sprint(r.Type, r.Name))
	}
	slices.Sort(names)
	if fmt.Sprint(names) != "[32g 4]" {
		t.Errorf("configured are %q", names)
	}
}
