package handler

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/quota"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/server"
	"github.com/moldau/moldau/internal/uuid"
)

// Produce, versions 3 to 13: appends one record batch to each partition it names.
//
//	v3  record batch version 2 only           v7  zstd is allowed (KIP-110)
//	v5  log start offset in the response      v8  record errors and messages (KIP-467)
//	v9  flexible                              v10 the new leader, where this broker is not it (KIP-951)
//	v13 topic ids instead of names (KIP-516)
//
// The batches are appended before the next request of the connection is read, so that an idempotent producer's sequences arrive
// in order. acks=0 and acks=1 are answered at the append; acks=all when the high watermark has passed what was appended, while
// the connection reads on. With acks=0 nothing is answered, and an error closes the connection, so that the client notices.

// adminClientID is the client id that may write to internal topics (Kafka's tools use it).
const adminClientID = "__admin_client"

// produce is one Produce request, from decoding to the answer. It is used again and again.
type produce struct {
	h       *Handler
	in      *server.Request
	reply   server.Reply
	version int16
	req     protocol.ProduceRequest
	resp    protocol.ProduceResponse
	why     error // of the first partition that was refused
	meter   meter
	rules   record.Rules // of the batch at hand

	// mu guards what the partitions complete concurrently with acks=all.
	mu       sync.Mutex
	waits    []produceWait
	open     int // waits not completed
	answered bool
	timer    clock.Timer
}

// produceWait is one partition whose append waits for the high watermark.
type produceWait struct {
	partition.Wait
	p     *produce
	part  *partition.Partition
	topic int // place in the response
	index int
	over  bool
}

var produces = sync.Pool{New: func() any { return new(produce) }}

func serveProduce(h *Handler, req *server.Request, reply server.Reply) {
	p := produces.Get().(*produce)
	p.h, p.in, p.reply, p.version = h, req, reply, req.Header.Version
	p.answered, p.open = false, 0
	p.meter.begin(h, req)
	p.req.Memory = req
	err := p.req.Decode(p.version, req.Body)
	p.req.Memory = nil
	if err != nil {
		p.release()
		reply.Close(err)
		return
	}
	if !p.afford() {
		p.release()
		reply.Close(fmt.Errorf("serve a Produce of many partitions: %w", protocol.ErrNoMemory))
		return
	}
	p.keepLast()
	acks := p.req.Acks
	if code := p.refused(); code != protocol.None && acks != 0 {
		p.failAll(code)
		p.settle()
		p.send()
		p.release()
		return
	} else if code != protocol.None {
		p.release()
		reply.Close(errAcks0Failed)
		return
	}
	failed := p.appendAll(req.Header.ClientID == adminClientID)
	p.settle()
	switch {
	case acks == 0 && failed:
		p.noteRefused()
		p.release()
		reply.Close(errAcks0Failed)
	case acks == 0:
		p.release()
		reply.None()
	case len(p.waits) > 0:
		req.Drop() // the log has it; while a disk is slow there must be room for who asks for something else
		p.await()
	default:
		p.send()
		p.release()
	}
}

// produceCost is what a partition of a request takes in its answer and in what waits for it.
const produceCost = 400

// afford takes the memory that a request of many partitions needs.
func (p *produce) afford() bool {
	n := 0
	for i := range p.req.Topics {
		n += len(p.req.Topics[i].Partitions)
	}
	return n <= fewPartitions || p.in.Charge(int64(n)*produceCost)
}

// settle counts the request for its client. That is done when it is appended, not when it is answered: so the connection reads on no
// further than the quota allows while what was appended is made durable. The time of requests with acks=0 does not count, as in Kafka.
func (p *produce) settle() {
	if p.meter.client == nil {
		return
	}
	bytes, request := p.meter.client.Take(quota.Produce, int64(p.in.Size)), time.Duration(0)
	if p.req.Acks != 0 {
		request = p.meter.time(p.h)
	}
	p.resp.ThrottleMs = p.meter.throttle(p.h, p.reply, request, quota.Produce, bytes)
}

var errAcks0Failed = errors.New("a record that was sent with acks=0 was refused")

// refused finds what is wrong with the request as a whole.
func (p *produce) refused() protocol.ErrorCode {
	if a := p.req.Acks; a < -1 || a > 1 {
		return protocol.InvalidRequiredAcks
	}
	for i := range p.req.Topics {
		for _, part := range p.req.Topics[i].Partitions {
			if b, _, err := record.Next(part.Records); err == nil && b.IsTransactional() {
				return protocol.TransactionalIDAuthorizationFailed // transactions are not served yet
			}
		}
	}
	return protocol.None
}

// keepLast drops all but the last entry of a partition that the request names several times, as Kafka does.
func (p *produce) keepLast() {
	p.joinTopics()
	for i := range p.req.Topics {
		t := &p.req.Topics[i]
		if n := len(t.Partitions); n < 2 || slices.IsSortedFunc(t.Partitions, byPartition) && !hasNeighbours(t.Partitions) {
			continue // the usual order
		}
		last := make(map[int32]int, len(t.Partitions))
		for j, part := range t.Partitions {
			last[part.Partition] = j
		}
		kept := t.Partitions[:0]
		for j, part := range t.Partitions {
			if last[part.Partition] == j {
				kept = append(kept, part)
			}
		}
		t.Partitions = kept
	}
}

// joinTopics makes one entry of those that name the same topic.
func (p *produce) joinTopics() {
	if len(p.req.Topics) < 2 {
		return
	}
	type topic struct {
		name string
		id   uuid.UUID
	}
	first := make(map[topic]int, len(p.req.Topics))
	for i, t := range p.req.Topics {
		if _, ok := first[topic{t.Name, t.ID}]; !ok {
			first[topic{t.Name, t.ID}] = i
		}
	}
	if len(first) == len(p.req.Topics) {
		return
	}
	joined := make([]protocol.ProduceTopic, 0, len(first)) // not in place: the entries are used again and must not share memory
	for i, t := range p.req.Topics {
		k := topic{t.Name, t.ID}
		if first[k] == i {
			first[k] = len(joined)
			joined = append(joined, protocol.ProduceTopic{Name: t.Name, ID: t.ID, Partitions: slices.Clone(t.Partitions)})
		} else {
			joined[first[k]].Partitions = append(joined[first[k]].Partitions, t.Partitions...)
		}
	}
	p.req.Topics = joined
}

func byPartition(a, b protocol.ProducePartition) int { return cmp.Compare(a.Partition, b.Partition) }

// hasNeighbours says whether sorted partitions name one twice.
func hasNeighbours(sorted []protocol.ProducePartition) bool {
	for i := range sorted[1:] {
		if sorted[i].Partition == sorted[i+1].Partition {
			return true
		}
	}
	return false
}

// layOut shapes the response as the request is shaped.
func (p *produce) layOut() {
	n := len(p.req.Topics)
	if cap(p.resp.Topics) < n {
		p.resp.Topics = make([]protocol.ProduceResponseTopic, n)
	}
	p.resp.Topics, p.resp.ThrottleMs = p.resp.Topics[:n], 0
	for i := range p.req.Topics {
		from, to := &p.req.Topics[i], &p.resp.Topics[i]
		to.Name, to.ID = from.Name, from.ID
		to.Partitions = to.Partitions[:0]
		for _, part := range from.Partitions {
			to.Partitions = append(to.Partitions, protocol.ProduceResponsePartition{
				Partition: part.Partition, BaseOffset: -1, LogAppendTimeMs: -1, LogStartOffset: -1})
		}
	}
}

func (p *produce) failAll(code protocol.ErrorCode) {
	p.layOut()
	for i := range p.resp.Topics {
		for j := range p.resp.Topics[i].Partitions {
			p.resp.Topics[i].Partitions[j].Error = code
		}
	}
}

// appendAll appends to every partition of the request, and returns whether any was refused. A refused one does not keep its
// neighbours from being written.
func (p *produce) appendAll(internalAllowed bool) (failed bool) {
	p.layOut()
	img := p.h.Metadata.Image()
	now := p.h.Clock.Now().UnixMilli()
	caughtUp := false
	for i := range p.req.Topics {
		t := &p.req.Topics[i]
		missing := protocol.UnknownTopicOrPartition
		if p.version >= 13 {
			missing = protocol.UnknownTopicID
		}
		topic := topicOf(img, p.version, t.Name, t.ID)
		if topic == nil && !caughtUp {
			p.catchUp(t)
			img, caughtUp = p.h.Metadata.Image(), true
			topic = topicOf(img, p.version, t.Name, t.ID)
		}
		for j := range t.Partitions {
			out := &p.resp.Topics[i].Partitions[j]
			switch index := t.Partitions[j].Partition; {
			case topic == nil:
				out.Error = missing
			case index < 0 || int(index) >= len(topic.Partitions):
				out.Error = protocol.UnknownTopicOrPartition
			case isInternal(topic.Name) && !internalAllowed:
				out.Error = protocol.InvalidTopic
			default:
				part := p.h.Partitions.Partition(topic.ID, index)
				if p.req.Acks != -1 && p.h.doubtful(topic, index) { // nobody else would have seen it
					out.Error = protocol.NotLeaderOrFollower
					break
				}
				if part == nil {
					out.Error = protocol.NotLeaderOrFollower
				} else if err := p.appendOne(part, t.Partitions[j].Records, now, i, j); err != nil {
					p.fail(out, err)
				}
				if out.Error == protocol.NotLeaderOrFollower && p.version >= 10 {
					out.CurrentLeader = currentLeader(topic, index)
				}
			}
			failed = failed || out.Error != protocol.None
		}
	}
	return failed
}

// topicOf finds a topic that a request names.
func topicOf(img *metadata.Image, version int16, name string, id uuid.UUID) *metadata.Topic {
	if version >= 13 {
		return img.TopicByID(id)
	}
	return img.Topic(name)
}

// catchUp waits for metadata that know a topic, if there are such. What asks for it may outlast the request.
func (p *produce) catchUp(t *protocol.ProduceTopic) {
	version, name, id := p.version, strings.Clone(t.Name), t.ID
	p.h.catchUpFirst(p.in.Conn.Context(), &p.meter, func(img *metadata.Image) bool { return topicOf(img, version, name, id) == nil })
}

// appendOne validates and appends one partition's batch.
func (p *produce) appendOne(part *partition.Partition, records []byte, now int64, topic, index int) error {
	out := &p.resp.Topics[topic].Partitions[index]
	b, err := record.ForProduce(records, p.version)
	if err != nil {
		return err
	}
	out.LogStartOffset = part.Log().LogStart()
	settings := part.Settings()
	p.rules = settings.Rules
	p.rules.Topic, p.rules.Partition = part.ID().Topic, part.ID().Partition
	b, err = record.Validate(b, now, &p.rules)
	if err != nil {
		return err
	}
	if !p.h.roomFor(part, b) {
		part.Refused()
		return errNoProducer
	}
	info, err := part.Append(b, p.req.Acks == -1)
	if err != nil {
		return err
	}
	if !info.Duplicate {
		stats := &p.h.stats
		stats.ProducedRecords.Add(info.Last - info.First + 1)
		stats.ProducedBatches.Inc()
		stats.ProducedBytes.Add(int64(len(b)))
	}
	out.BaseOffset, out.LogStartOffset = info.First, info.LogStart
	if settings.Rules.TimestampType == record.LogAppendTime || info.Duplicate {
		out.LogAppendTimeMs = info.Timestamp // of the original, for a duplicate, whatever the topic says
	}
	if p.req.Acks == -1 && !part.Committed(info.Last+1, info.Epoch) {
		p.waits = append(p.waits, produceWait{Wait: partition.Wait{End: info.Last + 1, Epoch: info.Epoch}, p: p, part: part, topic: topic, index: index})
	}
	return nil
}

// fail fills in the code of an error, and what it says to the client.
func (p *produce) fail(out *protocol.ProduceResponsePartition, err error) {
	out.Error = codeOf(err)
	if p.why == nil {
		p.why = err
	}
	switch out.Error {
	case protocol.CorruptMessage, protocol.MessageTooLarge, protocol.RecordListTooLarge, protocol.NotLeaderOrFollower, protocol.StorageError:
		out.LogStartOffset = -1 // with these Kafka does not tell it
	}
	if err == errNoProducer {
		out.ErrorMessage = new(errCrowded)
	}
	var refused *record.Error
	if errors.As(err, &refused) && (len(refused.Records) > 0 || refused.Unframed) {
		for i := range refused.Records {
			e := &refused.Records[i]
			out.RecordErrors = append(out.RecordErrors, protocol.RecordError{Index: e.Index, Message: &e.Message})
		}
		out.ErrorMessage = &refused.Message
	}
}

func currentLeader(topic *metadata.Topic, index int32) *protocol.CurrentLeader {
	part := topic.Partitions[index]
	return &protocol.CurrentLeader{ID: part.Leader, Epoch: part.LeaderEpoch}
}

// await registers with every partition that has not committed yet. Whoever completes the last one answers.
func (p *produce) await() {
	p.mu.Lock()
	p.open = len(p.waits) + 1 // one for this function, so that nobody answers before it is done
	for i := range p.waits {
		w := &p.waits[i]
		w.Done = w.done
	}
	p.mu.Unlock()
	if p.req.TimeoutMs > 0 {
		p.mu.Lock()
		p.timer = p.h.Clock.AfterFunc(time.Duration(p.req.TimeoutMs)*time.Millisecond, p.expire)
		p.mu.Unlock()
	}
	for i := range p.waits {
		w := &p.waits[i]
		committed, err := w.part.Await(&w.Wait)
		if committed || err != nil {
			w.done(err)
		}
	}
	p.complete(nil, nil)
}

func (w *produceWait) done(err error) { w.p.complete(w, err) }

// complete notes that one wait is over and answers when it was the last.
func (p *produce) complete(w *produceWait, err error) {
	p.mu.Lock()
	if w != nil {
		w.over = true
		if err != nil && !p.answered {
			out := &p.resp.Topics[w.topic].Partitions[w.index]
			out.Error = codeOf(err) // what was appended stays in the log
			if id := w.part.ID(); out.Error == protocol.NotLeaderOrFollower && p.version >= 10 {
				if t := p.h.Metadata.Image().TopicByID(id.TopicID); t != nil && int(id.Partition) < len(t.Partitions) {
					out.CurrentLeader = currentLeader(t, id.Partition)
				}
			}
		}
	}
	p.open--
	answer := p.open == 0 && !p.answered
	p.answered = p.answered || answer
	timer := p.timer
	p.mu.Unlock()
	switch {
	case !answer:
	case timer != nil && !timer.Stop():
		p.send() // expire is on its way; it will find the request answered, so this one is not used again
	default:
		p.send()
		p.release()
	}
}

// expire answers REQUEST_TIMED_OUT for the partitions that did not commit in time. What was appended stays in the log.
func (p *produce) expire() {
	p.mu.Lock()
	if p.answered {
		p.mu.Unlock()
		return
	}
	p.answered = true
	for i := range p.waits {
		if w := &p.waits[i]; !w.over {
			p.resp.Topics[w.topic].Partitions[w.index].Error = protocol.RequestTimedOut
		}
	}
	p.mu.Unlock()
	for i := range p.waits {
		p.waits[i].part.Cancel(&p.waits[i].Wait)
	}
	p.send() // a wait that could not be cancelled is still to complete: this request is not used again
}

// send encodes and sends the response.
func (p *produce) send() {
	buf := protocol.AppendResponseHeader(p.in.Buffer[:0], protocol.KeyProduce, p.version, p.in.Header.CorrelationID)
	p.addEndpoints()
	p.noteRefused()
	p.reply.SendBytes(p.resp.AppendTo(buf, p.version))
}

// noteRefused sees to it that the request is counted and logged under its first error.
func (p *produce) noteRefused() {
	for i := range p.resp.Topics {
		t := &p.resp.Topics[i]
		for j := range t.Partitions {
			code := t.Partitions[j].Error
			if code == protocol.None {
				continue
			}
			p.reply.Failed(code)
			name := t.Name
			if known := p.h.Metadata.Image().TopicByID(t.ID); p.version >= 13 && known != nil {
				name = known.Name
			}
			p.h.refused(p.in.Conn, &p.in.Header, outcome{code: code, topic: name}, p.why)
			return
		}
	}
}

// addEndpoints names the brokers that the response sends the client to.
func (p *produce) addEndpoints() {
	p.resp.NodeEndpoints = p.resp.NodeEndpoints[:0]
	for i := range p.resp.Topics {
		for j := range p.resp.Topics[i].Partitions {
			if l := p.resp.Topics[i].Partitions[j].CurrentLeader; l != nil {
				p.resp.NodeEndpoints = p.h.addEndpoint(p.resp.NodeEndpoints, l.ID, p.in.Conn)
			}
		}
	}
}

func (p *produce) release() {
	p.req.Reset()
	p.resp.Topics = p.resp.Topics[:0]
	clear(p.waits)
	p.waits = p.waits[:0]
	if p.req.Topics == nil { // it was too large to keep, and these are as large
		p.resp, p.waits = protocol.ProduceResponse{}, nil
	}
	p.why, p.meter.client, p.rules = nil, nil, record.Rules{}
	p.timer, p.reply, p.in, p.h = nil, server.Reply{}, nil, nil
	produces.Put(p)
}
