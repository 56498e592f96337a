package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// session is a fetch session as a client keeps it.
type session struct {
	script  *Script
	version int16
	id      int32
	epoch   int32
}

// open starts a session with the given partitions.
func (x *Script) open(version int16, parts ...part) *session {
	s := &session{script: x, version: version}
	s.id = x.Do(s.request(parts...)).(*kmsg.FetchResponse).SessionID
	return s
}

// request is the next request of the session, with what changed.
func (s *session) request(parts ...part) *kmsg.FetchRequest {
	req := fetch(s.version, parts...)
	req.SessionID, req.SessionEpoch = s.id, s.epoch
	s.epoch++
	return req
}

// next sends the next request of the session.
func (s *session) next(about string, parts ...part) {
	s.script.Note(about)
	s.script.Do(s.request(parts...))
}

// forget takes partitions of a topic out of the session.
func (s *session) forget(t Topic, partitions ...int32) {
	req := s.request()
	f := kmsg.NewFetchRequestForgottenTopic()
	f.Topic, f.TopicID, f.Partitions = t.Name, t.ID, partitions
	req.ForgottenTopics = append(req.ForgottenTopics, f)
	s.script.Note("forget partitions")
	s.script.Do(req)
}

// put writes a plain batch without recording the answer.
func (s *Script) put(t Topic, partition int32, values ...string) {
	resp, ok := s.quiet(produce(9, -1, on(t, partition, of(values...)))).(*kmsg.ProduceResponse)
	if !ok || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		panic("could not write to " + t.Name)
	}
}

func sessionSequences() []Case {
	return []Case{
		sequence("session-incremental", func(x *Script) {
			t := x.Topic("a", 4)
			x.put(t, 0, "a", "b")
			x.put(t, 1, "c")
			s := x.open(12, from(t, 0, 0), from(t, 1, 0), from(t, 2, 0))
			s.next("unchanged, offsets not moved")
			s.next("offsets moved", from(t, 0, 2), from(t, 1, 1))
			s.next("nothing new")
			x.put(t, 2, "d")
			s.next("data in one partition")
			s.next("the same data again")
			s.next("taken", from(t, 2, 1))
			s.forget(t, 2)
			x.put(t, 2, "e")
			x.put(t, 0, "f")
			s.next("one partition forgotten")
			s.next("added again, one more", from(t, 2, 1), from(t, 3, 0), from(t, 0, 3))
			s.next("partition that does not exist", from(t, 9, 0), from(t, 2, 2))
			s.next("the error is repeated")
			x.quiet(deleteRecords(2, t.Name, 0, 2))
			s.next("log start moved")
			s.next("log start known")
			x.quiet(deleteRecords(2, t.Name, 2, 2))
			s.next("fetch position behind the log start", from(t, 2, 0))
			s.next("position corrected", from(t, 2, 2))
			s.next("and nothing new")
			s.forget(t, 0, 1, 2, 3, 9)
			s.next("nothing left")
		}),
		sequence("session-epochs", func(x *Script) {
			t := x.Topic("a", 1)
			x.put(t, 0, "a")
			s := x.open(12, from(t, 0, 0))
			s.epoch = 5
			s.next("epoch too high")
			s.epoch = 1
			s.next("right epoch")
			s.epoch = 1
			s.next("same epoch again")
			s.epoch = 2
			s.next("right epoch")
			x.On(1).Do(s.request()) // a session does not belong to a connection
			s.epoch = -1
			s.next("closed", from(t, 0, 0))
			s.epoch = 4
			s.next("gone")
			s = x.open(12, from(t, 0, 0))
			s.epoch = 0
			old := s.id
			s.next("opened anew in place of the old one", from(t, 0, 1))
			s.id, s.epoch = old, 1
			s.next("the old one is gone")
		}),
		sequence("session-ids", func(x *Script) {
			a, b := x.Topic("a", 1), x.Topic("b", 1)
			x.put(a, 0, "a")
			x.put(b, 0, "b")
			s := x.open(13, from(a, 0, 0), from(b, 0, 0))
			s.next("taken", from(a, 0, 1), from(b, 0, 1))
			s.next("unknown topic id", from(x.missing(), 0, 0))
			s.next("unknown topic id repeated")
			s.forget(x.missing(), 0)
			x.quiet(deleteTopics(6, a.Name))
			x.Settle()
			s.next("a topic was deleted")
			s.next("still deleted")
			again := x.Topic("a", 1)
			x.norm.topicIs(again.ID, "a-again")
			x.put(again, 0, "new")
			s.next("a topic of that name again")
			s.next("by its new id", from(again, 0, 0))
			x.put(b, 0, "b2")
			s.next("the other topic goes on")
		}),
		sequence("session-mixed-versions", func(x *Script) {
			t := x.Topic("a", 1)
			x.put(t, 0, "a")
			s := x.open(12, from(t, 0, 0))
			s.version = 13
			s.next("names first, ids now", from(t, 0, 1))
			s.version = 12
			s.next("names again")
			s = x.open(17, from(t, 0, 0))
			s.version = 12
			s.next("ids first, names now", from(t, 0, 1))
			s.version = 7
			s.epoch = 1
			s.next("older version of the same kind", from(t, 0, 1))
		}),
		sequence("session-rotation", func(x *Script) {
			t := x.Topic("a", 3)
			for p := range int32(3) {
				x.put(t, p, "0123456789012345678901234567890123456789")
			}
			open := func(req *kmsg.FetchRequest) *kmsg.FetchRequest {
				req.MaxBytes = 110 // one batch
				return req
			}
			s := &session{script: x, version: 12}
			s.id = x.Do(open(s.request(from(t, 0, 0), from(t, 1, 0), from(t, 2, 0)))).(*kmsg.FetchResponse).SessionID
			for range 4 {
				x.Do(open(s.request()))
			}
		}),
		sequence("session-silent-when-waiting", func(x *Script) {
			t := x.Topic("a", 2)
			s := x.open(12, from(t, 0, 0), from(t, 1, 0))
			req := s.request()
			req.MaxWaitMillis = 3_000
			p := x.On(0).Start(req)
			x.put(t, 1, "woken")
			p.Answer()
			req = s.request(from(t, 1, 1))
			req.MaxWaitMillis = 30
			x.Do(req)
		}),
	}
}
