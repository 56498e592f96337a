package diff

import (
	"fmt"
	"strings"
	"time"
)

func produceSequences() []Case {
	codecs := []int16{0, attrGzip, attrSnappy, attrLZ4, attrZstd}
	return []Case{
		sequence("recompression", func(x *Script) {
			x.norm.recompressed = true
			for _, kind := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
				t := x.Topic(kind, 1, "compression.type="+kind)
				for _, codec := range codecs {
					x.Do(produce(9, -1, on(t, 0, of("aaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbb").with(codec))))
				}
				x.Do(produce(9, -1, on(t, 0, of("with a producer").by(7000, 0, 0).with(attrSnappy))))
				x.Do(stored(t, 0, 0))
			}
		}),
		sequence("compressed-kept", func(x *Script) {
			t := x.Topic("a", 1)
			for _, codec := range codecs {
				x.Do(produce(9, -1, on(t, 0, batch{attributes: codec, records: []rec{
					{key: []byte("k"), value: []byte("v"), timeDelta: 5},
					{value: []byte(strings.Repeat("long ", 50)), headers: []header{{"h", []byte("x")}}, timeDelta: 3},
					{key: []byte("k")},
				}})))
			}
			x.Do(stored(t, 0, 0))
			x.Do(stored(t, 0, 7))
			x.Do(listOffsets(7, t.Name, 0, baseTime+4))
			x.Do(listOffsets(7, t.Name, 0, -3))
		}),
		sequence("compressed-odd", func(x *Script) {
			type odd struct {
				about string
				batch batch
			}
			var all []odd
			for _, codec := range codecs[1:] {
				good := batch{attributes: codec, records: []rec{text("", "one"), text("", "two")}}
				add := func(about string, change func(*batch)) {
					b := good
					change(&b)
					all = append(all, odd{fmt.Sprintf("codec %d, %s", codec, about), b})
				}
				add("count too large", func(b *batch) { b.count, b.lastDelta = ptr(int32(3)), ptr(int32(2)) })
				add("count too small", func(b *batch) { b.count, b.lastDelta = ptr(int32(1)), ptr(int32(0)) })
				add("offsets with a gap", func(b *batch) { b.records = []rec{text("", "one"), {value: []byte("two"), offsetDelta: ptr(int64(4))}} })
				add("max timestamp wrong", func(b *batch) { b.maxTime = ptr(baseTime + 9) })
				add("empty payload", func(b *batch) { b.payload = []byte{} })
				add("payload of nothing", func(b *batch) { b.payload = compress(codec, nil) })
				add("compressed twice", func(b *batch) { b.payload = compress(codec, compress(codec, records(*b))) })
				add("other codec", func(b *batch) { b.payload = compress(codec%4+1, records(*b)) })
			}
			t := x.Topic("a", int32(len(all)))
			var parts []part
			for i, o := range all {
				x.Note(o.about)
				x.Do(produce(9, -1, on(t, int32(i), o.batch)))
				parts = append(parts, from(t, int32(i), 0))
			}
			x.Do(fetch(12, parts...))
		}),
		sequence("timestamps", func(x *Script) {
			t := x.Topic("a", 1)
			strict := x.Topic("strict", 1, "message.timestamp.before.max.ms=3600000", "message.timestamp.after.max.ms=7200000")
			for _, topic := range []Topic{t, strict} {
				for _, ms := range []int64{hours(2), hours(5), hours(0), hours(-2), baseTime, -1, 0} {
					at := ms
					if at == 0 {
						at = 1 // 1970
					}
					x.Do(produce(9, -1, on(topic, 0, of("x").at(at))))
				}
				x.Note("one record of three too late")
				x.Do(produce(9, -1, on(topic, 0, batch{timestamp: hours(0), records: []rec{
					text("", "now"), {value: []byte("later"), timeDelta: 10 * 3_600_000}, text("", "now")}})))
				x.Do(listOffsets(7, topic.Name, 0, -1))
			}
			x.Do(stored(t, 0, 0))
		}),
		sequence("log-append-time", func(x *Script) {
			t := x.Topic("a", 1, "message.timestamp.type=LogAppendTime")
			x.Do(produce(9, -1, on(t, 0, batch{records: []rec{text("", "a"), {value: []byte("b"), timeDelta: 500}}})))
			x.Do(produce(9, -1, on(t, 0, of("in the future").at(hours(5)))))
			x.Do(produce(9, -1, on(t, 0, of("without a time").at(-1))))
			x.Do(produce(9, -1, on(t, 0, of("with the bit").with(attrLogAppendTime))))
			x.Do(produce(9, -1, on(t, 0, of("packed", "packed").with(attrGzip))))
			b := of("twice").by(7000, 0, 0)
			x.Do(produce(9, -1, on(t, 0, b)))
			x.Do(produce(9, -1, on(t, 0, b)))
			x.Do(produce(2+1, -1, on(t, 0, of("old version"))))
			x.Do(stored(t, 0, 0))
			x.Do(listOffsets(7, t.Name, 0, 0))
			x.Do(listOffsets(7, t.Name, 0, hours(1)))
			x.Do(alterConfigs(1, resourceTopic, t.Name, alter(opSet, "message.timestamp.type=CreateTime")))
			x.Settle()
			x.Do(produce(9, -1, on(t, 0, of("create time again"))))
			x.Do(stored(t, 0, 9))
		}),
		sequence("compacted", func(x *Script) {
			t := x.Topic("a", 1, "cleanup.policy=compact")
			for _, v := range []int16{7, 8, 13} {
				x.Note("all without key")
				x.Do(produce(v, -1, on(t, 0, of("a", "b"))))
				x.Note("two of four without key")
				x.Do(produce(v, -1, on(t, 0, batch{records: []rec{text("k", "1"), text("", "2"), text("k", "3"), text("", "4")}})))
				x.Note("packed, one without key")
				x.Do(produce(v, -1, on(t, 0, batch{attributes: attrLZ4, records: []rec{text("k", "1"), text("", "2")}})))
				x.Note("empty key is a key")
				x.Do(produce(v, -1, on(t, 0, batch{records: []rec{{key: []byte{}, value: []byte("v")}}})))
				x.Note("tombstone")
				x.Do(produce(v, -1, on(t, 0, batch{records: []rec{{key: []byte("k")}}})))
			}
			x.Do(stored(t, 0, 0))
			both := x.Topic("both", 1, "cleanup.policy=compact,delete")
			x.Do(produce(9, -1, on(both, 0, of("no key"))))
		}),
		sequence("too-large", func(x *Script) {
			t := x.Topic("a", 1, "max.message.bytes=200", "segment.bytes=1048576")
			big := of(strings.Repeat("x", 500))
			x.Do(produce(9, -1, on(t, 0, big)))
			x.Note("small when packed")
			x.Do(produce(9, -1, on(t, 0, big.with(attrGzip))))
			x.Do(alterConfigs(1, resourceTopic, t.Name, alter(opSet, "max.message.bytes=3000000")))
			x.Settle()
			x.Do(produce(9, -1, on(t, 0, big)))
			x.Note("larger than a segment")
			x.Do(produce(9, -1, on(t, 0, of(strings.Repeat("x", 1_100_000)))))
			x.Note("larger than a segment, packed")
			x.Do(produce(9, -1, on(t, 0, of(strings.Repeat("x", 1_100_000)).with(attrLZ4))))
			x.Do(listOffsets(7, t.Name, 0, -1))
			d := x.Topic("default", 1)
			x.Note("1048588 bytes, the default limit")
			x.Do(produce(9, -1, on(d, 0, of(strings.Repeat("x", 1_048_588-batchHeader-11)))))
			x.Note("one more")
			x.Do(produce(9, -1, on(d, 0, of(strings.Repeat("x", 1_048_588-batchHeader-10)))))
		}),
		sequence("acks-zero", func(x *Script) {
			t := x.Topic("a", 1)
			c := x.On(0)
			c.Silent(produce(9, 0, on(t, 0, of("a")), on(t, 0, of("again"))))
			c.Silent(produce(9, 0))
			x.Note("bad checksum")
			c.Silent(produce(9, 0, on(t, 0, batch{records: of("x").records, breakCRC: true})))
			x.Note("two batches")
			c.Silent(produce(9, 0, on(t, 0, of("1"), of("2"))))
			x.Note("one good and one bad partition")
			c.Silent(produce(9, 0, on(t, 0, of("good")), on(t, 3, of("bad"))))
			x.put(t, 0, barrier)
			x.Do(stored(t, 0, 0))
		}),
		sequence("same-partition-twice", func(x *Script) {
			t := x.Topic("a", 1)
			x.Do(produce(9, -1, on(t, 0, of("1")), on(t, 0, of("2", "2"))))
			x.Do(stored(t, 0, 0))
		}),
		sequence("null-records", func(x *Script) {
			t := x.Topic("a", 1)
			p := on(t, 0)
			p.records = nil
			x.Do(produce(9, -1, p))
			x.Do(produce(9, -1, on(t, 0, of("after it"))))
		}),
	}
}

// hours is the time so many hours from now.
func hours(n int64) int64 { return time.Now().UnixMilli() + n*3_600_000 }
