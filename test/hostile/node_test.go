package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/broker"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/metrics/metricstest"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/vfs"
)

// patience is how long a test waits for what must happen before it says that it did not.
const patience = 60 * time.Second

const (
	brokerAddr = "127.0.0.1:9092"
	adminAddr  = "127.0.0.1:9644"
)

// node is a broker whose disk and network are memory.
type node struct {
	*broker.Broker
	t    *testing.T
	disk vfs.FS
	net  *network.Mem
	log  *lockedBuffer
}

// lockedBuffer is what a node has logged.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a node that must be whole, and hold nothing for anybody, when the test ends.
func start(t *testing.T, properties string) *node {
	t.Helper()
	return startOn(t, vfs.NewMem(), properties)
}

func startOn(t *testing.T, disk vfs.FS, properties string) *node {
	t.Helper()
	n, err := tryStart(t, disk, properties)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return n
}

func tryStart(t *testing.T, disk vfs.FS, properties string) (*node, error) {
	t.Helper()
	n := &node{t: t, disk: disk, net: network.NewMem(), log: &lockedBuffer{}}
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte("admin.listener=" + adminAddr + "\n" + properties),
		Flags: config.Flags{Data: "data", Listen: brokerAddr}})
	if err != nil {
		t.Fatal(err)
	}
	n.Broker, err = broker.Start(broker.Options{Config: cfg, FS: disk, Network: n.net,
		Log: slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		return nil, err
	}
	t.Cleanup(n.end)
	return n, nil
}

// end sees that the node is as good as new, and stops it.
func (n *node) end() {
	if n.Broker == nil {
		return
	}
	if err := context.Cause(n.Failed()); err != nil {
		n.t.Errorf("the node failed: %v", err)
		n.Abort()
		return
	}
	n.answers()
	n.eventually("moldau_request_memory_bytes", 0)
	n.eventually(`moldau_connections{listener="PLAINTEXT"}`, 0)
	n.stop()
}

func (n *node) stop() {
	n.t.Helper()
	if err := n.Stop(); err != nil {
		n.t.Errorf("stop: %v", err)
	}
	n.Broker = nil
}

// answers sees that an honest client is served.
func (n *node) answers() {
	n.t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 9
	ask[*kmsg.MetadataResponse](n, req)
}

func (n *node) scrape(path string) string {
	n.t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, addr string) (network.Conn, error) { return n.net.Dial(ctx, addr) }}}
	resp, err := client.Get("http://" + adminAddr + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		n.t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return string(text)
}

// eventually waits until a metric has a value.
func (n *node) eventually(series string, want float64) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		samples, err := metricstest.Parse(n.scrape("/metrics"))
		if err != nil {
			n.t.Fatal(err)
		}
		if got := samples[series]; got == want {
			return
		} else if time.Now().After(deadline) {
			n.t.Fatalf("%s is %v, want %v", series, got, want)
		}
	}
}

// wire is one connection.
type wire struct {
	t    *testing.T
	conn network.Conn
	sent int32
}

func (n *node) dial() *wire {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := n.net.Dial(ctx, brokerAddr)
	if err != nil {
		n.t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &wire{t: n.t, conn: conn}
}

func (w *wire) close() { w.conn.Close() }

// send sends a request of an honest client.
func (w *wire) send(req kmsg.Request) {
	w.t.Helper()
	w.sent++
	if _, err := w.conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("honest")).AppendRequest(nil, req, w.sent)); err != nil {
		w.t.Fatalf("send %s: %v", kmsg.NameForKey(req.Key()), err)
	}
}

// receive reads the answer to req.
func (w *wire) receive(req kmsg.Request) (kmsg.Response, error) {
	var size [4]byte
	if _, err := io.ReadFull(w.conn, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(w.conn, b); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	b = b[4:]
	if resp.IsFlexible() && req.Key() != 18 {
		b = b[1:]
	}
	return resp, resp.ReadFrom(b)
}

// ask sends a request on a connection of its own and returns the answer.
func ask[R kmsg.Response](n *node, req kmsg.Request) R {
	n.t.Helper()
	w := n.dial()
	defer w.close()
	w.send(req)
	resp, err := w.receive(req)
	if err != nil {
		n.t.Fatalf("%s version %d is not answered: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp.(R)
}

// closes sends bytes on a connection of their own and sees that it ends without an answer.
func (n *node) closes(about string, b []byte) {
	n.t.Helper()
	if got, ended := n.exchange(b, false); len(got) > 0 || !ended {
		n.t.Errorf("%s: %d bytes came back, closed: %v", about, len(got), ended)
	}
}

// exchange sends bytes and, where told so, that no more will follow. It returns what came back until the connection ended.
func (n *node) exchange(b []byte, end bool) (got []byte, ended bool) {
	n.t.Helper()
	w := n.dial()
	defer w.close()
	done := make(chan struct{})
	go func() { // the other side may close before it has read all
		defer close(done)
		if _, err := w.conn.Write(b); err == nil && end {
			_ = w.conn.(interface{ CloseWrite() error }).CloseWrite()
		}
	}()
	got, err := io.ReadAll(w.conn)
	w.close()
	<-done
	return got, err == nil || network.Disconnected(err)
}

// frame puts a header of a client in front of a body.
func frame(key, version int16, flexible bool, body []byte) []byte {
	return frameOf(header(key, version, "c", flexible), body)
}

func header(key, version int16, client string, flexible bool) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = append(b, 0, 0, 0, 1) // correlation id
	b = binary.BigEndian.AppendUint16(b, uint16(len(client)))
	b = append(b, client...)
	if flexible {
		b = append(b, 0)
	}
	return b
}

func frameOf(parts ...[]byte) []byte {
	b := append([]byte{0, 0, 0, 0}, bytes.Join(parts, nil)...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// requestFrame is a request as bytes.
func requestFrame(req kmsg.Request) []byte {
	return frame(req.Key(), req.GetVersion(), req.IsFlexible(), req.AppendTo(nil))
}

// fewer is n, or a part of it where everything takes longer.
func fewer(n int) int {
	if raced {
		return max(n/10, 1)
	}
	return n
}

// allocated returns the bytes that the process allocates while f runs.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// held returns the bytes that live on the heap, all garbage collected.
func held() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// create makes a topic.
func (n *node) create(name string, partitions int32, configs ...string) {
	n.t.Helper()
	if code, message := n.createTopic(name, partitions, configs...); code != 0 {
		n.t.Fatalf("create %s: %d %s", name, code, message)
	}
}

// createTopic asks for a topic and returns what is answered. Configs are names and values in turn.
func (n *node) createTopic(name string, partitions int32, configs ...string) (code int16, message string) {
	n.t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for i := 0; i < len(configs); i += 2 {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	return n.createOf(topic)
}

func (n *node) createOf(topic kmsg.CreateTopicsRequestTopic) (code int16, message string) {
	n.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 20_000
	req.Topics = append(req.Topics, topic)
	resp := ask[*kmsg.CreateTopicsResponse](n, req)
	if len(resp.Topics) != 1 {
		n.t.Fatalf("create %q: %d answers", topic.Topic, len(resp.Topics))
	}
	if resp.Topics[0].ErrorMessage != nil {
		message = *resp.Topics[0].ErrorMessage
	}
	return resp.Topics[0].ErrorCode, message
}

// end of a partition's log.
func (n *node) logEnd(topic string) int64 {
	n.t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 7, -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	resp := ask[*kmsg.ListOffsetsResponse](n, req)
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
		n.t.Fatalf("list offsets of %s: %d", topic, code)
	}
	return resp.Topics[0].Partitions[0].Offset
}

// produceOf asks to append records to partition 0.
func produceOf(version int16, topic string, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, 20_000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: records}}}}
	return req
}

// produce appends records and returns the code.
func (n *node) produce(topic string, records []byte) int16 {
	n.t.Helper()
	return ask[*kmsg.ProduceResponse](n, produceOf(9, topic, records)).Topics[0].Partitions[0].ErrorCode
}

func fetchOf(topic string, from int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 12, -1, 100, 0, 1<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = from, 1<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return req
}
