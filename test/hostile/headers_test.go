package hostile

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/handler"
	"github.com/moldau/moldau/internal/protocol"
)

// notServed: rows 19, 20, 31 and 32. Every key that is not served is neither advertised nor answered.
func notServed(t *testing.T) {
	n := start(t, "")
	served := map[int16]handler.Served{}
	for _, row := range handler.Table() {
		served[int16(row.Key)] = row
	}
	req := kmsg.NewPtrApiVersionsRequest()
	for _, row := range ask[*kmsg.ApiVersionsResponse](n, req).ApiKeys {
		s, ok := served[row.ApiKey]
		if !ok || row.MinVersion != s.Listed || row.MaxVersion != s.Max {
			t.Errorf("api %d is advertised from %d to %d", row.ApiKey, row.MinVersion, row.MaxVersion)
		}
	}
	keys := []int16{-1, -32768, 999, 32767}
	for key := range int16(128) {
		keys = append(keys, key)
	}
	for _, key := range keys {
		if s, ok := served[key]; ok {
			if key == int16(protocol.KeyAPIVersions) {
				continue // row 22
			}
			for _, v := range []int16{s.Min - 1, s.Max + 1, 99, -1, 32767, -32768} {
				if v >= s.Min && v <= s.Max {
					continue
				}
				n.closes(s.Key.String()+" in a version that is none", frame(key, v, true, make([]byte, 100)))
			}
			continue
		}
		for _, v := range []int16{0, 1, 2} {
			n.closes("an api that is not served", frame(key, v, v > 0, make([]byte, 100)))
		}
	}
}

// apiVersionsOfTheFuture is row 22.
func apiVersionsOfTheFuture(t *testing.T) {
	n := start(t, "")
	for _, v := range []int16{6, 99, 32767, -1} {
		w := n.dial()
		if _, err := w.conn.Write(frame(18, v, true, []byte{1, 1, 0})); err != nil {
			t.Fatal(err)
		}
		req := kmsg.NewPtrApiVersionsRequest() // version 0, as the answer must be
		resp, err := w.receive(req)
		if err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		got := resp.(*kmsg.ApiVersionsResponse)
		if got.ErrorCode != int16(protocol.UnsupportedVersion) || len(got.ApiKeys) == 0 {
			t.Errorf("version %d: %d, %d apis", v, got.ErrorCode, len(got.ApiKeys))
		}
		w.send(req)
		if resp, err = w.receive(req); err != nil || resp.(*kmsg.ApiVersionsResponse).ErrorCode != 0 {
			t.Errorf("asked again after version %d: %v", v, err)
		}
		w.close()
	}
}

// softwareNames is row 23.
func softwareNames(t *testing.T) {
	n := start(t, "")
	before := held()
	w := n.dial()
	defer w.close()
	for _, name := range []string{"", " ", "a b", "-a", "a-", "a\x00b", "ä", "a\nb", "../../x", strings.Repeat("n", 30_000) + "!"} {
		for i := range 2 {
			req := kmsg.NewPtrApiVersionsRequest()
			req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, "n", "1"
			*[]*string{&req.ClientSoftwareName, &req.ClientSoftwareVersion}[i] = name
			w.send(req)
			resp, err := w.receive(req)
			if err != nil || resp.(*kmsg.ApiVersionsResponse).ErrorCode != int16(protocol.InvalidRequest) {
				t.Errorf("%.20q: %v", name, err)
			}
		}
	}
	for range 50 {
		long := n.dial()
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, strings.Repeat("n", 30_000), "1"
		long.send(req)
		if _, err := long.receive(req); err != nil {
			t.Error(err)
		}
		long.close()
		req.ClientSoftwareName = strings.Repeat("n", 1<<20) // no string of the protocol is as long
		n.closes("a name of 1 MiB", requestFrame(req))
	}
	w.close()
	if strings.Contains(n.scrape("/metrics"), "nnnn") {
		t.Error("the name is in the metrics")
	}
	n.eventually(`moldau_connections{listener="PLAINTEXT"}`, 0)
	if grown := held() - before; grown > 16<<20 {
		t.Errorf("%d bytes more are held", grown)
	}
}

// clientIDs: rows 25 and 26.
func clientIDs(t *testing.T) {
	n := start(t, "")
	body := []byte{0, 0, 0, 0} // Metadata version 1: no topics
	for _, id := range []string{"", "x", strings.Repeat("x", 256), "\xff\xfe", "a\x00b\r\n\x1b[31m", "../../x", "{}\"\\"} {
		if got, _ := n.exchange(frameOf(header(3, 1, id, false), body), true); len(got) == 0 {
			t.Errorf("%q is not served", id)
		}
	}
	null := header(3, 1, "", false)
	binary.BigEndian.PutUint16(null[8:], 0xffff)
	if got, _ := n.exchange(frameOf(null, body), true); len(got) == 0 {
		t.Error("null is not served")
	}
	for _, id := range []string{strings.Repeat("x", 257), strings.Repeat("x", 32767)} {
		n.closes("a long client id", frameOf(header(3, 1, id, false), body))
	}
	for _, length := range []uint16{0xfffe, 0x8000} {
		b := header(3, 1, "x", false)
		binary.BigEndian.PutUint16(b[8:], length)
		n.closes("a client id of negative length", frameOf(b, body))
	}
	// What a refused client is called is told in the log, on one line.
	n.exchange(frameOf(header(3, 4, "evil\nlevel=ERROR msg=forged\x1b[2J", false), []byte{0, 0, 0, 1, 0, 1, '/', 0}), true)
	for line := range strings.Lines(n.log.String()) {
		if strings.HasPrefix(line, "level=ERROR msg=forged") || strings.ContainsRune(line, 0x1b) {
			t.Errorf("the log has %q", line)
		}
	}
	if page := n.scrape("/metrics"); strings.Contains(page, "evil") || strings.Contains(page, "../../x") {
		t.Error("client ids are in the metrics")
	}
}

func uvarint(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// headerTags: rows 28 and 29.
func headerTags(t *testing.T) {
	n := start(t, "")
	body := (&kmsg.MetadataRequest{Version: 9}).AppendTo(nil)
	with := func(tags ...[]byte) []byte {
		return frameOf(append(header(3, 9, "c", false), bytes.Join(tags, nil)...), body)
	}
	var many, most []byte
	for i := range uint64(1_000_000) {
		many = append(many, uvarint(i)...)
		many = append(many, 0)
		if i == 127 {
			most = bytes.Clone(many)
		}
	}
	million := with(uvarint(1_000_000), many)
	other := bytes.Clone(million) // as long, and refused before its tags are looked at
	binary.BigEndian.PutUint16(other[4:], 999)
	least := func(what string, frame []byte) int64 { // pools may have a buffer for it or not
		cost := int64(math.MaxInt64)
		for range 5 {
			cost = min(cost, allocated(func() { n.closes(what, frame) }))
		}
		return cost
	}
	if plain, got := least("an unknown api", other), least("a million tags", million); got > plain+1<<20 {
		t.Errorf("a million tags cost %d bytes, the frame %d", got, plain)
	}
	if got, _ := n.exchange(with(uvarint(128), most), true); len(got) == 0 {
		t.Error("128 tags are not passed over")
	}
	n.closes("129 tags", with(uvarint(129), many))
	n.closes("a tag twice", with([]byte{2, 50, 0, 50, 0}))
	n.closes("tags out of order", with([]byte{2, 51, 0, 50, 0}))
	n.closes("a tag past the frame", with([]byte{1, 50}, uvarint(1<<31-1)))
	n.closes("very many tags", with(uvarint(1<<32-1)))
}
