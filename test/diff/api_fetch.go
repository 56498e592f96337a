package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// as puts a replica id into a fetch request, where its version has it.
func as(req *kmsg.FetchRequest, replica int32, epoch int64) {
	if req.Version < 15 {
		req.ReplicaID = replica
	} else {
		req.ReplicaState.ID, req.ReplicaState.Epoch = replica, epoch
	}
}

func fetchCases(v int16) *suite {
	s := newSuite(keyFetch, v)
	fill := func(x *Script, t Topic, partition int32) {
		x.quiet(produce(9, -1, on(t, partition, of("a0", "a1", "a2"))))
		x.quiet(produce(9, -1, on(t, partition, of("b3"))))
		x.quiet(produce(9, -1, on(t, partition, of("c4", "c5"))))
	}

	s.add(Ordinary, "", func(x *Script) {
		t := x.Topic("a", 2)
		fill(x, t, 0)
		x.Do(fetch(v, from(t, 0, 0), from(t, 1, 0)))
		x.Do(fetch(v, from(t, 0, 3)))
		x.Do(fetch(v, from(t, 0, 6)))
	})
	s.add(Boundary, "", func(x *Script) {
		t := x.Topic("a", 2)
		fill(x, t, 0)
		fill(x, t, 1)
		x.Do(fetch(v))
		x.Do(fetch(v, from(t, 0, 1))) // inside a batch
		x.Do(fetch(v, from(t, 0, 5))) // inside the last batch
		tiny := fetch(v, part{topic: t, maxBytes: 1}, part{topic: t, partition: 1, maxBytes: 1})
		x.Do(tiny)
		none := fetch(v, from(t, 0, 0), from(t, 1, 0))
		none.MaxBytes = 0
		x.Do(none)
		patient := fetch(v, from(t, 0, 6), from(t, 1, 6))
		patient.MaxWaitMillis, patient.MinBytes = 20, 1
		x.Do(patient)
		greedy := fetch(v, from(t, 0, 0))
		greedy.MaxWaitMillis, greedy.MinBytes = 20, 1<<20
		x.Do(greedy)
		committed := fetch(v, from(t, 0, 3), from(t, 1, 6))
		committed.IsolationLevel = 1
		x.Do(committed)
		x.Do(fetch(v, from(t, 0, 0), from(t, 0, 4))) // one partition twice
		x.Do(fetch(v, part{topic: t, offset: 3, epoch: ptr(int32(0)), fetched: ptr(int32(0))}))
		debug := fetch(v, from(t, 0, 3))
		as(debug, -2, -1)
		x.Do(debug)
	})
	s.add(Wrong, "", func(x *Script) {
		t := x.Topic("a", 1)
		fill(x, t, 0)
		x.Do(fetch(v, from(t, 0, 7)))
		x.Do(fetch(v, from(t, 0, -1)))
		x.Do(fetch(v, from(t, 1, 0), from(t, -1, 0), from(t, 0, 4)))
		x.Do(fetch(v, from(x.missing(), 0, 0), from(t, 0, 4)))
		x.Do(fetch(v, part{topic: t, offset: 4, epoch: ptr(int32(5))}))
		x.Do(fetch(v, part{topic: t, offset: 4, epoch: ptr(int32(-2))}))
		x.Do(fetch(v, part{topic: t, offset: 4, fetched: ptr(int32(5))}))
		x.Note("partition limit -1")
		x.Do(fetch(v, part{topic: t, offset: 4, maxBytes: -1}))
		odd := fetch(v, from(t, 0, 4))
		odd.IsolationLevel = 7
		x.Note("isolation level 7")
		x.Do(odd)
		follower := fetch(v, from(t, 0, 4))
		as(follower, 5, 1)
		x.Do(follower)
		hurried := fetch(v, from(t, 0, 6))
		hurried.MaxWaitMillis, hurried.MinBytes = -1, -1
		x.Do(hurried)
	})
	if v >= 7 {
		s.add(Wrong, "sessions", func(x *Script) {
			t := x.Topic("a", 1)
			fill(x, t, 0)
			for _, session := range []struct{ id, epoch int32 }{{424242, 1}, {0, 1}, {424242, 0}, {424242, -1}, {-5, 3}, {0, -2}} {
				req := fetch(v, from(t, 0, 4))
				req.SessionID, req.SessionEpoch = session.id, session.epoch
				x.Do(req)
			}
		})
		s.add(Boundary, "session", func(x *Script) {
			t := x.Topic("a", 2)
			fill(x, t, 0)
			open := fetch(v, from(t, 0, 0), from(t, 1, 0))
			open.SessionEpoch = 0
			resp := x.Do(open).(*kmsg.FetchResponse)
			next := fetch(v)
			next.SessionID, next.SessionEpoch = resp.SessionID, 1
			x.Do(next)
			x.quiet(produce(9, -1, on(t, 1, of("new"))))
			next = fetch(v, from(t, 0, 6))
			next.SessionID, next.SessionEpoch = resp.SessionID, 2
			x.Do(next)
			end := fetch(v)
			end.SessionID, end.SessionEpoch = resp.SessionID, -1
			x.Do(end)
		})
	}
	s.malformed(func(x *Script) kmsg.Request { return fetch(v, from(absentTopic, 0, 0)) })
	return s
}
