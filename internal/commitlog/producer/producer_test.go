package producer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/moldau/moldau/internal/record"
)

// data builds a data batch at offset.
func data(id int64, epoch int16, seq int32, n int, offset int64, txn bool) record.Batch {
	b := record.NewBuilder(record.Compression{})
	b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.BaseOffset, b.Transactional = id, epoch, seq, offset, txn
	for i := range n {
		b.Append(record.Record{Timestamp: 1000 + int64(i), Value: []byte("v")})
	}
	return b.Build()
}

// end builds a marker.
func end(id int64, epoch int16, offset int64, coordinator byte, commit bool) record.Batch {
	b := record.NewBuilder(record.Compression{})
	b.ProducerID, b.ProducerEpoch, b.BaseOffset, b.Transactional, b.Control = id, epoch, offset, true, true
	kind := byte(0)
	if commit {
		kind = 1
	}
	b.Append(record.Record{Timestamp: 2000, Key: []byte{0, 0, 0, kind}, Value: []byte{0, 0, 0, 0, 0, coordinator}})
	return b.Build()
}

func TestSequences(t *testing.T) {
	s := &State{}
	check := func(b record.Batch, want error, wantDup bool) {
		t.Helper()
		dup, isDup, err := s.Check(b, b.BaseOffset())
		if !errors.Is(err, want) || isDup != wantDup {
			t.Fatalf("%v: %v %v %v", b, dup, isDup, err)
		}
		if err == nil && !isDup {
			s.Update(b)
		}
	}
	check(data(1, 0, 7, 2, 100, false), nil, false) // unknown producer: any sequence
	check(data(1, 0, 10, 1, 102, false), ErrOutOfOrderSequence, false)
	check(data(1, 0, 8, 1, 102, false), ErrOutOfOrderSequence, false)
	check(data(1, 0, 7, 2, 102, false), nil, true)
	check(data(1, 0, 7, 1, 102, false), ErrOutOfOrderSequence, false) // same first, other last: no duplicate
	for i := int32(0); i < 5; i++ {
		check(data(1, 0, 9+i, 1, 102+int64(i), false), nil, false)
	}
	check(data(1, 0, 9, 1, 107, false), nil, true)
	check(data(1, 0, 7, 2, 107, false), ErrOutOfOrderSequence, false) // the sixth before the last is forgotten
	if dup, ok, _ := s.Check(data(1, 0, 11, 1, 107, false), 107); !ok || dup.First != 104 || dup.Last != 104 || dup.Timestamp != 1000 {
		t.Fatalf("%+v", dup)
	}
	check(data(1, 1, 3, 1, 107, false), ErrOutOfOrderSequence, false) // a new epoch begins with 0
	check(data(1, 1, 0, 1, 107, false), nil, false)
	check(data(1, 0, 14, 1, 108, false), ErrInvalidEpoch, false)
	check(data(1, 1, 13, 1, 108, false), ErrOutOfOrderSequence, false) // the batches of epoch 0 are forgotten

	check(data(2, 0, math.MaxInt32-1, 2, 108, false), nil, false)
	check(data(2, 0, 1, 1, 110, false), ErrOutOfOrderSequence, false)
	check(data(2, 0, 0, 1, 110, false), nil, false) // after the largest comes 0
	check(data(3, 0, math.MaxInt32, 3, 111, false), nil, false)
	check(data(3, 0, math.MaxInt32, 3, 114, false), nil, true) // a batch across the wrap
	check(data(3, 0, 2, 1, 114, false), nil, false)
}

func TestTransactions(t *testing.T) {
	s := &State{}
	s.Update(data(1, 0, 0, 1, 10, true))
	s.Update(data(2, 0, 0, 1, 11, true))
	s.Update(data(1, 0, 1, 1, 12, true))
	if _, _, err := s.Check(data(1, 0, 2, 1, 13, false), 13); !errors.Is(err, ErrInvalidTxnState) {
		t.Fatal(err)
	}
	first, ok := s.FirstUnstable(13)
	if first != 10 || !ok {
		t.Fatal(first, ok)
	}
	a, aborted := s.Update(end(1, 0, 13, 5, false))
	if !aborted || a != (Aborted{ProducerID: 1, First: 10, Last: 13, LastStable: 11}) {
		t.Fatalf("%+v %v", a, aborted)
	}
	if first, _ := s.FirstUnstable(13); first != 10 { // the marker is not below the high watermark
		t.Fatal(first)
	}
	if first, _ := s.FirstUnstable(14); first != 11 {
		t.Fatal(first)
	}
	if _, aborted := s.Update(end(2, 0, 14, 5, true)); aborted {
		t.Fatal("a commit is no abort")
	}
	if _, ok := s.FirstUnstable(15); ok {
		t.Fatal("nothing is open")
	}
	if _, _, err := s.Check(end(1, 0, 15, 4, true), 15); !errors.Is(err, ErrCoordinatorFenced) {
		t.Fatal(err)
	}
	if _, _, err := s.Check(data(1, 0, 2, 1, 15, true), 15); err != nil { // a marker resets no sequence
		t.Fatal(err)
	}
	if _, aborted := s.Update(end(9, 0, 16, 1, false)); aborted {
		t.Fatal("a marker without a transaction")
	}
}

func TestActive(t *testing.T) {
	s := &State{}
	s.Update(data(9, 3, 5, 2, 10, false))
	s.Update(data(1, 0, 0, 1, 12, true))
	s.Update(data(2, 0, 0, 1, 13, true))
	s.Update(end(2, 0, 14, 5, false))
	want := []Active{{1, 0, 0, 1000, None, 12}, {2, 0, 0, 2000, 5, None}, {9, 3, 6, 1001, None, None}}
	if got := s.Active(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestExpire: a producer is forgotten when it has been silent, by the broker's clock, for as long as it is remembered. One that writes records of old times is not silent.
func TestExpire(t *testing.T) {
	s := &State{}
	s.Update(data(1, 0, 0, 1, 10, false)) // timestamp 1000
	s.Update(data(2, 0, 0, 1, 11, true))
	s.Update(data(3, 0, 0, 2, 12, false)) // timestamp 1001
	s.Expire(4000, 5000)
	if _, ok, _ := s.Check(data(1, 0, 0, 1, 13, false), 13); !ok || s.Len() != 3 {
		t.Fatalf("%d entries, and a batch that came just now is not known", s.Len())
	}
	s.Expire(4900, 5900)
	s.Update(data(3, 0, 2, 1, 13, false)) // timestamp 1000
	s.Expire(5000, 6000)
	if s.Len() != 2 || s.entries[1] != nil {
		t.Fatalf("%d entries", s.Len())
	}
	s.Expire(6000, 7000)
	if s.Len() != 1 || s.entries[2] == nil { // its transaction is open
		t.Fatalf("%d entries", s.Len())
	}
}

// golden is a snapshot with one producer in a transaction, laid out by hand from Kafka's schema; kafka-dump-log reads such a file.
const golden = "0001" + "c8a35394" + "00000001" +
	"0000000000000007" + "0002" + "00000005" + "0000000000000064" + "00000001" + "00000000000003e9" + "ffffffff" + "0000000000000063"

func TestSnapshot(t *testing.T) {
	s := &State{}
	s.Update(data(7, 2, 4, 2, 99, true))
	got := s.Encode()
	want, _ := hex.DecodeString(golden)
	if !bytes.Equal(got, want) {
		t.Fatalf("%x", got)
	}
	back, err := Decode(got)
	if err != nil || !bytes.Equal(back.Encode(), got) {
		t.Fatal(err)
	}
	if first, ok := back.FirstUnstable(200); first != 99 || !ok {
		t.Fatal(first, ok)
	}
	if _, ok, _ := back.Check(data(7, 2, 4, 2, 101, true), 101); !ok {
		t.Fatal("the last batch is known after a restart")
	}
	for i := range got {
		bad := bytes.Clone(got)
		bad[i] ^= 0x10
		if _, err := Decode(bad); err == nil {
			t.Fatalf("byte %d flipped and taken", i)
		}
		if _, err := Decode(got[:i]); err == nil {
			t.Fatalf("%d bytes taken", i)
		}
	}
}

func FuzzDecode(f *testing.F) {
	s := &State{}
	s.Update(data(7, 2, 4, 2, 99, true))
	s.Update(data(8, 0, 0, 1, 101, false))
	f.Add(s.Encode())
	f.Add((&State{}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		enc := s.Encode()
		again, err := Decode(enc)
		if err != nil || !bytes.Equal(again.Encode(), enc) {
			t.Fatalf("%x: %v", b, err)
		}
		s.FirstUnstable(100)
		s.Expire(5, 6)
	})
}

func TestRecall(t *testing.T) {
	s := &State{}
	for i := int32(0); i < 9; i++ {
		s.Update(data(1, 0, i, 1, int64(i), false))
	}
	if s.Recall(1) != nil || s.Recall(2) != nil {
		t.Error("what no snapshot has told of can be recalled")
	}
	back, err := Decode(s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	back.Update(data(1, 0, 9, 1, 9, false))
	r := back.Recall(1)
	if r.Before() != 8 || r.Enough() {
		t.Fatal(r.Before(), r.Enough())
	}
	r.Add(data(2, 0, 7, 1, 7, false))
	r.Add(data(1, 1, 7, 1, 7, false))
	r.Add(data(1, 0, 8, 1, 8, false))
	if len(r.earlier) > 0 {
		t.Error("a batch of another producer, of another epoch, or a known one was taken")
	}
	for _, from := range []int32{6, 3} { // those behind before those in front
		for i := from; i < min(from+3, 8); i++ {
			r.Add(data(1, 0, i, 1, int64(i), false))
		}
	}
	if !r.Enough() {
		t.Error("five are not enough")
	}
	r.End()
	for i := int32(0); i < 10; i++ {
		_, isDup, _ := back.Check(data(1, 0, i, 1, 50, false), 50)
		if want := i >= 5; isDup != want {
			t.Errorf("sequence %d is a duplicate: %v, want %v", i, isDup, want)
		}
	}
	if back.Recall(1) != nil {
		t.Error("it could be recalled again")
	}
	again, err := Decode(s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if again.Update(data(1, 1, 0, 1, 9, false)); again.Recall(1) != nil {
		t.Error("batches of an epoch that is over could be recalled")
	}
	again, _ = Decode(s.Encode())
	r = again.Recall(1)
	r.Add(data(1, 0, 6, 1, 6, false)) // 7 is missing
	r.End()
	if _, isDup, err := again.Check(data(1, 0, 6, 1, 50, false), 50); isDup || err == nil {
		t.Error("a batch was recalled that does not join")
	}
}
