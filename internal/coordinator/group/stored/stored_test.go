package stored

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/uuid"
)

// golden returns the records that Kafka wrote.
func golden(t testing.TB) (records [][2][]byte) {
	t.Helper()
	text, err := os.ReadFile("testdata/kafka-4.4.0.hex")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var r [2][]byte
		for i, f := range strings.Fields(line) {
			if f == "-" {
				continue
			}
			if r[i], err = hex.DecodeString(f); err != nil {
				t.Fatal(err)
			}
		}
		records = append(records, r)
	}
	return records
}

var orders = uuid.UUID{0x3a, 0xa7, 0x91, 0xdc, 0x1a, 0x8b, 0x4b, 0xfa, 0xb0, 0x84, 0x99, 0x51, 0xea, 0xe0, 0x6d, 0x43}

// What Kafka wrote is read, and written again byte for byte.
func TestGolden(t *testing.T) {
	kinds := map[Kind]int{}
	tombstones := 0
	for _, r := range golden(t) {
		k, err := DecodeKey(r[0])
		if err != nil {
			t.Fatal(err)
		}
		kinds[k.Kind]++
		var key, value []byte
		switch k.Kind {
		case KindOffset:
			key = AppendOffsetKey(nil, string(k.Group), string(k.Topic), k.Partition)
			if n := OffsetKeySize(string(k.Group), string(k.Topic)); n != len(key) {
				t.Errorf("size %d, %d bytes", n, len(key))
			}
			if r[1] == nil {
				tombstones++
				break
			}
			o, err := DecodeOffset(r[1])
			if err != nil {
				t.Fatal(err)
			}
			value = o.Append(nil)
			if o.Size() != len(value) {
				t.Errorf("size %d, %d bytes", o.Size(), len(value))
			}
			want := Offset{Offset: 42 + int64(k.Partition), LeaderEpoch: 5, CommittedMs: o.CommittedMs, ExpiresMs: None, TopicID: orders}
			if k.Partition == 1 {
				want.Metadata = "märz"
			}
			switch string(k.Group) {
			case "expires":
				want.LeaderEpoch, want.TopicID, want.ExpiresMs = None, uuid.UUID{}, o.CommittedMs+86400000
			case "simple-v2", "simple-v5":
				want.LeaderEpoch = None
			case "team":
				want.Offset, want.LeaderEpoch = 7, None
			}
			if o != want {
				t.Errorf("%s: %+v, want %+v", k.Group, o, want)
			}
		case KindGroup:
			key = AppendGroupKey(nil, string(k.Group))
			if r[1] == nil {
				tombstones++
				break
			}
			g, err := DecodeGroup(r[1])
			if err != nil {
				t.Fatal(err)
			}
			value = g.Append(nil)
			if g.Size() != len(value) {
				t.Errorf("size %d, %d bytes", g.Size(), len(value))
			}
		default:
			continue
		}
		if !bytes.Equal(key, r[0]) || !bytes.Equal(value, r[1]) {
			t.Errorf("record %x %x is written as %x %x", r[0], r[1], key, value)
		}
	}
	if kinds[KindOffset] < 13 || kinds[KindGroup] != 4 || len(kinds) != 7 || tombstones != 3 {
		t.Errorf("read %v and %d tombstones", kinds, tombstones)
	}
}

// The stable group of the golden records, field by field.
func TestGoldenGroup(t *testing.T) {
	var stable Group
	for _, r := range golden(t) {
		if k, _ := DecodeKey(r[0]); k.Kind == KindGroup && r[1] != nil {
			if g, err := DecodeGroup(r[1]); err != nil {
				t.Fatal(err)
			} else if len(g.Members) > 0 {
				stable = g
			}
		}
	}
	host, dynamic := "host-1-0f86a421-efd3-4493-8bc4-ab1afd38d6ac", "golden-e74bb054-a315-401b-8434-ab6014037375"
	subscription := []byte("\x00\x00\x00\x00\x00\x01\x00\x06orders\xff\xff\xff\xff")
	want := Group{
		ProtocolType: "consumer", Generation: 2, Protocol: new("range"), Leader: &host, StateSinceMs: 0x01a212e5da2a,
		Members: []Member{
			{Member: dynamic, ClientID: "golden", ClientHost: "/127.0.0.1", RebalanceTimeoutMs: 20000, SessionTimeoutMs: 10000,
				Subscription: subscription, Assignment: []byte("b's")},
			{Member: host, Instance: new("host-1"), ClientID: "golden", ClientHost: "/127.0.0.1", RebalanceTimeoutMs: 20000,
				SessionTimeoutMs: 10000, Subscription: subscription, Assignment: []byte("a's")},
		},
	}
	if !reflect.DeepEqual(stable, want) {
		t.Errorf("%+v\nwant %+v", stable, want)
	}
}

// Every version that Kafka ever wrote is read as another codec means it.
func TestVersions(t *testing.T) {
	for v := int16(0); v <= 4; v++ {
		theirs := kmsg.OffsetCommitValue{Version: v, Offset: -7, LeaderEpoch: 3, Metadata: "m", CommitTimestamp: 1000, ExpireTimestamp: 2000, TopicID: orders}
		want := Offset{Offset: -7, LeaderEpoch: None, Metadata: "m", CommittedMs: 1000, ExpiresMs: None}
		if v >= 3 {
			want.LeaderEpoch = 3
		}
		if v >= 4 {
			want.TopicID = orders
			theirs.UnknownTags.Set(5, []byte("later"))
		}
		if v == 1 {
			want.ExpiresMs = 2000
		}
		if got, err := DecodeOffset(theirs.AppendTo(nil)); err != nil || got != want {
			t.Errorf("offset version %d: %+v, %v", v, got, err)
		}

		group := kmsg.GroupMetadataValue{Version: v, ProtocolType: "connect", Generation: 9, Protocol: new("p"), CurrentStateTimestamp: 77,
			Members: []kmsg.GroupMetadataValueMember{{MemberID: "a", InstanceID: new("i"), ClientID: "c", ClientHost: "/h",
				RebalanceTimeoutMillis: 500, SessionTimeoutMillis: 300, Subscription: []byte{1}, Assignment: []byte{}}, {}}}
		if v >= 4 {
			group.UnknownTags.Set(0, []byte("later"))
			group.Members[1].UnknownTags.Set(3, []byte("later"))
		}
		parsed := Group{ProtocolType: "connect", Generation: 9, Protocol: new("p"), StateSinceMs: None, Members: []Member{{Member: "a",
			ClientID: "c", ClientHost: "/h", RebalanceTimeoutMs: 300, SessionTimeoutMs: 300, Subscription: []byte{1}, Assignment: []byte{}},
			{Subscription: []byte{}, Assignment: []byte{}}}}
		if v >= 1 {
			parsed.Members[0].RebalanceTimeoutMs = 500
		}
		if v >= 2 {
			parsed.StateSinceMs = 77
		}
		if v >= 3 {
			parsed.Members[0].Instance = new("i")
		}
		if got, err := DecodeGroup(group.AppendTo(nil)); err != nil || !reflect.DeepEqual(got, parsed) {
			t.Errorf("group version %d: %+v, %v", v, got, err)
		}
	}
}

// Keys of features that come later and fields after the last one are passed over; what ends too early or has lengths that cannot be
// is refused.
func TestTolerance(t *testing.T) {
	offset, group := AppendOffsetKey(nil, "g", "t", 3), AppendGroupKey(nil, "g")
	for _, key := range [][]byte{offset, group} {
		if _, err := DecodeKey(append(key[:len(key):len(key)], 1, 2, 3)); err != nil {
			t.Errorf("bytes after a key: %v", err)
		}
		for i := range key {
			if k, err := DecodeKey(key[:i]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%d bytes of key %x: %+v, %v", i, key, k, err)
			}
		}
	}
	legacy := append([]byte{0, 0}, offset[2:]...)
	if k, err := DecodeKey(legacy); err != nil || k.Kind != KindOffset || string(k.Group) != "g" || string(k.Topic) != "t" || k.Partition != 3 {
		t.Errorf("key of Kafka 0.8: %+v, %v", k, err)
	}
	for _, kind := range []byte{3, 15, 21, 99} {
		if k, err := DecodeKey([]byte{0, kind, 0xff, 0xff}); err != nil || k.Kind != Kind(kind) || k.Group != nil {
			t.Errorf("key of kind %d: %+v, %v", kind, k, err)
		}
	}
	for _, version := range []byte{5, 0xff} {
		if _, err := DecodeOffset(append([]byte{version & 0x80, version}, make([]byte, 60)...)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("offset version %d: %v", version, err)
		}
		if _, err := DecodeGroup(append([]byte{version & 0x80, version}, make([]byte, 60)...)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("group version %d: %v", version, err)
		}
	}
	value := (&Offset{Metadata: "some", TopicID: orders, ExpiresMs: None}).Append(nil)
	state := (&Group{ProtocolType: "consumer", Members: []Member{{Member: "a"}}}).Append(nil)
	for i := range value {
		if _, err := DecodeOffset(value[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes of an offset: %v", i, err)
		}
	}
	for i := range state {
		if _, err := DecodeGroup(state[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes of a group: %v", i, err)
		}
	}
}

// An array that claims to be huge costs nothing.
func TestHostileGroup(t *testing.T) {
	huge := []byte("\x00\x03\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff\xff\xff")
	if n := testing.AllocsPerRun(10, func() {
		if _, err := DecodeGroup(huge); !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	}); n > 10 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzKey(f *testing.F) {
	for _, r := range golden(f) {
		f.Add(r[0])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := DecodeKey(b)
		if err != nil {
			return
		}
		var again []byte
		switch k.Kind {
		case KindOffset:
			again = AppendOffsetKey(nil, string(k.Group), string(k.Topic), k.Partition)
		case KindGroup:
			again = AppendGroupKey(nil, string(k.Group))
		default:
			return
		}
		if l, err := DecodeKey(again); err != nil || !reflect.DeepEqual(k, l) {
			t.Fatalf("%+v became %+v, %v", k, l, err)
		}
	})
}

func FuzzOffset(f *testing.F) {
	for _, r := range golden(f) {
		f.Add(r[1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := DecodeOffset(b)
		if err != nil {
			return
		}
		if o.ExpiresMs != None { // what is written with an expiry has no room for these
			o.LeaderEpoch, o.TopicID = None, uuid.UUID{}
		}
		wire := o.Append(nil)
		if again, err := DecodeOffset(wire); err != nil || again != o || len(wire) != o.Size() {
			t.Fatalf("%+v became %+v, %v", o, again, err)
		}
	})
}

func FuzzGroup(f *testing.F) {
	for _, r := range golden(f) {
		f.Add(r[1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := DecodeGroup(b)
		if err != nil {
			return
		}
		wire := g.Append(nil)
		if again, err := DecodeGroup(wire); err != nil || !reflect.DeepEqual(again, g) || len(wire) != g.Size() {
			t.Fatalf("%+v became %+v, %v", g, again, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	key := AppendOffsetKey(nil, "a-group-of-consumers", "some-topic", 7)
	value := (&Offset{Offset: 1 << 40, ExpiresMs: None, TopicID: orders}).Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeKey(key); err != nil {
			b.Fatal(err)
		}
		if _, err := DecodeOffset(value); err != nil {
			b.Fatal(err)
		}
	}
}
