package quorum

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/moldau/moldau/internal/vfs"
)

// sim is a quorum of cores on memory disks and a network that delays, drops, repeats and reorders. One goroutine, one seed.
type sim struct {
	t     *testing.T
	rng   *rand.Rand
	nodes []*simNode
	net   [][]byte // messages under way, encoded

	leaders map[uint64]uint64   // M1: leader of each term
	entries map[uint64][32]byte // M2: hash of all entries up to an index
	states  map[uint64][32]byte // M5: hash of what the state machine had at an index
	highest uint64              // M3: nothing up to here may go away
	trace   [32]byte
	cut     uint64 // a node that no message reaches; 0: none
	next    int
	wanted  map[string]bool // entries known to be committed
	bug     mutant
	snaps   int
	restart int
	acked   int
}

// mutant is a planted bug: of the disk, of the network, of who answers. The library's own rules hold beside it.
type mutant string

const (
	none                 mutant = ""
	syncDoesNothing      mutant = "sync does nothing"
	wipedVoterKeepsItsID mutant = "wiped voter keeps its id"
	voteForgotten        mutant = "vote forgotten by a restart"
	logForgotten         mutant = "log behind the snapshot forgotten by a restart"
	snapshotLacks        mutant = "snapshot lacks an entry"
	anyTermAnswers       mutant = "entry of another term taken for one's own"
)

// violation is what a check panics with.
type violation string

func (s *sim) fail(invariant, format string, args ...any) {
	panic(violation(invariant + ": " + fmt.Sprintf(format, args...)))
}

// liar is a file system whose syncs do nothing.
type liar struct{ vfs.FS }

type liarFile struct{ vfs.File }

func (l liar) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := l.FS.OpenFile(name, flag, perm)
	return liarFile{f}, err
}

func (liarFile) Sync() error     { return nil }
func (liarFile) Datasync() error { return nil }

type simNode struct {
	id    uint64
	mem   *vfs.Mem
	core  *core // nil while down
	down  int   // steps until it comes back
	index uint64
	chain [32]byte
	taken uint64
	data  []string
	state [32]byte // hash of data
	host  *Node    // answers who proposed
}

// add lets the state machine take an entry.
func (n *simNode) add(entry string) {
	n.data = append(n.data, entry)
	n.state = sha256.Sum256(append(n.state[:], entry...))
}

const simDir = "quorum"

func newSim(t *testing.T, seed uint64, bug mutant) *sim {
	s := &sim{t: t, bug: bug, rng: rand.New(rand.NewPCG(seed, 7)), leaders: map[uint64]uint64{}, entries: map[uint64][32]byte{},
		states: map[uint64][32]byte{}, wanted: map[string]bool{}}
	ids := []uint64{11, 22, 33}
	for _, id := range ids {
		n := &simNode{id: id, mem: vfs.NewMem()}
		if err := format(n.mem, simDir, id, ids, 1000); err != nil {
			t.Fatal(err)
		}
		s.nodes = append(s.nodes, n)
		s.up(n)
	}
	return s
}

// up starts a node from its disk.
func (s *sim) up(n *simNode) {
	var disk vfs.FS = n.mem
	if s.bug == syncDoesNothing {
		disk = liar{n.mem}
	}
	if s.bug == logForgotten {
		s.forgetLog(n)
	}
	c, err := newCore(disk, simDir, n.id, 1000, 10, slog.New(slog.DiscardHandler))
	if err != nil {
		s.fail("start", "node %d: %v", n.id, err)
	}
	full, err := readSnapshot(n.mem, simDir, c.storage.newest.index)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.bug == voteForgotten {
		s.forgetVote(c)
	}
	n.core, n.host = c, &Node{core: c, waiting: map[uint64]*proposal{}}
	n.host.status.init()
	s.restore(n, full)
}

func (s *sim) restore(n *simNode, snap *snapshot) {
	n.index, n.chain, n.taken, n.data, n.state = snap.index, snap.chain, snap.index, nil, [32]byte{}
	for b := snap.data; len(b) > 0; {
		size, w := binary.Uvarint(b)
		n.add(string(b[w : w+int(size)]))
		b = b[w+int(size):]
	}
	s.agree(n)
}

// agree checks that the node has the same history as all others up to its index, and made the same of it.
func (s *sim) agree(n *simNode) {
	if n.index <= firstIndex {
		return
	}
	if known, ok := s.entries[n.index]; ok && known != n.chain {
		s.fail("M2", "node %d has another history up to %d", n.id, n.index)
	}
	if known, ok := s.states[n.index]; ok && known != n.state {
		s.fail("M5", "node %d has another state at %d", n.id, n.index)
	}
	s.entries[n.index], s.states[n.index] = n.chain, n.state
	s.highest = max(s.highest, n.index)
}

func (s *sim) note(format string, args ...any) {
	h := sha256.New()
	h.Write(s.trace[:])
	fmt.Fprintf(h, format, args...)
	h.Sum(s.trace[:0])
}

// run does what is ready on a node.
func (s *sim) run(n *simNode) {
	out, err := n.core.handle(s.send)
	if err != nil {
		s.t.Fatalf("node %d: %v", n.id, err)
	}
	if out.restore != nil {
		s.snaps++
		s.restore(n, out.restore)
	}
	for _, e := range out.committed {
		if e.GetIndex() != n.index+1 {
			s.fail("M2", "node %d: entry %d after %d", n.id, e.GetIndex(), n.index)
		}
		n.index, n.chain = e.GetIndex(), link(n.chain, e)
		s.note("%d applies %d of %d", n.id, e.GetIndex(), e.GetTerm())
		if data := e.GetData(); e.GetType() == pb.EntryNormal && len(data) > tagBytes {
			n.add(string(data[tagBytes:]))
			s.wanted[string(data[tagBytes:])] = true
		}
		s.agree(n)
		s.answer(n, e)
	}
	n.host.lostLeadership()
	s.send(out.messages)
	if n.core.leads() {
		if other := s.leaders[n.core.hard.term]; other != 0 && other != n.id {
			s.fail("M1", "%d and %d lead term %d", other, n.id, n.core.hard.term)
		}
		if last, _ := n.core.storage.LastIndex(); s.leaders[n.core.hard.term] == 0 && last < s.highest {
			s.fail("M3", "node %d leads in term %d with a log up to %d, %d was committed", n.id, n.core.hard.term, last, s.highest)
		}
		s.leaders[n.core.hard.term] = n.id
	}
	if n.index-n.taken >= 15 {
		s.snapshot(n)
	}
	s.voted(n, out.messages)
}

// answer answers who proposed, with what a node does. Whoever is told that it was done must find its own entry.
func (s *sim) answer(n *simNode, e *pb.Entry) {
	data := e.GetData()
	if len(data) < tagBytes {
		return
	}
	p, term := n.host.waiting[binary.BigEndian.Uint64(data)], e.GetTerm()
	if p == nil {
		return
	}
	if s.bug == anyTermAnswers {
		term = p.term
	}
	if n.host.answer(term, data); len(p.done) == 0 {
		return
	}
	if err := <-p.done; err == nil {
		if s.acked++; string(p.entry) != string(data[tagBytes:]) {
			s.fail("M9", "node %d answers that %q of term %d is done, and it is %q of term %d", n.id, p.entry, p.term, data[tagBytes:], e.GetTerm())
		}
	}
}

func (s *sim) snapshot(n *simNode) {
	snap := &snapshot{index: n.index, conf: n.core.conf, chain: n.chain}
	snap.term, _ = n.core.storage.Term(n.index)
	for i, d := range n.data {
		if s.bug == snapshotLacks && i == len(n.data)/2 {
			continue
		}
		snap.data = append(binary.AppendUvarint(snap.data, uint64(len(d))), d...)
	}
	if err := writeSnapshot(n.mem, simDir, snap); err != nil {
		s.t.Fatal(err)
	}
	if err := n.core.storage.compacted(snap); err != nil {
		s.t.Fatal(err)
	}
	n.taken = n.index
}

func (s *sim) send(messages []*pb.Message) {
	for _, m := range messages {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			s.t.Fatal(err)
		}
		s.net = append(s.net, b)
		if m.GetType() == pb.MsgSnap {
			for _, n := range s.nodes {
				if n.id == m.GetFrom() && n.core != nil {
					n.core.raft.ReportSnapshot(m.GetTo(), snapshotSent)
				}
			}
		}
	}
}

func (s *sim) node(id uint64) *simNode {
	return s.nodes[slices.IndexFunc(s.nodes, func(n *simNode) bool { return n.id == id })]
}

// down takes the power from a node for some steps; with what was written since the last sync anything may happen.
func (s *sim) down(n *simNode, steps int) {
	n.core.close()
	model := vfs.AllSurvivors[s.rng.IntN(len(vfs.AllSurvivors))]
	n.mem, n.core, n.down = n.mem.Crash(model, s.rng.Uint64()), nil, steps
	s.restart++
	s.note("crash %d %v", n.id, model)
}

// forgetLog takes from the directory of a node all behind the newest snapshot.
func (s *sim) forgetLog(n *simNode) {
	st, err := openStorage(n.mem, simDir, n.id, 1000)
	if err != nil {
		s.fail("start", "node %d: %v", n.id, err)
	}
	hard := st.wal.hard
	hard.commit = st.newest.index
	if err := st.wal.restart(hard, st.newest.index, st.newest.term); err != nil {
		s.t.Fatal(err)
	}
	st.wal.close()
}

// forgetVote makes a node that starts one that has not voted in its term. Its directory would refuse to have it so.
func (s *sim) forgetVote(c *core) {
	c.hard.vote = 0
	if err := c.storage.adopt(c.hard); err != nil {
		s.t.Fatal(err)
	}
	var err error
	c.raft, err = raft.NewRawNode(&raft.Config{ID: c.id, ElectionTick: 10, HeartbeatTick: 1, Storage: c.storage, Applied: c.storage.newest.index,
		MaxSizePerMsg: messageBytes, MaxInflightMsgs: inflightMessages, CheckQuorum: true, PreVote: true, DisableProposalForwarding: true,
		Logger: quiet{slog.New(slog.DiscardHandler)}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// voted takes the power from a node that has just voted, where that is what a bug needs to be seen.
func (s *sim) voted(n *simNode, messages []*pb.Message) {
	for _, m := range messages {
		if s.bug == voteForgotten && m.GetType() == pb.MsgVoteResp && !m.GetReject() && s.rng.IntN(2) == 0 {
			s.down(n, 1)
			return
		}
	}
}

// step does one thing; faults allow it to be a bad one.
func (s *sim) step(faults bool) {
	n := s.nodes[s.rng.IntN(3)]
	switch what := s.rng.IntN(100); {
	case what < 70 && len(s.net) > 0:
		i := s.rng.IntN(min(len(s.net), 4))
		b := s.net[i]
		if !faults || s.rng.IntN(40) > 0 { // else it arrives again later
			s.net = slices.Delete(s.net, i, i+1)
		}
		m := &pb.Message{}
		if err := proto.Unmarshal(b, m); err != nil {
			s.t.Fatal(err)
		}
		to := s.node(m.GetTo())
		lost := faults && (s.rng.IntN(30) == 0 || m.GetFrom() == s.cut || m.GetTo() == s.cut)
		if to.core == nil || lost {
			return
		}
		s.note("%x", b)
		if err := to.core.receive(m); err != nil {
			panic(fmt.Sprintf("node %d: %v", to.id, err)) // as the library's own checks do
		}
		s.run(to)
	case what < 83:
		if n.core != nil {
			n.core.raft.Tick()
			s.run(n)
		}
	case what < 95 && faults:
		for _, n := range s.nodes {
			if n.core != nil && n.core.leads() {
				e := fmt.Sprintf("entry %d", s.next)
				s.next++
				p := &proposal{term: n.core.hard.term, entry: []byte(e), done: make(chan error, 1)}
				if tag, err := n.core.propose(p.term, p.entry, false); err == nil {
					n.host.status.await(n.host.waiting, tag, p)
					s.run(n)
				}
				break
			}
		}
	case what < 97 && faults && n.core != nil:
		s.down(n, s.rng.IntN(200))
		if s.rng.IntN(10) == 0 {
			for _, n := range s.nodes { // all at once
				if n.core != nil {
					s.down(n, s.rng.IntN(200))
				}
			}
		}
		if s.bug == wipedVoterKeepsItsID && s.rng.IntN(4) == 0 {
			n.mem = vfs.NewMem()
			if err := format(n.mem, simDir, n.id, []uint64{11, 22, 33}, 1000); err != nil {
				s.t.Fatal(err)
			}
		}
	case what < 98 && faults:
		s.cut = []uint64{0, 11, 22, 33}[s.rng.IntN(4)]
	case faults && n.core != nil && n.core.soft.Lead != 0 && !n.core.leads():
		n.core.raft.ForgetLeader()
		s.run(n)
	}
	for _, n := range s.nodes {
		if n.core == nil {
			if n.down--; n.down <= 0 {
				s.up(n)
			}
		}
	}
	if len(s.net) > 500 {
		s.net = s.net[len(s.net)-500:]
	}
}
