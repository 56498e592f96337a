package replica

import (
	"slices"

	"github.com/moldau/moldau/internal/metadata"
)

// judge knows what was committed, and looks after every step whether all that must hold still does. The names of the invariants are:
//
//	I1  below its high watermark every log has what was committed    I12 with empty ISR and ELR nobody is elected, and they are not
//	I2  who leads, or is elected, has all that was committed             empty before as many as the minimum ISR lost data
//	I3  so has every running member of ISR and ELR                   I13 what is acknowledged is counted where it must be
//	I4  the maximal ISR contains ISR and ELR                         I14 nothing committed is truncated
//	I5  the high watermark moves when all of it have the record      I15 truncation ends where the logs agree
//	I6  who joins has fetched, reached high watermark, epoch start   I16 the epochs are those of the records
//	I7  stale proposals are refused                                  I17 a log changes by answers of its leader epoch
//	I8  who lost data counts for nothing until it caught up          I18 the log start only grows, below the high watermark
//	I9  one broker appends in a leader epoch                         I19 what was committed is on some replica
//	I10 epochs do not fall, the partition epoch rises by one         I21 offsets are dense
//	I11 leader in ISR, ISR and ELR disjoint, nobody fenced in ISR    I22 committed ends that clients see do not fall
//	M7  what an earlier incarnation of a broker says changes nothing
//	V3  at rest all are in sync                                      V6  and equal
//
// I20 is that of reassignments: nobody is taken out before all that stay are in sync. V5: at rest none is under way. There are no transactions (I23).
type judge struct {
	s         *sim
	committed []record
	hw        int64          // the end of committed
	lost      map[int32]bool // whose log went back and who has not been in the ISR since
	epochs    map[LeaderEpoch]tenure
	proposed  map[int32]*proposals  // by leader
	heard     map[[2]int32]heard    // leader, follower
	seen      map[LeaderEpoch]int64 // committed ends shown to clients
}

// tenure is who appends in a leader epoch.
type tenure struct {
	id   int32
	life int
}

// proposals are the members of all ISRs that a leader proposed in a partition epoch.
type proposals struct {
	partitionEpoch int32
	leaderEpoch    LeaderEpoch
	members        []int32
	last           *AlterPartition
}

// heard is the last fetch of a follower that a leader counted.
type heard struct {
	leaderEpoch    LeaderEpoch
	brokerEpoch    int64
	end, syncedEnd int64
}

func newJudge(s *sim) *judge {
	return &judge{s: s, lost: map[int32]bool{}, epochs: map[LeaderEpoch]tenure{}, proposed: map[int32]*proposals{}, heard: map[[2]int32]heard{}, seen: map[LeaderEpoch]int64{}}
}

// counts is the end of a log that counts.
func (j *judge) counts(d *disk) int64 {
	if j.s.settings.Durable {
		return d.synced
	}
	return d.end
}

// has says whether the log has what was committed up to an offset, from its start on.
func (j *judge) has(d *disk, upTo int64) bool {
	upTo = min(upTo, j.hw)
	if d.end < upTo {
		return false
	}
	i := find(j.committed, d.start)
	for _, r := range d.records {
		if r.base >= upTo {
			break
		}
		if i == len(j.committed) || j.committed[i] != r {
			return false
		}
		i++
	}
	return d.start >= upTo || i > 0 && j.committed[i-1].end >= upTo
}

// holds says whether what counts of the log has what was committed up to an offset.
func (j *judge) holds(d *disk, upTo int64) bool { return j.counts(d) >= upTo && j.has(d, upTo) }

// judged looks at a node after a step, and at all candidates where more was committed.
func (j *judge) judged(n *node) {
	d, hw := n.disk, n.m.HighWatermark()
	if hw < d.start || hw > d.end || d.synced > d.end {
		j.s.fail("I1", "broker %d: high watermark %d of a log %d..%d", n.id, hw, d.start, d.end)
	}
	j.scan(n)
	role, e := n.m.Role()
	if hw > j.hw {
		if role != Leader {
			j.s.fail("I1", "broker %d takes %d for committed, of %d", n.id, hw, j.hw)
		}
		j.commits(n, e, hw)
		j.candidates()
	}
	if !j.has(d, hw) {
		j.s.fail("I1", "broker %d differs below its high watermark %d", n.id, hw)
	}
	if role == Leader {
		j.leads(n, e)
	}
	j.candidate(n)
}

// scan compares the epochs with the records.
func (j *judge) scan(n *node) {
	d, k := n.disk, 0
	entries := d.epochs.Entries()
	last, end := NoEpoch, d.start
	for i, r := range d.records {
		if r.epoch != last {
			if k == len(entries) || LeaderEpoch(entries[k].Epoch) != r.epoch || entries[k].Start != max(r.base, d.start) {
				j.s.fail("I16", "broker %d: epochs %v, epoch %d begins at %d", n.id, entries, r.epoch, r.base)
			}
			last = r.epoch
			k++
		}
		if i > 0 && r.base != end || i == 0 && r.base > d.start {
			j.s.fail("I21", "broker %d: batch %d..%d after %d", n.id, r.base, r.end, end)
		}
		end = r.end
	}
	if k != len(entries) || end != d.end {
		j.s.fail("I16", "broker %d: epochs %v of a log that ends at %d, at %d", n.id, entries, end, d.end)
	}
}

// maximal is the maximal ISR of a leader as it must be.
func (j *judge) maximal(n *node) []int32 {
	isr := slices.Clone(n.m.state.ISR)
	if p := j.proposed[n.id]; p != nil && p.partitionEpoch == n.m.state.PartitionEpoch && p.leaderEpoch == n.m.leaderEpoch() {
		isr = append(isr, p.members...)
	}
	return isr
}

// commits judges a high watermark that moved, and notes what is committed by it.
func (j *judge) commits(n *node, e LeaderEpoch, hw int64) {
	if len(n.m.state.ISR) < j.s.minISR(n.m.state) {
		j.s.fail("I5", "broker %d: the high watermark moves to %d with an ISR of %v", n.id, hw, n.m.state.ISR)
	}
	for _, r := range n.disk.records[n.disk.index(j.hw):] {
		if r.end > hw {
			break
		}
		if r.base != j.hw {
			j.s.fail("I2", "broker %d commits %d..%d, after %d", n.id, r.base, r.end, j.hw)
		}
		j.committed = append(j.committed, r)
		j.hw = r.end
	}
	if j.hw != hw {
		j.s.fail("I5", "broker %d: the high watermark %d is no end of a batch", n.id, hw)
	}
	for _, id := range j.maximal(n) {
		if other := j.s.nodes[id]; !j.lost[id] && !j.gone(n, id) && !j.holds(other.disk, hw) {
			j.s.fail("I5", "broker %d in leader epoch %d commits %d, and broker %d has %d, %d synced", n.id, e, hw, id, other.disk.end, other.disk.synced)
		}
	}
}

// leads judges a leader: of the present leader epoch it has everything.
func (j *judge) leads(n *node, e LeaderEpoch) {
	now := j.s.ctl.partition()
	if LeaderEpoch(now.LeaderEpoch) != e {
		return
	}
	if !j.has(n.disk, j.hw) {
		j.s.fail("I2", "broker %d leads in leader epoch %d up to %d, %d are committed", n.id, e, n.disk.end, j.hw)
	}
	if len(n.m.state.ISR) >= j.s.minISR(n.m.state) {
		for _, id := range append(slices.Clone(now.ISR), now.ELR...) {
			if !n.m.counts(id) {
				j.s.fail("I4", "broker %d does not count %d, ISR %v and ELR %v are", n.id, id, now.ISR, now.ELR)
			}
		}
	}
	if end, err := n.m.Committed(); err == nil {
		if end != j.hw {
			j.s.fail("I22", "broker %d in leader epoch %d shows %d, %d are committed", n.id, e, end, j.hw)
		}
		if end < j.seen[e] {
			j.s.fail("I22", "broker %d in leader epoch %d shows %d after %d", n.id, e, end, j.seen[e])
		}
		j.seen[e] = end
	}
}

func (j *judge) candidates() {
	for _, n := range j.s.nodes {
		j.candidate(n)
	}
}

// candidate judges a node that may be elected. Between a start and its registration the controller cannot know what it lost.
func (j *judge) candidate(n *node) {
	p := j.s.ctl.partition()
	if !n.registered() || !metadata.Has(p.ISR, n.id) && !metadata.Has(p.ELR, n.id) {
		return
	}
	if j.lost[n.id] {
		j.s.fail("I8", "broker %d lost data, ISR %v, ELR %v", n.id, p.ISR, p.ELR)
	}
	if !j.holds(n.disk, j.hw) {
		j.s.fail("I3", "broker %d has %d, %d synced, of %d committed, ISR %v, ELR %v", n.id, n.disk.end, n.disk.synced, j.hw, p.ISR, p.ELR)
	}
}

// appends judges a leader's append before it is done.
func (j *judge) appends(n *node, r record) {
	if t, ok := j.epochs[r.epoch]; ok && t != (tenure{n.id, n.life}) {
		j.s.fail("I9", "broker %d (life %d) appends in leader epoch %d after broker %d (life %d)", n.id, n.life, r.epoch, t.id, t.life)
	}
	j.epochs[r.epoch] = tenure{n.id, n.life}
}

// follows judges a batch that a follower appends.
func (j *judge) follows(n *node, r record, a FetchAnswer) {
	role, e := n.m.Role()
	if role != Follower || a.LeaderEpoch != e || r.epoch > e {
		j.s.fail("I17", "broker %d follows %d in leader epoch %d, an answer of %d, batch of %d", n.id, n.m.state.Leader, e, a.LeaderEpoch, r.epoch)
	}
	if r.base != n.disk.end {
		j.s.fail("I21", "broker %d appends %d..%d at %d", n.id, r.base, r.end, n.disk.end)
	}
	leader := j.s.nodes[n.m.state.Leader]
	if role, its := leader.m.Role(); !leader.running() || role != Leader || its != e {
		return
	}
	own, its := n.disk, leader.disk
	from := max(own.start, its.start)
	for i, k := own.index(from), its.index(from); i < len(own.records); i, k = i+1, k+1 {
		if k >= len(its.records) || own.records[i] != its.records[k] {
			j.s.fail("I15", "broker %d goes on at %d, its log is not its leader's", n.id, n.disk.end)
		}
	}
}

// truncates judges a truncation before it is done.
func (j *judge) truncates(n *node, to int64, a FetchAnswer) {
	d := n.disk
	j.cuts(n, to)
	if a.Diverging == nil {
		j.s.fail("I15", "broker %d truncates to %d unasked", n.id, to)
	}
	want := d.end
	for _, r := range d.records { // the end that this log has of the leader's epoch
		if r.epoch > a.Diverging.Epoch {
			want = max(r.base, d.start)
			break
		}
	}
	if want = min(want, a.Diverging.End); to != want {
		j.s.fail("I15", "broker %d truncates to %d, epoch %d ends at %d here, at %d there", n.id, to, a.Diverging.Epoch, want, a.Diverging.End)
	}
	if role, e := n.m.Role(); role != Follower || a.LeaderEpoch != e {
		j.s.fail("I17", "broker %d truncates in leader epoch %d by an answer of %d", n.id, e, a.LeaderEpoch)
	}
}

// cuts judges that nothing committed goes. Who follows a leader of an epoch that is over, and is neither in ISR nor in ELR, may cut off what a later
// leader has committed without it: it counts for nothing before it has it again. Of those who count I3 says that they have all.
func (j *judge) cuts(n *node, to int64) {
	if p := j.s.ctl.partition(); n.m.leaderEpoch() < LeaderEpoch(p.LeaderEpoch) && !metadata.Has(p.ISR, n.id) && !metadata.Has(p.ELR, n.id) {
		return
	}
	for _, r := range n.disk.records {
		if r.end > to && r.base < j.hw && j.committed[find(j.committed, r.base)] == r {
			j.s.fail("I14", "broker %d truncates to %d, %d..%d is committed", n.id, to, r.base, r.end)
		}
	}
}

// resets judges a log that begins anew: at its leader's start, or within the batch it is about to append.
func (j *judge) resets(n *node, to int64, a FetchAnswer, appends int) {
	switch {
	case appends > 0 || a.Diverging != nil && to == a.LogStart:
		j.cuts(n, to)
	case a.LogStart < n.disk.end:
		j.s.fail("I14", "broker %d drops its log up to %d, its leader has it from %d on", n.id, n.disk.end, a.LogStart)
	}
}

// proposes judges who joins.
func (j *judge) proposes(n *node, a *AlterPartition) {
	p := j.proposed[n.id]
	if p == nil || p.partitionEpoch != a.PartitionEpoch || p.leaderEpoch != a.LeaderEpoch {
		p = &proposals{partitionEpoch: a.PartitionEpoch, leaderEpoch: a.LeaderEpoch}
		j.proposed[n.id] = p
	}
	if p.last == a {
		return // the same again
	}
	p.last, p.members = a, append(p.members, a.ids()...)
	for _, m := range a.ISR {
		if metadata.Has(n.m.state.ISR, m.ID) || m.ID == n.id {
			continue
		}
		h := j.heard[[2]int32{n.id, m.ID}]
		if end := j.ends(h); h.leaderEpoch != a.LeaderEpoch || h.brokerEpoch != m.BrokerEpoch || end < n.m.HighWatermark() || end < n.m.epochStart {
			j.s.fail("I6", "broker %d in leader epoch %d, from %d on, hw %d, lets broker %d join: heard %+v", n.id, a.LeaderEpoch, n.m.epochStart, n.m.HighWatermark(), m.ID, h)
		}
	}
}

func (j *judge) ends(h heard) int64 {
	if j.s.settings.Durable {
		return h.syncedEnd
	}
	return h.end
}

// fetched notes what a leader counts.
func (j *judge) fetched(n *node, r FetchRequest, a FetchAnswer) {
	if a.Err != nil || a.Diverging != nil {
		return
	}
	if _, e := n.m.Role(); r.LeaderEpoch != e {
		j.s.fail("I5", "broker %d in leader epoch %d counts a fetch of %d", n.id, e, r.LeaderEpoch)
	}
	h, now := j.heard[[2]int32{n.id, r.Replica}], heard{r.LeaderEpoch, r.BrokerEpoch, r.Offset, r.SyncedEnd}
	if h.leaderEpoch == now.leaderEpoch && h.brokerEpoch == now.brokerEpoch {
		now.end, now.syncedEnd = max(now.end, h.end), max(now.syncedEnd, h.syncedEnd)
	}
	j.heard[[2]int32{n.id, r.Replica}] = now
}

// takes judges a proposal that the controller takes.
func (j *judge) takes(a *AlterPartition, p *metadata.Partition) {
	if a.PartitionEpoch != p.PartitionEpoch || a.LeaderEpoch != LeaderEpoch(p.LeaderEpoch) {
		j.s.fail("I7", "taken in partition epoch %d and leader epoch %d: %+v", p.PartitionEpoch, p.LeaderEpoch, a)
	}
	if b := j.s.ctl.img().Broker(a.Leader); b.Epoch != a.BrokerEpoch {
		j.s.fail("M7", "taken from broker %d of epoch %d, it is %d", a.Leader, a.BrokerEpoch, b.Epoch)
	}
	for _, m := range a.ISR {
		b := j.s.ctl.img().Broker(m.ID)
		if b.Epoch != m.BrokerEpoch {
			j.s.fail("I7", "taken with broker %d of epoch %d, it is %d", m.ID, m.BrokerEpoch, b.Epoch)
		}
		if !metadata.Has(p.ISR, m.ID) {
			j.s.count.joins++
			if n := j.s.nodes[m.ID]; !n.lossy && j.holds(n.disk, j.hw) {
				j.lost[m.ID] = false // it has it all again, whether it runs or not
			}
		}
	}
}

// beats judges what a heartbeat did that was sent under a broker epoch.
func (j *judge) beats(was, now *metadata.Broker, sent int64) {
	if was.Fenced && !now.Fenced && sent != now.Epoch {
		j.s.fail("M7", "broker %d of epoch %d serves by a heartbeat of epoch %d", now.ID, now.Epoch, sent)
	}
}

// changed judges new metadata, after so many changes of the partition.
func (j *judge) changed(before, after *metadata.Image, changes int32) {
	topic := j.s.ctl.topic
	was, now := before.Partition(topic, 0), after.Partition(topic, 0)
	if was != nil {
		if now.LeaderEpoch < was.LeaderEpoch || now.PartitionEpoch < was.PartitionEpoch || now.PartitionEpoch != was.PartitionEpoch+changes {
			j.s.fail("I10", "%+v after %+v", now, was)
		}
		if now.LeaderEpoch > was.LeaderEpoch {
			j.s.count.epochs++
		}
		j.reassigned(was, now)
	}
	for _, b := range after.Brokers() {
		if old := before.Broker(b.ID); old != nil && b.Epoch < old.Epoch {
			j.s.fail("I10", "broker epoch of %d falls from %d to %d", b.ID, old.Epoch, b.Epoch)
		}
	}
	isr, elr := now.ISR, now.ELR
	if now.Leader != metadata.NoLeader && !metadata.Has(isr, now.Leader) {
		j.s.fail("I11", "leader %d, ISR %v", now.Leader, isr)
	}
	for _, id := range isr {
		if metadata.Has(elr, id) || !metadata.Has(now.Replicas, id) || after.Broker(id).Fenced {
			j.s.fail("I11", "broker %d in ISR %v, ELR %v, fenced %v", id, isr, elr, after.Broker(id).Fenced)
		}
	}
	if len(isr) >= j.s.minISR(now) && len(elr) > 0 {
		j.s.fail("I11", "ISR %v and ELR %v", isr, elr)
	}
	if was != nil && len(was.ISR)+len(was.ELR) == 0 && now.Leader != metadata.NoLeader {
		j.s.fail("I12", "broker %d elected, last known were %v", now.Leader, was.LastKnownELR)
	}
	if len(isr)+len(elr) == 0 && !j.s.reckless {
		j.s.fail("I12", "ISR and ELR are empty, and data lost %v", j.lost)
	}
	if now.Leader != metadata.NoLeader && (was == nil || was.LeaderEpoch < now.LeaderEpoch) {
		if n := j.s.nodes[now.Leader]; n.registered() && !j.lost[n.id] && !j.holds(n.disk, j.hw) {
			j.s.fail("I2", "broker %d is elected, it has %d, %d synced, of %d committed", n.id, n.disk.end, n.disk.synced, j.hw)
		}
	}
	j.candidates()
	for _, n := range j.s.nodes {
		if n.running() {
			if role, e := n.m.Role(); role == Leader {
				j.leads(n, e)
			}
		}
	}
}

// acked judges an acknowledgement.
func (j *judge) acked(n *node, r record) {
	i := find(j.committed, r.base)
	if i == len(j.committed) || j.committed[i] != r {
		j.s.fail("I13", "broker %d acknowledges %d..%d, %d are committed", n.id, r.base, r.end, j.hw)
	}
	having := 0
	for _, id := range n.m.state.Replicas {
		other := j.s.nodes[id]
		if j.lost[other.id] || j.gone(n, id) || j.holds(other.disk, r.end) {
			having++
		} else if metadata.Has(j.maximal(n), other.id) {
			j.s.fail("I13", "broker %d acknowledges %d..%d, broker %d has %d, %d synced", n.id, r.base, r.end, other.id, other.disk.end, other.disk.synced)
		}
	}
	if having < j.s.minISR(n.m.state) {
		j.s.fail("I13", "broker %d acknowledges %d..%d of %d replicas", n.id, r.base, r.end, having)
	}
}

// survives judges that what was committed is somewhere, unless more was lost than may be.
func (j *judge) survives() {
	if !j.s.reckless && !slices.ContainsFunc(j.s.nodes, func(n *node) bool { return j.holds(n.disk, j.hw) }) {
		j.s.fail("I19", "nobody has what was committed up to %d", j.hw)
	}
}

// converged judges the rest after the faults: all in sync and equal.
func (j *judge) converged() {
	p := j.s.ctl.partition()
	if j.s.reckless && len(p.ISR)+len(p.ELR) == 0 {
		return // an operator's to decide
	}
	if p.Reassignment != nil {
		j.s.fail("V5", "at rest %+v is under way to %v", *p.Reassignment, p.Replicas)
	}
	if len(p.ISR) != len(p.Replicas) {
		j.s.fail("V3", "at rest the leader is %d, the ISR %v, the ELR %v", p.Leader, p.ISR, p.ELR)
	}
	leader := j.s.nodes[p.Leader]
	for _, id := range p.Replicas {
		n := j.s.nodes[id]
		// A log start that a leader did not get to tell before it died may differ.
		d, its := n.disk, leader.disk
		from := max(d.start, its.start)
		if d.end != its.end || n.m.HighWatermark() != its.end || !slices.Equal(d.records[d.index(from):], its.records[its.index(from):]) {
			j.s.fail("V6", "at rest broker %d has %d..%d, hw %d, leader %d has %d..%d", id, d.start, d.end, n.m.HighWatermark(), p.Leader, leader.disk.start, leader.disk.end)
		}
	}
}
