package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// newProducer asks for a producer id and records the answer.
func (s *Script) newProducer() int64 {
	resp := s.Do(initProducerID(4)).(*kmsg.InitProducerIDResponse)
	if resp.ErrorCode != 0 {
		panic("no producer id")
	}
	return resp.ProducerID
}

// recent makes a batch with the time at which the script began: Kafka forgets producers whose last batch says that it is a day old.
func (s *Script) recent(values ...string) batch { return of(values...).at(s.norm.now) }

// send writes one batch of n records as a producer and records the answer.
func (s *Script) send(about string, t Topic, n int, id int64, epoch int16, sequence int32) {
	s.Note(about)
	s.Do(produce(9, -1, on(t, 0, s.recent(many(n)...).by(id, epoch, sequence))))
}

func idempotentSequences() []Case {
	return []Case{
		sequence("idempotent-duplicates", func(x *Script) {
			t := x.Topic("a", 1)
			id := x.newProducer()
			for i := range int32(6) {
				x.send("in order", t, 2, id, 0, 2*i)
			}
			for i := int32(5); i >= 0; i-- {
				x.send("duplicate", t, 2, id, 0, 2*i)
			}
			x.send("duplicate of half a batch", t, 1, id, 0, 10)
			x.send("duplicate and one more", t, 3, id, 0, 10)
			x.send("overlapping", t, 2, id, 0, 11)
			x.send("next", t, 1, id, 0, 12)
			x.Note("same numbers, other records: still a duplicate")
			x.Do(produce(9, -1, on(t, 0, x.recent("other").by(id, 0, 12))))
			x.Do(stored(t, 0, 0))
		}),
		sequence("idempotent-out-of-order", func(x *Script) {
			t := x.Topic("a", 1)
			id := x.newProducer()
			x.send("first", t, 1, id, 0, 0)
			x.send("gap", t, 1, id, 0, 2)
			x.send("gap again", t, 1, id, 0, 2)
			x.send("the missing one", t, 1, id, 0, 1)
			x.send("now in order", t, 1, id, 0, 2)
			x.send("far ahead", t, 1, id, 0, 1000)
			x.send("zero", t, 1, id, 0, 0)
			x.send("zero, longer", t, 2, id, 0, 0)
			x.Do(stored(t, 0, 0))
		}),
		sequence("idempotent-epochs", func(x *Script) {
			t := x.Topic("a", 1)
			id := x.newProducer()
			x.send("epoch 0", t, 1, id, 0, 0)
			x.send("epoch 0", t, 1, id, 0, 1)
			x.send("epoch 1 does not begin at 0", t, 1, id, 1, 2)
			x.send("epoch 1 begins", t, 1, id, 1, 0)
			x.send("epoch 0 is fenced", t, 1, id, 0, 2)
			x.send("a duplicate of epoch 0 too", t, 1, id, 0, 1)
			x.send("duplicate of epoch 1", t, 1, id, 1, 0)
			x.send("epoch 1 goes on", t, 1, id, 1, 1)
			x.send("epoch 5 begins", t, 1, id, 5, 0)
			x.send("epoch 32767", t, 1, id, 32767, 0)
			x.send("negative epoch", t, 1, id, -2, 0)
			x.Do(stored(t, 0, 0))
		}),
		sequence("idempotent-wrap", func(x *Script) {
			t := x.Topic("a", 1)
			const last = 1<<31 - 1
			x.send("unknown producer far from 0", t, 1, 7000, 0, last-2)
			x.send("batch across the end", t, 3, 7000, 0, last-1)
			x.send("duplicate of it", t, 3, 7000, 0, last-1)
			x.send("next after the wrap", t, 1, 7000, 0, 1)
			x.send("zero again", t, 1, 7000, 0, 0)
			x.send("another producer ends at the last number", t, 1, 7001, 0, last)
			x.send("and goes on at 0", t, 2, 7001, 0, 0)
			x.send("duplicate of the last number", t, 1, 7001, 0, last)
			x.Do(stored(t, 0, 0))
		}),
		sequence("idempotent-unknown", func(x *Script) {
			t := x.Topic("a", 2)
			x.send("an id nobody was given", t, 1, 7000, 0, 0)
			x.send("an id nobody was given, sequence 5", t, 1, 7001, 0, 5)
			x.send("and on", t, 1, 7001, 0, 6)
			x.send("an id nobody was given, epoch 3", t, 1, 7002, 3, 0)
			x.Note("newer protocol")
			x.Do(produce(12, -1, on(t, 0, x.recent("v12").by(7003, 0, 5))))
			x.Note("other partition, own numbers")
			x.Do(produce(9, -1, on(t, 1, x.recent("p1").by(7000, 0, 0)), on(t, 0, x.recent("p0").by(7000, 0, 1))))
			x.Note("without any identity in between")
			x.Do(produce(9, -1, on(t, 0, of("plain"))))
			x.send("and on", t, 1, 7000, 0, 2)
			x.Do(stored(t, 0, 0))
			x.Do(stored(t, 1, 0))
		}),
		sequence("idempotent-acks", func(x *Script) {
			t := x.Topic("a", 1)
			id := x.newProducer()
			x.On(0).Silent(produce(9, 0, on(t, 0, x.recent("acks 0").by(id, 0, 0))))
			x.Note("duplicate with acks 1")
			x.Do(produce(9, 1, on(t, 0, x.recent("acks 1").by(id, 0, 0))))
			x.Note("out of order with acks 0 closes the connection")
			x.On(0).Silent(produce(9, 0, on(t, 0, x.recent("acks 0").by(id, 0, 9))))
			x.send("next", t, 1, id, 0, 1)
			x.Do(stored(t, 0, 0))
		}),
		sequence("idempotent-deleted-records", func(x *Script) {
			t := x.Topic("a", 1)
			id := x.newProducer()
			x.send("first", t, 2, id, 0, 0)
			x.send("second", t, 2, id, 0, 2)
			x.Do(deleteRecords(2, t.Name, 0, -1))
			x.send("duplicate of deleted records", t, 2, id, 0, 2)
			x.send("next", t, 1, id, 0, 4)
			x.Do(stored(t, 0, 4))
		}),
		sequence("idempotent-codecs", func(x *Script) {
			t := x.Topic("a", 1)
			for i, codec := range []int16{0, attrGzip, attrSnappy, attrLZ4, attrZstd} {
				b := x.recent(many(3)...).with(codec).by(7000, 0, int32(3*i))
				x.Do(produce(9, -1, on(t, 0, b)))
				x.Do(produce(9, -1, on(t, 0, b)))
			}
			x.Do(listOffsets(7, t.Name, 0, -1))
		}),
		sequence("transactional-refused", func(x *Script) {
			t := x.Topic("a", 1)
			req := initProducerID(4)
			req.TransactionalID = ptr("never-opened")
			x.Do(req)
			for _, v := range []int16{9, 12} {
				p := produce(v, -1, on(t, 0, x.recent("transactional").by(7000, 0, 0).with(attrTransactional)))
				p.TransactionID = ptr("never-opened")
				x.Note("transactional batch, transactional id")
				x.Do(p)
				p = produce(v, -1, on(t, 0, of("plain")))
				p.TransactionID = ptr("never-opened")
				x.Note("plain batch, transactional id")
				x.Do(p)
				p = produce(v, -1, on(t, 0, of("no producer").with(attrTransactional)))
				p.TransactionID = ptr("never-opened")
				x.Note("transactional batch without a producer")
				x.Do(p)
				x.Note("transactional batch, no transactional id")
				x.Do(produce(v, -1, on(t, 0, x.recent("transactional").by(7000, 0, 0).with(attrTransactional))))
			}
			x.Do(stored(t, 0, 0))
		}),
	}
}
