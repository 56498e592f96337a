//go:build linux

package disk

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/moldau/moldau/internal/record"
)

// Codes of answers.
const (
	none           = 0
	corruptMessage = 2
	storageError   = 56
)

var built struct {
	sync.Once
	dir string
	exe string
	err error
}

// exe builds the broker once.
func exe(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "moldau-disk-")
		if err != nil {
			built.err = err
			return
		}
		built.dir = dir
		built.exe = filepath.Join(dir, "moldau")
		if out, err := exec.Command("go", "build", "-o", built.exe, "../../cmd/moldau").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build moldau: %v\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.exe
}

// node is a broker in a process of its own.
type node struct {
	t      *testing.T
	config string
	addr   string
	cmd    *exec.Cmd
	ended  chan struct{}
	log    lines
	client *kgo.Client
	admin  *kadm.Client
}

// lines is what the broker said.
type lines struct {
	sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.Lock()
	defer l.Unlock()
	return l.text.String()
}

// newNode returns a broker with these settings that is not started yet.
func newNode(t *testing.T, properties string) *node {
	t.Helper()
	n := &node{t: t, config: filepath.Join(t.TempDir(), "server.properties")}
	if err := os.WriteFile(n.config, []byte(properties), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	return n
}

var address = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)

// start starts the broker; false where it ended instead.
func (n *node) start() bool {
	n.t.Helper()
	n.log = lines{}
	n.cmd = exec.Command(exe(n.t), "serve", "--listen", "127.0.0.1:0", "--config", n.config)
	n.cmd.Stderr = &n.log
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	in := bufio.NewReader(out)
	line, _ := in.ReadString('\n')
	n.addr = address.FindString(line)
	n.ended = make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = n.cmd.Wait()
		close(n.ended)
	}()
	if n.addr == "" {
		<-n.ended
		return false
	}
	n.client, err = kgo.NewClient(kgo.SeedBrokers(n.addr), kgo.MaxVersions(kversion.V3_0_0()), kgo.RequestRetries(0))
	if err != nil {
		n.t.Fatal(err)
	}
	n.admin = kadm.NewClient(n.client)
	return true
}

func (n *node) mustStart() {
	n.t.Helper()
	if !n.start() {
		n.t.Fatalf("the broker did not start:\n%s", &n.log)
	}
}

func (n *node) end(signal os.Signal) {
	if n.cmd == nil {
		return
	}
	if n.client != nil {
		n.client.Close()
		n.client = nil
	}
	_ = n.cmd.Process.Signal(signal)
	select {
	case <-n.ended:
	case <-time.After(30 * time.Second):
		n.t.Error("the broker does not stop")
		_ = n.cmd.Process.Kill()
		<-n.ended
	}
	n.cmd = nil
}

func (n *node) kill() { n.end(os.Kill) }
func (n *node) stop() { n.end(os.Interrupt) }

// alive fails the test where the process is gone.
func (n *node) alive() {
	n.t.Helper()
	select {
	case <-n.ended:
		n.t.Fatalf("the broker ended:\n%s", &n.log)
	default:
	}
}

func (n *node) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	n.t.Cleanup(cancel)
	return ctx
}

func (n *node) create(topic string, configs map[string]*string) {
	n.t.Helper()
	if _, err := n.admin.CreateTopic(n.context(), 1, 1, configs, topic); err != nil {
		n.t.Fatalf("create %s: %v", topic, err)
	}
}

func (n *node) ask(req kmsg.Request) kmsg.Response {
	n.t.Helper()
	resp, err := n.client.SeedBrokers()[0].Request(n.context(), req)
	if err != nil {
		n.t.Fatalf("%s: %v\n%s", kmsg.NameForKey(req.Key()), err, &n.log)
	}
	return resp
}

// produce appends a record with acks=all and returns the code, and where it went.
func (n *node) produce(topic string, value []byte) (code int16, offset int64) {
	n.t.Helper()
	resp := n.ask(produceRequest(topic, value)).(*kmsg.ProduceResponse)
	p := resp.Topics[0].Partitions[0]
	return p.ErrorCode, p.BaseOffset
}

func produceRequest(topic string, value []byte) *kmsg.ProduceRequest {
	b := record.NewBuilder(record.Compression{})
	b.Append(record.Record{Timestamp: 1_700_000_000_000, Key: []byte("k"), Value: value})
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: b.Build()}}}}
	return req
}

// acked is what was acknowledged: values by offset.
type acked map[int64]string

// add produces and remembers what was acknowledged. It returns the code.
func (a acked) add(n *node, topic string, size int) int16 {
	n.t.Helper()
	value := make([]byte, max(size, 16))
	binary.BigEndian.PutUint64(value, uint64(len(a)))
	for i := 8; i < len(value); i++ {
		value[i] = byte(i*7 + len(a))
	}
	code, at := n.produce(topic, value)
	if code == none {
		a[at] = string(value)
	}
	return code
}

// content is what a partition gives: values by offset, and codes by the offsets that are refused.
type content struct {
	values  map[int64]string
	refused map[int64]int16
	end     int64
}

// read fetches all of partition 0 and passes over what is refused.
func (n *node) read(topic string) content {
	n.t.Helper()
	c := content{values: map[int64]string{}, refused: map[int64]int16{}, end: -1}
	for at := int64(0); c.end < 0 || at < c.end; {
		req := kmsg.NewPtrFetchRequest()
		req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = -1, 0, 0, 8<<20
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes, p.FetchOffset = 1<<20, at
		req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		resp := n.ask(req).(*kmsg.FetchResponse)
		if len(resp.Topics) == 0 {
			n.t.Fatalf("fetch of %s at %d: code %d", topic, at, resp.ErrorCode)
		}
		got := resp.Topics[0].Partitions[0]
		if got.HighWatermark >= 0 {
			c.end = got.HighWatermark
		}
		if got.ErrorCode != none {
			c.refused[at] = got.ErrorCode
			at++
			if c.end < 0 && len(c.refused) > 3 {
				break // nothing of it is served
			}
			continue
		}
		next := at
		for rest := got.RecordBatches; len(rest) > 0; {
			b, more, err := record.Next(rest)
			if err != nil {
				break // cut
			}
			if err := b.CheckCRC(); err != nil {
				n.t.Errorf("%s: a damaged batch was served: %v", topic, err)
			}
			for r, err := range b.Records(64 << 20) {
				if err != nil {
					n.t.Fatal(err)
				}
				c.values[r.Offset] = string(r.Value)
			}
			next, rest = b.NextOffset(), more
		}
		if next == at {
			break
		}
		at = next
	}
	return c
}

// check compares what a partition gives with what was acknowledged. Missing may be as many as allowed, and those must be refused.
func (a acked) check(t *testing.T, c content, allowed int) {
	t.Helper()
	missing := 0
	for at, want := range a {
		got, ok := c.values[at]
		switch {
		case !ok && c.refused[at] == none:
			t.Errorf("offset %d is neither served nor refused", at)
			return
		case !ok:
			missing++
		case got != want:
			t.Errorf("offset %d: other bytes are served than were acknowledged", at)
			return
		}
	}
	if missing > allowed {
		t.Errorf("%d of %d records are refused, at most %d may be: %v", missing, len(a), allowed, c.refused)
	}
}

// until calls f until it says so.
func until(t *testing.T, what string, within time.Duration, f func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !f() {
		if time.Since(began) > within {
			t.Fatalf("waited %v for %s", within, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}

func (n *node) commit(group, topic string, at int64) error {
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, at, -1)
	resp, err := n.admin.CommitOffsets(n.context(), group, offsets)
	return errors.Join(err, resp.Error())
}

// mustCommit waits for the coordinator, as clients do.
func (n *node) mustCommit(group, topic string, at int64) {
	n.t.Helper()
	until(n.t, "a commit", 20*time.Second, func() bool { return n.commit(group, topic, at) == nil })
}

func (n *node) committed(group, topic string) int64 {
	n.t.Helper()
	var resp kadm.OffsetResponses
	until(n.t, "the coordinator", 20*time.Second, func() bool {
		var err error
		resp, err = n.admin.FetchOffsets(n.context(), group)
		return err == nil && resp.Error() == nil
	})
	o, ok := resp.Lookup(topic, 0)
	if !ok {
		return -1
	}
	return o.At
}
