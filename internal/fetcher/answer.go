package fetcher

import (
	"bufio"
	"encoding/binary"
	"fmt"

	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/peer"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/replica"
)

const (
	bufferBytes = 32 << 10 // that small answers are read into
	answerMin   = 5        // correlation id, and no tags
	answerMax   = 1 << 30
	keepRounds  = 64 // answers for which room is kept that they do not need
)

// read takes answers until the connection ends, and says why.
func (s *source) read(conn network.Conn) error {
	in := bufio.NewReaderSize(conn, bufferBytes)
	var room []byte
	for small := 0; ; {
		frame, err := peer.ReadFrame(in, room, answerMin, answerMax)
		if err != nil {
			return err
		}
		if err := s.take(frame); err != nil {
			return err
		}
		if room = frame; len(frame) >= cap(frame)/8 {
			small = 0
		} else if small++; small > keepRounds {
			room, small = nil, 0
			s.answer = protocol.FetchAnswer{}
		}
		if _, err := s.speak(conn); err != nil {
			return err
		}
	}
}

// take takes an answer to the replicas that it is for.
func (s *source) take(frame []byte) error {
	f := s.f
	if id := int32(binary.BigEndian.Uint32(frame)); id != s.heard+1 {
		return fmt.Errorf("%w: answer %d after %d", protocol.ErrMalformed, id, s.heard)
	}
	if frame[4] != 0 {
		return fmt.Errorf("%w: answer with an unknown header", protocol.ErrMalformed)
	}
	s.heard++
	a := &s.answer
	if err := a.Decode(frame[5:]); err != nil {
		return err
	}
	if a.Error != protocol.None {
		return fmt.Errorf("the leader answers %s", a.Error)
	}
	f.mu.Lock()
	s.flying--
	if s.session == 0 {
		s.session, s.epoch = a.SessionID, 1
	}
	session := s.session
	f.mu.Unlock()
	if session == 0 {
		return errNoSession
	}
	for i := range a.Partitions {
		s.hand(&a.Partitions[i])
	}
	clear(a.Partitions) // the records are in the frame
	if s.failed != "" {
		s.failed = ""
		f.options.Log.Info("a leader is fetched from", "broker", s.broker)
	}
	return nil
}

// hand takes one partition of an answer to its replica.
func (s *source) hand(p *protocol.FetchedPartition) {
	f := s.f
	answered := p.Error != protocol.None || p.Diverges || len(p.Records) > 0 // or else it tells where the high watermark is, and waits on
	f.mu.Lock()
	st := s.parts[key{p.TopicID, p.Partition}]
	if st == nil || !st.waits {
		f.mu.Unlock()
		return // it follows another one by now, or in another epoch
	}
	asked := st.asked
	if answered {
		st.waits = false
	}
	if !p.Told || p.Replica.FetchOffset != asked.Offset {
		if answered {
			s.failLocked(st, fmt.Errorf("the answer is to another fetch, at %d", p.Replica.FetchOffset))
		}
		f.mu.Unlock()
		return
	}
	st.busy = true
	f.mu.Unlock()
	if !p.Diverges && p.Error != protocol.OffsetOutOfRange {
		s.carry(st, asked, p, answered, s)
		return
	}
	// The log is to be cut, with several syncs. When a leader goes that is so of many partitions at once, and others that follow the new one, of which
	// somebody's acks=all may wait, must not stand behind them all.
	cut := *p
	cut.Records = nil // they would be in the frame, and are for nothing
	f.work.Go(func() {
		f.cutting <- struct{}{}
		s.carry(st, asked, &cut, answered, nil)
		<-f.cutting
	})
}

// carry lets a replica take an answer, and looks what it asks next, for a source that is about to speak, or for nobody.
func (s *source) carry(st *follow, asked replica.FetchRequest, p *protocol.FetchedPartition, answered bool, speaks *source) {
	f := s.f
	err := follows(st.replica, asked, p)
	f.mu.Lock()
	defer f.mu.Unlock()
	st.busy = false
	if st.source == s && s.parts[st.key] == st && answered {
		_, next, ok := st.replica.NextFetch()
		switch {
		case err == nil && ok && next.Offset == asked.Offset && next.LastEpoch == asked.LastEpoch && next.LeaderEpoch == asked.LeaderEpoch && next.LogStart == asked.LogStart:
			s.failLocked(st, fmt.Errorf("an answer leads nowhere: %d bytes for offset %d", len(p.Records), asked.Offset))
		case err != nil:
			s.failLocked(st, err)
		default:
			if st.told {
				f.options.Log.Info("a partition follows its leader again", "partition", st.replica.ID().String(), "broker", s.broker)
			}
			st.pause, st.told = 0, false
		}
	}
	f.lookLocked(st.replica, speaks)
}

// follows lets a replica take an answer.
func follows(r Replica, asked replica.FetchRequest, p *protocol.FetchedPartition) error {
	a := replica.FetchAnswer{LeaderEpoch: replica.LeaderEpoch(p.Replica.LeaderEpoch), HighWatermark: p.HighWatermark, LogStart: p.LogStartOffset, LogEnd: p.Replica.LogEnd}
	switch {
	case p.Error == protocol.OffsetOutOfRange:
		a.Err = replica.ErrOffsetOutOfRange
	case p.Error != protocol.None:
		return &refusal{p.Error}
	case p.Diverges:
		a.Diverging = &replica.Diverging{Epoch: replica.LeaderEpoch(p.Diverging.Epoch), End: p.Diverging.EndOffset}
	}
	return r.AppendAsFollower(asked, a, p.Records)
}

// refusal is a leader's error for a partition.
type refusal struct{ code protocol.ErrorCode }

func (e *refusal) Error() string { return "the leader answers " + e.code.String() }

// passing says that the error is over when the one or the other has newer metadata.
func (e *refusal) passing() bool {
	switch e.code {
	case protocol.NotLeaderOrFollower, protocol.FencedLeaderEpoch, protocol.UnknownLeaderEpoch, protocol.UnknownTopicID, protocol.UnknownTopicOrPartition, protocol.StaleBrokerEpoch:
		return true
	}
	return false
}

// failLocked lets a partition alone for a while, and says why, once.
func (s *source) failLocked(st *follow, err error) {
	s.hold(st, s.longer(st.pause))
	r, is := err.(*refusal)
	log := s.f.options.Log
	switch {
	case is && r.passing() && st.pause < s.f.options.Backoff:
		log.Debug("fetch a partition", "partition", st.replica.ID().String(), "broker", s.broker, "error", err)
	case !st.told:
		st.told = true
		log.Warn("a partition does not follow its leader", "partition", st.replica.ID().String(), "broker", s.broker, "error", err)
	}
}
