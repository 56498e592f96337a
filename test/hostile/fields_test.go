package hostile

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// within sees that f is over long before what costs time by the square of the input would be.
func within(t *testing.T, about string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(2 * patience):
		t.Fatalf("%s: not over in %v", about, 2*patience)
	}
}

// lyingCounts: rows 34, 35, 37, 38 and 40. Into every request of every version a length is put where each byte is, as if one were there, with 64 KiB of
// zeros behind it: as many as there are bytes, -2, the largest, a number without an end, one that overflows. The connection ends or the request
// is answered, and the memory follows the bytes that were sent.
func lyingCounts(t *testing.T) {
	n := start(t, "auto.create.topics.enable=false\n")
	zeros := make([]byte, 64<<10)
	counts := map[string][]byte{
		"as many as bytes":         binary.BigEndian.AppendUint32(nil, uint32(len(zeros))),
		"as many as bytes, short":  binary.BigEndian.AppendUint16(nil, 0x7fff),
		"as many as bytes, varint": uvarint(uint64(len(zeros))),
		"-2":                       {0xff, 0xff, 0xff, 0xfe},
		"2^31-1":                   {0x7f, 0xff, 0xff, 0xff},
		"varint without an end":    bytes.Repeat([]byte{0xff}, 11),
		"varint that overflows":    {0xff, 0xff, 0xff, 0xff, 0x7f},
	}
	versions := map[int16][2]int16{} // the oldest and the newest
	eachServed(func(key, version int16) {
		if v, ok := versions[key]; ok {
			versions[key] = [2]int16{v[0], version}
		} else {
			versions[key] = [2]int16{version, version}
		}
	})
	each := func(key, version int16) {
		// What a request may cost beside the frame: its decoded form and its answer, both charged to the budget. A group that is asked
		// about costs a call of its own.
		perByte, once := int64(150), int64(2<<20)
		if key == 15 {
			perByte = 400
		}
		req := filled(key, version)
		body := req.AppendTo(nil)
		step := max(1, len(body)/fewer(12))
		for about, count := range counts {
			for at := 0; at < len(body); at += step {
				b := frame(key, version, req.IsFlexible(), slices.Concat(body[:at], count, zeros))
				cost := allocated(func() {
					if _, ended := n.exchange(b, true); !ended {
						t.Errorf("%s version %d, %s at byte %d: the connection stays open", kmsg.NameForKey(key), version, about, at)
					}
				})
				if cost > perByte*int64(len(b))+once {
					t.Errorf("%s version %d, %s at byte %d: %d bytes make the node allocate %d", kmsg.NameForKey(key), version, about, at, len(b), cost)
				}
			}
		}
	}
	for key, v := range versions {
		each(key, v[0])
		if v[1] != v[0] {
			each(key, v[1])
		}
	}
}

// manyElements: rows 46 and 47. A thousand times a thousand elements, and ten thousand times the same one, in every request that has arrays.
func manyElements(t *testing.T) {
	n := start(t, "auto.create.topics.enable=false\n")
	newest := map[int16]int16{}
	eachServed(func(key, version int16) { newest[key] = version })
	side := 1000
	if raced {
		side = 200
	}
	for key, version := range newest {
		for _, counts := range [][]int{{side, side}, {1, side, side}, {10 * side}, {1, 10 * side}} {
			req := filled(key, version, counts...)
			name := kmsg.NameForKey(key)
			b := requestFrame(req)
			within(t, name, func() {
				if _, ended := n.exchange(b, true); !ended {
					t.Errorf("%s with %v elements: the connection stays open", name, counts)
				}
			})
		}
	}
	n.answers()
}

// oddNames is row 41: nothing that is no name becomes one.
func oddNames(t *testing.T) {
	n := start(t, "")
	for _, name := range []string{"", ".", "..", "a b", "a/b", "a\\b", "../a", "a\x00", "\x00", "a\nb", "ä", "\xff\xfe", "\xc0\xaf", "\xed\xa0\x80", "a:b", "a*b", "\u202e", strings.Repeat("a", 250)} {
		if code, _ := n.createTopic(name, 1); code != 17 {
			t.Errorf("create %q: %d", name, code)
		}
		meta := kmsg.NewPtrMetadataRequest()
		meta.Version, meta.AllowAutoTopicCreation = 9, true
		meta.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		if got := ask[*kmsg.MetadataResponse](n, meta); len(got.Topics) != 1 || got.Topics[0].ErrorCode != 17 {
			t.Errorf("metadata of %q: %+v", name, got.Topics)
		}
	}
	for _, group := range []string{"\xff\xfe", "\xc0\xaf", "\xed\xa0\x80"} {
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = 9, group, 10_000, 10_000, "consumer"
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		if got := ask[*kmsg.JoinGroupResponse](n, join); got.ErrorCode != 24 {
			t.Errorf("join %q: %d", group, got.ErrorCode)
		}
	}
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 9
	for _, topic := range ask[*kmsg.MetadataResponse](n, meta).Topics {
		if !topic.IsInternal {
			t.Errorf("there is a topic %q", *topic.Topic)
		}
	}
	for line := range strings.Lines(n.log.String()) {
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x00\x1b") {
			t.Errorf("the log has %q", line)
		}
	}
}

// oddIDs is row 44.
func oddIDs(t *testing.T) {
	n := start(t, "")
	n.create("orders", 1)
	for _, id := range [][16]byte{{}, {15: 1}, {0: 0xff, 15: 0xff}} {
		fetch := fetchOf("", 0)
		fetch.Version, fetch.Topics[0].TopicID = 13, id
		if code := ask[*kmsg.FetchResponse](n, fetch).Topics[0].Partitions[0].ErrorCode; code != 100 {
			t.Errorf("fetch by %x: %d", id, code)
		}
		produce := produceOf(13, "", good().bytes())
		produce.Topics[0].TopicID = id
		if code := ask[*kmsg.ProduceResponse](n, produce).Topics[0].Partitions[0].ErrorCode; code != 100 {
			t.Errorf("produce by %x: %d", id, code)
		}
		remove := kmsg.NewPtrDeleteTopicsRequest()
		remove.Version, remove.Topics = 6, []kmsg.DeleteTopicsRequestTopic{{TopicID: id}}
		if code := ask[*kmsg.DeleteTopicsResponse](n, remove).Topics[0].ErrorCode; code != 100 && code != 42 {
			t.Errorf("delete by %x: %d", id, code)
		}
	}
	if end := n.logEnd("orders"); end != 0 {
		t.Errorf("the log ends at %d", end)
	}
}

// bytesForBooleans is row 43.
func bytesForBooleans(t *testing.T) {
	n := start(t, "")
	for _, b := range []byte{0, 1, 2, 255} {
		name := "auto-" + string('a'+rune(b%7))
		body := append([]byte{0, 0, 0, 1, 0, byte(len(name))}, name...)
		if got, _ := n.exchange(frame(3, 4, false, append(body, b)), true); len(got) == 0 {
			t.Errorf("a boolean %d is not served", b)
		}
		req := kmsg.NewPtrMetadataRequest()
		req.Version, req.Topics = 4, []kmsg.MetadataRequestTopic{{Topic: &name}}
		if there := ask[*kmsg.MetadataResponse](n, req).Topics[0].ErrorCode != 3; there != (b != 0) {
			t.Errorf("allow auto creation %d: there %v", b, there)
		}
	}
}
