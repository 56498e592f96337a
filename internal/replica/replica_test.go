package replica

import (
	"errors"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/uuid"
)

// brokers are three that are active, with broker epochs 10, 11 and 12.
type brokers map[int32]*metadata.Broker

func (b brokers) Broker(id int32) *metadata.Broker { return b[id] }

func three() brokers {
	b := brokers{}
	for id := range int32(3) {
		b[id] = &metadata.Broker{ID: id, Epoch: 10 + int64(id)}
	}
	return b
}

func testState() *metadata.Partition {
	return &metadata.Partition{Replicas: []int32{0, 1, 2}, ISR: []int32{0, 1, 2}, Leader: 0, LeaderEpoch: 3, PartitionEpoch: 7}
}

// leads returns a machine of broker 0, which leads in leader epoch 3 with an empty log.
func leads(t *testing.T) (*Machine, *disk) {
	t.Helper()
	d := new(disk)
	m := New(0, d, Settings{Durable: true, MinISR: 2, LagMax: time.Second}, 0, false)
	m.Registered(10)
	m.Apply(start, three(), testState(), new(Out))
	if role, e := m.Role(); role != Leader || e != 3 {
		t.Fatalf("role %d in leader epoch %d", role, e)
	}
	return m, d
}

// write appends n batches of one record, synced on the leader.
func write(d *disk, n int) {
	for range n {
		d.append(record{base: d.end, end: d.end + 1, epoch: 3})
	}
	d.sync(d.end, false)
}

// fetches is a fetch of a follower that has everything up to end, and synced up to synced.
func fetches(t *testing.T, m *Machine, now time.Time, id int32, end, synced int64, out *Out) FetchAnswer {
	t.Helper()
	r := FetchRequest{Replica: id, BrokerEpoch: m.brokers.Broker(id).Epoch, LeaderEpoch: 3, Offset: end, LastEpoch: 3, SyncedEnd: synced}
	if end == 0 {
		r.LastEpoch = NoEpoch
	}
	a := m.Fetch(now, r, out)
	if a.Err != nil || a.Diverging != nil {
		t.Fatalf("fetch of %d at %d: %v, %+v", id, end, a.Err, a.Diverging)
	}
	return a
}

// TestTakenOut: a leader whose proposal ends a reassignment that removes it hears so with the answer, and fetches nothing from then on: it would count at the
// next leader, if that hears first that the replica is added again, and its log goes when the metadata come.
func TestTakenOut(t *testing.T) {
	m, d := leads(t)
	write(d, 1)
	var out Out
	m.Died(start, 2, 12, &out)
	if out.Alter == nil {
		t.Fatal("it proposes nothing")
	}
	p := testState()
	p.Replicas, p.ISR, p.Leader, p.LeaderEpoch, p.PartitionEpoch = []int32{1}, []int32{1}, 1, 4, 8
	m.Altered(start, out.Alter, p, nil, new(Out))
	if _, r, ok := m.NextFetch(); ok {
		t.Errorf("it fetches %+v", r)
	}
	if role, _ := m.Role(); role != Offline {
		t.Errorf("it is %d", role)
	}
}

// A follower that is always a few fetches behind with its syncs is in sync; one that stands still is not.
func TestSyncsThatLag(t *testing.T) {
	m, d := leads(t)
	now := start
	for i := range int64(400) {
		now = now.Add(10 * time.Millisecond)
		write(d, 1)
		out := new(Out)
		fetches(t, m, now, 1, i, max(0, i-20), out)
		if fetches(t, m, now, 2, i, min(max(0, i-20), 100), out); out.Alter != nil {
			if ids := out.Alter.ids(); i < 180 || len(ids) != 2 || ids[1] != 1 {
				t.Fatalf("after %d fetches an ISR of %v", i, ids)
			}
			return
		}
	}
	t.Fatal("the one that stands still stays in the ISR")
}

// A follower whose death is known leaves the ISR at once, and counts until the controller has taken that.
func TestDeathIsKnown(t *testing.T) {
	m, d := leads(t)
	write(d, 5)
	fetches(t, m, start, 1, 5, 5, new(Out))
	fetches(t, m, start, 2, 3, 3, new(Out))
	out := new(Out)
	m.Died(start, 2, 12, out)
	if out.Alter == nil || len(out.Alter.ISR) != 2 || m.HighWatermark() != 3 {
		t.Fatalf("proposes %+v, high watermark %d", out.Alter, m.HighWatermark())
	}
	taken := testState()
	taken.ISR, taken.PartitionEpoch = []int32{0, 1}, 8
	if m.Altered(start, out.Alter, taken, nil, new(Out)); m.HighWatermark() != 5 {
		t.Fatalf("high watermark %d once it is taken", m.HighWatermark())
	}
}

// A follower whose data directory is offline left the ISR by the controller. It is not brought back, holds nobody up, and nobody waits for what it deletes.
func TestOfflineDirectory(t *testing.T) {
	m, d := leads(t)
	bad, good := uuid.UUID{1}, uuid.UUID{2}
	with := func(isr ...int32) *metadata.Partition {
		p := testState()
		p.ISR, p.PartitionEpoch, p.Directories = isr, m.state.PartitionEpoch+1, []uuid.UUID{good, good, bad}
		return p
	}
	b := three()
	m.Apply(start, b, with(0, 1, 2), new(Out))
	write(d, 5)
	fetches(t, m, start, 1, 5, 5, new(Out))
	fetches(t, m, start, 2, 5, 5, new(Out))
	b = three()
	b[2].Directories = []uuid.UUID{good}
	out := new(Out)
	if m.Apply(start, b, with(0, 1), out); out.Alter != nil {
		t.Errorf("it proposes %v", out.Alter.ids())
	}
	write(d, 1)
	if fetches(t, m, start, 1, 6, 6, out); m.HighWatermark() != 6 || out.Alter != nil {
		t.Errorf("high watermark %d, a proposal %+v", m.HighWatermark(), out.Alter)
	}
	m.followers[1].logStart, d.start = 4, 4
	if low, err := m.LowWatermark(); low != 4 || err != nil {
		t.Errorf("low watermark %d, %v", low, err)
	}
	b[2].Directories = []uuid.UUID{good, bad}
	if m.Tick(start, out); out.Alter != nil {
		t.Errorf("with the directory back, and 5 of 6 records, it proposes %v", out.Alter.ids())
	}
	if fetches(t, m, start, 2, 6, 6, out); out.Alter == nil || len(out.Alter.ISR) != 3 {
		t.Errorf("with everything it proposes %+v", out.Alter)
	}
}

// A proposal that the controller takes for invalid is given up for another one, which nobody joins.
func TestInvalidProposal(t *testing.T) {
	m, d := leads(t)
	write(d, 5)
	fetches(t, m, start, 1, 5, 5, new(Out))
	first, out := new(Out), new(Out)
	m.Died(start, 2, 12, first)
	if m.Altered(start, first.Alter, nil, ErrInvalidProposal, out); out.Alter == nil || out.Alter == first.Alter || len(out.Alter.ISR) != 2 {
		t.Errorf("it proposes %+v", out.Alter)
	}
}

// A follower that comes back with little, as another incarnation, holds nobody up while it catches up.
func TestBackWithLittle(t *testing.T) {
	m, d := leads(t)
	write(d, 5)
	fetches(t, m, start, 1, 5, 5, new(Out))
	fetches(t, m, start, 2, 5, 5, new(Out))
	without, b := testState(), three()
	without.ISR, without.PartitionEpoch = []int32{0, 1}, 8
	b[2] = &metadata.Broker{ID: 2, Epoch: 20}
	m.Apply(start, b, without, new(Out))
	fetches(t, m, start, 2, 1, 1, new(Out))
	write(d, 1)
	if fetches(t, m, start, 1, 6, 6, new(Out)); m.HighWatermark() != 6 {
		t.Fatalf("high watermark %d", m.HighWatermark())
	}
	r := FetchRequest{Replica: 2, BrokerEpoch: 12, LeaderEpoch: 3, Offset: 5, LastEpoch: 3, SyncedEnd: 5}
	if a := m.Fetch(start, r, new(Out)); !errors.Is(a.Err, ErrStaleBrokerEpoch) {
		t.Fatalf("a fetch of its last incarnation: %v", a.Err)
	}
}

// A follower that was frozen or cut off, and comes back as the same incarnation, holds nobody up before it has fetched and caught up anew.
func TestBackFromAFreeze(t *testing.T) {
	m, d := leads(t)
	write(d, 5)
	fetches(t, m, start, 1, 5, 5, new(Out))
	fetches(t, m, start, 2, 5, 5, new(Out))
	without, away := testState(), three()
	without.ISR, without.PartitionEpoch = []int32{0, 1}, 8
	away[2] = &metadata.Broker{ID: 2, Epoch: 12, Fenced: true}
	m.Apply(start, away, without, new(Out))
	write(d, 1)
	fetches(t, m, start, 1, 6, 6, new(Out))
	m.Apply(start, three(), without, new(Out)) // it sends heartbeats again, and has not fetched
	write(d, 1)
	if fetches(t, m, start, 1, 7, 7, new(Out)); m.HighWatermark() != 7 {
		t.Fatalf("high watermark %d: it is waited for before it has fetched", m.HighWatermark())
	}
	out := new(Out)
	if fetches(t, m, start, 2, 5, 5, out); out.Alter != nil {
		t.Fatalf("with 5 of 7 records it proposes %v", out.Alter.ids())
	}
	write(d, 1)
	fetches(t, m, start, 1, 8, 8, new(Out))
	if fetches(t, m, start, 2, 7, 7, out); m.HighWatermark() != 8 {
		t.Fatalf("high watermark %d", m.HighWatermark())
	}
	write(d, 1)
	fetches(t, m, start, 1, 9, 9, out)
	if fetches(t, m, start, 2, 8, 8, out); m.HighWatermark() != 8 {
		t.Fatalf("high watermark %d: who keeps up is not waited for, and never gets into the ISR", m.HighWatermark())
	}
	if fetches(t, m, start, 2, 9, 9, out); m.HighWatermark() != 9 || out.Alter == nil || len(out.Alter.ISR) != 3 {
		t.Fatalf("high watermark %d, it proposes %+v", m.HighWatermark(), out.Alter)
	}
}

// Requests of other leader epochs are refused, by a leader and by a follower.
func TestLeaderEpochs(t *testing.T) {
	m, _ := leads(t)
	for e, want := range map[LeaderEpoch]error{NoEpoch: nil, 2: ErrFencedLeaderEpoch, 3: nil, 4: ErrUnknownLeaderEpoch} {
		if err := m.CheckAppend(e, true); !errors.Is(err, want) {
			t.Errorf("append in epoch %d: %v, want %v", e, err, want)
		}
	}
	if a := m.Fetch(start, FetchRequest{Replica: 1, BrokerEpoch: 11, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch}, new(Out)); !errors.Is(a.Err, ErrFencedLeaderEpoch) {
		t.Errorf("a fetch of no leader epoch: %v", a.Err)
	}
	next := testState()
	next.Leader, next.LeaderEpoch, next.PartitionEpoch = 1, 4, 8
	m.Apply(start, three(), next, new(Out))
	for e, want := range map[LeaderEpoch]error{NoEpoch: ErrNotLeader, 3: ErrFencedLeaderEpoch, 4: ErrNotLeader, 5: ErrUnknownLeaderEpoch} {
		if err := m.CheckAppend(e, true); !errors.Is(err, want) {
			t.Errorf("append to a follower in epoch %d: %v, want %v", e, err, want)
		}
	}
	m.Apply(start, three(), testState(), new(Out)) // an older partition epoch
	if role, e := m.Role(); role != Follower || e != 4 {
		t.Errorf("role %d in leader epoch %d after old metadata", role, e)
	}
}

// A log that went back does nothing while the metadata count on it.
func TestLossyWaits(t *testing.T) {
	m := New(0, new(disk), Settings{Durable: true, MinISR: 2, LagMax: time.Second}, 0, true)
	m.Registered(10)
	p := testState()
	if m.Apply(start, three(), p, new(Out)); m.role != Offline {
		t.Fatalf("role %d while it is in the ISR", m.role)
	}
	struck := testState()
	struck.Leader, struck.LeaderEpoch, struck.PartitionEpoch, struck.ISR = 1, 4, 8, []int32{1, 2}
	if m.Apply(start, three(), struck, new(Out)); m.role != Follower {
		t.Fatalf("role %d once it is struck out", m.role)
	}
}

// An empty log that begins within a batch of its leader takes the batch whole.
func TestBeginsWithinABatch(t *testing.T) {
	d := new(disk)
	d.reset(12)
	m := New(1, d, Settings{Durable: true, MinISR: 2, LagMax: time.Second}, 12, false)
	m.Registered(11)
	m.Apply(start, three(), testState(), new(Out))
	_, r, ok := m.NextFetch()
	if !ok || r.Offset != 12 || r.LastEpoch != NoEpoch {
		t.Fatalf("fetches %+v", r)
	}
	out := new(Out)
	m.Answered(start, r, FetchAnswer{LeaderEpoch: 3, HighWatermark: 15, LogStart: 12, LogEnd: 15, Batches: []Batch{{10, 15, 2}}}, out)
	if out.Reset == nil || *out.Reset != 10 || out.Append != 1 || out.LogStart == nil || *out.LogStart != 12 {
		t.Fatalf("does %+v", out)
	}
}

// TestHighWatermark: what counts of each replica, and of whom.
func TestHighWatermark(t *testing.T) {
	for name, c := range map[string]struct {
		durable     bool
		minISR      int
		isr         []int32
		end, synced int64    // the leader's
		followers   [2]int64 // log ends, synced one less; -1: it did not fetch
		had, want   int64
	}{
		"memory counts log ends":               {false, 2, []int32{0, 1, 2}, 9, 4, [2]int64{9, 9}, 0, 9},
		"disk counts the leader's synced end":  {true, 2, []int32{0, 1, 2}, 9, 4, [2]int64{9, 9}, 0, 4},
		"disk counts a follower's synced end":  {true, 2, []int32{0, 1, 2}, 9, 9, [2]int64{9, 7}, 0, 6},
		"the slowest follower counts":          {false, 2, []int32{0, 1, 2}, 9, 9, [2]int64{6, 8}, 0, 6},
		"it never goes back":                   {false, 2, []int32{0, 1, 2}, 9, 9, [2]int64{3, 9}, 7, 7},
		"who never fetched holds it":           {false, 2, []int32{0, 1, 2}, 9, 9, [2]int64{-1, 9}, 3, 3},
		"it stands below min.insync.replicas":  {false, 2, []int32{0}, 9, 9, [2]int64{-1, -1}, 3, 3},
		"two of three, where nobody set it":    {false, 0, []int32{0}, 9, 9, [2]int64{-1, -1}, 3, 3},
		"alone, where that is enough":          {false, 1, []int32{0}, 9, 9, [2]int64{-1, -1}, 3, 9},
		"who is out of the ISR does not count": {false, 2, []int32{0, 1}, 9, 9, [2]int64{8, -1}, 3, 8},
	} {
		d := new(disk)
		for range c.end {
			d.append(record{base: d.end, end: d.end + 1, epoch: 3})
		}
		d.sync(c.synced, false)
		m := New(0, d, Settings{Durable: c.durable, MinISR: c.minISR, LagMax: time.Second}, c.had, false)
		m.Registered(10)
		p := testState()
		p.ISR = c.isr
		m.Apply(start, three(), p, new(Out))
		for i, end := range c.followers {
			if end >= 0 {
				fetches(t, m, start, int32(i+1), end, end-1, new(Out))
			}
		}
		if hw := m.HighWatermark(); hw != c.want {
			t.Errorf("%s: %d, want %d", name, hw, c.want)
		}
	}
}

// TestCheckInSync: acks=all needs as many as are set, or as many as go with the number of replicas, and nothing in the ELR: the controller may have another
// configuration.
func TestCheckInSync(t *testing.T) {
	for _, c := range []struct {
		replicas, isr, elr []int32
		minISR             int
		enough             bool
	}{
		{[]int32{0, 1, 2}, []int32{0}, nil, 0, false},
		{[]int32{0, 1, 2}, []int32{0, 2}, nil, 0, true},
		{[]int32{0, 1}, []int32{0}, nil, 0, true},
		{[]int32{0}, []int32{0}, nil, 2, true},
		{[]int32{0, 1, 2}, []int32{0}, nil, 1, true},
		{[]int32{0, 1, 2}, []int32{0}, []int32{1}, 1, false},
		{[]int32{0, 1, 2}, []int32{0, 1}, nil, 3, false},
	} {
		err := CheckInSync(&metadata.Partition{Replicas: c.replicas, ISR: c.isr, ELR: c.elr}, c.minISR)
		if (err == nil) != c.enough {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A leader whose log begins where a follower's ends cannot see whether they are the same up to there: the epochs of what was deleted are gone.
func TestEndsAtTheLeadersStart(t *testing.T) {
	m, d := leads(t)
	d.append(record{base: 0, end: 8, epoch: 1})
	d.append(record{base: 8, end: 12, epoch: 3})
	d.start = 8
	d.epochs.TruncateStart(8)
	for _, c := range []struct {
		offset, logStart int64
		last             LeaderEpoch
		diverges         bool
	}{{8, 0, 1, true}, {8, 8, 1, false}, {8, 0, NoEpoch, false}, {12, 0, 3, false}, {9, 0, 1, true}} {
		a := m.Fetch(start, FetchRequest{Replica: 1, BrokerEpoch: 11, LeaderEpoch: 3, Offset: c.offset, LastEpoch: c.last, LogStart: c.logStart}, new(Out))
		if a.Err != nil || (a.Diverging != nil) != c.diverges {
			t.Errorf("at %d of epoch %d, from %d on: diverges %v, %v", c.offset, c.last, c.logStart, a.Diverging, a.Err)
		}
	}
}

// What is below the leader's log start its epochs do not tell apart: a follower that diverges there keeps nothing of it.
func TestDivergesBelowTheLeadersStart(t *testing.T) {
	for _, c := range []struct {
		start, end      int64 // of the leader's answer
		truncate, reset int64 // -1: not
	}{{0, 4, 4, -1}, {3, 4, 4, -1}, {4, 4, -1, 4}, {9, 9, -1, 9}, {9, 7, -1, 9}} {
		d := new(disk)
		for range 12 {
			d.append(record{base: d.end, end: d.end + 1, epoch: 1})
		}
		m := New(1, d, Settings{Durable: true, MinISR: 2, LagMax: time.Second}, 2, false)
		m.Registered(11)
		m.Apply(start, three(), testState(), new(Out))
		_, r, _ := m.NextFetch()
		out := new(Out)
		m.Answered(start, r, FetchAnswer{LeaderEpoch: 3, LogStart: c.start, LogEnd: 20, HighWatermark: 20, Diverging: &Diverging{1, c.end}}, out)
		told := func(at *int64) int64 {
			if at == nil {
				return -1
			}
			return *at
		}
		if told(out.Truncate) != c.truncate || told(out.Reset) != c.reset || c.reset >= 0 && m.HighWatermark() != c.reset {
			t.Errorf("start %d, end %d: truncates to %d, begins anew at %d, high watermark %d", c.start, c.end, told(out.Truncate), told(out.Reset), m.HighWatermark())
		}
	}
}
