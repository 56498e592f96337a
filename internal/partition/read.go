package partition

import (
	"math"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/replica"
)

// Isolation says how far a reader sees.
type Isolation int8

// What a reader may see: records up to the high watermark, up to the last stable offset, or up to the log end.
const (
	ReadUncommitted Isolation = iota
	ReadCommitted
	ReadAll // replicas and the debugging consumer
)

// ReadRequest is one partition's part of a Fetch.
type ReadRequest struct {
	Offset           int64
	MaxBytes         int
	AtLeastOne       bool // return one whole batch even if it is larger than MaxBytes
	Isolation        Isolation
	LeaderEpoch      commitlog.LeaderEpoch // as the reader knows it; NoEpoch: not checked
	LastFetchedEpoch commitlog.LeaderEpoch // epoch of the last record the reader has; NoEpoch: not checked
	Follower         bool                  // a follower may serve it too, as far as it knows records to be committed (KIP-392)
}

// ReadResult is what a partition answers. Slice must be released.
type ReadResult struct {
	Slice         commitlog.Slice
	HighWatermark int64
	LastStable    int64
	LogStart      int64
	// Diverging says that the reader's log left ours: there is no data, and the reader must cut back to the end of an
	// epoch that both have (KIP-595).
	Diverging      bool
	DivergingEpoch commitlog.LeaderEpoch
	DivergingEnd   int64
	// More says that MaxBytes kept readable records back.
	More bool
	// Aborted are the aborted transactions that overlap the records; nil unless the reader asked for committed records only.
	Aborted []commitlog.AbortedTxn
}

// unread is the result beside an error.
var unread = ReadResult{HighWatermark: -1, LastStable: -1, LogStart: -1}

// Read returns record batches from the offset on. An offset from the reader's limit up to the log end gives an empty slice;
// one outside the log gives commitlog.ErrOffsetOutOfRange. With an error all offsets in the result are -1.
func (p *Partition) Read(r ReadRequest) (ReadResult, error) {
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	if err := p.checkLocked(r.LeaderEpoch, r.Follower); err != nil {
		return unread, err
	}
	logStart, lastStable, highWatermark, logEnd := p.Offsets()
	res := ReadResult{HighWatermark: highWatermark, LastStable: lastStable, LogStart: logStart}
	if r.LastFetchedEpoch != NoEpoch {
		epoch, end := p.Log().EndOffsetFor(r.LastFetchedEpoch)
		if epoch == NoEpoch || end < 0 {
			return unread, commitlog.ErrOffsetOutOfRange
		}
		if epoch < r.LastFetchedEpoch || end < r.Offset {
			res.Diverging, res.DivergingEpoch, res.DivergingEnd = true, epoch, end
			return res, nil
		}
	}
	if r.Offset < logStart || r.Offset > logEnd {
		return unread, commitlog.ErrOffsetOutOfRange
	}
	limit := highWatermark
	switch r.Isolation {
	case ReadCommitted:
		limit = lastStable
	case ReadAll:
		limit = logEnd
	}
	if r.Isolation == ReadCommitted {
		res.Aborted = []commitlog.AbortedTxn{}
	}
	if r.Offset >= limit {
		return res, nil
	}
	if r.MaxBytes <= 0 && !r.AtLeastOne { // not even a look at the log, for a fetch whose limit others have used up
		res.More = true
		return res, nil
	}
	var err error
	if r.Isolation == ReadCommitted {
		var aborted []commitlog.AbortedTxn
		res.Slice, aborted, err = p.Log().ReadCommitted(r.Offset, int64(r.MaxBytes), limit, r.AtLeastOne)
		res.Aborted = append(res.Aborted, aborted...) // empty, not nil, where there is none
	} else {
		res.Slice, err = p.Log().Read(r.Offset, int64(r.MaxBytes), limit, r.AtLeastOne)
	}
	if err != nil {
		return unread, err
	}
	res.More = res.Slice.More
	return res, nil
}

// Sources returns the followers that consumers may read from at an offset, beside this replica, which leads; none where it does not.
func (p *Partition) Sources(offset int64) []replica.Source {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.machine.Sources(offset)
}

// Special timestamps of ListOffsets.
const (
	Latest                = -1
	Earliest              = -2
	MaxTimestamp          = -3 // KIP-734
	EarliestLocal         = -4 // KIP-405
	LatestTiered          = -5 // KIP-1005
	EarliestPendingUpload = -6 // KIP-1023
)

// Listed is the answer to a timestamp: the offset and timestamp of a record, or -1 and -1 where there is none.
type Listed struct {
	Offset    int64
	Timestamp int64
	Epoch     commitlog.LeaderEpoch
}

var notListed = Listed{Offset: -1, Timestamp: -1, Epoch: NoEpoch}

// ListOffset finds the first record whose timestamp (milliseconds) is at least ts, or answers one of the special timestamps.
func (p *Partition) ListOffset(ts int64, iso Isolation, epoch commitlog.LeaderEpoch) (Listed, error) {
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	if err := p.checkLeaderLocked(epoch); err != nil {
		return notListed, err
	}
	logStart, lastStable, highWatermark, logEnd := p.Offsets()
	limit := highWatermark
	switch iso {
	case ReadCommitted:
		limit = lastStable
	case ReadAll:
		limit = logEnd
	}
	switch ts {
	case Latest:
		if err := p.known(iso); err != nil {
			return notListed, err
		}
		return Listed{limit, -1, p.role.Load().epoch}, nil
	case Earliest, EarliestLocal:
		epoch, ok := p.Log().EpochAt(logStart)
		if !ok && logStart == logEnd {
			epoch = p.role.Load().epoch // the first record will be of this epoch
		} else if !ok {
			epoch = NoEpoch
		}
		return Listed{logStart, -1, epoch}, nil
	case LatestTiered, EarliestPendingUpload:
		return notListed, nil // nothing is tiered
	case MaxTimestamp:
		offset, timestamp, epoch, ok, err := p.Log().MaxTimestamp(math.MaxInt64)
		return p.listed(Listed{offset, timestamp, epoch}, ok && offset < limit, iso, err)
	}
	offset, timestamp, epochAt, ok, err := p.Log().OffsetForTimestamp(ts, limit)
	return p.listed(Listed{offset, timestamp, epochAt}, ok && offset < limit, iso, err)
}

// listed is the answer to a search, which found something or not.
func (p *Partition) listed(found Listed, ok bool, iso Isolation, err error) (Listed, error) {
	if err == nil && !ok {
		err = p.known(iso)
	}
	if err != nil || !ok {
		return notListed, err
	}
	return found, nil
}

// known answers ErrOffsetNotAvailable where a new leader does not know yet how far records are committed, to who sees those only (KIP-207).
func (p *Partition) known(iso Isolation) error {
	if iso == ReadAll {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.mu.machine.Committed()
	return err
}

// EndOffsetForEpoch answers OffsetForLeaderEpoch: the largest epoch known that is at most the one asked for, and where it
// ends (KIP-101, KIP-279); -1 and -1 for one above the leader's. A consumer may ask for an epoch in which nothing was appended: one that began at the end has it from
// ListOffsets, and what it has read is there.
func (p *Partition) EndOffsetForEpoch(asked, current commitlog.LeaderEpoch) (commitlog.LeaderEpoch, int64, error) {
	p.roleMu.RLock()
	defer p.roleMu.RUnlock()
	if err := p.checkLeaderLocked(current); err != nil {
		return NoEpoch, -1, err
	}
	if asked == NoEpoch || asked > p.role.Load().epoch {
		return NoEpoch, -1, nil
	}
	_ = p.Log().Wake() // not under mu; what is refused knows no epochs
	p.mu.Lock()
	defer p.mu.Unlock()
	epoch, end := p.mu.machine.EpochEnd(asked)
	return epoch, end, nil
}
