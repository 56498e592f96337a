package chaos

import (
	"slices"
	"testing"
	"time"
)

// history is what clients tell a checker of one topic, of one partition unless it says otherwise.
type history struct {
	*checker
	reader *order
}

func newHistory(repeats bool) *history {
	c := newChecker()
	c.topic("t", 1, repeats)
	return &history{c, c.follow("reader", "t", 0)}
}

// acks tells of acknowledgements of one producer's records 0, 1, ... at those offsets, -1 for one without.
func (h *history) acks(offsets ...int64) {
	for number, offset := range offsets {
		if offset >= 0 {
			h.acknowledged("t", 0, entry{1, uint32(number)}, offset)
		}
	}
}

// reads tells of the numbers that a reader finds at offset 0, 1, ...
func (h *history) reads(numbers ...uint32) {
	for offset, number := range numbers {
		h.reader.take(entry{1, number}, int64(offset))
	}
	h.reader.finish()
}

// TestCheckerSees feeds histories to the checker: good ones, in which it finds nothing, and each kind of bad one.
func TestCheckerSees(t *testing.T) {
	for _, test := range []struct {
		name string
		tell func() *checker
		want []string
	}{
		{"all is well", func() *checker {
			h := newHistory(false)
			h.acks(0, 1, 2)
			h.reads(0, 1, 2)
			return h.checker
		}, nil},
		{"an acknowledgement was lost", func() *checker {
			h := newHistory(false)
			h.acks(0, -1, 2)
			h.reads(0, 1, 2)
			return h.checker
		}, nil},
		{"a record that nobody acknowledged is not there", func() *checker {
			h := newHistory(false)
			h.acks(0, 1)
			h.reads(0, 1)
			return h.checker
		}, nil},
		{"a plain producer repeats", func() *checker {
			h := newHistory(true)
			h.acks(0, 2, 4)
			h.reads(0, 0, 1, 1, 2)
			return h.checker
		}, nil},
		{"the last record is lost", func() *checker {
			h := newHistory(false)
			h.acks(0, 1, 2)
			h.reads(0, 1)
			return h.checker
		}, []string{lost}},
		{"a record in the middle is lost, and those after it have moved up", func() *checker {
			h := newHistory(false)
			h.acks(0, 1, 2)
			h.reads(0, 2)
			return h.checker
		}, []string{changed, lost, reordered}},
		{"an idempotent producer repeats", func() *checker {
			h := newHistory(false)
			h.acks(0, 2)
			h.reads(0, 0, 1)
			return h.checker
		}, []string{doubled}},
		{"two records are exchanged", func() *checker {
			h := newHistory(false)
			h.acks(1, 0)
			h.reads(1, 0)
			return h.checker
		}, []string{reordered}},
		{"a plain producer's records are exchanged", func() *checker {
			h := newHistory(true)
			h.acks(1, 0)
			h.reads(1, 0)
			return h.checker
		}, []string{reordered}},
		{"a reader saw what another one does not find", func() *checker {
			h := newHistory(false)
			h.saw("early reader", "t", 0, entry{1, 5}, 1)
			h.acks(0)
			h.reads(0, 1)
			return h.checker
		}, []string{changed}},
		{"two records are acknowledged at one offset", func() *checker {
			h := newHistory(false)
			h.acks(0, 0)
			return h.checker
		}, []string{misplaced}},
		{"a reader is led past an offset", func() *checker {
			h := newHistory(false)
			h.reader.take(entry{1, 0}, 0)
			h.reader.take(entry{1, 1}, 2)
			return h.checker
		}, []string{skipped}},
		{"a committed offset goes back", func() *checker {
			h := newHistory(false)
			h.committed("g", 0, 10, 10, 12)
			h.committed("g", 0, 9, 10, 12)
			return h.checker
		}, []string{wentBack}},
		{"a committed offset comes from nowhere", func() *checker {
			h := newHistory(false)
			h.committed("g", 0, 13, 10, 12)
			return h.checker
		}, []string{invented}},
		{"a client is stuck", func() *checker {
			h, now := newHistory(false), time.Now()
			goesOn, stands := newPulse("goes on"), newPulse("stands")
			goesOn.beatAt(now.Add(time.Second))
			stands.beatAt(now.Add(-time.Second))
			if h.alive([]*pulse{goesOn}, now, 0); h.kinds() != nil {
				t.Error("who goes on is stuck")
			}
			h.alive([]*pulse{goesOn, stands}, now, time.Millisecond)
			return h.checker
		}, []string{stuck}},
		{"replicas are the same, but for what nobody reads yet", func() *checker {
			h := newHistory(false)
			h.same("t-0", 2, []replica{{1, []sum{{0, hash(1)}, {1, hash(2)}}}, {2, []sum{{0, hash(1)}, {1, hash(2)}, {2, hash(3)}}}})
			return h.checker
		}, nil},
		{"replicas have other bytes", func() *checker {
			h := newHistory(false)
			h.same("t-0", 2, []replica{{1, []sum{{0, hash(1)}, {1, hash(2)}}}, {2, []sum{{0, hash(1)}, {1, hash(9)}}}})
			return h.checker
		}, []string{different}},
		{"a replica has less", func() *checker {
			h := newHistory(false)
			h.same("t-0", 2, []replica{{1, []sum{{0, hash(1)}, {1, hash(2)}}}, {2, []sum{{0, hash(1)}}}})
			return h.checker
		}, []string{different}},
		{"all replicas have nothing", func() *checker {
			h := newHistory(false)
			h.same("t-0", 2, []replica{{1, nil}, {2, nil}})
			return h.checker
		}, []string{different}},
	} {
		if got := test.tell().kinds(); !slices.Equal(got, test.want) {
			t.Errorf("%s: found %q, want %q", test.name, got, test.want)
		}
	}
}

func hash(b byte) (h [32]byte) { h[0] = b; return h }
