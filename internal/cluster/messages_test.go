package cluster

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/quorum"
)

func TestMessages(t *testing.T) {
	node, id, message, err := splitRaft(appendRaft(7, 1<<63, []byte("raft")))
	if node != 7 || id != 1<<63 || string(message) != "raft" || err != nil {
		t.Errorf("%d %x %q %v", node, id, message, err)
	}
	if _, _, _, err := splitRaft(make([]byte, 11)); !errors.Is(err, protocol.ErrMalformed) {
		t.Error(err)
	}
	p := pull{3, 1 << 40, 500}
	if got, err := decodePull(p.encode()); got != p || err != nil {
		t.Errorf("%+v %v", got, err)
	}
	for _, p := range []*pulled{
		{leader: -1, term: 5},
		{leader: 2, term: 5, index: 9, snapshot: []byte("snapshot")},
		{leader: 2, term: 5, entries: []quorum.Entry{{Index: 300}, {Index: 301, Data: []byte{}}, {Index: 302, Data: []byte("entry")}}},
	} {
		if got, err := decodePulled(p.encode(nil)); !reflect.DeepEqual(got, p) || err != nil {
			t.Errorf("%+v comes back as %+v, %v", p, got, err)
		}
	}
}

func FuzzPulled(f *testing.F) {
	f.Add((&pulled{leader: 2, entries: []quorum.Entry{{Index: 300}, {Index: 302, Data: []byte("entry")}}}).encode(nil))
	f.Add((&pulled{leader: 2, index: 4, snapshot: []byte("s")}).encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePulled(b)
		if err != nil {
			return
		}
		again, err := decodePulled(p.encode(nil))
		if err != nil || again.leader != p.leader || len(again.entries) != len(p.entries) || !bytes.Equal(again.snapshot, p.snapshot) {
			t.Errorf("%x: %+v, then %+v, %v", b, p, again, err)
		}
	})
}
