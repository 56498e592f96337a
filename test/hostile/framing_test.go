package hostile

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/random"
)

func sized(size int32, rest ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(size)), rest...)
}

// sizesThatAreNone: rows 1, 2, 4 and 5. None of them makes the node allocate anything for what is claimed.
func sizesThatAreNone(t *testing.T) {
	n := start(t, "")
	const limit = 100 << 20 // socket.request.max.bytes
	const times = 100
	plain := allocated(func() {
		for range times {
			n.exchange(nil, true)
		}
	})
	for about, size := range map[string]int32{"-1": -1, "-2^31": -1 << 31, "0": 0, "2^31-1": 1<<31 - 1, "the limit and one": limit + 1} {
		bad := allocated(func() {
			for range times {
				n.closes("size "+about, sized(size))
			}
		})
		if each := (bad - plain) / times; each > 64<<10 { // what else the node does meanwhile is counted too
			t.Errorf("size %s costs %d bytes", about, each)
		}
	}
}

// manyClaims is row 7: what is claimed and never sent is not held for anybody, and others are served meanwhile.
func manyClaims(t *testing.T) {
	many := fewer(5000)
	n := start(t, "")
	before := held()
	claim := sized(100<<20, make([]byte, 1<<10)...)
	conns := make([]*wire, many)
	for i := range conns {
		conns[i] = n.dial()
		if _, err := conns[i].conn.Write(claim); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	n.eventually(`moldau_connections{listener="PLAINTEXT"}`, float64(many))
	n.create("orders", 1)
	if code := n.produce("orders", good().bytes()); code != 0 {
		t.Errorf("an honest producer is answered %d", code)
	}
	// What a connection is read into is given back when it was; that may not have come to all of them yet. They hold 20 KiB each then.
	grown := held() - before
	for deadline := time.Now().Add(patience / 3); grown > int64(many)*40<<10 && time.Now().Before(deadline); {
		grown = held() - before
	}
	if grown > int64(many)*40<<10 {
		t.Errorf("%d bytes are held for each of %d connections", grown/int64(many), many)
	}
	n.eventually(`moldau_connections{listener="PLAINTEXT"}`, float64(many)) // still: none was ended for standing still
	for _, w := range conns {
		w.close()
	}
}

// cutInTheBody is row 8: of a request that ends early nothing is done.
func cutInTheBody(t *testing.T) {
	n := start(t, "")
	n.create("orders", 1)
	whole := requestFrame(produceOf(9, "orders", good().bytes()))
	for _, at := range []int{4, 20, len(whole) / 2, len(whole) - 1} {
		if got, _ := n.exchange(whole[:at], true); len(got) > 0 {
			t.Errorf("cut at %d: answered", at)
		}
	}
	if end := n.logEnd("orders"); end != 0 {
		t.Errorf("the log ends at %d", end)
	}
}

// bytesBehindTheRequest is row 10. They are passed over, as in Kafka, and are not taken for the beginning of the next request.
func bytesBehindTheRequest(t *testing.T) {
	n := start(t, "")
	n.create("orders", 1)
	for _, v := range []int16{8, 9} { // an old and a flexible version
		req := produceOf(v, "orders", good().bytes())
		long := frame(req.Key(), v, req.IsFlexible(), append(req.AppendTo(nil), bytes.Repeat([]byte{0xff}, 100)...))
		next := kmsg.NewPtrApiVersionsRequest()
		got, ended := n.exchange(append(long, requestFrame(next)...), true)
		answers := 0
		for ; len(got) >= 4; answers++ {
			got = got[4+binary.BigEndian.Uint32(got):]
		}
		if answers != 2 || !ended {
			t.Errorf("version %d: %d answers", v, answers)
		}
	}
	if end := n.logEnd("orders"); end != 4 {
		t.Errorf("the log ends at %d", end)
	}
}

// shorterThanTheRequest is row 11: every request of every version, cut at every byte inside a frame that says so.
func shorterThanTheRequest(t *testing.T) {
	n := start(t, "")
	eachServed(func(key, version int16) {
		req := filled(key, version)
		body, step := req.AppendTo(nil), 1
		if raced {
			step = 7
		}
		for at := 0; at < len(body); at += step {
			got, ended := n.exchange(frame(key, version, req.IsFlexible(), body[:at]), true)
			if len(got) > 0 || !ended {
				t.Errorf("%s version %d, %d of %d bytes: answered", kmsg.NameForKey(key), version, at, len(body))
			}
		}
	})
}

// garbage is row 14, and garbage behind a good header of every API and version. The node goes on and holds nothing.
func garbage(t *testing.T) {
	n := start(t, "")
	random := random.Seeded(14)
	noise := make([]byte, 1<<20)
	before := held()
	for range fewer(10_000) {
		random.Read(noise[:64])
		n.exchange(noise, true) // most of it is never read
	}
	eachServed(func(key, version int16) {
		api := kmsg.RequestForKey(key)
		api.SetVersion(version)
		for range 3 {
			random.Read(noise[:16<<10])
			if _, ended := n.exchange(frame(key, version, api.IsFlexible(), noise[:16<<10]), true); !ended {
				t.Errorf("%s version %d: the connection stays open", kmsg.NameForKey(key), version)
			}
		}
	})
	if grown := held() - before; grown > 16<<20 {
		t.Errorf("%d bytes more are held", grown)
	}
}

// otherProtocols is row 13, and what else connects to a port by mistake.
func otherProtocols(t *testing.T) {
	n := start(t, "")
	for about, b := range map[string]string{
		"TLS 1.2 ClientHello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(make([]byte, 505)),
		"HTTP":                "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"SSH":                 "SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/2":              "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"Redis":               "*1\r\n$4\r\nPING\r\n",
	} {
		n.closes(about, []byte(b))
	}
}

// halfClose is row 17.
func halfClose(t *testing.T) {
	n := start(t, "")
	n.create("orders", 1)
	if got, ended := n.exchange(requestFrame(produceOf(9, "orders", good().bytes())), true); len(got) == 0 || !ended {
		t.Errorf("%d bytes came back, closed: %v", len(got), ended)
	}
	if end := n.logEnd("orders"); end != 2 {
		t.Errorf("the log ends at %d", end)
	}
}
