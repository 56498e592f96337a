package quorum

import (
	"context"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Change is one step of a change of the quorum's members.
type Change int

// What Change does with a raft id.
const (
	AddVoter   Change = 1 // a learner becomes a voter, or a new id does
	AddLearner Change = 2 // receives the log and does not vote
	Remove     Change = 3
)

// MemberChange says what becomes of one id.
type MemberChange struct {
	Change Change
	ID     uint64
}

// ChangeMembers starts a change of the quorum on its leader. More than one voter at once goes through a joint configuration,
// which is left by itself. It returns when the change is appended; Members shows when it holds.
func (n *Node) ChangeMembers(ctx context.Context, changes ...MemberChange) error {
	cc := &pb.ConfChangeV2{}
	for _, c := range changes {
		t := pb.ConfChangeAddNode
		switch c.Change {
		case AddLearner:
			t = pb.ConfChangeAddLearnerNode
		case Remove:
			t = pb.ConfChangeRemoveNode
		}
		cc.Changes = append(cc.Changes, &pb.ConfChangeSingle{Type: t.Enum(), NodeId: new(c.ID)})
	}
	var err error
	if callErr := n.call(ctx, func() {
		if err = ErrNotLeader; n.core.leads() {
			err = n.core.raft.ProposeConfChange(cc)
		}
	}); callErr != nil {
		return callErr
	}
	return err
}

// Members returns the voters and the learners. During a joint configuration both the old and the new voters count.
func (n *Node) Members(ctx context.Context) (voters, learners []uint64, err error) {
	err = n.call(ctx, func() {
		voters = append(append(voters, n.core.conf.GetVoters()...), n.core.conf.GetVotersOutgoing()...)
		learners = append(append(learners, n.core.conf.GetLearners()...), n.core.conf.GetLearnersNext()...)
	})
	return voters, learners, err
}

// ForgetLeader tells a follower that the leader is gone, as its lost connection shows, so that it votes for another at once.
func (n *Node) ForgetLeader(ctx context.Context) error {
	var err error
	if callErr := n.call(ctx, func() { err = n.core.raft.ForgetLeader() }); callErr != nil {
		return callErr
	}
	return err
}

// Campaign makes the node stand for election now.
func (n *Node) Campaign(ctx context.Context) error {
	var err error
	if callErr := n.call(ctx, func() { err = n.core.raft.Campaign() }); callErr != nil {
		return callErr
	}
	return err
}
