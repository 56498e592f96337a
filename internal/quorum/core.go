package quorum

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/moldau/moldau/internal/vfs"
)

// Bounds of the library, see its Config.
const (
	messageBytes     = 1 << 20
	inflightMessages = 256
	uncommittedBytes = 64 << 20
)

// core is a voter without goroutines, clock and network: what comes in are ticks, messages and proposals, what comes out of
// handle are messages and committed entries. The same input gives the same output, bit for bit, so that a simulation can replay.
type core struct {
	id      uint64
	raft    *raft.RawNode
	storage *storage
	hard    hardState
	conf    *pb.ConfState
	soft    raft.SoftState
	tag     uint64 // of the last proposal, see propose
}

// output is what one step of a core asks the world to do, in the order of the fields. What must be durable first is.
type output struct {
	restore   *snapshot // replaces the state machine
	members   bool      // the members changed: a snapshot is due
	committed []*pb.Entry
	messages  []*pb.Message
}

// newCore returns the voter of a directory. ticks is how many ticks without a leader make it stand for election, at least.
func newCore(fsys vfs.FS, dir string, id uint64, segmentBytes int64, ticks int, log *slog.Logger) (*core, error) {
	s, err := openStorage(fsys, dir, id, segmentBytes)
	if err != nil {
		return nil, err
	}
	if s.wal.cut > 0 {
		log.Warn("the metadata log ended in a write that a crash cut short: it was cut off", "file", s.wal.file.Name(), "position", s.wal.end, "bytes", s.wal.cut)
	}
	hs, _, err := s.InitialState()
	if err != nil {
		s.wal.close()
		return nil, err
	}
	node, err := raft.NewRawNode(&raft.Config{
		ID: id, ElectionTick: ticks, HeartbeatTick: max(1, ticks/10), Storage: s, Applied: s.newest.index,
		MaxSizePerMsg: messageBytes, MaxInflightMsgs: inflightMessages, MaxUncommittedEntriesSize: uncommittedBytes,
		CheckQuorum: true, PreVote: true, StepDownOnRemoval: true,
		DisableProposalForwarding: true, // a proposal is good in one term only
		Logger:                    quiet{log},
	})
	if err != nil {
		s.wal.close()
		return nil, err
	}
	return &core{id: id, raft: node, storage: s, conf: s.newest.conf,
		hard: hardState{term: hs.GetTerm(), vote: hs.GetVote(), commit: hs.GetCommit()}}, nil
}

// alone says that this node is the only one in the quorum.
func (c *core) alone() bool {
	return len(c.conf.GetVoters()) == 1 && c.conf.GetVoters()[0] == c.id && len(c.conf.GetVotersOutgoing()) == 0 &&
		len(c.conf.GetLearners()) == 0 && len(c.conf.GetLearnersNext()) == 0
}

func (c *core) leads() bool { return c.soft.RaftState == raft.StateLeader }

// tagBytes is the length of the tag before the data of an entry: the number of the proposal on its proposer. In one term only
// one node proposes, so term and tag name a proposal.
const tagBytes = 8

// propose appends an entry in the current term and returns its tag. An urgent one may use the reserve of a full disk.
func (c *core) propose(term uint64, data []byte, urgent bool) (tag uint64, err error) {
	if !c.leads() || c.hard.term != term {
		return 0, ErrNotLeader
	}
	size := int64(len(data)) + frameHeader + 64
	if urgent {
		c.storage.wal.largest = max(c.storage.wal.largest, size)
	}
	if room, err := c.storage.wal.room(size, urgent); err != nil {
		return 0, err
	} else if !room {
		return 0, ErrFull
	}
	c.tag++
	entry := make([]byte, tagBytes, tagBytes+len(data))
	binary.BigEndian.PutUint64(entry, c.tag)
	if err := c.raft.Propose(append(entry, data...)); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotLeader, err) // nothing was appended: no leader, or too much uncommitted
	}
	return c.tag, nil
}

// handle carries out everything that is ready, first of all on disk. Any error is final.
func (c *core) handle(send func([]*pb.Message)) (output, error) {
	var out output
	for c.raft.HasReady() {
		rd := c.raft.Ready()
		if rd.SoftState != nil {
			c.soft = *rd.SoftState
		}
		if rd.HardState != nil {
			c.hard = hardState{term: rd.GetTerm(), vote: rd.GetVote(), commit: rd.GetCommit()}
		}
		messages := rd.Messages
		if c.leads() && send != nil {
			messages = sendEarly(messages, send)
		}
		if rd.Snapshot != nil && !raft.IsEmptySnap(rd.Snapshot) {
			snap, err := c.storage.install(c.hard, rd.Snapshot)
			if err != nil {
				return out, err
			}
			c.conf, out.restore, out.committed = snap.conf, snap, nil
		}
		// A commit index alone needs no sync: it only says what is known already, and goes along with the next batch.
		if rd.MustSync {
			if err := c.storage.save(c.hard, rd.Entries); err != nil {
				return out, err
			}
		}
		for _, e := range rd.CommittedEntries {
			changed, err := c.configure(e)
			if err != nil {
				return out, err
			}
			out.members = out.members || changed
		}
		out.committed = append(out.committed, rd.CommittedEntries...)
		out.messages = append(out.messages, messages...)
		c.raft.Advance(rd)
		if c.storage.failed != nil {
			return out, c.storage.failed
		}
	}
	c.storage.wal.pledged = 0 // all is written
	return out, nil
}

// sendEarly sends what a leader may send while its own sync is still to come, and returns the rest: followers then sync at the
// same time. The leader counts itself only after its own.
func sendEarly(messages []*pb.Message, send func([]*pb.Message)) (rest []*pb.Message) {
	var early []*pb.Message
	for _, m := range messages {
		if m.GetType() == pb.MsgApp || m.GetType() == pb.MsgHeartbeat {
			early = append(early, m)
		} else {
			rest = append(rest, m)
		}
	}
	if len(early) > 0 {
		send(early)
	}
	return rest
}

// configure applies an entry that changes the members, and says whether it is one.
func (c *core) configure(e *pb.Entry) (bool, error) {
	var change pb.ConfChangeI
	switch e.GetType() {
	case pb.EntryConfChange:
		cc := &pb.ConfChange{}
		if err := proto.Unmarshal(e.GetData(), cc); err != nil {
			return false, fmt.Errorf("decode configuration change %d: %w", e.GetIndex(), err)
		}
		change = cc
	case pb.EntryConfChangeV2:
		cc := &pb.ConfChangeV2{}
		if err := proto.Unmarshal(e.GetData(), cc); err != nil {
			return false, fmt.Errorf("decode configuration change %d: %w", e.GetIndex(), err)
		}
		change = cc
	default:
		return false, nil
	}
	c.conf = c.raft.ApplyConfChange(change)
	c.storage.changed = e.GetIndex()
	return true, nil
}

// receive takes in a message from another voter. Messages that make no sense are dropped, as the network may lose any.
func (c *core) receive(m *pb.Message) error {
	if m.GetTo() != c.id {
		return nil
	}
	if m.GetType() == pb.MsgSnap {
		data := m.GetSnapshot().GetData()
		if _, err := decodeSnapshot(data); err != nil {
			return nil // damaged on its way; the leader sends it again
		}
		if free, err := c.storage.fs.Free(c.storage.dir); err == nil && free < uint64(len(data))+walReserveMin {
			return nil // as below; what is begun must be carried through
		}
	}
	if m.GetType() == pb.MsgApp {
		// A node without space is like one that is slow. What the leader took in spite of a full disk of its own is urgent.
		if room, err := c.storage.wal.room(int64(proto.Size(m)), true); err != nil || !room {
			return err
		}
	}
	if m.GetType() == pb.MsgHeartbeat {
		if err := c.hasAcknowledged(m.GetCommit()); err != nil {
			return err
		}
	}
	err := c.raft.Step(m)
	if errors.Is(err, raft.ErrStepLocalMsg) || errors.Is(err, raft.ErrStepPeerNotFound) || errors.Is(err, raft.ErrProposalDropped) {
		return nil
	}
	return err
}

// hasAcknowledged refuses a directory that was brought back from a copy, or cut off: a leader's heartbeat names no entry that this voter has not told it to have. What
// else it has forgotten, votes among it, nobody knows.
func (c *core) hasAcknowledged(index uint64) error {
	last, err := c.storage.LastIndex()
	if err != nil || index <= last {
		return err
	}
	return fmt.Errorf("%w: the log in %s ends with entry %d, and this node told others that it has entry %d: the folder is an older copy, or was cut off; without it the node takes part and does not vote",
		ErrCorrupt, c.storage.dir, last, index)
}

func (c *core) close() error { return c.storage.wal.close() }
