package peer

import (
	"encoding/binary"
	"io"
	"os"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
)

// slowLink takes so many bytes a second, by a clock that nothing else moves.
type slowLink struct {
	network.Conn // nil: nothing else is called
	clock        *clock.Manual
	rate         int
	took         int
	deadline     time.Time
	answers      []byte
}

func (l *slowLink) SetWriteDeadline(t time.Time) error { l.deadline = t; return nil }

func (l *slowLink) Read(b []byte) (int, error) {
	n := copy(b, l.answers)
	if l.answers = l.answers[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (l *slowLink) Write(b []byte) (int, error) {
	l.clock.Advance(time.Duration(len(b)) * time.Second / time.Duration(l.rate))
	if l.clock.Now().After(l.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	l.took += len(b)
	return len(b), nil
}

// TestSlowLinkTakesWhatIsLarge: a message of many megabytes, and the question behind it whether the other side is there, do not end a connection that is only
// slow; one on which nothing gets through ends all the same.
func TestSlowLinkTakesWhatIsLarge(t *testing.T) {
	const snapshot = 8 << 20
	clk := clock.NewManual(time.Unix(1e9, 0))
	c := &Client{options: Options{Clock: clk, Silence: 2 * time.Second}, wake: make(chan struct{}, 1), waiting: map[int32]*item{}}
	c.begin()
	link := &slowLink{clock: clk, rate: slowest}
	ask := func() { c.push(&item{key: protocol.KeyNodeInfo, body: []byte("there?"), answer: make(chan result, 1)}) }
	answered := func() {
		t.Helper()
		link.answers = append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 5}, uint32(c.asked)), 0) // no tags
		if err := c.read(link); err != io.EOF {
			t.Fatal(err)
		}
		if owed, _ := c.silence(); owed {
			t.Fatal("an answer that came is owed")
		}
	}
	is := func(what string, want bool) {
		t.Helper()
		if owed, silent := c.silence(); !owed || silent != want {
			t.Fatalf("%s: owed an answer %v, silent %v, want %v", what, owed, silent, want)
		}
	}
	c.Send(protocol.KeyRaftMessage, make([]byte, snapshot))
	ask()
	if err := c.send(link, c.take()); err != nil || link.took < snapshot {
		t.Fatalf("%d bytes were taken in time: %v", link.took, err)
	}
	is("written", false)
	clk.Advance(time.Second) // the other side takes what is left in the buffers
	is("on its way", false)
	answered()

	ask()
	if err := c.send(link, c.take()); err != nil {
		t.Fatal(err)
	}
	clk.Advance(2 * time.Second)
	is("a small request", true)
	answered()

	c.Send(protocol.KeyRaftMessage, make([]byte, snapshot))
	ask()
	c.take()
	clk.Advance(2*time.Second + snapshot*time.Second/slowest)
	is("something large, of which nothing is heard", false) // there is a little more than the snapshot
	clk.Advance(time.Second)
	is("something large, of which nothing is heard for long", true)

	link.rate = pieceMax/int(writeTimeout/time.Second) - 1
	if err := c.send(link, [][]byte{make([]byte, snapshot)}); err == nil {
		t.Error("a link that takes nothing in time is not given up")
	}
}
