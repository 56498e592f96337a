package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func listOffsetsCases(v int16) *suite {
	s := newSuite(keyListOffsets, v)
	fill := func(x *Script, t Topic) {
		x.quiet(produce(9, -1, on(t, 0, batch{records: []rec{text("", "a"), {value: []byte("b"), timeDelta: 2000}, {value: []byte("c"), timeDelta: 1000}}})))
		x.quiet(produce(9, -1, on(t, 0, of("d").at(baseTime+1500))))
	}
	// Each timestamp is a request of its own, since Kafka refuses a partition that is named twice.
	ask := func(x *Script, t Topic, timestamps ...int64) {
		for _, ts := range timestamps {
			x.Do(listOffsets(v, t.Name, 0, ts))
		}
	}

	s.add(Ordinary, "", func(x *Script) {
		t := x.Topic("a", 1)
		fill(x, t)
		ask(x, t, -1, -2, baseTime, baseTime+1)
	})
	s.add(Boundary, "", func(x *Script) {
		t := x.Topic("a", 1)
		fill(x, t)
		ask(x, t, 0, baseTime-1, baseTime+1000, baseTime+1001, baseTime+2000, baseTime+2001, 1<<62)
		committed := listOffsets(v, t.Name, 0, -1)
		committed.IsolationLevel = 1
		x.Do(committed)
		debug := listOffsets(v, t.Name, 0, -1)
		debug.ReplicaID = -2
		x.Do(debug)
		known := listOffsets(v, t.Name, 0, -1)
		known.Topics[0].Partitions[0].CurrentLeaderEpoch = 0
		x.Do(known)
		none := listOffsets(v, t.Name, 0)
		x.Do(none)
		none.Topics = nil
		x.Do(none)
	})
	s.add(Boundary, "special", func(x *Script) {
		t := x.Topic("a", 1)
		ask(x, t, -1, -2, -3, -4, -5, -6, 0, baseTime)
		fill(x, t)
		ask(x, t, -3, -4, -5, -6, -7, -100)
	})
	s.add(Wrong, "", func(x *Script) {
		t := x.Topic("a", 1)
		fill(x, t)
		x.Do(listOffsets(v, x.missing().Name, 0, -1))
		x.Do(listOffsets(v, t.Name, 1, -1))
		x.Do(listOffsets(v, t.Name, -1, -1))
		x.Do(listOffsets(v, t.Name, 0, -1, -2)) // one partition twice
		x.Do(listOffsets(v, "", 0, -1))
		future := listOffsets(v, t.Name, 0, -1)
		future.Topics[0].Partitions[0].CurrentLeaderEpoch = 5
		x.Do(future)
		follower := listOffsets(v, t.Name, 0, -1)
		follower.ReplicaID = 5
		x.Do(follower)
		odd := listOffsets(v, t.Name, 0, -1)
		odd.IsolationLevel = 9
		x.Note("isolation level 9")
		x.Do(odd)
	})
	s.malformed(func(x *Script) kmsg.Request { return listOffsets(v, absentTopic.Name, 0, -1) })
	return s
}

func offsetForLeaderEpochCases(v int16) *suite {
	s := newSuite(keyOffsetForLeaderEpoch, v)
	s.add(Ordinary, "", func(x *Script) {
		t := x.Topic("a", 1)
		x.quiet(produce(9, -1, on(t, 0, of(many(3)...))))
		x.Do(epochEnd(v, t.Name, 0, 0, 0))
		x.Do(epochEnd(v, t.Name, 0, -1, 0))
	})
	s.add(Boundary, "", func(x *Script) {
		t := x.Topic("a", 1)
		x.Do(epochEnd(v, t.Name, 0, -1, 0)) // nothing written yet
		x.quiet(produce(9, -1, on(t, 0, of(many(3)...))))
		x.Do(epochEnd(v, t.Name, 0, -1, 1))
		x.Do(epochEnd(v, t.Name, 0, -1, 1<<30))
		debug := epochEnd(v, t.Name, 0, -1, 0)
		debug.ReplicaID = -2
		x.Do(debug)
		none := epochEnd(v, t.Name, 0, -1, 0)
		none.Topics = nil
		x.Do(none)
	})
	s.add(Wrong, "", func(x *Script) {
		t := x.Topic("a", 1)
		x.quiet(produce(9, -1, on(t, 0, of(many(3)...))))
		x.Do(epochEnd(v, t.Name, 0, -1, -1))
		x.Do(epochEnd(v, t.Name, 0, -1, -2))
		x.Do(epochEnd(v, t.Name, 0, 5, 0))
		x.Do(epochEnd(v, t.Name, 0, -2, 0))
		x.Do(epochEnd(v, t.Name, 1, -1, 0))
		x.Do(epochEnd(v, x.missing().Name, 0, -1, 0))
		follower := epochEnd(v, t.Name, 0, -1, 0)
		follower.ReplicaID = 5
		x.Do(follower)
	})
	s.malformed(func(x *Script) kmsg.Request { return epochEnd(v, absentTopic.Name, 0, -1, 0) })
	return s
}

func deleteRecordsCases(v int16) *suite {
	s := newSuite(keyDeleteRecords, v)
	fill := func(x *Script, t Topic) {
		x.quiet(produce(9, -1, on(t, 0, of(many(3)...))))
		x.quiet(produce(9, -1, on(t, 0, of(many(3)...))))
	}
	s.add(Ordinary, "", func(x *Script) {
		t := x.Topic("a", 1)
		fill(x, t)
		x.Do(deleteRecords(v, t.Name, 0, 3))
		x.Do(listOffsets(7, t.Name, 0, -2))
		x.Do(stored(t, 0, 2))
		x.Do(stored(t, 0, 3))
	})
	s.add(Boundary, "", func(x *Script) {
		t := x.Topic("a", 2)
		x.Do(deleteRecords(v, t.Name, 0, 0)) // nothing written yet
		x.Do(deleteRecords(v, t.Name, 0, -1))
		fill(x, t)
		x.Do(deleteRecords(v, t.Name, 0, 1)) // inside a batch
		x.Do(stored(t, 0, 1))
		x.Do(deleteRecords(v, t.Name, 0, 1))
		x.Do(deleteRecords(v, t.Name, 0, 0)) // back
		x.Do(deleteRecords(v, t.Name, 0, -1))
		x.Do(listOffsets(7, t.Name, 0, -2))
		x.Do(stored(t, 0, 6))
		x.Do(produce(9, -1, on(t, 0, of("next"))))
		hurried := deleteRecords(v, t.Name, 0, 7)
		hurried.TimeoutMillis = 0
		x.Do(hurried)
		none := deleteRecords(v, t.Name, 0, 0)
		none.Topics = nil
		x.Do(none)
	})
	s.add(Wrong, "", func(x *Script) {
		t := x.Topic("a", 1)
		fill(x, t)
		x.Do(deleteRecords(v, t.Name, 0, 7))
		x.Do(deleteRecords(v, t.Name, 0, -2))
		x.Do(deleteRecords(v, t.Name, 1, 0))
		x.Do(deleteRecords(v, x.missing().Name, 0, 0))
		x.Do(deleteRecords(v, "", 0, 0))
		twice := deleteRecords(v, t.Name, 0, 1)
		twice.Topics[0].Partitions = append(twice.Topics[0].Partitions, twice.Topics[0].Partitions[0])
		x.Do(twice)
		x.Do(listOffsets(7, t.Name, 0, -2))
	})
	s.add(Wrong, "compacted", func(x *Script) {
		t := x.Topic("a", 1, "cleanup.policy=compact")
		x.quiet(produce(9, -1, on(t, 0, batch{records: []rec{text("k", "v")}})))
		x.Do(deleteRecords(v, t.Name, 0, 1))
	})
	s.malformed(func(x *Script) kmsg.Request { return deleteRecords(v, absentTopic.Name, 0, 0) })
	return s
}

func initProducerIDCases(v int16) *suite {
	s := newSuite(keyInitProducerID, v)
	s.add(Ordinary, "", func(x *Script) {
		x.Do(initProducerID(v))
		x.Do(initProducerID(v))
	})
	s.add(Boundary, "", func(x *Script) {
		short := initProducerID(v)
		short.TransactionTimeoutMillis = 0
		x.Do(short)
		short.TransactionTimeoutMillis = -1
		x.Do(short)
		long := initProducerID(v)
		long.TransactionTimeoutMillis = 1<<31 - 1
		x.Do(long)
		if v >= 3 {
			again := initProducerID(v)
			again.ProducerID, again.ProducerEpoch = 7000, 3 // without a transactional id these mean nothing
			x.Do(again)
		}
	})
	s.add(Wrong, "", func(x *Script) {
		empty := initProducerID(v)
		empty.TransactionalID = ptr("")
		x.Do(empty)
		half := initProducerID(v)
		half.ProducerID = 7000
		x.Do(half)
		half.ProducerID, half.ProducerEpoch = -1, 3
		x.Do(half)
	})
	s.add(Wrong, "transactional", func(x *Script) {
		req := initProducerID(v)
		req.TransactionalID = ptr("some-transaction")
		x.Do(req)
	})
	s.malformed(func(x *Script) kmsg.Request {
		req := initProducerID(v)
		req.TransactionalID = ptr("")
		return req
	})
	return s
}
