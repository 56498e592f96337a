package quorum

import (
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/moldau/moldau/internal/random"
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
	highest uint64              // M3: nothing up to here may go away
	trace   [32]byte
	cut     uint64 // a node that no message reaches; 0: none
	next    int
	wanted  map[string]bool // entries known to be committed
	bug     mutant
	snaps   int
	restart int
}

// mutant is a planted bug.
type mutant string

const (
	none                 mutant = ""
	syncDoesNothing      mutant = "sync does nothing"
	wipedVoterKeepsItsID mutant = "wiped voter keeps its id"
)

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
}

const simDir = "quorum"

func newSim(t *testing.T, seed uint64) *sim {
	s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 7)), leaders: map[uint64]uint64{}, entries: map[uint64][32]byte{}, wanted: map[string]bool{}}
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
	c, err := newCore(disk, simDir, n.id, 1000, 10, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatalf("node %d does not start: %v", n.id, err)
	}
	full, err := readSnapshot(n.mem, simDir, c.storage.newest.index)
	if err != nil {
		s.t.Fatal(err)
	}
	n.core = c
	s.restore(n, full)
}

func (s *sim) restore(n *simNode, snap *snapshot) {
	n.index, n.chain, n.taken, n.data = snap.index, snap.chain, snap.index, nil
	for b := snap.data; len(b) > 0; {
		size, w := binary.Uvarint(b)
		n.data = append(n.data, string(b[w:w+int(size)]))
		b = b[w+int(size):]
	}
	s.agree(n)
}

// agree checks that the node has the same history as all others up to its index.
func (s *sim) agree(n *simNode) {
	if n.index <= firstIndex {
		return
	}
	if known, ok := s.entries[n.index]; ok && known != n.chain {
		s.t.Fatalf("M2: node %d has another history up to %d", n.id, n.index)
	}
	s.entries[n.index] = n.chain
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
			s.t.Fatalf("node %d: entry %d after %d", n.id, e.GetIndex(), n.index)
		}
		n.index, n.chain = e.GetIndex(), link(n.chain, e)
		s.agree(n)
		s.note("%d applies %d of %d", n.id, e.GetIndex(), e.GetTerm())
		if data := e.GetData(); e.GetType() == pb.EntryNormal && len(data) > tagBytes {
			n.data = append(n.data, string(data[tagBytes:]))
			s.wanted[string(data[tagBytes:])] = true
		}
	}
	s.send(out.messages)
	if n.core.leads() {
		if other := s.leaders[n.core.hard.term]; other != 0 && other != n.id {
			s.t.Fatalf("M1: %d and %d lead term %d", other, n.id, n.core.hard.term)
		}
		s.leaders[n.core.hard.term] = n.id
	}
	if n.index-n.taken >= 15 {
		s.snapshot(n)
	}
}

func (s *sim) snapshot(n *simNode) {
	snap := &snapshot{index: n.index, conf: n.core.conf, chain: n.chain}
	snap.term, _ = n.core.storage.Term(n.index)
	for _, d := range n.data {
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
			s.t.Fatalf("node %d: %v", to.id, err)
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
				if _, err := n.core.propose(n.core.hard.term, []byte(e), false); err == nil {
					s.run(n)
				}
				break
			}
		}
	case what < 97 && faults && n.core != nil:
		// The power goes; with what was written since the last sync anything may happen.
		n.core.close()
		model := vfs.AllSurvivors[s.rng.IntN(len(vfs.AllSurvivors))]
		n.mem, n.core, n.down = n.mem.Crash(model, s.rng.Uint64()), nil, s.rng.IntN(200)
		s.restart++
		if s.bug == wipedVoterKeepsItsID && s.rng.IntN(4) == 0 {
			n.mem = vfs.NewMem()
			if err := format(n.mem, simDir, n.id, []uint64{11, 22, 33}, 1000); err != nil {
				s.t.Fatal(err)
			}
		}
		s.note("crash %d %v", n.id, model)
	case what < 98 && faults:
		s.cut = []uint64{0, 11, 22, 33}[s.rng.IntN(4)]
	case what < 99 && faults && n.core != nil && n.core.soft.Lead != 0 && !n.core.leads():
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

// seededCrand makes the library's own randomness, which it takes from crypto/rand, a function of the seed.
func seededCrand(t *testing.T, seed uint64) {
	real := crand.Reader
	crand.Reader = sourceReader{random.Seeded(seed)}
	t.Cleanup(func() { crand.Reader = real })
}

type sourceReader struct{ random.Source }

func (r sourceReader) Read(b []byte) (int, error) {
	r.Source.Read(b)
	return len(b), nil
}

var _ io.Reader = sourceReader{}

func simulate(t *testing.T, seed uint64) (trace [32]byte, s *sim) {
	seededCrand(t, seed)
	return simulateMutant(t, seed, none)
}

func simulateMutant(t *testing.T, seed uint64, bug mutant) (trace [32]byte, s *sim) {
	s = newSim(t, seed)
	s.bug = bug
	for range 4000 {
		s.step(true)
	}
	s.cut = 0
	for range 6000 {
		s.step(false)
		if done := s.settled(); done {
			break
		}
	}
	for _, n := range s.nodes {
		if n.core == nil || n.index < s.highest {
			t.Fatalf("seed %d: node %d is at %d of %d after the faults ended", seed, n.id, n.index, s.highest)
		}
		for e := range s.wanted {
			if !slices.Contains(n.data, e) {
				t.Fatalf("M3: seed %d: node %d lost %q", seed, n.id, e)
			}
		}
		n.core.close()
	}
	return s.trace, s
}

// settled says that all nodes are up and have everything.
func (s *sim) settled() bool {
	return !slices.ContainsFunc(s.nodes, func(n *simNode) bool { return n.core == nil || n.index < s.highest })
}

func TestThreeVotersUnderFaults(t *testing.T) {
	var entries, snaps, restarts, leaders int
	for seed := range uint64(20) {
		trace, s := simulate(t, seed)
		entries, snaps, restarts, leaders = entries+len(s.wanted), snaps+s.snaps, restarts+s.restart, leaders+len(s.leaders)
		if seed < 4 {
			if again, _ := simulate(t, seed); again != trace {
				t.Fatalf("seed %d gave two traces", seed)
			}
		}
	}
	t.Logf("%d entries, %d snapshots received, %d crashes, %d leaders", entries, snaps, restarts, leaders)
	if entries < 500 || snaps < 5 || restarts < 100 || leaders < 40 {
		t.Fatal("too little happened for the test to mean anything")
	}
}

// TestPlantedBugsAreCaught shows that the checks above see what they are for.
func TestPlantedBugsAreCaught(t *testing.T) {
	for _, bug := range []mutant{syncDoesNothing, wipedVoterKeepsItsID} {
		t.Run(string(bug), func(t *testing.T) {
			for seed := range uint64(60) {
				seededCrand(t, seed)
				if fails(func(inner *testing.T) { simulateMutant(inner, seed, bug) }) {
					t.Logf("seen with seed %d", seed)
					return
				}
			}
			t.Fatal("nobody noticed")
		})
	}
}

// fails runs f as a test of its own and says whether it failed, be it by a panic of the library.
func fails(f func(*testing.T)) (failed bool) {
	inner := &testing.T{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				failed = true
			}
		}()
		f(inner) // Fatal ends the goroutine
	}()
	<-done
	return failed || inner.Failed()
}
