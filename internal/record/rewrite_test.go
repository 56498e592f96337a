package record

import (
	"bytes"
	"reflect"
	"testing"
)

// TestKeep takes each set of records out of a batch of every codec and compares what is left.
func TestKeep(t *testing.T) {
	const horizon = 1_900_000_000_123
	for _, c := range []Codec{None, Gzip, Snappy, LZ4, Zstd} {
		for _, kind := range []TimestampType{CreateTime, LogAppendTime} {
			builder := NewBuilder(CompressionOf(c))
			builder.BaseOffset, builder.LeaderEpoch, builder.TimestampType, builder.Transactional = 40, 6, kind, true
			builder.ProducerID, builder.ProducerEpoch, builder.BaseSequence = 77, 3, 12
			for _, r := range goldenRecords() {
				builder.Append(r)
			}
			b := builder.Build()
			if kind == LogAppendTime {
				b.SetMaxTimestamp(LogAppendTime, 1_700_000_009_999)
			}
			for mask := range 16 {
				keepAndCompare(t, b, mask, horizon)
			}
		}
	}
}

func keepAndCompare(t *testing.T, b Batch, mask int, horizon int64) {
	t.Helper()
	original := bytes.Clone(b)
	var want []Record
	tombstone := false
	for i, r := range collect(t, b) {
		if mask>>i&1 != 0 {
			want = append(want, r)
			tombstone = tombstone || r.Value == nil
		}
	}
	var w Rewriter
	k, err := w.Keep(b, 0, horizon, false, func(e Entry) bool { return mask>>(e.Offset-b.BaseOffset())&1 != 0 })
	if err != nil || k.Read != 4 || k.Records != len(want) {
		t.Fatalf("mask %b: %+v, %v", mask, k, err)
	}
	if !bytes.Equal(b, original) {
		t.Fatal("the batch itself was changed")
	}
	if len(want) == 0 {
		if k.Batch != nil {
			t.Fatalf("nothing stays, and yet there is %v", k.Batch)
		}
		compareEmpty(t, b, w.Empty(b))
		return
	}
	got := k.Batch
	if err := got.CheckCRC(); err != nil {
		t.Fatal(err)
	}
	if records := collect(t, got); !reflect.DeepEqual(records, want) {
		t.Fatalf("%v, mask %b:\n%v, want\n%v", b.Codec(), mask, records, want)
	}
	if got.HasDeleteHorizon() != tombstone || tombstone && got.BaseTimestamp() != horizon {
		t.Fatalf("mask %b: horizon %v %d", mask, got.HasDeleteHorizon(), got.BaseTimestamp())
	}
	same := func(x Batch) []any {
		return []any{x.BaseOffset(), x.LastOffset(), x.BaseSequence(), x.LastSequence(), x.ProducerID(), x.ProducerEpoch(), x.LeaderEpoch(), x.Codec(),
			x.TimestampType(), x.IsTransactional(), x.IsControl()}
	}
	if !reflect.DeepEqual(same(got), same(b)) {
		t.Fatalf("%v became %v", b, got)
	}
	if largest := largestOf(want); got.MaxTimestamp() != largest {
		t.Fatalf("mask %b: largest timestamp %d, want %d", mask, got.MaxTimestamp(), largest)
	}
	// A horizon that is there stays, whatever is asked for.
	again, err := w.Keep(bytes.Clone(got), 0, horizon+5, true, func(e Entry) bool { return true })
	if err != nil || tombstone && again.Batch.BaseTimestamp() != horizon || !tombstone && again.Batch.BaseTimestamp() != horizon+5 {
		t.Fatalf("mask %b: second horizon %d, %v", mask, again.Batch.BaseTimestamp(), err)
	}
	if records := collect(t, again.Batch); !reflect.DeepEqual(records, want) {
		t.Fatalf("mask %b, kept again: %v", mask, records)
	}
}

func largestOf(records []Record) int64 {
	largest := int64(NoTimestamp)
	for _, r := range records {
		largest = max(largest, r.Timestamp)
	}
	return largest
}

func compareEmpty(t *testing.T, b, empty Batch) {
	t.Helper()
	if len(empty) != HeaderSize || empty.Count() != 0 || empty.Codec() != None || empty.BaseTimestamp() != NoTimestamp || empty.HasDeleteHorizon() ||
		empty.BaseOffset() != b.BaseOffset() || empty.LastOffset() != b.LastOffset() || empty.BaseSequence() != b.BaseSequence() ||
		empty.LastSequence() != b.LastSequence() || empty.ProducerID() != b.ProducerID() || empty.ProducerEpoch() != b.ProducerEpoch() ||
		empty.LeaderEpoch() != b.LeaderEpoch() || empty.MaxTimestamp() != b.MaxTimestamp() || empty.TimestampType() != b.TimestampType() ||
		empty.IsTransactional() != b.IsTransactional() || empty.IsControl() != b.IsControl() || empty.CheckCRC() != nil {
		t.Fatalf("%v was emptied to %v", b, empty)
	}
}

// TestKeepLeavesWhatStaysAlone: a batch of which nothing goes and nothing is stamped is returned as it is, not copied.
func TestKeepLeavesWhatStaysAlone(t *testing.T) {
	var w Rewriter
	b := NewBuilder(CompressionOf(Zstd))
	b.Append(Record{Key: []byte("k"), Value: []byte("v")})
	batch := b.Build()
	k, err := w.Keep(batch, 0, 9, false, func(Entry) bool { return true })
	if err != nil || &k.Batch[0] != &batch[0] {
		t.Errorf("%+v, %v", k, err)
	}
}

// FuzzKeep: no batch, however broken, makes it panic, and what it returns is sound.
func FuzzKeep(f *testing.F) {
	for _, c := range []Codec{None, Gzip, Snappy, LZ4, Zstd} {
		f.Add([]byte(three(c, nil)), uint8(2), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, mask uint8, mark bool) {
		b, _, err := Next(data)
		if err != nil {
			return
		}
		var w Rewriter
		n := 0
		k, err := w.Keep(b, 1<<20, 1234, mark, func(Entry) bool { n++; return mask>>(n%8)&1 != 0 })
		if err != nil || k.Batch == nil || &k.Batch[0] == &b[0] {
			return
		}
		if err := k.Batch.CheckCRC(); err != nil {
			t.Fatal(err)
		}
		records := 0
		for _, err := range k.Batch.Records(1 << 22) {
			if err != nil {
				t.Fatal(err)
			}
			records++
		}
		if records != k.Records {
			t.Fatalf("%d records, %d were kept", records, k.Records)
		}
	})
}
