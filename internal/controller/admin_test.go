package controller

import (
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

func (b *bench) fence(id int32, state BrokerState) {
	b.t.Helper()
	if r := b.do(&AlterBroker{ID: id, Epoch: b.img.Broker(id).Epoch, State: state}).(*AlterBrokerResponse); r.Error.Failed() {
		b.t.Fatal(r.Error)
	}
}

func TestElectLeaders(t *testing.T) {
	b := newBench(t, 1, 2)
	b.create(NewTopic{Name: "a", Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{0, 1}}, {1, []int32{1, 0}}}})
	elect := func(kind int8) []PartitionElected {
		return b.do(&ElectLeaders{Election: kind, All: true}).(*ElectLeadersResponse).Topics[0].Partitions
	}
	if got := elect(PreferredElection); got != nil {
		t.Errorf("all have their preferred leaders, answered %v", got)
	}
	b.fence(0, Fenced)
	b.fence(1, Fenced)
	if got := elect(PreferredElection); len(got) != 2 || got[0].Error.Code != protocol.PreferredLeaderNotAvailable {
		t.Errorf("nobody is alive, answered %v", got)
	}
	if got := elect(UncleanElection); len(got) != 2 || got[0].Error.Code != protocol.EligibleLeadersNotAvailable {
		t.Errorf("nobody is alive, answered %v", got)
	}
	b.img = b.revive(0)
	if got := elect(UncleanElection); len(got) != 2 || got[0].Error.Failed() || got[1].Error.Failed() {
		t.Errorf("unclean election: %v", got)
	}
	for i, p := range b.img.Topic("a").Partitions {
		if p.Leader != 0 || !slices.Equal(p.ISR, []int32{0}) {
			t.Errorf("partition %d after it: %+v", i, p)
		}
	}
}

// TestUncleanElectionsAreAllowed: who allows unclean elections while a partition has no leader gets one, of the topic that it is allowed for.
func TestUncleanElectionsAreAllowed(t *testing.T) {
	for _, c := range []struct {
		what  string
		kind  int8
		name  string
		value string
		leads bool
	}{
		{"of this topic", metadata.ResourceTopic, "a", "true", true},
		{"of all brokers", metadata.ResourceBroker, "", "TRUE", true},
		{"of another topic", metadata.ResourceTopic, "b", "true", false},
		{"not allowed", metadata.ResourceTopic, "a", "false", false},
	} {
		b := newBench(t, 1, 2)
		for _, name := range []string{"a", "b"} {
			b.create(NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{0, 1}}}})
		}
		b.fence(0, Fenced)
		b.fence(1, Fenced) // the last one in sync
		b.fence(0, Unfenced)
		p := func() *metadata.Partition { return b.img.Topic("a").Partitions[0] }
		if p().Leader != metadata.NoLeader {
			t.Fatalf("nobody allowed an unclean election: %+v", p())
		}
		a := AlterResource{Resource: metadata.Resource{Type: c.kind, Name: c.name}, Ops: []ConfigOp{{"unclean.leader.election.enable", OpSet, &c.value}}}
		if err := b.do(&AlterConfigs{Resources: []AlterResource{a}}).(*AlterConfigsResponse).Resources[0].Error; err.Failed() {
			t.Fatal(err)
		}
		if leads := p().Leader == 0 && slices.Equal(p().ISR, []int32{0}) && p().Recovering; leads != c.leads {
			t.Errorf("%s: broker 0 leads: %v, %+v", c.what, leads, p())
		}
	}
}

// revive returns an image in which a fenced broker is active but was given nothing.
func (b *bench) revive(id int32) *metadata.Image {
	b.t.Helper()
	img, _, err := metadata.Apply(b.img, b.img.Index()+1, []metadata.Record{
		&metadata.BrokerChangeRecord{ID: id, Epoch: b.img.Broker(id).Epoch, Fenced: new(false)}})
	if err != nil {
		b.t.Fatal(err)
	}
	return img
}

func TestAlterScram(t *testing.T) {
	b := newBench(t, 1, 1)
	user := func(name string, mechanism int8) metadata.ScramUser {
		return metadata.ScramUser{Name: name, Mechanism: mechanism}
	}
	set := func(name string, mechanism int8, iterations int32) ScramUpsertion {
		return ScramUpsertion{user(name, mechanism), metadata.ScramCredential{Salt: "s", StoredKey: "k", ServerKey: "v", Iterations: iterations}}
	}
	empty := set("a", 1, 4096)
	empty.Credential.StoredKey = ""
	for _, c := range []struct {
		request AlterScram
		want    []protocol.ErrorCode
		left    int
	}{
		{AlterScram{Upsertions: []ScramUpsertion{set("b", 2, 16384), set("a", 1, 4096)}}, []protocol.ErrorCode{0, 0}, 2},
		{AlterScram{Upsertions: []ScramUpsertion{set("a", 2, 4096), set("a", 1, 5000)}}, []protocol.ErrorCode{protocol.DuplicateResource}, 2},
		{AlterScram{Deletions: []metadata.ScramUser{user("a", 1)}, Upsertions: []ScramUpsertion{set("a", 1, 5000)}}, []protocol.ErrorCode{protocol.DuplicateResource}, 2},
		{AlterScram{Upsertions: []ScramUpsertion{set("a", 1, 4095), set("b", 2, 16385), set("c", 3, 4096), empty}},
			[]protocol.ErrorCode{protocol.UnacceptableCredential, protocol.UnacceptableCredential, protocol.UnsupportedSASLMechanism}, 2},
		{AlterScram{Upsertions: []ScramUpsertion{empty}}, []protocol.ErrorCode{protocol.UnacceptableCredential}, 2},
		{AlterScram{Deletions: []metadata.ScramUser{user("a", 2), user("b", 2)}}, []protocol.ErrorCode{protocol.ResourceNotFound, 0}, 1},
	} {
		var got []protocol.ErrorCode
		for _, u := range b.do(&c.request).(*AlterScramResponse).Users {
			got = append(got, u.Error.Code)
		}
		if !slices.Equal(got, c.want) || b.img.ScramCount() != c.left {
			t.Errorf("%+v: %v and %d credentials, want %v and %d", c.request, got, b.img.ScramCount(), c.want, c.left)
		}
	}
	again, err := metadata.DecodeSnapshot(b.img.EncodeSnapshot())
	if cred, ok := again.Scram(user("a", 1)); err != nil || !ok || cred.Iterations != 4096 {
		t.Errorf("after a snapshot the credential of a: %v %v", ok, err)
	}
}
