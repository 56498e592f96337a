package hostile

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/record"
)

// Where the fields of a record batch lie.
const (
	lengthAt     = 8
	magicAt      = 16
	crcAt        = 17
	attributesAt = 21
	lastDeltaAt  = 23
	maxTimeAt    = 35
	producerAt   = 43
	epochAt      = 51
	sequenceAt   = 53
	countAt      = 57
	recordsAt    = 61
)

// batch is a record batch, and what is to be changed in it.
type batch struct {
	b []byte
}

// good is a batch of two records that every topic takes.
func good() batch { return of(record.None, "one", "two") }

func of(codec record.Codec, values ...string) batch {
	b := record.NewBuilder(record.CompressionOf(codec))
	for i, v := range values {
		b.Append(record.Record{Offset: int64(i), Timestamp: 1_700_000_000_000 + int64(i), Key: []byte("k"), Value: []byte(v)})
	}
	return batch{b.Build()}
}

func (x batch) int8(at int, v int8) batch { x.b = slices.Clone(x.b); x.b[at] = byte(v); return x }
func (x batch) int16(at int, v int16) batch {
	x.b = slices.Clone(x.b)
	binary.BigEndian.PutUint16(x.b[at:], uint16(v))
	return x
}
func (x batch) int32(at int, v int32) batch {
	x.b = slices.Clone(x.b)
	binary.BigEndian.PutUint32(x.b[at:], uint32(v))
	return x
}
func (x batch) int64(at int, v int64) batch {
	x.b = slices.Clone(x.b)
	binary.BigEndian.PutUint64(x.b[at:], uint64(v))
	return x
}

// payload replaces the records, and says which codec they are in.
func (x batch) payload(codec int16, records []byte) batch {
	x.b = append(slices.Clone(x.b[:recordsAt]), records...)
	return x.int32(lengthAt, int32(len(x.b)-12)).int16(attributesAt, codec)
}

// bytes is the batch with the checksum of what it has become.
func (x batch) bytes() []byte {
	b := slices.Clone(x.b)
	binary.BigEndian.PutUint32(b[crcAt:], crc32.Checksum(b[attributesAt:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// refusedBatches: rows 53, 55, 56, 58, 59, 61, 62, 64, 65, 67, 68, 70, 73, 74 and 76. Each is refused with one of the codes that the catalogue
// allows, nothing of it is appended, and what it claims is not allocated.
func refusedBatches(t *testing.T) {
	n := start(t, "")
	n.create("orders", 1)
	const corrupt, tooLarge, invalid, codec, outOfOrder = 2, 10, 87, 76, 45
	records := good().b[recordsAt:]
	type bad struct {
		about string
		bytes []byte
		codes []int16
	}
	all := []bad{
		{"53: no records", nil, []int16{invalid}},
		{"53: empty records", []byte{}, []int16{invalid}},
		{"55: length 0", good().int32(lengthAt, 0).bytes(), []int16{corrupt, invalid}},
		{"55: length -1", good().int32(lengthAt, -1).bytes(), []int16{corrupt, invalid}},
		{"55: length -2^31", good().int32(lengthAt, -1<<31).bytes(), []int16{corrupt, invalid}},
		{"55: length of less than a header", good().int32(lengthAt, 48).bytes(), []int16{corrupt, invalid}},
		{"55: length of more than there is", good().int32(lengthAt, int32(len(good().b)-11)).bytes(), []int16{corrupt, invalid}},
		{"55: length 2^31-1", good().int32(lengthAt, 1<<31-1).bytes(), []int16{corrupt, invalid}},
		{"55: 11 bytes", good().b[:11], []int16{corrupt, invalid}},
		{"56: magic 0", good().int8(magicAt, 0).bytes(), []int16{invalid, corrupt}},
		{"56: magic 1", good().int8(magicAt, 1).bytes(), []int16{invalid, corrupt}},
		{"56: magic 3", good().int8(magicAt, 3).bytes(), []int16{invalid, corrupt}},
		{"56: magic 127", good().int8(magicAt, 127).bytes(), []int16{invalid, corrupt}},
		{"56: magic -1", good().int8(magicAt, -1).bytes(), []int16{invalid, corrupt}},
		{"58: count 0", good().int32(countAt, 0).bytes(), []int16{invalid}},
		{"58: count -1", good().int32(countAt, -1).bytes(), []int16{invalid}},
		{"58: count 2^31-1", good().int32(countAt, 1<<31-1).bytes(), []int16{invalid}},
		{"58: count 3 of 2", good().int32(countAt, 3).bytes(), []int16{invalid}},
		{"58: count and delta 2^31-1", good().int32(countAt, 1<<31-1).int32(lastDeltaAt, 1<<31-2).bytes(), []int16{invalid}},
		{"59: one record less than counted", good().int32(countAt, 3).int32(lastDeltaAt, 2).bytes(), []int16{invalid, corrupt}},
		{"59: one record more than counted", good().int32(countAt, 1).int32(lastDeltaAt, 0).bytes(), []int16{invalid, corrupt}},
		{"64: base offset 5", good().int64(0, 5).bytes(), []int16{invalid}},
		{"64: base offset -1", good().int64(0, -1).bytes(), []int16{invalid}},
		{"65: codec 5", good().int16(attributesAt, 5).bytes(), []int16{codec}},
		{"65: codec 6", good().int16(attributesAt, 6).bytes(), []int16{codec}},
		{"65: codec 7", good().int16(attributesAt, 7).bytes(), []int16{codec}},
		{"67: control batch", good().int16(attributesAt, 1<<5).bytes(), []int16{invalid}},
		{"68: delete horizon", good().int16(attributesAt, 1<<6).bytes(), []int16{invalid}},
		{"70: producer without sequence", good().int64(producerAt, 7000).int16(epochAt, 0).bytes(), []int16{invalid}},
		{"70: sequence -2", good().int64(producerAt, 7000).int16(epochAt, 0).int32(sequenceAt, -2).bytes(), []int16{invalid, outOfOrder}},
		{"76: bytes behind the records", good().payload(0, append(slices.Clone(records), 0, 0)).bytes(), []int16{invalid, corrupt}},
	}
	for at, about := range map[int]string{3: "61: offset delta", 4: "62: key length", 6: "62: value length"} { // of the first record
		for _, v := range []byte{1 /* -1 */, 3 /* -2 */, 0x7e} {
			if at == 4 && v == 1 || at == 6 && v == 1 {
				continue // null: then the record is shorter than it says
			}
			if at == 3 {
				continue // numbered anew where the batch is not compressed; see below
			}
			r := slices.Clone(records)
			r[at] = v
			all = append(all, bad{about, good().payload(0, r).bytes(), []int16{invalid, corrupt}})
		}
	}
	huge := append([]byte{0xfe, 0xff, 0xff, 0xff, 0x0f}, records[1:]...)
	all = append(all, bad{"62: record of 2 GiB", good().payload(0, huge).bytes(), []int16{invalid, corrupt}})
	for _, c := range []record.Codec{record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		name := c.String()
		whole := of(c, "one", "two")
		all = append(all,
			bad{"61: offsets backwards, " + name, swapped(c), []int16{invalid}},
			bad{"76: garbage, " + name, good().payload(int16(c), []byte("no such thing at all, whatever the codec")).bytes(), []int16{corrupt, invalid}},
			bad{"76: empty, " + name, good().payload(int16(c), nil).bytes(), []int16{corrupt, invalid}},
			bad{"76: cut, " + name, good().payload(int16(c), whole.b[recordsAt:len(whole.b)-3]).bytes(), []int16{corrupt, invalid}},
			bad{"76: bytes behind it, " + name, good().payload(int16(c), append(slices.Clone(whole.b[recordsAt:]), "xyz!"...)).bytes(), []int16{corrupt, invalid}})
	}
	for about, claim := range map[string]struct {
		codec int16
		bytes []byte
	}{
		"73: snappy block of 4 GiB":        {2, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1}},
		"73: xerial block of -1":           {2, append([]byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"), 0xff, 0xff, 0xff, 0xff, 1, 2, 3)},
		"73: xerial block of 2 GiB":        {2, append([]byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"), 0x7f, 0xff, 0xff, 0xff, 1, 2, 3)},
		"74: lz4 header checksum wrong":    {3, []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0, 0, 0, 0, 0}},
		"74: lz4 block size of none":       {3, []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x30, 0x51, 0, 0, 0, 0}},
		"74: lz4 skippable frame of 2 GiB": {3, []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0x80}},
	} {
		all = append(all, bad{about, good().payload(claim.codec, claim.bytes).bytes(), []int16{corrupt, invalid}})
	}
	n.produce("orders", of(record.Snappy, "warm").bytes())
	n.produce("orders", of(record.LZ4, "warm").bytes())
	end := n.logEnd("orders")
	for _, x := range all {
		var code int16
		if cost := allocated(func() { code = n.produce("orders", x.bytes) }); cost > 12<<20 {
			t.Errorf("%s costs %d bytes", x.about, cost)
		}
		if !slices.Contains(x.codes, code) {
			t.Errorf("%s is answered %d, want one of %v", x.about, code, x.codes)
		}
		if now := n.logEnd("orders"); now != end {
			t.Fatalf("%s: the log ends at %d, not at %d", x.about, now, end)
		}
	}
}

// swapped is a compressed batch whose records have the numbers 1 and 0.
func swapped(c record.Codec) []byte {
	b := record.NewBuilder(record.CompressionOf(c))
	for _, offset := range []int64{1, 0} {
		b.AppendAt(record.Record{Offset: offset, Timestamp: 1_700_000_000_000, Value: []byte("x")})
	}
	return batch{b.Build()}.int32(lastDeltaAt, 1).bytes()
}

// bombs: records that unpack to far more than they are. What is over the limit is refused, what is not is taken, and neither is held.
func bombs(t *testing.T) {
	n := start(t, "max.decompressed.message.bytes=16777216\n")
	n.create("orders", 1)
	zeros := string(make([]byte, 64<<20))
	for _, c := range []record.Codec{record.Gzip, record.LZ4, record.Zstd} {
		bomb := of(c, zeros).bytes()
		before := held()
		for range 5 {
			if code := n.produce("orders", bomb); code != 2 && code != 10 && code != 87 {
				t.Errorf("%v: a bomb of %d bytes is answered %d", c, len(bomb), code)
			}
		}
		if grown := held() - before; grown > 40<<20 {
			t.Errorf("%v: %d bytes are held after bombs of %d", c, grown, len(bomb))
		}
	}
	if end := n.logEnd("orders"); end != 0 {
		t.Errorf("the log ends at %d", end)
	}
}

// badTargets: rows 49, 50, 52 and 88.
func badTargets(t *testing.T) {
	n := start(t, "auto.create.topics.enable=false\n")
	n.create("orders", 1)
	for _, acks := range []int16{2, -2, 32767, -32768} {
		req := produceOf(9, "orders", good().bytes())
		req.Acks = acks
		if code := ask[*kmsg.ProduceResponse](n, req).Topics[0].Partitions[0].ErrorCode; code != 21 {
			t.Errorf("acks %d: %d", acks, code)
		}
	}
	for _, partition := range []int32{-1, 1, 1<<31 - 1, -1 << 31} {
		req := produceOf(9, "orders", good().bytes())
		req.Topics[0].Partitions[0].Partition = partition
		if code := ask[*kmsg.ProduceResponse](n, req).Topics[0].Partitions[0].ErrorCode; code != 3 {
			t.Errorf("partition %d: %d", partition, code)
		}
		req.Acks = 0
		n.closes("acks 0 and no such partition", requestFrame(req))
	}
	for _, name := range []string{"none", "", "a/b", "..", "a\x00b", "\xff\xfe"} {
		if code := n.produce(name, good().bytes()); code != 3 && code != 17 {
			t.Errorf("topic %q: %d", name, code)
		}
	}
	if end := n.logEnd("orders"); end != 0 {
		t.Errorf("the log ends at %d", end)
	}
}
