package server

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/protocol"
)

// script is a connection that delivers given bytes in pieces of a given size, then EOF, and remembers what is written.
type script struct {
	net.Conn
	in    []byte
	piece int
	out   bytes.Buffer
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.in[:min(len(s.in), s.piece)])
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error)      { return s.out.Write(b) }
func (s *script) Close() error                     { return nil }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// expected is what an echo of all good requests at the front of in looks like.
func expected(in []byte, maxRequest int) (out []byte) {
	for len(in) >= 4 {
		size := int32(binary.BigEndian.Uint32(in))
		if size <= 0 || int(size) > maxRequest || int(size) > len(in)-4 {
			break
		}
		var h protocol.RequestHeader
		body, err := h.Decode(in[4 : 4+size])
		if err != nil {
			break
		}
		resp := append(protocol.AppendResponseHeader(nil, h.Key, h.Version, h.CorrelationID), body...)
		out = append(protocol.AppendInt32(out, int32(len(resp))), resp...)
		in = in[4+size:]
	}
	return out
}

func checkFrames(t *testing.T, in []byte, piece int) {
	const maxRequest = 300_000
	s, err := New(Options{Handler: handlerFunc(echo), MaxRequestBytes: maxRequest})
	if err != nil {
		t.Fatal(err)
	}
	sc := &script{in: bytes.Clone(in), piece: piece}
	newConn(s, "x", sc).run()
	if want := expected(in, maxRequest); !bytes.Equal(sc.out.Bytes(), want) {
		t.Fatalf("pieces of %d: %d bytes out, want %d", piece, sc.out.Len(), len(want))
	}
	if n := s.MemoryInUse(); n != 0 {
		t.Fatalf("%d bytes are still taken", n)
	}
}

// The same bytes are the same requests however they are cut, around every size at which the reader changes its ways.
func TestFramesHoweverCut(t *testing.T) {
	var in []byte
	for i, size := range []int{0, 1, maxStash - 40, maxStash, 2000, len(block{}) - 24, len(block{}) - 23, len(block{}), 3, 200_000, 250_000, 5, firstBody, 7} {
		body := bytes.Repeat([]byte{byte(i + 1)}, size)
		in = append(in, frame(int32(i), body)...)
	}
	for _, piece := range []int{17, 100, 511, 512, 513, 1024, 4096, 65536, 1 << 20} {
		checkFrames(t, in, piece)
		checkFrames(t, in[:len(in)-3], piece)
		checkFrames(t, append(in[:len(in):len(in)], 0, 0, 0, 0), piece)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(append(frame(1, []byte("x")), frame(2, make([]byte, 600))...), uint16(3))
	f.Add(append(frame(1, make([]byte, 70_000)), 0xff, 0xff), uint16(1000))
	f.Fuzz(func(t *testing.T, in []byte, piece uint16) { checkFrames(t, in, int(piece)+1) })
}
