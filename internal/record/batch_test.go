package record

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"
)

func TestNext(t *testing.T) {
	a, b := three(None, nil), three(LZ4, nil)
	buf := append(bytes.Clone(a), b...)
	first, rest, err := Next(buf)
	if err != nil || !bytes.Equal(first, a) || !bytes.Equal(rest, b) {
		t.Fatal(first, err)
	}
	if cap(first) != len(first) {
		t.Error("appending to a batch would write over the next one")
	}
	if _, rest, err = Next(rest); err != nil || len(rest) != 0 {
		t.Fatal(err)
	}
	if _, _, err = Next(rest); err != io.EOF {
		t.Error("end:", err)
	}
	for n := 1; n < len(a); n++ {
		if _, _, err := Next(a[:n]); err != io.ErrUnexpectedEOF {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	if _, _, err := Next(make([]byte, 100)); !errors.Is(err, ErrCorrupt) {
		t.Error("zeros:", err)
	}
}

func TestSetters(t *testing.T) {
	b := three(Gzip, nil)
	crc := b.CRC()
	b.SetBaseOffset(math.MaxInt64 - 10)
	b.SetLeaderEpoch(7)
	if b.BaseOffset() != math.MaxInt64-10 || b.LeaderEpoch() != 7 || b.CRC() != crc || b.CheckCRC() != nil {
		t.Error(b)
	}
	b[attributesAt] = 0xff // undefined bits
	b.updateCRC()
	crc = b.CRC()
	b.SetMaxTimestamp(CreateTime, b.MaxTimestamp())
	if b.CRC() != crc || b[attributesAt] != 0xff {
		t.Error("nothing changed, and yet the CRC did")
	}
	b.SetMaxTimestamp(LogAppendTime, 5)
	if b.TimestampType() != LogAppendTime || b.MaxTimestamp() != 5 || b.Codec() != Gzip || b.CheckCRC() != nil {
		t.Error(b)
	}
	b.SetMaxTimestamp(CreateTime, 6)
	if b.TimestampType() != CreateTime || b.MaxTimestamp() != 6 || b.CheckCRC() != nil {
		t.Error(b)
	}
}

func TestSequence(t *testing.T) {
	for _, c := range []struct{ s, n, want int32 }{
		{0, 0, 0}, {5, 4, 9}, {math.MaxInt32, 0, math.MaxInt32}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 4, 2},
		{math.MaxInt32, math.MaxInt32, math.MaxInt32 - 1},
	} {
		if got := AddSequence(c.s, c.n); got != c.want {
			t.Errorf("%d + %d = %d, want %d", c.s, c.n, got, c.want)
		}
	}
	b := NewBuilder(CompressionOf(None))
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = 1, 0, math.MaxInt32-1
	for range 4 {
		b.Append(Record{})
	}
	if batch := b.Build(); batch.LastSequence() != 1 || b.BaseSequence != 2 || b.BaseOffset != 4 {
		t.Error(batch, b.BaseSequence, b.BaseOffset)
	}
	if b.Append(Record{}); b.Build().BaseOffset() != 4 {
		t.Error("the next batch does not start where the one before ended")
	}
}

func TestVarints(t *testing.T) {
	for _, v := range []int64{0, -1, 1, 63, 64, -64, -65, 8191, 8192, 1 << 20, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
		b := appendVarint([]byte{9}, v)[1:]
		if len(b) != varintSize(v) {
			t.Errorf("%d takes %d bytes, varintSize says %d", v, len(b), varintSize(v))
		}
		if got, n := varlong(b, 0); got != v || n != len(b) {
			t.Errorf("varlong of %d: %d, %d", v, got, n)
		}
		if int64(int32(v)) == v {
			if got, n := varint(b, 0); int64(got) != v || n != len(b) {
				t.Errorf("varint of %d: %d, %d", v, got, n)
			}
		}
		for cut := range len(b) {
			if _, n := varlong(b[:cut], 0); n != -1 {
				t.Errorf("%d cut to %d bytes was read", v, cut)
			}
		}
	}
	long := bytes.Repeat([]byte{0x80}, 20)
	if _, n := varint(long, 0); n != -1 {
		t.Error("a varint of 20 bytes was read")
	}
	if _, n := varlong(long, 0); n != -1 {
		t.Error("a varlong of 20 bytes was read")
	}
}

func TestEmptyBatch(t *testing.T) {
	b := three(Gzip, nil)
	empty := set32(bytes.Clone(b[:HeaderSize]), countAt, 0) // as compaction leaves it
	if empty.LastOffset() != 2 || len(collect(t, empty)) != 0 {
		t.Error(empty)
	}
	for _, err := range set32(bytes.Clone(b), countAt, -1).Records(0) {
		if !errors.Is(err, ErrInvalidRecord) {
			t.Error(err)
		}
	}
}

// TestChangeCRC: deriving the CRC gives what computing it does, for batches of every size around the powers of two.
func TestChangeCRC(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3, 255, 256, 257, 4095, 4096, 65535, 65536, 1 << 20, 3<<20 + 7} {
		b := NewBuilder(CompressionOf(None))
		b.Append(Record{Timestamp: testNow, Value: bytes.Repeat([]byte("x1"), size)})
		batch := b.Build()
		old := bytes.Clone(batch[attributesAt:producerIDAt])
		batch[attributesAt+1] ^= 0x48
		for i := range 8 {
			batch[maxTimestampAt+i] += byte(31 * i)
		}
		batch.changeCRC(old)
		if err := batch.CheckCRC(); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
		batch.SetMaxTimestamp(LogAppendTime, 12345)
		if err := batch.CheckCRC(); err != nil {
			t.Errorf("size %d, SetMaxTimestamp: %v", size, err)
		}
	}
	damaged := benchBatch(None, 1024)
	damaged[len(damaged)-1] ^= 1
	if damaged.SetMaxTimestamp(LogAppendTime, 5); damaged.CheckCRC() == nil {
		t.Error("stamping hid the damage of a large batch")
	}
}
