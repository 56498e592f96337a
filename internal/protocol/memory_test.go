package protocol

import (
	"errors"
	"testing"
)

// grants is memory of which there is only so much.
type grants struct{ left, taken int64 }

func (g *grants) Charge(n int64) bool {
	if n > g.left {
		return false
	}
	g.left -= n
	g.taken += n
	return true
}

// TestDecodersAskForMemory: the requests that have decoders of their own ask for what they name many things with before it is allocated, and only then.
func TestDecodersAskForMemory(t *testing.T) {
	const many = 100_000
	fetch := FetchRequest{Topics: []FetchTopic{{Name: "t", Partitions: make([]FetchPartition, many)}}}
	produce := ProduceRequest{Topics: []ProduceTopic{{Name: "t", Partitions: make([]ProducePartition, many)}}}
	forget := FetchRequest{Forgotten: []ForgottenTopic{{Name: "t", Partitions: make([]int32, many)}}}
	fetchBody, produceBody, forgetBody := fetch.AppendTo(nil, 11), produce.AppendTo(nil, 9), forget.AppendTo(nil, 11)
	for name, c := range map[string]struct {
		bytes  int64
		decode func(m Memory) error
	}{
		"Fetch":              {many * fetchPartitionCost, func(m Memory) error { return (&FetchRequest{Memory: m}).Decode(11, fetchBody) }},
		"Fetch that forgets": {many * 4, func(m Memory) error { return (&FetchRequest{Memory: m}).Decode(11, forgetBody) }},
		"Produce":            {many * producePartitionCost, func(m Memory) error { return (&ProduceRequest{Memory: m}).Decode(9, produceBody) }},
		"Fetch of little": {0, func(m Memory) error {
			return (&FetchRequest{Memory: m}).Decode(11, (&FetchRequest{Topics: make([]FetchTopic, 9)}).AppendTo(nil, 11))
		}},
		"Produce to one place": {0, func(m Memory) error { return (&ProduceRequest{Memory: m}).Decode(9, oneBatch(1<<20)) }},
	} {
		enough := &grants{left: 1 << 40}
		if err := c.decode(enough); err != nil || enough.taken != c.bytes {
			t.Errorf("%s: %d bytes were asked for, want %d; %v", name, enough.taken, c.bytes, err)
		}
		if err := c.decode(nil); err != nil {
			t.Errorf("%s without a limit: %v", name, err)
		}
		if c.bytes == 0 {
			continue
		}
		if err := c.decode(&grants{left: c.bytes - 1}); !errors.Is(err, ErrNoMemory) {
			t.Errorf("%s without memory: %v", name, err)
		}
		if n := allocated(func() { _ = c.decode(&grants{}) }); n > freeAllocation {
			t.Errorf("%s without memory allocates %d bytes", name, n)
		}
	}
}

func oneBatch(n int) []byte {
	p := ProduceRequest{Topics: []ProduceTopic{{Name: "t", Partitions: []ProducePartition{{Records: make([]byte, n)}}}}}
	return p.AppendTo(nil, 9)
}
