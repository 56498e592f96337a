package handler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/replica"
	"github.com/moldau/moldau/internal/server"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// A Fetch of a follower, from version 13 on, on the listener for brokers. It names the partitions whose position has changed, and is answered for
// those that have something for it; the others cost neither of the two anything, however many they are.
//
// Its sessions are KIP-227's but for three things. A partition that was answered for with records, an error or a divergence is not answered for
// again before the follower names it again; that nothing but its high watermark moved is told with the next answer, unless consumers read from
// followers. A request that comes while the one before it waits has that one answered at once, and waits in its place:
// so a follower tells at any time what it has synced, or asks for another partition. And a partition with a limit of 0 bytes asks for nothing: it only tells.

// followers are the sessions of followers, one a broker.
type followers struct {
	mu       sync.Mutex
	sessions map[int32]*following
}

// followedKey names a partition.
type followedKey struct {
	topic  uuid.UUID
	number int32
}

// following is the session of a follower. It ends with its connection, and with the next one of the same broker.
type following struct {
	h       *Handler
	replica int32
	conn    *server.Conn
	unbind  func() bool // takes back that the session ends with its connection; followers.mu guards it

	turn   sync.Mutex // held while a request is worked on; taken before the locks of partitions. It guards what follows
	id     int32
	epoch  int32 // of the next request
	parts  map[followedKey]*followed
	parked *followerFetch // the request that waits
	closed bool

	news struct { // what has changed; taken last, with locks of partitions held
		sync.Mutex
		queue []*followed
		wake  chan struct{} // of the request that waits
	}
}

// followed is a partition of a session. turn guards it, but for queued.
type followed struct {
	key       followedKey
	p         *partition.Partition
	watcher   *partition.Watcher
	r         replica.FetchRequest
	asked     bool // the follower waits for what r asks for
	counted   bool // r was
	ours      bool // the follower tells its synced end
	maxBytes  int
	hw, start int64                  // high watermark and log start as they were last told, -1: not yet
	hurried   int64                  // the high watermark that was told at once
	last      partition.FollowerRead // what was read last, without records
	noted     *followerFetch         // that tells them anew
	queued    bool                   // it is in news.queue
}

// followerFetch is a request of a follower, and the answer as it comes to be.
type followerFetch struct {
	version  int16
	header   protocol.RequestHeader
	reply    server.Reply
	minBytes int
	left     int // bytes that may still be read
	bytes    int
	urgent   bool // something is to be told at once
	results  []followerResult
	short    []*followed // partitions with records, too few together
	moved    []*followed // partitions with nothing but another high watermark or log start
	over     chan struct{}
	resp     protocol.FetchResponse
	spans    [][1]vfs.Span
}

// followerResult is the answer for one partition.
type followerResult struct {
	key  followedKey
	part *followed // nil: it is not in the session
	r    replica.FetchRequest
	ours bool
	code protocol.ErrorCode
	read partition.FollowerRead
}

// followerCost is what a partition takes that a follower names.
const followerCost = 600

// fromFollower says whether a fetch is a follower's.
func (h *Handler) fromFollower(f *fetch, conn *server.Conn) bool {
	return f.req.ReplicaID >= 0 && f.version >= 13 && conn.Listener() == h.Config.InterBrokerListener
}

// serveFollower answers a follower's fetch, or lets it wait.
func serveFollower(h *Handler, f *fetch, req *server.Request, reply server.Reply) {
	n := 0
	for i := range f.req.Topics {
		n += len(f.req.Topics[i].Partitions)
	}
	if n > fewPartitions && !req.Charge(int64(n)*followerCost) {
		reply.Close(fmt.Errorf("serve a follower's Fetch of many partitions: %w", protocol.ErrNoMemory))
		return
	}
	ff := &followerFetch{version: f.version, header: req.Header, reply: reply,
		minBytes: max(int(f.req.MinBytes), 1), left: min(int(f.req.MaxBytes), int(h.Config.FetchMaxBytes))}
	wait := time.Duration(f.req.MaxWaitMs) * time.Millisecond
	s, code := h.followers.session(h, f, req.Conn)
	if code != protocol.None {
		ff.resp.Error = code
		ff.send()
		return
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.closed {
		ff.resp.Error = protocol.FetchSessionIDNotFound
		ff.send()
		return
	}
	failed := s.take(f)
	if s.id == 0 { // no session: who has none does not wait
		defer s.closeLocked()
		wait = 0
	}
	if old := s.parked; old != nil {
		s.parked, old.results, failed = nil, append(old.results, failed...), nil
		s.collect(old)
		s.answer(old)
	}
	ff.results, ff.urgent = append(ff.results, failed...), len(failed) > 0
	if enough := s.collect(ff); enough || wait <= 0 {
		s.force(ff)
		s.answer(ff)
		return
	}
	s.parked, ff.over = ff, make(chan struct{})
	wake := make(chan struct{}, 1)
	s.news.Lock()
	s.news.wake = wake
	if len(s.news.queue) > 0 { // since collect
		wake <- struct{}{}
	}
	s.news.Unlock()
	req.Park()
	h.pending.Add(1)
	go s.wait(ff, wake, wait)
}

// session finds the session of a request, or begins one.
func (all *followers) session(h *Handler, f *fetch, conn *server.Conn) (*following, protocol.ErrorCode) {
	if f.req.SessionEpoch <= 0 {
		s := &following{h: h, replica: f.req.ReplicaID, conn: conn, epoch: 1, parts: make(map[followedKey]*followed)}
		if f.req.SessionEpoch < 0 || h.Metadata.Image().Broker(s.replica) == nil {
			return s, protocol.None // none: of who is no broker nothing is kept
		}
		for s.id == 0 {
			s.id = int32(h.Random.Uint64() & 0x7fffffff)
		}
		all.mu.Lock()
		old := all.sessions[s.replica]
		if all.sessions == nil {
			all.sessions = make(map[int32]*following)
		}
		all.sessions[s.replica] = s
		s.unbind = context.AfterFunc(conn.Context(), s.close)
		all.mu.Unlock()
		if old != nil {
			old.close()
		}
		return s, protocol.None
	}
	all.mu.Lock()
	s := all.sessions[f.req.ReplicaID]
	all.mu.Unlock()
	if s == nil || s.id != f.req.SessionID || s.conn != conn {
		return nil, protocol.FetchSessionIDNotFound
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.epoch != f.req.SessionEpoch {
		return nil, protocol.InvalidFetchSessionEpoch
	}
	if s.epoch++; s.epoch < 0 {
		s.epoch = 1
	}
	return s, protocol.None
}

// Fenced ends the session of a follower that the controller has fenced. If it was a false alarm, and the connection stands, it says anew what it has, also
// of partitions where nothing changes: without that their leaders do not count it again. It does not wait.
func (h *Handler) Fenced(broker int32) {
	h.followers.mu.Lock()
	s := h.followers.sessions[broker]
	h.followers.mu.Unlock()
	if s != nil {
		h.pending.Go(s.close)
	}
}

// close ends the session.
func (s *following) close() {
	all := &s.h.followers
	all.mu.Lock()
	if all.sessions[s.replica] == s {
		delete(all.sessions, s.replica)
	}
	unbind := s.unbind
	all.mu.Unlock()
	unbind() // a connection may begin many sessions
	s.turn.Lock()
	defer s.turn.Unlock()
	s.closeLocked()
}

func (s *following) closeLocked() {
	s.closed = true
	if f := s.parked; f != nil {
		s.parked = nil
		s.answer(f)
	}
	for key := range s.parts {
		s.forget(key)
	}
}

func (s *following) forget(key followedKey) {
	if part := s.parts[key]; part != nil {
		delete(s.parts, key)
		part.asked = false
		part.p.Unwatch(part.watcher)
	}
}

// take takes over what a request says of partitions, and returns answers for those that are not here.
func (s *following) take(f *fetch) (failed []followerResult) {
	img := s.h.Metadata.Image()
	for i := range f.req.Forgotten {
		t := &f.req.Forgotten[i]
		for _, n := range t.Partitions {
			s.forget(followedKey{t.ID, n})
		}
	}
	for i := range f.req.Topics {
		t := &f.req.Topics[i]
		for j := range t.Partitions {
			q := &t.Partitions[j]
			key := followedKey{t.ID, q.Partition}
			r := replica.FetchRequest{Replica: s.replica, BrokerEpoch: f.req.ReplicaEpoch, LeaderEpoch: epochOf(q.CurrentLeaderEpoch),
				Offset: q.FetchOffset, LastEpoch: epochOf(q.LastFetchedEpoch), SyncedEnd: q.SyncedEnd, LogStart: q.LogStartOffset}
			p, code := s.find(img, key, r)
			if code != protocol.None {
				s.forget(key)
				failed = append(failed, followerResult{key: key, r: r, ours: q.SyncedEnd >= 0, code: code, read: unreadFollower})
				continue
			}
			s.mention(key, p, r, int(q.MaxBytes))
		}
	}
	return failed
}

// unreadFollower stands beside an error.
var unreadFollower = partition.FollowerRead{FetchAnswer: replica.FetchAnswer{LeaderEpoch: replica.NoEpoch, HighWatermark: -1, LogStart: -1, LogEnd: -1}, LastStable: -1}

func (s *following) find(img *metadata.Image, key followedKey, r replica.FetchRequest) (*partition.Partition, protocol.ErrorCode) {
	t := img.TopicByID(key.topic)
	switch {
	case t == nil:
		return nil, protocol.UnknownTopicID
	case key.number < 0 || int(key.number) >= len(t.Partitions):
		return nil, protocol.UnknownTopicOrPartition
	case r.LeaderEpoch == partition.NoEpoch:
		return nil, protocol.NotLeaderOrFollower // a follower says which leader it follows
	}
	p := s.h.Partitions.Partition(key.topic, key.number)
	if p == nil {
		return nil, protocol.NotLeaderOrFollower
	}
	return p, protocol.None
}

// mention takes over a follower's position.
func (s *following) mention(key followedKey, p *partition.Partition, r replica.FetchRequest, maxBytes int) {
	part := s.parts[key]
	if maxBytes <= 0 && s.id != 0 { // what is wrong with it the answer to a fetch says
		_, _ = p.ReadFollower(r, 0, false)
		return
	}
	if part != nil && part.p != p {
		s.forget(key)
		part = nil
	}
	if part == nil {
		part = &followed{key: key, p: p, hw: -1, start: -1, hurried: -1}
		part.watcher = partition.NewFollowerWatcher(func(urgent bool) { s.changed(part, urgent || s.h.Config.RackAware) })
		s.parts[key] = part
		p.Watch(part.watcher)
	}
	if r.LeaderEpoch != part.r.LeaderEpoch || r.BrokerEpoch != part.r.BrokerEpoch || r.Offset <= part.r.Offset {
		part.hw, part.start = -1, -1 // it did not take the last answer, or may have forgotten what it said
	}
	part.r, part.maxBytes, part.ours = r, maxBytes, r.SyncedEnd >= 0
	part.asked, part.counted = true, false
	s.changed(part, false)
}

// changed notes that there may be something to tell of a partition.
func (s *following) changed(part *followed, urgent bool) {
	n := &s.news
	n.Lock()
	defer n.Unlock()
	if !part.queued {
		part.queued = true
		n.queue = append(n.queue, part)
	}
	if urgent && n.wake != nil {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// collect reads what there is for a request, within its limits, and says whether that is enough to answer.
func (s *following) collect(f *followerFetch) bool {
	for _, part := range f.short {
		s.changed(part, false)
	}
	f.short = f.short[:0]
	s.news.Lock()
	queue := s.news.queue
	s.news.queue = nil
	for _, part := range queue {
		part.queued = false
	}
	s.news.Unlock()
	for _, part := range queue {
		if !part.asked {
			continue // what has changed meanwhile is told when it is named again
		}
		limit, first := max(0, min(part.maxBytes, f.left)), f.bytes == 0
		if limit == 0 && !first && part.counted {
			s.changed(part, false)
			continue
		}
		read := part.p.ReadFollower
		if part.counted {
			read = part.p.RereadFollower
		}
		res, err := read(part.r, limit, first)
		part.counted = true
		result := followerResult{key: part.key, part: part, r: part.r, ours: part.ours, read: res}
		switch {
		case err != nil:
			result.code, f.urgent = codeOf(err), true
		case res.Diverging != nil:
			f.urgent = true
		case res.Slice.Bytes > 0:
			f.bytes += int(res.Slice.Bytes)
			f.left -= int(res.Slice.Bytes)
		case res.More:
			s.changed(part, false)
			continue
		case res.HighWatermark != part.hw || res.LogStart != part.start:
			if part.last = res; part.noted != f {
				part.noted, f.moved = f, append(f.moved, part)
			}
			if s.h.Config.RackAware && res.HighWatermark > part.hurried { // there may be consumers who wait for it there
				part.hurried, f.urgent = res.HighWatermark, true
			}
			continue // and goes on waiting
		default:
			continue
		}
		part.asked = false
		f.results = append(f.results, result)
	}
	if f.urgent || f.bytes >= f.minBytes {
		return true
	}
	if f.bytes > 0 {
		s.postpone(f)
	}
	return false
}

// postpone takes the records out of an answer that has too few.
func (s *following) postpone(f *followerFetch) {
	kept := f.results[:0]
	for i := range f.results {
		r := &f.results[i]
		if r.read.Slice.Bytes == 0 {
			kept = append(kept, *r)
			continue
		}
		f.left += int(r.read.Slice.Bytes)
		r.read.Slice.Release()
		r.part.asked = true
		f.short = append(f.short, r.part)
	}
	f.bytes, f.results = 0, kept
}

// force takes what there is, however little.
func (s *following) force(f *followerFetch) {
	if len(f.short) > 0 {
		f.minBytes = 0
		s.collect(f)
	}
}

// wait lets a request wait until there is enough to answer, the time is over, or the connection is gone.
func (s *following) wait(f *followerFetch, wake <-chan struct{}, wait time.Duration) {
	defer s.h.pending.Done()
	timeout := make(chan struct{})
	timer := s.h.Clock.AfterFunc(wait, func() { close(timeout) })
	defer timer.Stop()
	for {
		over := false
		select {
		case <-wake:
		case <-timeout:
			over = true
		case <-s.conn.Context().Done():
			over = true
		case <-f.over:
			return
		}
		if s.look(f, over) {
			return
		}
	}
}

// look answers a request that waits if there is enough, or it must be, and says whether it has been answered.
func (s *following) look(f *followerFetch, over bool) bool {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.parked != f {
		return true
	}
	if !s.collect(f) && !over {
		return false
	}
	s.parked = nil
	s.force(f)
	s.answer(f)
	return true
}

// answer sends what was read.
func (s *following) answer(f *followerFetch) {
	f.resp.SessionID = s.id
	for _, part := range f.moved {
		if part.noted = nil; part.asked && s.parts[part.key] == part {
			f.results = append(f.results, followerResult{key: part.key, part: part, r: part.r, ours: part.ours, read: part.last})
		}
	}
	f.moved = nil
	f.spans = make([][1]vfs.Span, len(f.results))
	img := s.h.Metadata.Image()
	for i := range f.results {
		r := &f.results[i]
		if r.part != nil && r.code == protocol.None {
			r.part.hw, r.part.start = r.read.HighWatermark, r.read.LogStart
		} else if r.part != nil {
			r.part.hw, r.part.start = -1, -1
		}
		s.add(img, f, r, &f.spans[i])
	}
	if f.over != nil {
		close(f.over)
	}
	f.send()
}

// add appends one partition to the response; neighbours of the same topic share its entry.
func (s *following) add(img *metadata.Image, f *followerFetch, r *followerResult, span *[1]vfs.Span) {
	topics := f.resp.Topics
	if n := len(topics); n == 0 || topics[n-1].ID != r.key.topic {
		topics = append(topics, protocol.FetchResponseTopic{ID: r.key.topic})
		f.resp.Topics = topics
	}
	t := &topics[len(topics)-1]
	p := protocol.FetchResponsePartition{Partition: r.key.number, Error: r.code, PreferredReadReplica: -1,
		HighWatermark: r.read.HighWatermark, LastStableOffset: r.read.LastStable, LogStartOffset: r.read.LogStart}
	if r.ours {
		p.Replica = &protocol.ReplicaAnswer{FetchOffset: r.r.Offset, LogEnd: r.read.LogEnd, LeaderEpoch: int32(r.read.LeaderEpoch)}
	} else if r.code != protocol.None {
		p.HighWatermark, p.LastStableOffset, p.LogStartOffset = -1, -1, -1
	}
	if d := r.read.Diverging; d != nil {
		p.DivergingEpoch = &protocol.EpochEndOffset{Epoch: int32(d.Epoch), EndOffset: d.End}
	}
	if r.read.Slice.Bytes > 0 {
		span[0] = r.read.Slice.Span
		p.Records = span[:]
	}
	if f.version >= 16 && (r.code == protocol.NotLeaderOrFollower || r.code == protocol.FencedLeaderEpoch) {
		if known := img.TopicByID(r.key.topic); known != nil {
			p.CurrentLeader = currentLeader(known, r.key.number)
		}
	}
	if r.code == protocol.UnknownTopicID || r.code == protocol.UnknownTopicOrPartition {
		p.Aborted = []protocol.AbortedTransaction{} // as in Kafka
	}
	t.Partitions = append(t.Partitions, p)
}

func (f *followerFetch) send() {
	for i := range f.results {
		if code := f.results[i].code; code != protocol.None && f.resp.Error == protocol.None {
			f.reply.Failed(code)
			break
		}
	}
	buf := protocol.AppendResponseHeader(nil, protocol.KeyFetch, f.version, f.header.CorrelationID)
	_, spans := f.resp.AppendTo(buf, nil, f.version)
	f.reply.Send(spans, func() {
		for i := range f.results {
			if s := &f.results[i].read.Slice; s.Bytes > 0 {
				s.Release()
				*s = commitlog.Slice{}
			}
		}
	})
}
