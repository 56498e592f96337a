//go:build linux

package hostile

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
)

// process is the program, started as a user starts it.
type process struct {
	t    *testing.T
	addr string
	cmd  *exec.Cmd
}

func startProcess(t *testing.T, properties string) *process {
	t.Helper()
	dir := t.TempDir()
	exe, config := filepath.Join(dir, "moldau"), filepath.Join(dir, "server.properties")
	if out, err := exec.Command("go", "build", "-o", exe, "../../cmd/moldau").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := os.WriteFile(config, []byte(properties), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(exe, "serve", "--config", config, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0")}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if p.addr = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`).FindString(line); p.addr == "" {
		t.Fatalf("the program said %q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return p
}

// resident is the memory of the program that is in use, at its highest if told so.
func (p *process) resident(what string) int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatalf("the program is gone: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, what+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return kb << 10
		}
	}
	p.t.Fatalf("no %s", what)
	return 0
}

func (p *process) dial() net.Conn {
	p.t.Helper()
	c, err := p.tryDial()
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *process) tryDial() (net.Conn, error) {
	c, err := net.DialTimeout("tcp", p.addr, patience)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(patience))
}

// TestHostileMix sends the program everything at once, for rows 7, 14, 16, 76, 100 and 179: claims that are never kept, noise, bombs, consumers that do
// not read, long polls by the thousand. Meanwhile an honest producer and consumer lose nothing, and memory stays in its bounds.
func TestHostileMix(t *testing.T) {
	const records = 3000
	p := startProcess(t, "queued.max.request.bytes=134217728\nmax.decompressed.message.bytes=16777216\n")
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	client := func(opts ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(p.addr), kgo.AllowAutoTopicCreation())...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	producer := client(kgo.DefaultProduceTopic("honest"))
	if err := producer.ProduceSync(ctx, &kgo.Record{Value: []byte("0")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	large := client(kgo.DefaultProduceTopic("large"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range 30 {
		if err := large.ProduceSync(ctx, &kgo.Record{Value: make([]byte, 900<<10)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}

	var hostile sync.WaitGroup
	var kept []net.Conn // until the end
	for range fewer(1000) {
		c := p.dial()
		if _, err := c.Write(sized(100<<20, make([]byte, 1<<10)...)); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	for range fewer(100) {
		c := p.dial()
		req := fetchOf("large", 0)
		req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 30<<20, 30<<20
		if _, err := c.Write(requestFrame(req)); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	for range fewer(100) {
		c := p.dial()
		req := fetchOf("honest", 1<<20) // out of range, answered at once
		for i := range 50 {
			if i == 1 {
				req = fetchOf("honest", 0)
				req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 1<<31-1, 1<<31-1, 1<<31-1
			}
			if _, err := c.Write(requestFrame(req)); err != nil {
				t.Fatal(err)
			}
		}
		kept = append(kept, c)
	}
	hostile.Go(func() { // noise, and noise behind good headers
		random := random.Seeded(7)
		noise := make([]byte, 64<<10)
		for i := range fewer(1000) {
			random.Read(noise)
			c, err := p.tryDial()
			if err != nil {
				t.Error(err)
				return
			}
			b := noise
			if i%2 == 0 {
				b = frame(int16(i/2%76), int16(i%14), i%3 > 0, noise)
			}
			_, _ = c.Write(b)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	})
	hostile.Go(func() { // bombs
		bomb := requestFrame(produceOf(9, "honest", of(record.Zstd, string(make([]byte, 64<<20))).bytes()))
		for range fewer(50) {
			c, err := p.tryDial()
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := c.Write(bomb); err != nil {
				t.Error(err)
			}
			var size [4]byte
			if _, err := io.ReadFull(c, size[:]); err != nil || binary.BigEndian.Uint32(size[:]) > 1000 {
				t.Errorf("a bomb is answered with %d bytes, %v", binary.BigEndian.Uint32(size[:]), err)
			}
			c.Close()
		}
	})

	hostile.Go(func() {
		for i := 1; i < records; i++ {
			producer.Produce(ctx, &kgo.Record{Value: []byte(strconv.Itoa(i))}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Errorf("an honest record is refused: %v", err)
				}
			})
			if i%100 == 0 {
				if err := producer.Flush(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		}
		if err := producer.Flush(ctx); err != nil {
			t.Error(err)
		}
	})
	consumer := client(kgo.ConsumeTopics("honest"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for next := 0; next < records; {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d records: %v", next, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Value) != strconv.Itoa(next) {
				t.Fatalf("record %d is %q", next, r.Value)
			}
			next++
		})
	}
	hostile.Wait()
	if most := p.resident("VmHWM"); most > 400<<20 {
		t.Errorf("the program took %d MiB, with a budget of 128 for requests", most>>20)
	} else {
		t.Logf("the program took %d MiB at most, %d now", most>>20, p.resident("VmRSS")>>20)
	}
	for _, c := range kept {
		c.Close()
	}
}
