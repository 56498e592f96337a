package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// attack is a kind of hostile client: so many of them at a time, each of which begins again after a pause.
type attack struct {
	name    string
	about   string
	clients int
	pause   time.Duration
	prepare func() [][]byte // makes what act sends, before any of it begins
	act     func(c *hostile) error

	prepared      [][]byte
	rounds, bytes atomic.Int64
}

// hostile is one connection of an attacker.
type hostile struct {
	net.Conn
	ctx  context.Context
	n    int // which of the attack's clients this is
	turn int // how often it has begun
	a    *attack
}

// told is what the attack did in a while.
func (a *attack) told(d time.Duration) string {
	return fmt.Sprintf("%-14s %7d times, %8.1f a second, %6.2f MiB a second: %s", a.name, a.rounds.Load(), float64(a.rounds.Load())/d.Seconds(), float64(a.bytes.Load())/(1<<20)/d.Seconds(), a.about)
}

func chosen(names string) ([]*attack, error) {
	all := attacks()
	if names == "" {
		return all, nil
	}
	var picked []*attack
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(a *attack) bool { return a.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no attack %q", name)
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

func (a *attack) start(ctx context.Context, running *sync.WaitGroup, addr string) {
	for n := range a.clients {
		running.Go(func() {
			for turn := 0; ; turn++ {
				if pause(ctx, time.Duration(float64(a.pause)*(0.5+rand.Float64()))) != nil {
					return
				}
				d := net.Dialer{Timeout: 10 * time.Second}
				conn, err := d.DialContext(ctx, "tcp", addr)
				if err != nil {
					continue // that is an answer, too
				}
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				_ = a.act(&hostile{Conn: conn, ctx: ctx, n: n, turn: turn, a: a}) // to be cut off is what happens to attackers
				a.rounds.Add(1)
				conn.Close()
				stop()
			}
		})
	}
}

func (c *hostile) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.a.bytes.Add(int64(n))
	return n, err
}

// slowly writes so much at a time.
func (c *hostile) slowly(b []byte, each int, every time.Duration) error {
	for len(b) > 0 {
		n := min(each, len(b))
		if _, err := c.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
		if err := pause(c.ctx, every); err != nil {
			return err
		}
	}
	return nil
}

// heard reads until the broker ends the connection, for at most a while.
func (c *hostile) heard(d time.Duration) error {
	_ = c.SetReadDeadline(time.Now().Add(d))
	_, err := io.Copy(io.Discard, c.Conn)
	return err
}

// one sends a request and waits for what comes back first.
func (c *hostile) one(b []byte, d time.Duration) error {
	if _, err := c.Write(b); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(d))
	var size [4]byte
	if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c.Conn, int64(binary.BigEndian.Uint32(size[:])))
	return err
}

func claim(size uint32, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, size), b...)
}

func request(r kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("hostile")).AppendRequest(nil, r, 1)
}

// raw is a request with a body that kmsg would not write.
func raw(key, version int16, flexible bool, body []byte) []byte {
	b := []byte{byte(key >> 8), byte(key), byte(version >> 8), byte(version), 0, 0, 0, 1, 0, 1, 'h'}
	if flexible {
		b = append(b, 0)
	}
	b = append(b, body...)
	return claim(uint32(len(b)), b)
}

func noise(n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		binary.BigEndian.PutUint64(b[i:], rand.Uint64())
	}
	return b
}

// attacks is the mix. What each sends in a second is small beside what the honest clients send; it is what it asks for that hurts.
func attacks() []*attack {
	shared := noise(1 << 20)
	return []*attack{
		{name: "garbage", about: "64 KiB of noise, every second one behind a good header", clients: 5, pause: 500 * time.Millisecond, act: func(c *hostile) error {
			b := shared[rand.IntN(len(shared)-64<<10):][:64<<10]
			if c.turn%2 == 0 {
				b = raw(int16(rand.IntN(76)), int16(rand.IntN(14)), rand.IntN(3) > 0, b)
			}
			if _, err := c.Write(b); err != nil {
				return err
			}
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			return c.heard(5 * time.Second)
		}},
		{name: "claims", about: "connections that claim 100 MiB and send 1 KiB, until they are closed", clients: 48, pause: time.Second, act: func(c *hostile) error {
			if _, err := c.Write(claim(100<<20, shared[:1<<10])); err != nil {
				return err
			}
			return c.heard(time.Minute)
		}},
		{name: "hoards", about: "connections that claim 100 MiB, send 20 at 4 MiB/s and then a byte a second", clients: 16, pause: 20 * time.Second, act: func(c *hostile) error {
			if _, err := c.Write(claim(100<<20, nil)); err != nil {
				return err
			}
			for range 80 {
				if _, err := c.Write(shared[:256<<10]); err != nil {
					return err
				}
				if err := pause(c.ctx, time.Second/16); err != nil {
					return err
				}
			}
			return c.slowly(shared[:600], 1, time.Second)
		}},
		{name: "slow-writers", about: "a good request, one byte a tenth of a second", clients: 16, pause: time.Second, act: func(c *hostile) error {
			req := kmsg.NewPtrMetadataRequest()
			req.Version = 9
			return c.slowly(request(req), 1, 100*time.Millisecond)
		}},
		{name: "slow-readers", about: "a Fetch of 30 MiB, taken one byte a second", clients: 24, pause: time.Second, act: func(c *hostile) error {
			_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			if _, err := c.Write(request(fetch("large", 30<<20, 0))); err != nil {
				return err
			}
			var b [1]byte
			for {
				_ = c.SetReadDeadline(time.Now().Add(time.Minute))
				if _, err := c.Read(b[:]); err != nil {
					return err
				}
				if err := pause(c.ctx, time.Second); err != nil {
					return err
				}
			}
		}},
		{name: "never-read", about: "requests one after the other, whose answers are never taken", clients: 24, pause: 2 * time.Second, act: func(c *hostile) error {
			_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			req := kmsg.NewPtrMetadataRequest() // of all topics
			req.Version = 9
			b := request(req)
			if c.n%2 == 0 {
				b = request(fetch("honest-not", 1<<20, 0))
			}
			for range 3000 {
				_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
				if _, err := c.Write(b); err != nil {
					return err
				}
			}
			return pause(c.ctx, time.Minute)
		}},
		{name: "parked", about: "Fetches that wait for 24 days, with 1 MiB behind each request, 16 to a connection", clients: 24, pause: 5 * time.Second, act: func(c *hostile) error {
			req := fetch("empty", 1<<20, 1<<31-1)
			b := request(req)
			b = append(b, shared[:1<<20-len(b)]...)
			binary.BigEndian.PutUint32(b, uint32(len(b)-4))
			for range 16 {
				if _, err := c.Write(b); err != nil {
					return err
				}
			}
			return c.heard(time.Hour)
		}},
		{name: "flood", about: "connections that are opened and closed", clients: 5, pause: 50 * time.Millisecond, act: func(c *hostile) error { return nil }},
		{name: "idle", about: "connections that say nothing", clients: 1000, pause: 5 * time.Second, act: func(c *hostile) error {
			return c.heard(time.Hour)
		}},
		{name: "bombs", about: "batches of less than 1 MiB that unpack to 200 MiB (snappy 19), in turn gzip, snappy, lz4 and zstd", clients: 1, pause: time.Second, prepare: bombs, act: func(c *hostile) error {
			return c.one(c.a.prepared[c.turn%len(c.a.prepared)], time.Minute)
		}},
		{name: "partitions", about: "Fetch, ListOffsets, OffsetFetch, Produce and DescribeTopicPartitions of a million partitions, in turn", clients: 1, pause: 2 * time.Second, prepare: millionPartitions, act: func(c *hostile) error {
			return c.one(c.a.prepared[c.turn%len(c.a.prepared)], time.Minute)
		}},
		{name: "topics", about: "Metadata and CreateTopics of 100,000 topics and of 1,000 that are not there, and CreatePartitions to 2^31-1", clients: 1, pause: 4 * time.Second, act: func(c *hostile) error {
			return c.one(manyTopics(c.turn), time.Minute)
		}},
		{name: "groups", about: "members of 256 KiB in one group and in many, and commits of 4 KiB of metadata for groups that nobody knows", clients: 4, pause: 500 * time.Millisecond, act: func(c *hostile) error {
			return c.one(hugeGroup(c, shared), 5*time.Second)
		}},
		{name: "tags", about: "a header, and a body, of a million tagged fields", clients: 1, pause: 2 * time.Second, act: func(c *hostile) error {
			return c.one(manyTags(c.turn), 30*time.Second)
		}},
		{name: "sessions", about: "fetch sessions that nobody comes back to", clients: 2, pause: 100 * time.Millisecond, act: func(c *hostile) error {
			req := fetch("empty", 1<<20, 0)
			req.SessionEpoch = 0
			return c.one(request(req), 30*time.Second)
		}},
		{name: "producers", about: "a batch of each of a hundred producer ids that nobody gave out", clients: 1, pause: 200 * time.Millisecond, act: func(c *hostile) error {
			for range 100 {
				if err := c.one(strangerBatch(), 30*time.Second); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}
