package replica

import (
	"slices"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/commitlog/epoch"
	"github.com/moldau/moldau/internal/invariant"
	"github.com/moldau/moldau/internal/metadata"
)

// LeaderEpoch counts the leaderships of a partition.
type LeaderEpoch = commitlog.LeaderEpoch

// NoEpoch is the leader epoch of a request that names none, and of a log that has no record.
const NoEpoch = LeaderEpoch(epoch.None)

// Log is what a Machine sees of the replica's log. *commitlog.Log implements it.
type Log interface {
	LogStart() int64
	LogEnd() int64
	SyncedEnd() int64
	// LatestEpoch is the leader epoch of the last record.
	LatestEpoch() (LeaderEpoch, bool)
	// EndOffsetFor answers OffsetForLeaderEpoch: the largest epoch not above e and where it ends; -1, -1 where all end below e.
	EndOffsetFor(e LeaderEpoch) (LeaderEpoch, int64)
}

// Brokers is what a Machine sees of the registered brokers. *metadata.Image implements it.
type Brokers interface {
	Broker(id int32) *metadata.Broker
}

// Settings are what replication reads of the topic's and the broker's configuration.
type Settings struct {
	Durable bool          // synced ends count (durability=disk), not log ends
	MinISR  int           // min.insync.replicas, 0 where nobody set it; see metadata.MinISR
	LagMax  time.Duration // a follower that was not caught up for so long leaves the ISR (replica.lag.time.max.ms)
}

// Role is what a replica is at the moment.
type Role uint8

// Roles.
const (
	Offline  Role = iota // no leader, no registration of this broker seen yet, no such partition any more, or none that has a replica here
	Follower             // fetches from the leader
	Leader               // appends, and answers fetches
)

// Out is what a step asks of the host, to be done in this order.
type Out struct {
	Truncate *int64          // cut the log to end there, durably
	Reset    *int64          // drop the whole log and begin an empty one there, durably
	Append   int             // append so many of the answer's batches
	LogStart *int64          // move the log start there
	Alter    *AlterPartition // ask the controller; the result comes to Altered
}

// Machine is one replica. Invariant: log start <= high watermark <= log end, once the host has called Advance.
type Machine struct {
	id          int32
	log         Log
	settings    Settings
	bug         mutant
	brokerEpoch int64 // of this incarnation; -1 until it is registered
	lossy       bool  // the log went back since the last registration, and the controller has not been seen to know it

	brokers Brokers
	state   *metadata.Partition
	role    Role
	hw      int64

	epochStart int64 // of a leader
	*peers
}

// peers is what a replica knows of the others of its partition. Most partitions of a small cluster have one replica, and share nobody.
type peers struct {
	// Of a leader.
	followers map[int32]*follower
	pending   *AlterPartition // under way to the controller
	proposed  []int32         // whoever was in an ISR that was proposed in this partition epoch
	refused   bool            // a proposal of this partition epoch was refused

	// Of a follower, what its leader said last in this leader epoch.
	leaderHW    int64
	leaderStart int64
}

// nobody is never changed.
var nobody = new(peers)

// New returns a replica that does nothing until Registered and Apply. The high watermark is the one that was checkpointed. Of a log
// that has less than when its broker was registered last (a new or rolled-back directory, damage below the synced end) lossy is to be
// said: then nothing is done with it until the metadata show that it counts for nothing.
func New(id int32, log Log, settings Settings, highWatermark int64, lossy bool) *Machine {
	hw := min(max(highWatermark, log.LogStart()), log.LogEnd())
	return &Machine{id: id, log: log, settings: settings, hw: hw, lossy: lossy, brokerEpoch: -1, peers: nobody}
}

// Alone says that there is no follower to wait for, and so nothing that depends on the time.
func (m *Machine) Alone() bool { return len(m.followers) == 0 }

// Partition is what the metadata say of the partition, as far as this replica goes by it; nil where it goes by nothing.
func (m *Machine) Partition() *metadata.Partition { return m.state }

// Registered gives the broker epoch of this incarnation.
func (m *Machine) Registered(brokerEpoch int64) { m.brokerEpoch = brokerEpoch }

// Configure replaces the settings.
func (m *Machine) Configure(now time.Time, s Settings, out *Out) {
	m.settings = s
	m.Advance(now, out)
}

// Role returns what the replica is, and the leader epoch in which.
func (m *Machine) Role() (Role, LeaderEpoch) { return m.role, m.leaderEpoch() }

// HighWatermark is as far as this replica knows records to be committed. Of a leader see Committed.
func (m *Machine) HighWatermark() int64 { return m.hw }

func (m *Machine) leaderEpoch() LeaderEpoch {
	if m.state == nil {
		return NoEpoch
	}
	return LeaderEpoch(m.state.LeaderEpoch)
}

// Apply takes over what the metadata say: the brokers, and the partition, nil once it is deleted. A partition epoch below one that is
// known is passed over: the controller's answer to a proposal may have come before the record.
//
// Metadata from before this incarnation was registered make nothing of it. They may name it leader, of a log that ended elsewhere: two
// incarnations would append in one leader epoch.
func (m *Machine) Apply(now time.Time, brokers Brokers, p *metadata.Partition, out *Out) {
	m.brokers = brokers
	self := brokers.Broker(m.id)
	if (self == nil || self.Epoch != m.brokerEpoch) && m.bug != unregisteredLeads || p == nil {
		m.become(now, nil, out)
		return
	}
	if m.state == nil || p.PartitionEpoch > m.state.PartitionEpoch {
		if m.lossy = m.lossy && (metadata.Has(p.ISR, m.id) || metadata.Has(p.ELR, m.id)); m.lossy {
			p = nil
		}
		m.become(now, p, out)
	}
	m.forgetAway()
	m.Advance(now, out)
}

// forgetAway forgets when followers had everything that have left the ISR and whose brokers do not serve. Nobody waits for one that is back, after a freeze or a cut, before
// it has fetched and caught up anew: its connections may take seconds.
func (m *Machine) forgetAway() {
	if m.role != Leader {
		return
	}
	for id, f := range m.followers {
		if !m.brokers.Broker(id).Active() && !m.counts(id) {
			f.caughtUp, f.mark = time.Time{}, time.Time{}
		}
	}
}

// become takes over a new state of the partition.
func (m *Machine) become(now time.Time, p *metadata.Partition, out *Out) {
	was, wasEpoch, known := m.role, m.leaderEpoch(), m.peers
	m.state, m.role, m.peers = p, Offline, nobody
	if p != nil && (len(p.Replicas) > 1 || p.Leader != m.id) {
		m.peers = &peers{followers: known.followers, leaderHW: known.leaderHW, leaderStart: known.leaderStart}
	}
	switch {
	case p == nil || p.Leader == metadata.NoLeader:
	case !metadata.Has(p.Replicas, m.id): // its log is about to go, and must not count for anything until it has
	case p.Leader == m.id:
		m.role = Leader
	default:
		m.role = Follower
	}
	if p != nil {
		invariant.Check(m.leaderEpoch() >= wasEpoch, "leader epoch falls from %d to %d", wasEpoch, m.leaderEpoch())
	}
	if m.role == was && m.leaderEpoch() == wasEpoch {
		m.meet(p)
		return
	}
	if m.peers != nobody {
		m.peers = new(peers)
		if m.bug == joinUnfetched && m.role == Leader {
			m.followers = known.followers
		}
	}
	switch m.role {
	case Leader:
		m.epochStart = m.log.LogEnd()
		m.meet(p)
		for id, f := range m.followers {
			if metadata.Has(p.ISR, id) {
				f.caughtUp = now // it gets the time to fetch
			}
		}
	case Follower:
		if m.bug == truncateToHW && m.hw < m.log.LogEnd() {
			out.Truncate = new(m.hw)
		}
	}
}

// meet keeps a state of each follower of the assignment, and of nobody else.
func (m *Machine) meet(p *metadata.Partition) {
	if m.role != Leader || m.peers == nobody {
		return
	}
	followers := make(map[int32]*follower, len(p.Replicas))
	for _, id := range p.Replicas {
		if id == m.id {
			continue
		}
		if followers[id] = m.followers[id]; followers[id] == nil {
			followers[id] = unheard(-1)
		}
	}
	m.followers = followers
}

// Advance takes over where the log stands and moves what follows from it.
func (m *Machine) Advance(now time.Time, out *Out) {
	switch m.role {
	case Leader:
		m.commit(now)
		m.propose(now, out)
	case Follower:
		m.follow(out)
	}
	m.hw = max(m.hw, m.log.LogStart())
	if out.Truncate == nil && out.Reset == nil && out.Append == 0 && m.hw > m.log.LogEnd() {
		invariant.Check(false, "high watermark %d > log end %d", m.hw, m.log.LogEnd())
	}
}

// Resume takes the log as it stands after a step of a follower that was not carried out, or not quite as it asked: an append that failed, a
// batch that was truncated whole. A follower may take less for committed than it was told.
func (m *Machine) Resume() {
	m.hw = max(min(m.hw, m.log.LogEnd()), m.log.LogStart())
}

// Tick is to be called now and then, a few times in LagMax: a follower that says nothing must leave the ISR.
func (m *Machine) Tick(now time.Time, out *Out) { m.Advance(now, out) }

// check answers whether a request of that leader epoch may be served by a leader.
func (m *Machine) check(e LeaderEpoch) error {
	if m.bug == staleFetches && e < m.leaderEpoch() {
		e = NoEpoch
	}
	return CheckLeader(m.role, m.leaderEpoch(), e)
}

// CheckLeader answers whether a replica that is something in a leader epoch may serve a request of epoch e, or of NoEpoch, that only a leader serves.
func CheckLeader(is Role, epoch, e LeaderEpoch) error {
	switch {
	case is == Offline:
		return ErrNotLeader
	case e != NoEpoch && e < epoch:
		return ErrFencedLeaderEpoch
	case e != NoEpoch && e > epoch:
		return ErrUnknownLeaderEpoch
	case is != Leader:
		return ErrNotLeader
	}
	return nil
}

// CheckInSync answers whether a batch of acks=all may be appended: the ISR has as many replicas as min.insync.replicas asks for, and the controller thinks so too.
// Where it keeps an ELR it counts on nothing being committed without those that are in it, whatever is configured here and not there.
func CheckInSync(p *metadata.Partition, minISR int) error {
	if len(p.ISR) < p.MinISR(minISR) || len(p.ELR) > 0 {
		return ErrNotEnoughReplicas
	}
	return nil
}

// counts says whether a replica is in the maximal ISR, those who must have a record before it is committed: the ISR, and whoever the controller may have added
// meanwhile. A smaller ISR counts once the controller took it.
func (m *Machine) counts(id int32) bool {
	if m.bug == earlyShrink && m.pending != nil {
		return metadata.Has(m.pending.ids(), id)
	}
	return metadata.Has(m.state.ISR, id) || slices.Contains(m.proposed, id)
}
