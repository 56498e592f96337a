package diff

import (
	"strings"
)

// deletedByTime notes a look-up by time that would find records which DeleteRecords took away but whose segment is still there.
const deletedByTime = "the time of deleted records"

func logSequences() []Case {
	return []Case{
		sequence("delete-records", func(x *Script) {
			t := x.Topic("a", 1)
			for i := range 3 {
				x.Do(produce(9, -1, on(t, 0, of(many(3)...).at(baseTime+int64(1000*i)))))
			}
			allDeleted := false
			marks := func() {
				x.Do(listOffsets(8, t.Name, 0, -2))
				x.Do(listOffsets(8, t.Name, 0, -4))
				x.Do(listOffsets(8, t.Name, 0, -1))
				if allDeleted {
					x.Note(deletedByTime)
				}
				x.Do(listOffsets(8, t.Name, 0, -3))
				x.Do(listOffsets(8, t.Name, 0, baseTime))
			}
			x.Do(deleteRecords(2, t.Name, 0, 3))
			marks()
			x.Do(stored(t, 0, 2))
			x.Do(stored(t, 0, 3))
			x.Note("inside a batch")
			x.Do(deleteRecords(2, t.Name, 0, 4))
			marks()
			x.Do(stored(t, 0, 3))
			x.Do(stored(t, 0, 4))
			x.Do(produce(9, -1, on(t, 0, of("the answer has the log start"))))
			x.Do(deleteRecords(2, t.Name, 0, 11))
			x.Do(deleteRecords(2, t.Name, 0, -1))
			allDeleted = true
			marks()
			x.Do(stored(t, 0, 10))
			x.Do(stored(t, 0, 9))
			x.Do(epochEnd(4, t.Name, 0, -1, 0))
			x.Do(produce(9, -1, on(t, 0, of("after all"))))
			x.Do(stored(t, 0, 10))
		}),
		sequence("list-offsets-times", func(x *Script) {
			t := x.Topic("a", 1)
			// Times go up and down between batches and inside them.
			for _, batches := range []batch{
				{records: []rec{{value: []byte("0"), timeDelta: 100}, {value: []byte("1"), timeDelta: 300}, {value: []byte("2"), timeDelta: 200}}},
				{records: []rec{{value: []byte("3"), timeDelta: 50}}},
				{records: []rec{{value: []byte("4"), timeDelta: 300}, {value: []byte("5"), timeDelta: 250}}, attributes: attrLZ4},
				{records: []rec{{value: []byte("6"), timeDelta: 400}, {value: []byte("7"), timeDelta: 400}}, attributes: attrGzip},
				{records: []rec{{value: []byte("8"), timeDelta: 10}}},
			} {
				x.Do(produce(9, -1, on(t, 0, batches)))
			}
			for _, d := range []int64{-1, 0, 50, 51, 100, 101, 200, 201, 250, 299, 300, 301, 400, 401} {
				x.Do(listOffsets(7, t.Name, 0, baseTime+d))
			}
			x.Do(listOffsets(7, t.Name, 0, -3))
			x.Do(produce(9, -1, on(t, 0, of("no time").at(-1))))
			x.Do(listOffsets(7, t.Name, 0, -3))
			x.Do(listOffsets(7, t.Name, 0, 0))
			committed := listOffsets(7, t.Name, 0, baseTime)
			committed.IsolationLevel = 1
			x.Do(committed)
		}),
		sequence("list-offsets-many", func(x *Script) {
			t := x.Topic("a", 3)
			x.put(t, 0, "a")
			x.put(t, 1, "b", "c")
			req := listOffsets(9, t.Name, 0, -1)
			for p := range int32(4) {
				for _, ts := range []int64{-2, -1}[:1+p%2] {
					q := listOffsets(9, t.Name, p+1, ts).Topics[0].Partitions[0]
					req.Topics[0].Partitions = append(req.Topics[0].Partitions, q)
				}
			}
			req.Topics = append(req.Topics, listOffsets(9, x.missing().Name, 0, -1).Topics...)
			x.Do(req)
		}),
		sequence("segments", func(x *Script) {
			t := x.Topic("a", 1, "segment.bytes=1048576")
			big := strings.Repeat("0123456789", 40_000)
			for i := range 6 {
				x.Do(produce(9, -1, on(t, 0, of(big, "small").at(baseTime+int64(1000*i)))))
			}
			for _, offset := range []int64{0, 3, 4, 7, 11} {
				req := fetch(12, part{topic: t, offset: offset, maxBytes: 900_000})
				x.Do(req)
			}
			for i := range 7 {
				x.Do(listOffsets(7, t.Name, 0, baseTime+int64(1000*i)))
			}
			x.Do(listOffsets(7, t.Name, 0, -3))
			x.Do(deleteRecords(2, t.Name, 0, 5))
			x.Do(listOffsets(7, t.Name, 0, -2))
			x.Do(fetch(12, part{topic: t, offset: 5, maxBytes: 450_000}))
			x.Do(fetch(12, part{topic: t, offset: 4, maxBytes: 450_000}))
			x.Note(deletedByTime)
			x.Do(listOffsets(7, t.Name, 0, baseTime))
			x.Do(epochEnd(4, t.Name, 0, 0, 0))
		}),
		sequence("empty-log", func(x *Script) {
			t := x.Topic("a", 1)
			for _, ts := range []int64{-1, -2, -3, -4, -5, baseTime} {
				x.Do(listOffsets(9, t.Name, 0, ts))
			}
			x.Do(stored(t, 0, 0))
			x.Do(stored(t, 0, 1))
			x.Do(epochEnd(4, t.Name, 0, 0, 0))
			x.Do(deleteRecords(2, t.Name, 0, -1))
			x.Do(deleteRecords(2, t.Name, 0, 1))
			x.put(t, 0, "a")
			x.Do(deleteRecords(2, t.Name, 0, -1))
			for _, ts := range []int64{-1, -2, -3, -4, -5, baseTime} {
				if ts == -3 {
					x.Note(deletedByTime)
				}
				x.Do(listOffsets(9, t.Name, 0, ts))
			}
			x.Do(stored(t, 0, 1))
			x.Do(stored(t, 0, 0))
		}),
	}
}
