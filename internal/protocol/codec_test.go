package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

const rounds = 200

// gen makes random messages; the seed is fixed, so that a failure repeats.
type gen struct {
	*rand.Rand
	tagged bool // fill adds unknown tags
}

func newGen(seed uint64) gen { return gen{Rand: rand.New(rand.NewPCG(seed, 7))} }

func (g gen) name() string {
	b := make([]byte, g.IntN(20))
	for i := range b {
		b[i] = byte('a' + g.IntN(26))
	}
	return string(b)
}

func (g gen) nullable() *string {
	if g.IntN(2) == 0 {
		return nil
	}
	s := g.name()
	return &s
}

func (g gen) bytes() []byte {
	b := make([]byte, g.IntN(300))
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g gen) id() (u uuid.UUID) {
	for i := range u {
		u[i] = byte(g.Uint32())
	}
	return u
}

func (g gen) i32() int32 { return int32(g.Uint32()) }
func (g gen) i64() int64 { return int64(g.Uint64()) }

// unknown puts a tag that nobody knows into some of the tag sections.
func (g gen) unknown(tags *kmsg.Tags, flexible bool) {
	if flexible && g.IntN(4) == 0 {
		tags.Set(77+g.Uint32N(3), []byte("later"))
	}
}

func (g gen) kmsgProduce(v int16) *kmsg.ProduceRequest {
	k := kmsg.NewPtrProduceRequest()
	k.Version, k.TransactionID, k.Acks, k.TimeoutMillis = v, g.nullable(), int16(g.IntN(3)-1), g.i32()
	flexible := v >= 9
	for range g.IntN(4) {
		t := kmsg.NewProduceRequestTopic()
		if v >= 13 {
			t.TopicID = g.id()
		} else {
			t.Topic = g.name()
		}
		for range g.IntN(4) {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = g.i32()
			if g.IntN(5) > 0 {
				p.Records = g.bytes()
			}
			g.unknown(&p.UnknownTags, flexible)
			t.Partitions = append(t.Partitions, p)
		}
		g.unknown(&t.UnknownTags, flexible)
		k.Topics = append(k.Topics, t)
	}
	g.unknown(&k.UnknownTags, flexible)
	return k
}

func TestProduceRequestAgainstKmsg(t *testing.T) {
	var req ProduceRequest
	for v := int16(3); v <= 13; v++ {
		g := newGen(uint64(v))
		for range rounds {
			k := g.kmsgProduce(v)
			body := k.AppendTo(nil)
			if err := req.Decode(v, body); err != nil {
				t.Fatalf("v%d: %v", v, err)
			}
			if !same(req.TransactionalID, k.TransactionID) || req.Acks != k.Acks || req.TimeoutMs != k.TimeoutMillis || len(req.Topics) != len(k.Topics) {
				t.Fatalf("v%d: %+v, want %+v", v, req, k)
			}
			for i, kt := range k.Topics {
				rt := req.Topics[i]
				if rt.Name != kt.Topic || rt.ID != uuid.UUID(kt.TopicID) || len(rt.Partitions) != len(kt.Partitions) {
					t.Fatalf("v%d: topic %+v, want %+v", v, rt, kt)
				}
				for j, kp := range kt.Partitions {
					rp := rt.Partitions[j]
					if rp.Partition != kp.Partition || (rp.Records == nil) != (kp.Records == nil) || !bytes.Equal(rp.Records, kp.Records) {
						t.Fatalf("v%d: partition %+v, want %+v", v, rp, kp)
					}
				}
			}
			// What we encode, kmsg reads as the same thing without the unknown tags.
			back := kmsg.NewPtrProduceRequest()
			back.Version = v
			if err := back.ReadFrom(req.AppendTo(nil, v)); err != nil {
				t.Fatalf("v%d: kmsg reads ours: %v", v, err)
			}
			for i := range k.Topics {
				k.Topics[i].UnknownTags = kmsg.Tags{}
				for j := range k.Topics[i].Partitions {
					k.Topics[i].Partitions[j].UnknownTags = kmsg.Tags{}
				}
			}
			k.UnknownTags = kmsg.Tags{}
			if !bytes.Equal(back.AppendTo(nil), k.AppendTo(nil)) {
				t.Fatalf("v%d: re-encoded request differs", v)
			}
		}
	}
}

func same(a, b *string) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

func (g gen) kmsgFetch(v int16) *kmsg.FetchRequest {
	k := kmsg.NewPtrFetchRequest()
	k.Version, k.MaxWaitMillis, k.MinBytes, k.MaxBytes, k.IsolationLevel = v, g.i32(), g.i32(), g.i32(), int8(g.IntN(2))
	flexible := v >= 12
	if v <= 14 {
		k.ReplicaID = g.i32()
	} else if g.IntN(2) == 0 {
		k.ReplicaState.ID, k.ReplicaState.Epoch = g.i32(), g.i64()
	}
	if v >= 7 {
		k.SessionID, k.SessionEpoch = g.i32(), g.i32()
	}
	if v >= 11 {
		k.Rack = g.name()
	}
	if flexible {
		k.ClusterID = g.nullable()
	}
	for range g.IntN(4) {
		t := kmsg.NewFetchRequestTopic()
		if v >= 13 {
			t.TopicID = g.id()
		} else {
			t.Topic = g.name()
		}
		for range g.IntN(4) {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.FetchOffset, p.PartitionMaxBytes = g.i32(), g.i64(), g.i32()
			if v >= 5 {
				p.LogStartOffset = g.i64()
			}
			if v >= 9 {
				p.CurrentLeaderEpoch = g.i32()
			}
			if v >= 12 {
				p.LastFetchedEpoch = g.i32()
			}
			if v >= 17 && g.IntN(2) == 0 {
				p.ReplicaDirectoryID = g.id()
			}
			if v >= 18 && g.IntN(2) == 0 {
				p.HighWatermark = g.i64()
			}
			g.unknown(&p.UnknownTags, flexible)
			t.Partitions = append(t.Partitions, p)
		}
		g.unknown(&t.UnknownTags, flexible)
		k.Topics = append(k.Topics, t)
	}
	if v >= 7 {
		for range g.IntN(3) {
			t := kmsg.NewFetchRequestForgottenTopic()
			if v >= 13 {
				t.TopicID = g.id()
			} else {
				t.Topic = g.name()
			}
			for range g.IntN(4) {
				t.Partitions = append(t.Partitions, g.i32())
			}
			g.unknown(&t.UnknownTags, flexible)
			k.ForgottenTopics = append(k.ForgottenTopics, t)
		}
	}
	g.unknown(&k.UnknownTags, flexible)
	return k
}

func TestFetchRequestAgainstKmsg(t *testing.T) {
	var req FetchRequest
	for v := int16(4); v <= 18; v++ {
		g := newGen(uint64(v))
		for range rounds {
			k := g.kmsgFetch(v)
			if err := req.Decode(v, k.AppendTo(nil)); err != nil {
				t.Fatalf("v%d: %v", v, err)
			}
			replica, epoch := k.ReplicaID, int64(-1)
			if v >= 15 {
				replica, epoch = k.ReplicaState.ID, k.ReplicaState.Epoch
			}
			if !same(req.ClusterID, k.ClusterID) || req.ReplicaID != replica || req.ReplicaEpoch != epoch || req.MaxWaitMs != k.MaxWaitMillis ||
				req.MinBytes != k.MinBytes || req.MaxBytes != k.MaxBytes || req.IsolationLevel != k.IsolationLevel || req.SessionID != k.SessionID ||
				req.SessionEpoch != k.SessionEpoch || req.RackID != k.Rack || len(req.Topics) != len(k.Topics) || len(req.Forgotten) != len(k.ForgottenTopics) {
				t.Fatalf("v%d: %+v, want %+v", v, req, k)
			}
			for i, kt := range k.Topics {
				rt := req.Topics[i]
				if rt.Name != kt.Topic || rt.ID != uuid.UUID(kt.TopicID) || len(rt.Partitions) != len(kt.Partitions) {
					t.Fatalf("v%d: topic %+v, want %+v", v, rt, kt)
				}
				for j, p := range kt.Partitions {
					want := FetchPartition{p.Partition, p.CurrentLeaderEpoch, p.FetchOffset, p.LastFetchedEpoch, p.LogStartOffset, p.PartitionMaxBytes, p.ReplicaDirectoryID, p.HighWatermark, -1}
					if rt.Partitions[j] != want {
						t.Fatalf("v%d: partition %+v, want %+v", v, rt.Partitions[j], want)
					}
				}
			}
			for i, kt := range k.ForgottenTopics {
				rt := req.Forgotten[i]
				if rt.Name != kt.Topic || rt.ID != uuid.UUID(kt.TopicID) || len(rt.Partitions) != len(kt.Partitions) ||
					len(kt.Partitions) > 0 && !reflect.DeepEqual(rt.Partitions, kt.Partitions) {
					t.Fatalf("v%d: forgotten %+v, want %+v", v, rt, kt)
				}
			}
			back := kmsg.NewPtrFetchRequest()
			back.Version = v
			if err := back.ReadFrom(req.AppendTo(nil, v)); err != nil {
				t.Fatalf("v%d: kmsg reads ours: %v", v, err)
			}
			for i := range k.Topics {
				k.Topics[i].UnknownTags = kmsg.Tags{}
				for j := range k.Topics[i].Partitions {
					k.Topics[i].Partitions[j].UnknownTags = kmsg.Tags{}
				}
			}
			for i := range k.ForgottenTopics {
				k.ForgottenTopics[i].UnknownTags = kmsg.Tags{}
			}
			k.UnknownTags = kmsg.Tags{}
			if !bytes.Equal(back.AppendTo(nil), k.AppendTo(nil)) {
				t.Fatalf("v%d: re-encoded request differs", v)
			}
		}
	}
}

func (g gen) endpoints() (ours []NodeEndpoint, theirs []kmsg.ProduceResponseBroker) {
	for range g.IntN(3) {
		n := NodeEndpoint{g.i32(), g.name(), g.i32(), g.nullable()}
		if g.IntN(3) == 0 {
			n.Host = string(bytes.Repeat([]byte("h"), 126+g.IntN(4))) // where the length's varint grows
		}
		ours = append(ours, n)
		theirs = append(theirs, kmsg.ProduceResponseBroker{NodeID: n.ID, Host: n.Host, Port: n.Port, Rack: n.Rack})
	}
	return ours, theirs
}

func TestProduceResponseAgainstKmsg(t *testing.T) {
	for v := int16(3); v <= 13; v++ {
		g := newGen(uint64(v))
		for range rounds {
			ours := ProduceResponse{ThrottleMs: g.i32()}
			k := kmsg.NewPtrProduceResponse()
			k.Version, k.ThrottleMillis = v, ours.ThrottleMs
			if nodes, brokers := g.endpoints(); v >= 10 {
				ours.NodeEndpoints, k.Brokers = nodes, brokers
			}
			for range g.IntN(4) {
				rt := ProduceResponseTopic{Name: g.name(), ID: g.id()}
				kt := kmsg.NewProduceResponseTopic()
				kt.Topic, kt.TopicID = rt.Name, rt.ID
				for range g.IntN(4) {
					p := ProduceResponsePartition{g.i32(), ErrorCode(g.IntN(130)), g.i64(), g.i64(), g.i64(), nil, g.nullable(), nil}
					kp := kmsg.NewProduceResponseTopicPartition()
					kp.Partition, kp.ErrorCode, kp.BaseOffset, kp.LogAppendTime, kp.LogStartOffset = p.Partition, int16(p.Error), p.BaseOffset, p.LogAppendTimeMs, p.LogStartOffset
					kp.ErrorMessage = p.ErrorMessage
					for range g.IntN(3) {
						e := RecordError{g.i32(), g.nullable()}
						p.RecordErrors = append(p.RecordErrors, e)
						kp.ErrorRecords = append(kp.ErrorRecords, kmsg.ProduceResponseTopicPartitionErrorRecord{RelativeOffset: e.Index, ErrorMessage: e.Message})
					}
					if g.IntN(2) == 0 {
						p.CurrentLeader = &CurrentLeader{int32(g.IntN(9)), int32(g.IntN(9))}
						if v >= 10 {
							kp.CurrentLeader.LeaderID, kp.CurrentLeader.LeaderEpoch = p.CurrentLeader.ID, p.CurrentLeader.Epoch
						}
					}
					rt.Partitions = append(rt.Partitions, p)
					kt.Partitions = append(kt.Partitions, kp)
				}
				ours.Topics = append(ours.Topics, rt)
				k.Topics = append(k.Topics, kt)
			}
			if got, want := ours.AppendTo(nil, v), k.AppendTo(nil); !bytes.Equal(got, want) {
				t.Fatalf("v%d: %x\nwant %x", v, got, want)
			}
		}
	}
}

func TestFetchResponseAgainstKmsg(t *testing.T) {
	for v := int16(4); v <= 18; v++ {
		g := newGen(uint64(v))
		for range rounds {
			ours := FetchResponse{ThrottleMs: g.i32(), Error: ErrorCode(g.IntN(130)), SessionID: g.i32()}
			k := kmsg.NewPtrFetchResponse()
			k.Version, k.ThrottleMillis, k.ErrorCode, k.SessionID = v, ours.ThrottleMs, int16(ours.Error), ours.SessionID
			if nodes, brokers := g.endpoints(); v >= 16 {
				ours.NodeEndpoints = nodes
				for _, b := range brokers {
					k.Brokers = append(k.Brokers, kmsg.FetchResponseBroker{NodeID: b.NodeID, Host: b.Host, Port: b.Port, Rack: b.Rack})
				}
			}
			for range g.IntN(4) {
				rt := FetchResponseTopic{Name: g.name(), ID: g.id()}
				kt := kmsg.NewFetchResponseTopic()
				kt.Topic, kt.TopicID = rt.Name, rt.ID
				for range g.IntN(4) {
					p, kp := g.fetchPartition(v)
					rt.Partitions = append(rt.Partitions, p)
					kt.Partitions = append(kt.Partitions, kp)
				}
				ours.Topics = append(ours.Topics, rt)
				k.Topics = append(k.Topics, kt)
			}
			header := []byte("header")
			before := []vfs.Span{vfs.MemSpan([]byte("before"))}
			_, spans := ours.AppendTo(header, before, v)
			want := k.AppendTo([]byte("beforeheader"))
			if got := flatten(t, spans); !bytes.Equal(got, want) {
				t.Fatalf("v%d: %x\nwant %x", v, got, want)
			}
			if SpanBytes(spans) != int64(len(want)) {
				t.Fatalf("v%d: spans hold %d bytes, want %d", v, SpanBytes(spans), len(want))
			}
		}
	}
}

func (g gen) fetchPartition(v int16) (FetchResponsePartition, kmsg.FetchResponseTopicPartition) {
	p := FetchResponsePartition{Partition: g.i32(), Error: ErrorCode(g.IntN(130)), HighWatermark: g.i64(), LastStableOffset: g.i64(), LogStartOffset: g.i64(), PreferredReadReplica: g.i32()}
	k := kmsg.NewFetchResponseTopicPartition()
	k.Partition, k.ErrorCode, k.HighWatermark, k.LastStableOffset, k.LogStartOffset = p.Partition, int16(p.Error), p.HighWatermark, p.LastStableOffset, p.LogStartOffset
	k.PreferredReadReplica = p.PreferredReadReplica
	if g.IntN(2) == 0 {
		p.Aborted, k.AbortedTransactions = []AbortedTransaction{}, []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		for range g.IntN(3) {
			a := AbortedTransaction{g.i64(), g.i64()}
			p.Aborted = append(p.Aborted, a)
			k.AbortedTransactions = append(k.AbortedTransactions, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset})
		}
	}
	k.RecordBatches = []byte{}
	for range g.IntN(3) {
		b := g.bytes()
		p.Records = append(p.Records, vfs.MemSpan(b))
		k.RecordBatches = append(k.RecordBatches, b...)
	}
	if v < 12 {
		return p, k
	}
	if g.IntN(2) == 0 {
		p.DivergingEpoch = &EpochEndOffset{3, g.i64()}
		k.DivergingEpoch.Epoch, k.DivergingEpoch.EndOffset = 3, p.DivergingEpoch.EndOffset
	}
	if g.IntN(2) == 0 {
		p.CurrentLeader = &CurrentLeader{1, 0}
		k.CurrentLeader.LeaderID, k.CurrentLeader.LeaderEpoch = 1, 0
	}
	if g.IntN(2) == 0 {
		p.SnapshotID = &SnapshotID{g.i64(), 5}
		k.SnapshotID.EndOffset, k.SnapshotID.Epoch = p.SnapshotID.EndOffset, 5
	}
	return p, k
}

func flatten(t *testing.T, spans []vfs.Span) (out []byte) {
	for _, s := range spans {
		var err error
		if out, err = s.AppendTo(out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Every cut of a request is an error, which closes the connection; bytes too many are passed over. Kafka does the same.
func TestCutAndTrailing(t *testing.T) {
	var produce ProduceRequest
	var fetch FetchRequest
	decode := map[string]func(int16, []byte) error{"produce": produce.Decode, "fetch": fetch.Decode}
	for v := int16(3); v <= 18; v++ {
		g := newGen(uint64(v))
		bodies := map[string][]byte{}
		if v <= 13 {
			bodies["produce"] = g.kmsgProduce(v).AppendTo(nil)
		}
		if v >= 4 {
			bodies["fetch"] = g.kmsgFetch(v).AppendTo(nil)
		}
		for name, body := range bodies {
			for n := range body {
				if err := decode[name](v, body[:n:n]); !errors.Is(err, ErrMalformed) {
					t.Fatalf("%s v%d cut to %d of %d: %v", name, v, n, len(body), err)
				}
			}
			if err := decode[name](v, append(body, 0)); err != nil {
				t.Fatalf("%s v%d with a byte too many: %v", name, v, err)
			}
		}
	}
}

// hostile returns bodies that claim more than they hold.
func hostile(size int) map[string][]byte {
	zeros := make([]byte, size)
	ones := bytes.Repeat([]byte{0x01}, size)
	half := bytes.Repeat([]byte{0x02}, size)
	ff := bytes.Repeat([]byte{0xff}, size)
	m := map[string][]byte{"zeros": zeros, "ones": ones, "twos": half, "ff": ff}
	for at := range 40 {
		b := bytes.Clone(zeros)
		copy(b[at:], AppendUvarint(nil, uint32(size/3)))
		m[fmt.Sprintf("varint at %d", at)] = b
		b = bytes.Clone(zeros)
		copy(b[at:], AppendInt32(nil, int32(size/7)))
		m[fmt.Sprintf("int32 at %d", at)] = b
	}
	return m
}

func TestHotDecodeIsBounded(t *testing.T) {
	const size = 1 << 20
	for name, body := range hostile(size) {
		for v := int16(3); v <= 18; v++ {
			for _, f := range []func() error{
				func() error { var p ProduceRequest; return p.Decode(v, body) },
				func() error { var p FetchRequest; return p.Decode(v, body) },
			} {
				if n := allocated(func() { _ = f() }); n > amplification*size+2*freeAllocation {
					t.Errorf("%s, v%d: %d bytes allocated", name, v, n)
				}
			}
		}
	}
}

func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

func TestHeader(t *testing.T) {
	var h RequestHeader
	for _, c := range []struct {
		key     APIKey
		version int16
		wire    []byte
		id      string
		bad     bool
	}{
		{key: KeyFetch, version: 11, wire: []byte{0, 2, 'm', 'e'}, id: "me"},
		{key: KeyFetch, version: 12, wire: []byte{0, 2, 'm', 'e', 0}, id: "me"},
		{key: KeyFetch, version: 12, wire: []byte{0xff, 0xff, 2, 1, 1, 'x', 9, 0}},
		{key: KeyFetch, version: 12, wire: []byte{0xff, 0xff, 2, 9, 0, 1, 0}, bad: true},          // descends
		{key: KeyFetch, version: 12, wire: []byte{0xff, 0xff, 2, 1, 0, 1, 0}, bad: true},          // repeats
		{key: KeyFetch, version: 12, wire: []byte{0xff, 0xff, 1, 1, 99, 0}, bad: true},            // size past the frame
		{key: KeyFetch, version: 12, wire: []byte{0xff, 0xff, 0x81, 1, 0, 0}, bad: true},          // 129 tags
		{key: KeyFetch, version: 11, wire: []byte{0xff, 0xfe}},                                    // length -2 is null too
		{key: KeyFetch, version: 11, wire: []byte{0, 9, 'm'}, bad: true},                          // cut
		{key: KeyFetch, version: 11, wire: append([]byte{1, 1}, make([]byte, 257)...), bad: true}, // longer than we take
		{key: KeyAPIVersions, version: 99, wire: []byte{0, 1, 'x', 0}, id: "x"},
		{key: KeyFetch, version: 19, wire: []byte{0, 0}, bad: true},
		{key: KeyFetch, version: 3, wire: []byte{0, 0}, bad: true},
		{key: 4, version: 0, wire: []byte{0, 0}, bad: true},
		{key: -1, version: 0, wire: []byte{0, 0}, bad: true},
		{key: 999, version: 0, wire: []byte{0, 0}, bad: true},
		{key: KeyAPIVersions, version: -1, wire: []byte{0, 0}},
		{key: KeyOffsetDelete, version: 0, wire: []byte{0, 1, 'x'}, id: "x"},
	} {
		frame := AppendInt32(AppendInt16(AppendInt16(nil, int16(c.key)), c.version), 42)
		frame = append(append(frame, c.wire...), "body"...)
		if c.bad {
			if len(c.wire) > 3 && c.key == KeyFetch {
				frame = frame[:len(frame)-4]
			}
		}
		body, err := h.Decode(frame)
		if c.bad {
			var u *UnsupportedError
			if err == nil || !errors.Is(err, ErrMalformed) && !errors.As(err, &u) {
				t.Errorf("%s v%d %x: %v", c.key, c.version, c.wire, err)
			}
			continue
		}
		if err != nil || string(body) != "body" || h.ClientID != c.id || h.CorrelationID != 42 || h.Key != c.key || h.Version != c.version {
			t.Errorf("%s v%d %x: %+v %q %v", c.key, c.version, c.wire, h, body, err)
		}
	}
}

// What kmsg writes in front of a request of any API and version, we read, and write the same.
func TestHeaderAgainstKmsg(t *testing.T) {
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID("me"))
	for key := range APIKey(200) {
		api, ok := Lookup(key)
		if !ok {
			continue
		}
		k := kmsg.RequestForKey(int16(key))
		for v := api.Min; v <= min(api.Max, k.MaxVersion()); v++ {
			k.SetVersion(v)
			frame := formatter.AppendRequest(nil, k, 77)[4:]
			var h RequestHeader
			body, err := h.Decode(frame)
			want := RequestHeader{key, v, 77, "me"}
			if err != nil || h != want || !bytes.Equal(body, k.AppendTo(nil)) {
				t.Errorf("%s v%d: %+v %v", key, v, h, err)
			}
			if !bytes.Equal(append(AppendRequestHeader(nil, h), body...), frame) {
				t.Errorf("%s v%d: header written differs", key, v)
			}
		}
	}
}

func TestResponseHeader(t *testing.T) {
	for _, c := range []struct {
		key     APIKey
		version int16
		want    []byte
	}{
		{KeyFetch, 11, []byte{0, 0, 0, 7}},
		{KeyFetch, 12, []byte{0, 0, 0, 7, 0}},
		{KeyAPIVersions, 0, []byte{0, 0, 0, 7}},
		{KeyAPIVersions, 4, []byte{0, 0, 0, 7}},
		{KeySASLHandshake, 1, []byte{0, 0, 0, 7}},
		{KeyDescribeCluster, 0, []byte{0, 0, 0, 7, 0}},
	} {
		if got := AppendResponseHeader(nil, c.key, c.version, 7); !bytes.Equal(got, c.want) {
			t.Errorf("%s v%d: %x, want %x", c.key, c.version, got, c.want)
		}
	}
}

// The table must agree with kmsg wherever kmsg knows the API.
func TestTableAgainstKmsg(t *testing.T) {
	for key := range APIKey(200) {
		api, ok := Lookup(key)
		k := kmsg.RequestForKey(int16(key))
		if !ok {
			continue
		}
		if k == nil {
			t.Errorf("%s: kmsg has no key %d", api.Name, key)
			continue
		}
		for v := api.Min; v <= min(api.Max, k.MaxVersion()); v++ {
			if k.SetVersion(v); k.IsFlexible() != api.Flexible(v) {
				t.Errorf("%s v%d: flexible %v, kmsg says %v", api.Name, v, api.Flexible(v), k.IsFlexible())
			}
		}
	}
	if UnknownServerError.String() != "UNKNOWN_SERVER_ERROR" || ControllerIDNotRegistered.String() != "CONTROLLER_ID_NOT_REGISTERED" || ErrorCode(137).String() != "137" {
		t.Error("error names are off")
	}
}

func FuzzProduceRequest(f *testing.F) {
	for _, c := range requests(f) {
		if c.header.Key == KeyProduce {
			f.Add(c.header.Version, c.body)
		}
	}
	for v := int16(3); v <= 13; v++ {
		f.Add(v, newGen(1).kmsgProduce(v).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, v int16, body []byte) {
		if v < 3 || v > 13 {
			return
		}
		var a, b ProduceRequest
		if a.Decode(v, body) != nil {
			return
		}
		wire := a.AppendTo(nil, v)
		if err := b.Decode(v, wire); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.AppendTo(nil, v), wire) {
			t.Fatal("decode and encode are not stable")
		}
	})
}

func FuzzFetchRequest(f *testing.F) {
	for _, c := range requests(f) {
		if c.header.Key == KeyFetch {
			f.Add(c.header.Version, c.body)
		}
	}
	for v := int16(4); v <= 18; v++ {
		f.Add(v, newGen(1).kmsgFetch(v).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, v int16, body []byte) {
		if v < 4 || v > 18 {
			return
		}
		var a, b FetchRequest
		if a.Decode(v, body) != nil {
			return
		}
		wire := a.AppendTo(nil, v)
		if err := b.Decode(v, wire); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.AppendTo(nil, v), wire) {
			t.Fatal("decode and encode are not stable")
		}
	})
}

func FuzzHeader(f *testing.F) {
	for _, c := range requests(f) {
		f.Add(c.frame)
	}
	f.Add(AppendRequestHeader(nil, RequestHeader{KeyFetch, 12, 3, "x"}))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var h RequestHeader
		if body, err := h.Decode(frame); err == nil && len(body) > len(frame) {
			t.Fatal("body is longer than its frame")
		}
	})
}

func produceBody(v int16, records int) []byte {
	k := kmsg.NewPtrProduceRequest()
	k.Version, k.Acks = v, -1
	k.Topics = []kmsg.ProduceRequestTopic{{Topic: "orders", Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 3, Records: make([]byte, records)}}}}
	return k.AppendTo(nil)
}

func BenchmarkProduceDecode(b *testing.B) {
	for _, size := range []int{100, 1 << 20} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			body := produceBody(12, size)
			var req ProduceRequest
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := req.Decode(12, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkProduceResponse(b *testing.B) {
	resp := ProduceResponse{Topics: []ProduceResponseTopic{{Name: "orders", Partitions: []ProduceResponsePartition{{BaseOffset: 7, LogAppendTimeMs: -1}}}}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = resp.AppendTo(buf[:0], 12)
	}
}

func BenchmarkFetch(b *testing.B) {
	k := kmsg.NewPtrFetchRequest()
	k.Version = 17
	for range 12 {
		t := kmsg.FetchRequestTopic{TopicID: [16]byte{1}}
		for range 10 {
			t.Partitions = append(t.Partitions, kmsg.NewFetchRequestTopicPartition())
		}
		k.Topics = append(k.Topics, t)
	}
	body := k.AppendTo(nil)
	b.Run("decode-120-partitions", func(b *testing.B) {
		var req FetchRequest
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if err := req.Decode(17, body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("response-1MiB", func(b *testing.B) {
		p := FetchResponsePartition{Records: []vfs.Span{vfs.MemSpan(make([]byte, 1<<20))}, HighWatermark: math.MaxInt32}
		resp := FetchResponse{Topics: []FetchResponseTopic{{Partitions: []FetchResponsePartition{p}}}}
		var buf []byte
		var spans []vfs.Span
		b.SetBytes(1 << 20)
		b.ReportAllocs()
		for b.Loop() {
			buf, spans = resp.AppendTo(buf[:0], spans[:0], 17)
		}
	})
}

// A compact string may claim to be longer than any other, and is refused as Kafka does: it would not fit where it is stored.
func TestStringBound(t *testing.T) {
	for _, n := range []int{math.MaxInt16, math.MaxInt16 + 1} {
		r := NewReader(AppendString(nil, strings.Repeat("s", n), true))
		got := r.String(true)
		if fits := n <= math.MaxInt16; fits != (r.Err() == nil) || fits != (len(got) == n) {
			t.Errorf("string of %d bytes: %d read, %v", n, len(got), r.Err())
		}
	}
}
