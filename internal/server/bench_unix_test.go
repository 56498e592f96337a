//go:build unix

package server

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/protocol"
)

const clientEnv = "MOLDAU_BENCH_CLIENT"

// TestMain turns the test binary into the benchmark's client, so that the CPU time of this process is the server's alone.
func TestMain(m *testing.M) {
	if spec := os.Getenv(clientEnv); spec != "" {
		benchClient(strings.Fields(spec))
		return
	}
	os.Exit(m.Run())
}

// benchClient: address, connections, requests in flight on each, bytes of records, requests on each, 1 for a write each.
func benchClient(args []string) {
	var n [5]int
	for i := range n {
		n[i], _ = strconv.Atoi(args[i+1])
	}
	var wg sync.WaitGroup
	for range n[0] {
		wg.Go(func() {
			if err := benchConn(args[0], n[1], n[2], n[3], n[4] != 0); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		})
	}
	wg.Wait()
}

func benchRequest(records int) []byte {
	req := protocol.ProduceRequest{Acks: 1, Topics: []protocol.ProduceTopic{{Name: "orders", Partitions: []protocol.ProducePartition{{Records: make([]byte, records)}}}}}
	b := protocol.AppendRequestHeader(make([]byte, 4), protocol.RequestHeader{Key: protocol.KeyProduce, Version: 11, ClientID: "bench"})
	b = req.AppendTo(b, 11)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func benchConn(addr string, inFlight, records, total int, single bool) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	one := benchRequest(records)
	var many []byte
	for range inFlight {
		many = append(many, one...)
	}
	r := bufio.NewReaderSize(c, 64<<10)
	outstanding, sent, got := 0, 0, 0
	for got < total {
		if n := min(inFlight-outstanding, total-sent); n > 0 {
			piece := n * len(one)
			if single {
				piece = len(one)
			}
			for at := 0; at < n*len(one); at += piece {
				if _, err := c.Write(many[at : at+piece]); err != nil {
					return err
				}
			}
			outstanding, sent = outstanding+n, sent+n
		}
		for first := true; first || r.Buffered() >= 4; first = false {
			var size [4]byte
			if _, err := io.ReadFull(r, size[:]); err != nil {
				return err
			}
			if _, err := r.Discard(int(binary.BigEndian.Uint32(size[:]))); err != nil {
				return err
			}
			outstanding, got = outstanding-1, got+1
		}
	}
	return nil
}

// producer answers like a broker that does nothing with the records.
type producer struct {
	pool  sync.Pool
	later bool // answer from another goroutine, many at once
	mu    sync.Mutex
	queue []func()
	wake  chan struct{}
}

func (p *producer) Serve(req *Request, reply Reply) {
	pr, _ := p.pool.Get().(*protocol.ProduceRequest)
	if pr == nil {
		pr = new(protocol.ProduceRequest)
	}
	defer p.pool.Put(pr)
	if err := pr.Decode(req.Header.Version, req.Body); err != nil {
		reply.Close(err)
		return
	}
	resp := protocol.ProduceResponse{}
	var topics [1]protocol.ProduceResponseTopic
	var parts [1]protocol.ProduceResponsePartition
	parts[0] = protocol.ProduceResponsePartition{LogAppendTimeMs: -1}
	topics[0] = protocol.ProduceResponseTopic{Name: pr.Topics[0].Name, Partitions: parts[:]}
	resp.Topics = topics[:]
	b := resp.AppendTo(req.AppendHeader(req.Buffer), req.Header.Version)
	pr.Reset()
	if !p.later {
		reply.SendBytes(b)
		return
	}
	p.mu.Lock()
	p.queue = append(p.queue, func() { reply.SendBytes(b) })
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *producer) commit(ctx context.Context) {
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return
		}
		p.mu.Lock()
		q := p.queue
		p.queue = nil
		p.mu.Unlock()
		for _, f := range q {
			f()
		}
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkProduce is the cost of receiving and answering produce requests, the client in another process.
func BenchmarkProduce(b *testing.B) {
	for _, c := range []struct {
		name                    string
		conns, inFlight, record int
		later                   bool // answered by another goroutine
		single                  int  // 1 if the client writes each request by itself
	}{
		{"1rec/4x16", 4, 16, 100, false, 0},
		{"1rec/4x16/single", 4, 16, 100, false, 1},
		{"1rec/4x16/acked-together", 4, 16, 100, true, 0},
		{"1rec/4x16/single-acked-together", 4, 16, 100, true, 1},
		{"1rec/1x1", 1, 1, 100, false, 0},
		{"16KiB/4x4", 4, 4, 16 << 10, false, 1},
		{"1MiB/2x2", 2, 2, 1 << 20, false, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := &producer{later: c.later, wake: make(chan struct{}, 1)}
			s, err := New(Options{Handler: p})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			l, err := network.OS.Listen(ctx, "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() { _ = s.Serve(ctx, "PLAINTEXT", l) })
			wg.Go(func() { p.commit(ctx) })
			b.SetBytes(int64(c.record))
			b.ReportAllocs()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d %d %d %d", clientEnv, l.Addr(), c.conns, c.inFlight, c.record, b.N/c.conns+1, c.single))
			cmd.Stderr = os.Stderr
			before := cpu()
			b.ResetTimer()
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/float64(b.N), "broker-us/req")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
			cancel()
			if err := s.Shutdown(context.Background()); err != nil {
				b.Fatal(err)
			}
			wg.Wait()
		})
	}
}

// BenchmarkIdle is what a connection costs that has made one request and now says nothing.
func BenchmarkIdle(b *testing.B) {
	s, err := New(Options{Handler: handlerFunc(echo)})
	if err != nil {
		b.Fatal(err)
	}
	l, err := network.OS.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(context.Background(), "PLAINTEXT", l) })
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // what pools held is gone after two
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	for b.Loop() {
		const conns = 2000
		before := heap()
		var cs []net.Conn
		for range conns {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Write(frame(1, nil)); err != nil {
				b.Fatal(err)
			}
			var answer [8]byte
			if _, err := io.ReadFull(c, answer[:]); err != nil {
				b.Fatal(err)
			}
			cs = append(cs, c)
		}
		b.ReportMetric(float64(heap()-before)/conns, "bytes/conn")
		for _, c := range cs {
			c.Close()
		}
		for s.Connections() > 0 {
			runtime.Gosched()
		}
	}
	if err := s.Shutdown(context.Background()); err != nil {
		b.Fatal(err)
	}
	wg.Wait()
}
