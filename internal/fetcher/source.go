package fetcher

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/peer"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/replica"
)

const (
	pauseMin     = 10 * time.Millisecond // the first pause after a failure; the next ones double
	writeTimeout = 5 * time.Second
	underWay     = 2    // requests of a connection
	mentionsMax  = 2000 // partitions of a request; more follow in the next one
)

var (
	errIdle      = errors.New("nothing of this broker is followed any more")
	errNoSession = errors.New("the leader keeps no session: it does not know this broker yet")
)

// source is a broker that leads partitions which this one follows. It lives while there are any. The fetcher's mu guards it, but for what is said
// otherwise.
type source struct {
	f      *Fetcher
	broker int32
	wake   chan struct{} // something is dirty, or nothing is left
	parts  map[key]*follow
	dirty  []*follow // in the order in which they became so
	held   []*follow
	gone   []key // forgotten here, and not yet told

	outside map[*follow]struct{} // that are not in the ISR
	nudged  time.Time            // when they were told last

	session int32 // of the connection; 0: none yet
	epoch   int32
	flying  int // requests without an answer
	spoken  int32
	heard   int32

	sending sync.Mutex // held while a request is made and written: they leave in the order of their epochs
	request protocol.FetchRequest
	frame   []byte

	answer protocol.FetchAnswer // the reader's, as all that follows
	failed string               // as it was logged last
}

func (s *source) add(st *follow) {
	st.source, st.waits, st.until, st.pause, st.told = s, false, time.Time{}, 0, false
	st.dirty, st.held = false, false
	s.parts[st.key] = st
}

// drop forgets a partition.
func (s *source) drop(st *follow) {
	delete(s.outside, st)
	st.source = nil
	if s.parts[st.key] == st { // and not a replica that took its place
		delete(s.parts, st.key)
		if s.session != 0 || s.flying > 0 {
			s.gone = append(s.gone, st.key)
		}
	}
	s.signal()
}

// mark notes that there may be something to say of a partition.
func (s *source) mark(st *follow) {
	if !st.dirty {
		st.dirty = true
		s.dirty = append(s.dirty, st)
	}
}

func (s *source) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run connects, and again after a loss, while there is anything to follow.
func (s *source) run() {
	pause := time.Duration(0)
	for !s.over() {
		conn, err := s.dial()
		if err == nil {
			begun := s.f.options.Clock.Now()
			err = s.serve(conn)
			if s.f.options.Clock.Now().Sub(begun) > s.f.options.Backoff {
				pause = 0
			}
		}
		if err == errIdle || s.f.life.Err() != nil {
			continue
		}
		if why := err.Error(); why != s.failed {
			s.failed = why
			s.f.options.Log.Info("fetch from a leader", "broker", s.broker, "error", err)
		}
		pause = s.longer(pause)
		select {
		case <-s.f.options.Clock.After(pause):
		case <-s.f.life.Done():
		}
	}
}

func (s *source) longer(pause time.Duration) time.Duration {
	return min(max(2*pause, pauseMin), max(s.f.options.Backoff, pauseMin))
}

// over ends the source when nothing is left to follow.
func (s *source) over() bool {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(s.parts) > 0 && !f.closed {
		return false
	}
	if f.sources[s.broker] == s {
		delete(f.sources, s.broker)
	}
	return true
}

func (s *source) dial() (network.Conn, error) {
	address, ok := s.f.options.Address(s.broker)
	if !ok {
		return nil, fmt.Errorf("no address of broker %d is known", s.broker)
	}
	return peer.Dial(s.f.life, s.f.options.Network, s.f.options.Clock, address)
}

// serve follows on a connection until it ends, and says why.
func (s *source) serve(conn network.Conn) error {
	s.begin()
	var reason error
	ended := make(chan struct{})
	s.f.work.Go(func() {
		defer close(ended)
		reason = s.read(conn)
	})
	var err error
	for over := false; !over; {
		var pause time.Duration
		if pause, err = s.speak(conn); err != nil {
			break
		}
		var soon <-chan time.Time
		if pause > 0 {
			soon = s.f.options.Clock.After(pause)
		}
		select {
		case <-s.wake:
		case <-soon:
		case <-ended:
			over = true
		case <-s.f.life.Done():
			over = true
		}
	}
	conn.Close()
	<-ended
	if err == nil {
		err = reason
	}
	return err
}

// begin forgets what the last connection was told.
func (s *source) begin() {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.session, s.epoch, s.flying, s.gone = 0, 0, 0, nil
	s.heard = s.spoken
	for _, st := range s.parts {
		st.waits = false
		s.mark(st)
	}
	s.signal()
}

// speak writes a request if there is something to say, and says after which time there will be.
func (s *source) speak(conn network.Conn) (next time.Duration, err error) {
	s.sending.Lock()
	defer s.sending.Unlock()
	frame, next, err := s.next()
	if err != nil || len(frame) == 0 {
		return next, err
	}
	now := s.f.options.Clock.Now()
	_ = conn.SetReadDeadline(now.Add(s.f.options.WaitMax + s.f.options.Timeout)) // a closed connection says so at the write
	_ = conn.SetWriteDeadline(now.Add(writeTimeout))
	_, err = conn.Write(frame)
	return next, err
}

// next makes a request, where there is something to say, and says after which time there will be.
func (s *source) next() (frame []byte, pause time.Duration, err error) {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(s.parts) == 0 {
		return nil, 0, errIdle
	}
	pause = s.release()
	if s.flying >= underWay || s.flying > 0 && s.session == 0 {
		return nil, pause, nil
	}
	q := &s.request
	q.Topics, q.Forgotten = q.Topics[:0], q.Forgotten[:0]
	s.nudge()
	mentions := s.mentions()
	if len(mentions) == 0 && len(s.gone) == 0 && (s.flying > 0 || s.session == 0) {
		return nil, pause, nil
	}
	for _, k := range s.gone {
		q.Forgotten = append(q.Forgotten, protocol.ForgottenTopic{ID: k.topic, Partitions: []int32{k.number}})
	}
	s.gone = nil
	slices.SortFunc(mentions, func(a, b mention) int { return bytes.Compare(a.topic[:], b.topic[:]) })
	for _, m := range mentions {
		s.append(m)
	}
	q.ReplicaID, q.MinBytes, q.MaxBytes = f.options.Broker, int32(max(1, f.options.MinBytes)), int32(f.options.ResponseMaxBytes)
	q.MaxWaitMs, q.SessionID, q.SessionEpoch = int32(f.options.WaitMax.Milliseconds()), s.session, s.epoch
	if len(mentions) > 0 {
		q.ReplicaEpoch = mentions[0].r.BrokerEpoch
	}
	if s.session == 0 {
		q.MaxWaitMs = 0 // the answer says which session that is
	} else if s.epoch++; s.epoch < 0 {
		s.epoch = 1
	}
	s.flying++
	s.spoken++
	s.frame = protocol.AppendRequestHeader(append(s.frame[:0], 0, 0, 0, 0), protocol.RequestHeader{Key: protocol.KeyFetch, Version: protocol.FollowerVersion,
		CorrelationID: s.spoken, ClientID: "broker-" + strconv.Itoa(int(f.options.Broker))})
	s.frame = q.AppendTo(s.frame, protocol.FollowerVersion)
	binary.BigEndian.PutUint32(s.frame, uint32(len(s.frame)-4))
	if len(s.dirty) > 0 {
		s.signal() // more than one request takes
	}
	return s.frame, pause, nil
}

// nudge has the partitions that are not in the ISR told once more, every now and then: their leader may have taken this broker for dead after it
// was told of them last, and that there is a connection does not say what a replica has. Without records nothing else would bring them back.
func (s *source) nudge() {
	now := s.f.options.Clock.Now()
	if len(s.outside) == 0 || now.Sub(s.nudged) < s.f.options.WaitMax {
		return
	}
	s.nudged = now
	for st := range s.outside {
		st.again = true
		s.mark(st)
	}
}

// mention is a partition of a request.
type mention struct {
	key
	r   replica.FetchRequest
	ask bool // for what comes next, or only told
}

// mentions takes what there is to say.
func (s *source) mentions() (all []mention) {
	n := 0
	for ; n < len(s.dirty) && len(all) < mentionsMax; n++ {
		st := s.dirty[n]
		if st.source != s || !st.dirty {
			continue
		}
		st.dirty = false
		if st.busy || st.held {
			continue
		}
		leader, r, ok := st.replica.NextFetch()
		if !ok || leader != s.broker {
			s.f.lookLocked(st.replica, s)
			continue
		}
		if len(all) > 0 && r.BrokerEpoch != all[0].r.BrokerEpoch {
			s.dirty = append(s.dirty, st) // a request has one
			st.dirty = true
			break
		}
		switch {
		case !st.waits:
			st.asked, st.waits = r, true
			all = append(all, mention{st.key, r, true})
		case r.SyncedEnd > st.synced || r.LogStart > st.start || st.again && r.Outside: // who deletes records waits for the log start
			all = append(all, mention{st.key, r, false})
		default:
			continue
		}
		st.synced, st.start, st.again = r.SyncedEnd, r.LogStart, false
	}
	rest := copy(s.dirty, s.dirty[n:])
	clear(s.dirty[rest:])
	s.dirty = s.dirty[:rest]
	return all
}

func (s *source) append(m mention) {
	q := &s.request
	if n := len(q.Topics); n == 0 || q.Topics[n-1].ID != m.topic {
		if n < cap(q.Topics) {
			q.Topics = q.Topics[:n+1]
		} else {
			q.Topics = append(q.Topics, protocol.FetchTopic{})
		}
		q.Topics[n].ID, q.Topics[n].Partitions = m.topic, q.Topics[n].Partitions[:0]
	}
	t := &q.Topics[len(q.Topics)-1]
	p := protocol.FetchPartition{Partition: m.number, CurrentLeaderEpoch: int32(m.r.LeaderEpoch), FetchOffset: m.r.Offset, LastFetchedEpoch: int32(m.r.LastEpoch),
		LogStartOffset: m.r.LogStart, SyncedEnd: m.r.SyncedEnd, HighWatermark: noHighWatermark}
	if m.ask {
		p.MaxBytes = int32(max(1, s.f.options.MaxBytes))
	}
	t.Partitions = append(t.Partitions, p)
}

// noHighWatermark says that the request does not tell it: leaders do not wait for it.
const noHighWatermark = 1<<63 - 1

// hold lets a partition alone for a while.
func (s *source) hold(st *follow, pause time.Duration) {
	st.pause = pause
	st.until = s.f.options.Clock.Now().Add(pause)
	if !st.held {
		st.held = true
		s.held = append(s.held, st)
	}
	s.signal()
}

// release marks partitions whose pause is over, and says when the next one's is; 0: there is none.
func (s *source) release() (next time.Duration) {
	if len(s.held) == 0 {
		return 0
	}
	now := s.f.options.Clock.Now()
	kept := s.held[:0]
	for _, st := range s.held {
		left := st.until.Sub(now)
		switch {
		case st.source != s || !st.held:
		case left > 0:
			kept = append(kept, st)
			if next == 0 || left < next {
				next = left
			}
		default:
			st.held = false
			s.mark(st)
		}
	}
	clear(s.held[len(kept):])
	s.held = kept
	return next
}
