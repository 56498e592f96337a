package diff

import (
	"fmt"
	"strings"
)

func fetchSequences() []Case {
	return []Case{
		sequence("long-poll", func(x *Script) {
			t := x.Topic("a", 2)
			req := fetch(12, from(t, 0, 0), from(t, 1, 0))
			req.MaxWaitMillis, req.MinBytes = 30, 1
			x.Note("nothing comes")
			x.Do(req)
			req.MaxWaitMillis = 3_000
			x.Note("answered by a produce on another connection")
			p := x.On(0).Start(req)
			x.On(1).Do(produce(9, -1, on(t, 1, of("wake"))))
			p.Answer()
			req = fetch(12, from(t, 0, 0), from(t, 1, 1))
			req.MaxWaitMillis, req.MinBytes = 3_000, 150
			x.Note("the first produce is not enough, the second is")
			p = x.On(0).Start(req)
			x.On(1).Do(produce(9, 1, on(t, 0, of("little"))))
			x.On(1).Do(produce(9, 1, on(t, 1, of(strings.Repeat("much", 20)))))
			p.Answer()
			req = fetch(12, from(t, 0, 0), from(t, 1, 0))
			req.MaxWaitMillis, req.MinBytes = 3_000, 200
			x.Note("enough is there")
			x.Do(req)
			req = fetch(12, from(t, 0, 1), from(t, 9, 0))
			req.MaxWaitMillis = 3_000
			x.Note("an unknown partition waits like the others")
			x.Do(req)
			req = fetch(12, from(t, 0, 9), from(t, 1, 2))
			req.MaxWaitMillis = 3_000
			x.Note("out of range does not wait")
			x.Do(req)
			req = fetch(12)
			req.MaxWaitMillis = 3_000
			x.Note("no partitions do not wait")
			x.Do(req)
		}),
		sequence("long-poll-many", func(x *Script) {
			t := x.Topic("a", 1)
			req := fetch(12, from(t, 0, 0))
			req.MaxWaitMillis = 3_000
			one, two, three := x.On(1).Start(req), x.On(2).Start(req), x.On(3).Start(req)
			x.Do(produce(9, -1, on(t, 0, of("for all"))))
			one.Answer()
			two.Answer()
			three.Answer()
		}),
		sequence("fetch-limits", func(x *Script) {
			t := x.Topic("a", 3)
			value := strings.Repeat("x", 100-batchHeader-10) // about 100 bytes a batch
			for p := range int32(3) {
				for range 4 {
					x.put(t, p, value)
				}
			}
			for _, limit := range []struct{ partition, total int32 }{
				{0, 1000}, {1, 1000}, {98, 1000}, {99, 1000}, {150, 1000}, {200, 1000}, {250, 1000}, {1000, 1}, {1000, 0}, {1000, -1}, {1000, 150}, {1000, 450}, {1000, 600}, {-1, 1000},
			} {
				req := fetch(12, part{topic: t, maxBytes: limit.partition}, part{topic: t, partition: 1, offset: 1, maxBytes: limit.partition},
					part{topic: t, partition: 2, offset: 3, maxBytes: limit.partition})
				for i := range req.Topics[0].Partitions {
					req.Topics[0].Partitions[i].PartitionMaxBytes = limit.partition
				}
				req.MaxBytes = limit.total
				x.Note(fmt.Sprintf("partition limit %d, limit %d", limit.partition, limit.total))
				x.Do(req)
			}
		}),
		sequence("fetch-first-too-large", func(x *Script) {
			t := x.Topic("a", 2)
			x.put(t, 0, strings.Repeat("x", 3000))
			x.put(t, 1, "small")
			for _, order := range [][]part{{from(t, 0, 0), from(t, 1, 0)}, {from(t, 1, 0), from(t, 0, 0)}, {from(t, 0, 1), from(t, 1, 0)}} {
				req := fetch(12, order...)
				req.MaxBytes = 200
				x.Do(req)
				for i := range req.Topics[0].Partitions {
					req.Topics[0].Partitions[i].PartitionMaxBytes = 100
				}
				req.MaxBytes = 100_000
				x.Do(req)
			}
		}),
		sequence("fetch-waits-below-limit", func(x *Script) {
			t := x.Topic("a", 1)
			x.put(t, 0, "a")
			// More is demanded than the answer may hold: a broker that waited for it would wait for ever.
			req := fetch(12, from(t, 0, 0))
			req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 200, 1<<30, 10
			x.Do(req)
			req.Topics[0].Partitions[0].PartitionMaxBytes = 1
			req.MinBytes, req.MaxBytes = 1, 1
			x.Do(req)
		}),
		sequence("fetch-epochs", func(x *Script) {
			t := x.Topic("a", 1)
			x.put(t, 0, "a", "b")
			x.put(t, 0, "c")
			for _, v := range []int16{12, 16} {
				for _, p := range []part{
					{epoch: ptr(int32(0)), fetched: ptr(int32(0))},
					{epoch: ptr(int32(0)), fetched: ptr(int32(0)), offset: 3},
					{epoch: ptr(int32(0)), fetched: ptr(int32(0)), offset: 4},
					{epoch: ptr(int32(1))},
					{fetched: ptr(int32(1)), offset: 2},
					{fetched: ptr(int32(-2)), offset: 2},
					{epoch: ptr(int32(7)), fetched: ptr(int32(7)), offset: 2},
				} {
					p.topic = t
					x.Do(fetch(v, p))
				}
			}
		}),
		sequence("pipelined", func(x *Script) {
			t := x.Topic("a", 1)
			c := x.On(0)
			var all []*Pending
			for i := range 5 {
				all = append(all, c.Start(produce(9, -1, on(t, 0, of(many(i+1)...)))))
			}
			for _, p := range all {
				p.Answer()
			}
			wait := fetch(12, from(t, 0, 15))
			wait.MaxWaitMillis = 50
			all = append(all[:0], c.Start(wait), c.Start(listOffsets(7, t.Name, 0, -1)), c.Start(stored(t, 0, 10)), c.Start(apiVersionsRequest(0)))
			for _, p := range all {
				p.Answer()
			}
		}),
		sequence("pipelined-errors", func(x *Script) {
			t := x.Topic("a", 1)
			c := x.On(0)
			one := c.Start(produce(9, -1, on(t, 0, of("good"))))
			silent := produce(9, 0, on(t, 0, of("silent")))
			body := silent.AppendTo(nil)
			if err := c.send(frame(header1(keyProduce, 9, 77, ptr(clientID), true), body)); err != nil {
				panic(err)
			}
			two := c.Start(produce(9, -1, on(t, 4, of("no such partition"))))
			three := c.Start(produce(9, 1, on(t, 0, of("good"))))
			one.Answer()
			two.Answer()
			three.Answer()
			x.put(t, 0, barrier)
			x.Do(stored(t, 0, 0))
		}),
	}
}
