package fetcher

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/peer"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/replica"
)

// Committed reads what is committed of one partition from another replica, whether that leads or follows: for one whose own bytes are damaged. It
// asks as a consumer does (KIP-392), so it is counted for nothing, and gets nothing that is not committed; but by the replica id of one that debugs, so it is told where
// the other replica is damaged, too. It is not safe for concurrent use.
type Committed struct {
	f         *Fetcher
	of        commitlog.ID
	epoch     replica.LeaderEpoch
	conn      network.Conn
	ctx       context.Context
	unbind    func() bool
	in        *bufio.Reader
	asked     int32
	frame     []byte
	room      []byte
	throttled time.Duration // waited in all
}

const (
	committedBytes = 1 << 20          // of an answer
	throttledMost  = 30 * time.Second // that quotas may hold up one Committed
)

// errRefused is wrapped by errors about what another replica answers instead of records.
var errRefused = errors.New("another replica refuses")

// Committed connects to a broker for reading a partition, as long as that is in a leader epoch, or until ctx ends. It must be closed.
func (f *Fetcher) Committed(ctx context.Context, broker int32, of commitlog.ID, epoch replica.LeaderEpoch) (*Committed, error) {
	address, ok := f.options.Address(broker)
	if !ok {
		return nil, fmt.Errorf("no address of broker %d is known", broker)
	}
	conn, err := peer.Dial(ctx, f.options.Network, f.options.Clock, address)
	if err != nil {
		return nil, err
	}
	c := &Committed{f: f, of: of, epoch: epoch, conn: conn, ctx: ctx, in: bufio.NewReaderSize(conn, bufferBytes)}
	c.unbind = context.AfterFunc(ctx, func() { conn.Close() })
	return c, nil
}

// Close ends the connection.
func (c *Committed) Close() {
	c.unbind()
	c.conn.Close()
}

// Read returns whole batches from the one on that holds an offset, about 1 MiB, valid until the next call, and the high watermark, below which they lie.
// None has reached the other replica from there on up to that if there are none. Where it has them damaged the error is commitlog.ErrLost.
func (c *Committed) Read(offset int64) (batches []byte, highWatermark int64, err error) {
	for {
		a, p, err := c.ask(offset)
		if err != nil {
			return nil, -1, fmt.Errorf("read %s at %d: %w", c.of, offset, err)
		}
		pause := time.Duration(a.ThrottleMs) * time.Millisecond
		if pause <= 0 || p != nil {
			if p == nil {
				return nil, -1, fmt.Errorf("read %s at %d: %w: it is not in the answer", c.of, offset, errRefused)
			}
			return p.Records, p.HighWatermark, nil
		}
		if c.throttled += pause; c.throttled > throttledMost { // a quota holds for whoever has no name, and brokers have none
			return nil, -1, fmt.Errorf("read %s at %d: %w: a quota holds it up", c.of, offset, errRefused)
		}
		select {
		case <-c.f.options.Clock.After(pause):
		case <-c.ctx.Done():
			return nil, -1, c.ctx.Err()
		}
	}
}

// ask is one request and its answer; without a partition where that is throttled.
func (c *Committed) ask(offset int64) (*protocol.FetchAnswer, *protocol.FetchedPartition, error) {
	q := protocol.FetchRequest{ReplicaID: protocol.DebuggingConsumer, ReplicaEpoch: -1, MinBytes: 0, MaxBytes: committedBytes, SessionEpoch: -1, Topics: []protocol.FetchTopic{{
		ID: c.of.TopicID, Partitions: []protocol.FetchPartition{{Partition: c.of.Partition, CurrentLeaderEpoch: int32(c.epoch), FetchOffset: offset,
			LastFetchedEpoch: -1, LogStartOffset: -1, MaxBytes: committedBytes, HighWatermark: noHighWatermark, SyncedEnd: -1}}}}}
	c.asked++
	c.frame = protocol.AppendRequestHeader(append(c.frame[:0], 0, 0, 0, 0), protocol.RequestHeader{Key: protocol.KeyFetch, Version: protocol.FollowerVersion,
		CorrelationID: c.asked, ClientID: "broker-" + strconv.Itoa(int(c.f.options.Broker))})
	c.frame = q.AppendTo(c.frame, protocol.FollowerVersion)
	binary.BigEndian.PutUint32(c.frame, uint32(len(c.frame)-4))
	now := c.f.options.Clock.Now()
	_ = c.conn.SetWriteDeadline(now.Add(writeTimeout)) // a closed connection says so at the write
	_ = c.conn.SetReadDeadline(now.Add(c.f.options.Timeout))
	if _, err := c.conn.Write(c.frame); err != nil {
		return nil, nil, err
	}
	frame, err := peer.ReadFrame(c.in, c.room, answerMin, answerMax)
	if err != nil {
		return nil, nil, err
	}
	c.room = frame
	if id := int32(binary.BigEndian.Uint32(frame)); id != c.asked || frame[4] != 0 {
		return nil, nil, fmt.Errorf("%w: answer %d to request %d", protocol.ErrMalformed, id, c.asked)
	}
	a := new(protocol.FetchAnswer)
	if err := a.Decode(frame[5:]); err != nil {
		return nil, nil, err
	}
	if a.Error != protocol.None {
		return nil, nil, fmt.Errorf("%w: %s", errRefused, a.Error)
	}
	for i := range a.Partitions {
		p := &a.Partitions[i]
		if p.TopicID != c.of.TopicID || p.Partition != c.of.Partition {
			continue
		}
		switch p.Error {
		case protocol.None:
		case protocol.CorruptMessage:
			return nil, nil, fmt.Errorf("%w: %s", commitlog.ErrLost, p.Error)
		default:
			return nil, nil, fmt.Errorf("%w: %s", errRefused, p.Error)
		}
		return a, p, nil
	}
	return a, nil, nil
}
