package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
)

const (
	dialTimeout = 2 * time.Second
	readChunk   = 64 << 10 // that is made room for before the bytes are there
)

var errDialTimeout = errors.New("no connection came about in time")

// Dial connects to another node, within a bound. Where ctx or the bound ended it, the error says so.
func Dial(ctx context.Context, n network.Network, clk clock.Clock, address string) (network.Conn, error) {
	dialing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer clk.AfterFunc(dialTimeout, func() { cancel(errDialTimeout) }).Stop()
	conn, err := n.Dial(dialing, address)
	if cause := context.Cause(dialing); err != nil && cause != nil {
		return nil, fmt.Errorf("dial %s: %w", address, cause)
	}
	return conn, err
}

// ReadFrame reads a frame without its size, which must be one of least to most, into room where that is large enough. What it holds grows with what
// has come.
func ReadFrame(r io.Reader, room []byte, least, most int) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(size[:])))
	if n < least || n > most {
		return nil, fmt.Errorf("%w: answer of %d bytes", protocol.ErrMalformed, n)
	}
	for frame := room[:0]; ; {
		if len(frame) == n {
			return frame, nil
		}
		if len(frame) == cap(frame) {
			frame = append(make([]byte, 0, min(n, max(readChunk, 2*cap(frame)))), frame...)
		}
		k, err := io.ReadFull(r, frame[len(frame):min(n, cap(frame))])
		if frame = frame[:len(frame)+k]; err != nil {
			return nil, err
		}
	}
}
