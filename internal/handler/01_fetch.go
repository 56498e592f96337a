package handler

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/handler/fetchsession"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/quota"
	"github.com/moldau/moldau/internal/replica"
	"github.com/moldau/moldau/internal/server"
	"github.com/moldau/moldau/internal/vfs"
)

// Fetch, versions 4 to 18: reads record batches of several partitions.
//
//	v7  sessions: requests and responses name only what changed (KIP-227)
//	v9  leader epochs (KIP-320)              v10 zstd (KIP-110)
//	v11 rack of the reader; followers answer too, and leaders send readers to them (KIP-392)
//	v12 flexible; last fetched epoch and diverging epoch (KIP-595)
//	v13 topic ids instead of names (KIP-516) v16 the new leader, where this broker is not it (KIP-951)
//
// Records are whole batches: the first may begin below the offset asked for, and the last is never cut, so that a partition
// may be answered with less than its limit. A fetch that finds less than min.bytes is parked until a partition changes.

const (
	zstdFetchSince = 10
	followersSince = 11
)

// fetch is one Fetch request, from decoding to the answer. It is used again and again.
type fetch struct {
	h       *Handler
	req     protocol.FetchRequest
	resp    protocol.FetchResponse
	version int16
	header  protocol.RequestHeader
	why     error // of a partition that the disk kept from being read
	conn    *server.Conn
	reply   server.Reply
	meter   meter

	session  fetchsession.Fetch
	asked    []fetchsession.Part // as the request names them
	forget   []fetchsession.Key
	parts    []fetchsession.Part // all that is to be read, in order
	reads    []read
	results  []fetchsession.Result
	tell     []bool
	order    []int // of the reads in the response: those whose topics are not known come last, as in Kafka
	buf      []byte
	spans    []vfs.Span
	minBytes int
	maxBytes int
}

// read is what one partition gave.
type read struct {
	part   *partition.Partition // nil: not found
	topic  *metadata.Topic
	code   protocol.ErrorCode
	result partition.ReadResult
	span   [1]vfs.Span // the records, for the response

	preferred int32 // the broker to read from instead; -1: none
}

// erroneous says that the partition is not known at all. Such ones come last in a response and do not end a wait, as in Kafka.
func (r *read) erroneous() bool {
	return r.code == protocol.UnknownTopicOrPartition || r.code == protocol.UnknownTopicID
}

var fetches = sync.Pool{New: func() any { return new(fetch) }}

func serveFetch(h *Handler, req *server.Request, reply server.Reply) {
	f := fetches.Get().(*fetch)
	f.h, f.conn, f.reply, f.header, f.version = h, req.Conn, reply, req.Header, req.Header.Version
	f.meter.begin(h, req)
	f.req.Memory = req
	err := f.req.Decode(f.version, req.Body)
	f.req.Memory = nil
	if err != nil {
		f.release()
		reply.Close(err)
		return
	}
	if h.fromFollower(f, req.Conn) {
		serveFollower(h, f, req, reply)
		f.release()
		return
	}
	if !f.afford(req) {
		f.release()
		reply.Close(fmt.Errorf("serve a Fetch of many partitions: %w", protocol.ErrNoMemory))
		return
	}
	if code := f.begin(); code != protocol.None {
		f.resp = protocol.FetchResponse{Error: code, Topics: f.resp.Topics[:0]}
		f.resp.ThrottleMs = f.settle()
		f.send()
		return
	}
	f.maxBytes = min(int(f.req.MaxBytes), int(h.Config.FetchMaxBytes))
	f.maxBytes = int(min(int64(f.maxBytes), f.meter.client.Most(quota.Fetch))) // more would never be let through
	f.minBytes = min(int(f.req.MinBytes), f.maxBytes)
	wait := time.Duration(f.req.MaxWaitMs) * time.Millisecond
	if f.readAll() || wait <= 0 {
		f.answer()
		return
	}

	f.wait(req, wait)
}

const (
	fewPartitions = 64  // of a request: what they take is small beside what any request does
	fetchCost     = 800 // what a partition takes in what is looked up, read, remembered and answered
)

// afford takes the memory that a fetch of many partitions needs, those included that its session adds.
func (f *fetch) afford(req *server.Request) bool {
	n := f.h.sessions.Partitions(f.req.SessionID)
	for i := range f.req.Topics {
		n += len(f.req.Topics[i].Partitions)
	}
	for i := range f.req.Forgotten {
		n += len(f.req.Forgotten[i].Partitions)
	}
	return n <= fewPartitions || req.Charge(int64(n)*fetchCost)
}

// begin finds the session and the partitions to read.
func (f *fetch) begin() protocol.ErrorCode {
	byID := f.version >= 13
	f.asked, f.forget = f.asked[:0], f.forget[:0]
	for i := range f.req.Topics {
		t := &f.req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			f.asked = append(f.asked, fetchsession.Part{
				Key: fetchsession.Key{Topic: t.Name, ID: t.ID, Partition: p.Partition},
				Position: fetchsession.Position{Offset: p.FetchOffset, MaxBytes: p.MaxBytes,
					LeaderEpoch: p.CurrentLeaderEpoch, LastFetchedEpoch: p.LastFetchedEpoch},
			})
		}
	}
	for i := range f.req.Forgotten {
		t := &f.req.Forgotten[i]
		for _, p := range t.Partitions {
			f.forget = append(f.forget, fetchsession.Key{Topic: t.Name, ID: t.ID, Partition: p})
		}
	}
	f.asked = lastOfEach(f.asked)
	var code protocol.ErrorCode
	f.session, f.parts, code = f.h.sessions.Begin(fetchsession.Request{
		SessionID: f.req.SessionID, Epoch: f.req.SessionEpoch, ByID: byID, Parts: f.asked, Forget: f.forget,
	}, f.parts[:0])
	return code
}

// lastOfEach leaves one entry for a partition that is named several times: in the place of the first, with the position of the last.
func lastOfEach(parts []fetchsession.Part) []fetchsession.Part {
	if len(parts) < 2 {
		return parts
	}
	at := make(map[fetchsession.Key]int, len(parts))
	out := parts[:0]
	for _, p := range parts {
		if i, ok := at[p.Key]; ok {
			out[i].Position = p.Position
			continue
		}
		at[p.Key] = len(out)
		out = append(out, p)
	}
	return out
}

// readAll reads every partition, within the limits, and says whether that is enough to answer.
func (f *fetch) readAll() bool {
	f.releaseSlices()
	img := f.h.Metadata.Image()
	isolation := partition.ReadUncommitted
	if f.req.IsolationLevel == 1 {
		isolation = partition.ReadCommitted
	}
	if n := len(f.parts); cap(f.reads) < n {
		f.reads = make([]read, n)
	} else {
		f.reads = f.reads[:n] // the same, or what release has cleared
	}
	left, available := f.maxBytes, 0
	enough, first, known := false, true, 0
	for i := range f.parts {
		r, p := &f.reads[i], &f.parts[i]
		f.find(img, p, r)
		if r.code != protocol.None {
			enough = enough || !r.erroneous() || r.part != nil // it went away while the fetch waited
			continue
		}
		known++
		limit := max(0, min(int(p.Position.MaxBytes), left))
		elsewhere := f.elsewhere(img, r.part, p.Position.Offset)
		if elsewhere >= 0 {
			limit = 0
		}
		res, err := r.part.Read(partition.ReadRequest{
			Offset: p.Position.Offset, MaxBytes: limit, AtLeastOne: first && elsewhere < 0, Isolation: isolation, Follower: f.version >= followersSince,
			LeaderEpoch: epochOf(p.Position.LeaderEpoch), LastFetchedEpoch: epochOf(p.Position.LastFetchedEpoch),
		})
		r.result = res
		if err != nil {
			r.code = f.errorCode(err, r.part)
			enough = true
			continue
		}
		if elsewhere >= 0 && !res.Diverging {
			r.preferred, r.result.Aborted, enough = elsewhere, nil, true
			continue
		}
		if f.version < zstdFetchSince && r.part.Settings().Zstd {
			r.result.Slice.Release()
			r.result.Slice = commitlog.Slice{}
			r.result.HighWatermark, r.result.LastStable, r.result.LogStart = -1, -1, -1
			r.code, enough = protocol.UnsupportedCompressionType, true
			continue
		}
		n := int(res.Slice.Bytes)
		if n > 0 {
			first = false
		}
		left = max(0, left-n)
		available += n
		if res.More {
			available += max(0, limit-n) // there is more than the limit lets through
		}
		enough = enough || res.Diverging
	}
	return enough || known == 0 || available >= f.minBytes
}

// elsewhere returns the broker from which a reader in a rack is to read instead of this one, which leads: a follower in that rack, if there is
// one and this broker is in another one; -1: none. Of several it is the one that has most.
func (f *fetch) elsewhere(img *metadata.Image, p *partition.Partition, offset int64) int32 {
	h, rack := f.h, f.req.RackID
	if !h.Config.RackAware || rack == "" || f.version < followersSince {
		return -1
	}
	if own := img.Broker(h.BrokerID); own != nil && own.Rack == rack {
		return -1
	}
	best := replica.Source{ID: -1}
	for _, s := range p.Sources(offset) {
		b := img.Broker(s.ID)
		if b == nil || b.Rack != rack || !h.reachable(b, f.conn) {
			continue
		}
		if best.ID < 0 || cmp.Or(cmp.Compare(s.LogEnd, best.LogEnd), s.CaughtUp.Compare(best.CaughtUp), cmp.Compare(s.ID, best.ID)) > 0 {
			best = s
		}
	}
	return best.ID
}

// epochOf reads a leader epoch of a request: every negative one means that none is named, as in Kafka.
func epochOf(epoch int32) commitlog.LeaderEpoch {
	return max(commitlog.LeaderEpoch(epoch), partition.NoEpoch)
}

// find looks up one partition.
func (f *fetch) find(img *metadata.Image, p *fetchsession.Part, r *read) {
	k, old := p.Key, r.part
	*r = read{result: partition.ReadResult{HighWatermark: -1, LastStable: -1, LogStart: -1}, preferred: -1}
	missing := protocol.UnknownTopicOrPartition
	if f.version >= 13 {
		r.topic, missing = img.TopicByID(k.ID), protocol.UnknownTopicID
	} else {
		r.topic = img.Topic(k.Topic)
	}
	r.part = old // a watched partition stays noted until it is unwatched
	switch {
	case r.topic == nil && p.Name != "":
		// The session knew the topic by this id: now the name stands for another one, or for none.
		r.code = protocol.UnknownTopicOrPartition
		if img.Topic(p.Name) != nil {
			r.code = protocol.InconsistentTopicID
		}
	case r.topic == nil:
		r.code = missing
	case k.Partition < 0 || int(k.Partition) >= len(r.topic.Partitions):
		r.topic, r.code = nil, protocol.UnknownTopicOrPartition
	case f.req.ReplicaID >= 0:
		r.code = protocol.NotLeaderOrFollower // followers come by the listener for brokers, with newer versions
	default:
		now := f.h.Partitions.Partition(r.topic.ID, k.Partition)
		if now == nil || old != nil && old != now {
			r.code = protocol.NotLeaderOrFollower
		} else {
			r.part = now
		}
	}
}

func (f *fetch) isLeaderError(code protocol.ErrorCode) bool {
	return code == protocol.NotLeaderOrFollower || code == protocol.FencedLeaderEpoch
}

func (f *fetch) errorCode(err error, p *partition.Partition) protocol.ErrorCode {
	code := codeOf(err)
	if errors.Is(err, commitlog.ErrCorrupt) {
		if f.why == nil {
			f.why = err
		}
		if a, _ := p.State(); len(a.Replicas) <= 1 || f.h.Lost != nil && f.h.Lost(commitlog.DamagedFile(err)) {
			return protocol.CorruptMessage // consumers tell their users of the offset, where the other code has them try for ever
		}
		code = protocol.StorageError // until it is repaired from another replica
	}
	if f.req.ReplicaID == protocol.DebuggingConsumer && (errors.Is(err, commitlog.ErrCorrupt) || commitlog.Unreadable(err)) {
		return protocol.CorruptMessage // another replica, which asks to repair itself, is to look elsewhere
	}
	if code == protocol.StorageError {
		if f.why == nil {
			f.why = err
		}
		if f.version <= 5 {
			return protocol.NotLeaderOrFollower // older clients do not know the other
		}
	}
	return code
}

// answer shapes the response from what was read and sends it.
func (f *fetch) answer() {
	f.results = f.results[:0]
	order := f.order[:0]
	for _, erroneous := range []bool{false, true} {
		for i := range f.reads {
			if f.reads[i].erroneous() == erroneous {
				order = append(order, i)
			}
		}
	}
	f.order = order
	for _, i := range order {
		r, part := &f.reads[i], f.parts[i]
		if f.version >= 13 && r.topic != nil {
			part.Name = r.topic.Name
		}
		f.results = append(f.results, fetchsession.Result{
			Part: part, HighWatermark: r.result.HighWatermark, LogStart: r.result.LogStart,
			HasRecords: r.result.Slice.Bytes > 0, MustTell: r.code != protocol.None || r.result.Diverging || r.preferred >= 0, Failed: r.code != protocol.None,
		})
	}
	if cap(f.tell) < len(order) {
		f.tell = make([]bool, len(order))
	}
	f.tell = f.tell[:len(order)]
	if f.meter.client != nil && f.throttled() {
		f.send()
		return
	}
	id, code := f.session.End(f.results, f.tell)
	f.shape(id, code)
	for n, i := range order {
		if r := &f.reads[i]; code == protocol.None && f.tell[n] && r.result.Slice.Bytes > 0 {
			r.part.Fetched(r.result.Slice.Bytes)
		}
	}
	f.send()
}

// shape fills in the response from those results that are to be told.
func (f *fetch) shape(session int32, code protocol.ErrorCode) {
	f.resp = protocol.FetchResponse{Error: code, SessionID: session, Topics: f.resp.Topics[:0], NodeEndpoints: f.resp.NodeEndpoints[:0]}
	if code != protocol.None {
		return
	}
	for n, i := range f.order {
		if f.tell[n] {
			f.add(f.parts[i].Key, &f.reads[i])
		}
	}
}

// throttled counts what is about to be sent for the client. Where that is too much the response is an empty one, which says for how long,
// the session stays as it was, and the bytes are not counted after all.
func (f *fetch) throttled() bool {
	f.session.Look(f.results, f.tell)
	f.shape(fetchsession.NoSession, protocol.None)
	ms := f.settle()
	if ms == 0 {
		return false
	}
	f.releaseSlices()
	id, code := f.session.Skip()
	f.resp = protocol.FetchResponse{ThrottleMs: ms, Error: code, SessionID: id, Topics: f.resp.Topics[:0], NodeEndpoints: f.resp.NodeEndpoints[:0]}
	return true
}

// settle counts the response as it is for the client, and returns the throttle time.
func (f *fetch) settle() int32 {
	if f.meter.client == nil {
		return 0
	}
	request, bytes, size := f.meter.time(f.h), time.Duration(0), int64(0)
	if f.meter.client.Limits(quota.Fetch) {
		f.buf, f.spans = f.resp.AppendTo(f.buf[:0], f.spans[:0], f.version)
		size = protocol.SpanBytes(f.spans) + 4 // with its size in front, as Kafka counts
		bytes = f.meter.client.Take(quota.Fetch, size)
	}
	ms := f.meter.throttle(f.h, f.reply, request, quota.Fetch, bytes)
	if ms > 0 {
		f.meter.client.GiveBack(quota.Fetch, size)
	}
	return ms
}

// add appends one partition to the response; neighbours of the same topic share its entry.
func (f *fetch) add(k fetchsession.Key, r *read) {
	topics := f.resp.Topics
	if n := len(topics); n == 0 || topics[n-1].Name != k.Topic || topics[n-1].ID != k.ID {
		if n < cap(topics) {
			topics = topics[:n+1]
			topics[n].Partitions = topics[n].Partitions[:0]
		} else {
			topics = append(topics, protocol.FetchResponseTopic{})
		}
		topics[n].Name, topics[n].ID = k.Topic, k.ID
		f.resp.Topics = topics
	}
	t := &topics[len(topics)-1]
	p := protocol.FetchResponsePartition{
		Partition: k.Partition, Error: r.code, PreferredReadReplica: r.preferred,
		HighWatermark: r.result.HighWatermark, LastStableOffset: r.result.LastStable, LogStartOffset: r.result.LogStart,
	}
	if r.erroneous() {
		p.Aborted = []protocol.AbortedTransaction{} // null everywhere else where there is an error, as in Kafka
	}
	if r.result.Aborted != nil {
		p.Aborted = make([]protocol.AbortedTransaction, len(r.result.Aborted))
		for i, a := range r.result.Aborted {
			p.Aborted[i] = protocol.AbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.First}
		}
	}
	if r.result.Slice.Bytes > 0 {
		r.span[0] = r.result.Slice.Span
		p.Records = r.span[:]
	}
	if r.result.Diverging {
		p.DivergingEpoch = &protocol.EpochEndOffset{Epoch: int32(r.result.DivergingEpoch), EndOffset: r.result.DivergingEnd}
	}
	if f.version >= 16 && r.topic != nil && f.isLeaderError(r.code) {
		p.CurrentLeader = currentLeader(r.topic, k.Partition)
		if f.req.ReplicaID < 0 { // a follower knows the brokers
			f.resp.NodeEndpoints = f.h.addEndpoint(f.resp.NodeEndpoints, p.CurrentLeader.ID, f.conn)
		}
	}
	t.Partitions = append(t.Partitions, p)
}

func (f *fetch) send() {
	f.buf = protocol.AppendResponseHeader(f.buf[:0], protocol.KeyFetch, f.version, f.header.CorrelationID)
	f.buf, f.spans = f.resp.AppendTo(f.buf, f.spans[:0], f.version)
	f.note()
	f.reply.Deliver(f.spans, f.release)
}

// note counts what the answer brings, and sees to it that the request is counted and logged under its first error.
func (f *fetch) note() {
	first := outcome{code: f.resp.Error}
	runs, bytes := int64(0), int64(0)
	for i := range f.resp.Topics {
		t := &f.resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.Error != protocol.None && first.code == protocol.None {
				first = outcome{code: p.Error, topic: t.Name}
				if known := f.h.Metadata.Image().TopicByID(t.ID); f.version >= 13 && known != nil {
					first.topic = known.Name
				}
			}
			if len(p.Records) > 0 {
				runs++
				bytes += protocol.SpanBytes(p.Records)
			}
		}
	}
	if runs > 0 {
		f.h.stats.FetchedRuns.Add(runs)
		f.h.stats.FetchedBytes.Add(bytes)
	}
	if first.code != protocol.None {
		f.reply.Failed(first.code)
		f.h.refused(f.conn, &f.header, first, f.why)
	}
}

func (f *fetch) releaseSlices() {
	for i := range f.reads {
		if s := &f.reads[i].result.Slice; s.Bytes > 0 {
			s.Release()
			*s = commitlog.Slice{}
		}
	}
}

// maxFetchRetained bounds what a fetch keeps for the next request.
const maxFetchRetained = 4096

// release gives the pinned files and the request back when the response has left.
func (f *fetch) release() {
	f.releaseSlices()
	f.req.Reset()
	if max(cap(f.parts), cap(f.asked), cap(f.forget)) > maxFetchRetained || cap(f.buf) > 256<<10 {
		return // not worth keeping
	}
	clear(f.reads)
	f.reads = f.reads[:0]
	clear(f.spans)
	for i := range f.resp.Topics {
		clear(f.resp.Topics[i].Partitions)
	}
	f.why, f.meter.client = nil, nil
	f.h, f.conn, f.reply, f.session = nil, nil, server.Reply{}, fetchsession.Fetch{}
	fetches.Put(f)
}
