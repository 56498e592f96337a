package diff

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// barrier is the value of a record written with acks -1 behind others that were not: once it is acknowledged, consumers see all of them.
const barrier = "barrier"

func produceCases(v int16) *suite {
	s := newSuite(keyProduce, v)

	s.add(Ordinary, "", func(x *Script) {
		t := x.Topic("a", 2)
		x.Do(produce(v, -1, on(t, 0, of("one", "two"))))
		x.Do(produce(v, 1, on(t, 0, of("three")), on(t, 1, of("four"))))
		x.put(t, 0, barrier)
		x.put(t, 1, barrier)
		x.Do(stored(t, 0, 0))
		x.Do(stored(t, 1, 0))
	})
	s.add(Ordinary, "codecs", func(x *Script) {
		t := x.Topic("a", 1)
		for _, codec := range []int16{attrGzip, attrSnappy, attrLZ4, attrZstd} {
			x.Do(produce(v, -1, on(t, 0, of("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb").with(codec))))
		}
		x.Do(stored(t, 0, 0))
	})
	s.add(Ordinary, "silent", func(x *Script) {
		t := x.Topic("a", 1)
		x.On(0).Silent(produce(v, 0, on(t, 0, of("no answer wanted"))))
		x.put(t, 0, barrier)
		x.Do(stored(t, 0, 0))
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 2), x.Topic("b", 1)
		// Several topics and partitions, some of which do not exist: the others must not suffer.
		x.Do(produce(v, -1, on(a, 0, of("1")), on(a, 9, of("2")), on(a, 1, of("3")), on(b, 0, of("4")), on(x.missing(), 0, of("5"))))
		x.Do(produce(v, -1))
		req := produce(v, -1, on(a, 0, of("in no time")))
		req.TimeoutMillis = 0
		x.Do(req)
		x.Do(produce(v, -1, on(a, 1, batch{records: []rec{
			{key: []byte{}, value: []byte{}},
			{key: []byte("k"), value: nil, headers: []header{{"h", []byte("v")}, {"h", nil}, {"", []byte{}}}},
			{key: nil, value: []byte("later"), timeDelta: 60_000},
		}})))
		x.Do(stored(a, 0, 0))
		x.Do(stored(a, 1, 0))
	})
	s.add(Boundary, "size", func(x *Script) {
		t := x.Topic("a", 1, "max.message.bytes=1000")
		overhead := len(of("").bytes())
		// One byte in the length of the value and of the record each makes the batch two bytes longer than its value.
		x.Do(produce(v, -1, on(t, 0, of(strings.Repeat("x", 1000-overhead-2)))))
		x.Do(produce(v, -1, on(t, 0, of(strings.Repeat("x", 1000-overhead-1)))))
		x.Do(stored(t, 0, 0))
	})
	s.add(Wrong, "", func(x *Script) {
		t := x.Topic("a", 1)
		x.Do(produce(v, -1, on(x.missing(), 0, of("no such topic"))))
		x.Do(produce(v, -1, on(t, 1, of("no such partition"))))
		x.Do(produce(v, -1, on(t, -1, of("no such partition"))))
		x.Do(produce(v, 2, on(t, 0, of("no such acks"))))
		x.Do(produce(v, -2, on(t, 0, of("no such acks"))))
		x.Do(stored(t, 0, 0))
	})
	s.add(Wrong, "batches", func(x *Script) {
		all := wrongBatches()
		t := x.Topic("a", int32(len(all))) // each batch has a partition of its own, so that what becomes of one shows in no other
		var parts []part
		for i, odd := range all {
			p := on(t, int32(i))
			p.records = odd.bytes
			parts = append(parts, from(t, int32(i), 0))
			x.Note(odd.about)
			x.Do(produce(v, -1, p))
		}
		x.Do(fetch(12, parts...))
	})
	s.add(Wrong, "compacted", func(x *Script) {
		t := x.Topic("a", 1, "cleanup.policy=compact")
		x.Do(produce(v, -1, on(t, 0, batch{records: []rec{text("k", "1"), text("", "2"), text("k", "3"), text("", "4")}})))
		x.Do(produce(v, -1, on(t, 0, batch{records: []rec{text("k", "1")}})))
		x.Do(stored(t, 0, 0))
	})
	s.add(Wrong, "transactional", func(x *Script) {
		t := x.Topic("a", 1)
		x.Do(produce(v, -1, on(t, 0, of("no transactional id").by(7000, 0, 0).with(attrTransactional))))
		x.Do(stored(t, 0, 0))
	})
	s.add(Wrong, "silent", func(x *Script) {
		t := x.Topic("a", 1)
		x.On(0).Silent(produce(v, 0, on(t, 7, of("no such partition"))))
		x.On(0).Silent(produce(v, 0, on(x.missing(), 0, of("no such topic"))))
		x.Do(stored(t, 0, 0))
	})
	s.malformed(func(x *Script) kmsg.Request { return produce(v, -1, on(absentTopic, 0, of("x"))) })
	return s
}

// oddBatch is a records field that a broker refuses, or is lenient with; which, the recording says.
type oddBatch struct {
	about string
	bytes []byte
}

func wrongBatches() []oddBatch {
	good := of("good", "batch")
	of := func(change func(*batch)) []byte { // of changes the good batch
		b := good
		change(&b)
		return b.bytes()
	}
	raw := good.bytes()
	return []oddBatch{
		{"bad checksum", of(func(b *batch) { b.breakCRC = true })},
		{"control bit", good.with(attrControl).bytes()},
		{"log append time bit", good.with(attrLogAppendTime).bytes()},
		{"delete horizon bit", good.with(1 << 6).bytes()},
		{"undefined bit", good.with(1 << 7).bytes()},
		{"codec 5", good.with(5).bytes()},
		{"base offset 5", of(func(b *batch) { b.baseOffset = 5 })},
		{"base offset -1", of(func(b *batch) { b.baseOffset = -1 })},
		{"leader epoch 9", of(func(b *batch) { b.epoch = ptr(int32(9)) })},
		{"magic 0", of(func(b *batch) { b.magic = ptr(int8(0)) })},
		{"magic 1", of(func(b *batch) { b.magic = ptr(int8(1)) })},
		{"magic 3", of(func(b *batch) { b.magic = ptr(int8(3)) })},
		{"count 1 of 2", of(func(b *batch) { b.count = ptr(int32(1)) })},
		{"count 3 of 2", of(func(b *batch) { b.count = ptr(int32(3)) })},
		{"count 0 of 2", of(func(b *batch) { b.count = ptr(int32(0)) })},
		{"count -1", of(func(b *batch) { b.count = ptr(int32(-1)) })},
		{"last offset delta 5 of 2 records", of(func(b *batch) { b.lastDelta = ptr(int32(5)) })},
		{"last offset delta 0 of 2 records", of(func(b *batch) { b.lastDelta = ptr(int32(0)) })},
		{"last offset delta -1", of(func(b *batch) { b.lastDelta = ptr(int32(-1)) })},
		{"count 3 and delta 2, 2 records", of(func(b *batch) { b.count, b.lastDelta = ptr(int32(3)), ptr(int32(2)) })},
		{"count 1 and delta 0, 2 records", of(func(b *batch) { b.count, b.lastDelta = ptr(int32(1)), ptr(int32(0)) })},
		{"no records", batch{}.bytes()},
		{"gap between record offsets", batch{records: []rec{{value: []byte("a")}, {value: []byte("b"), offsetDelta: ptr(int64(5))}}}.bytes()},
		{"record offsets backwards", batch{records: []rec{{value: []byte("a"), offsetDelta: ptr(int64(1))}, {value: []byte("b"), offsetDelta: ptr(int64(0))}}}.bytes()},
		{"max timestamp too small", of(func(b *batch) { b.maxTime = ptr(baseTime - 1) })},
		{"max timestamp too large", of(func(b *batch) { b.maxTime = ptr(baseTime + 5) })},
		{"max timestamp -1", of(func(b *batch) { b.maxTime = ptr(int64(-1)) })},
		{"timestamp -1", good.at(-1).bytes()},
		{"timestamp -2", good.at(-2).bytes()},
		{"producer without sequence", good.by(7000, 0, -1).bytes()},
		{"producer without epoch", good.by(7000, -1, 0).bytes()},
		{"sequence without producer", good.by(-1, -1, 0).bytes()},
		{"producer id -2", good.by(-2, 0, 0).bytes()},
		{"empty payload", of(func(b *batch) { b.payload = []byte{} })},
		{"payload of garbage", of(func(b *batch) { b.payload = []byte{0xff, 0xff, 0xff} })},
		{"byte behind the last record", of(func(b *batch) { b.payload = append(records(good), 0) })},
		{"record attributes", of(func(b *batch) { b.payload = records(good); b.payload[1] = 1 })},
		{"record length too small", of(func(b *batch) { b.payload = records(good); b.payload[0] -= 2 })},
		{"key length beyond the record", of(func(b *batch) { b.payload = records(good); b.payload[4] = 80 })},
		{"header without key", of(func(b *batch) { b.payload = append(nullHeaderKey(), nullHeaderKey()...) })},
		{"not gzip", of(func(b *batch) { b.attributes, b.payload = attrGzip, []byte("not gzip") })},
		{"not snappy", of(func(b *batch) { b.attributes, b.payload = attrSnappy, []byte("not snappy") })},
		{"not lz4", of(func(b *batch) { b.attributes, b.payload = attrLZ4, []byte("not lz4") })},
		{"not zstd", of(func(b *batch) { b.attributes, b.payload = attrZstd, []byte("not zstd") })},
		{"gzip cut", of(func(b *batch) { b.attributes, b.payload = attrGzip, compress(attrGzip, records(good))[:12] })},
		{"gzip with a byte behind the last record", of(func(b *batch) {
			b.attributes, b.payload = attrGzip, compress(attrGzip, append(records(good), 0))
		})},
		{"empty records", []byte{}},
		{"10 bytes of a batch", raw[:10]},
		{"header of a batch", raw[:batchHeader]},
		{"batch less one byte", raw[:len(raw)-1]},
		{"batch and one byte", append(raw[:len(raw):len(raw)], 0)},
		{"two batches", append(raw[:len(raw):len(raw)], raw...)},
		{"length -1", of(func(b *batch) { b.length = ptr(int32(-1)) })},
		{"length 48", of(func(b *batch) { b.length = ptr(int32(48)) })},
		{"length 1 GiB", of(func(b *batch) { b.length = ptr(int32(1 << 30)) })},
	}
}

// records encodes the records of a batch without compressing them.
func records(b batch) []byte {
	var out []byte
	for i, r := range b.records {
		out = appendRecord(out, r, int64(i))
	}
	return out
}

// nullHeaderKey is the encoding of a record one of whose headers has no key.
func nullHeaderKey() []byte {
	body := []byte{0, 0, 0, 1 /* null key */, 2, 'v', 2 /* one header */, 1 /* null */, 1 /* null */}
	return append([]byte{byte(len(body) << 1)}, body...)
}

// many makes n values.
func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("value %d", i)
	}
	return out
}
