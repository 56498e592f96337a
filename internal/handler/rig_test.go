package handler

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/network"
	"github.com/moldau/moldau/internal/quota"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/server"
	"github.com/moldau/moldau/internal/uuid"
)

// rig is a handler behind a real server, with metadata and a controller in memory and a coordinator whose answers the test gives.
type rig struct {
	t          *testing.T
	h          *Handler
	server     *server.Server
	net        *network.Mem
	addr       string
	groups     *fakeGroups
	quotas     *quota.Clients
	controller *fakeController
	serving    sync.WaitGroup
	stopped    bool
}

const testNode = 7

func newRig(t *testing.T, properties string) *rig {
	t.Helper()
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: []byte(properties), Flags: config.Flags{Data: "data"}})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, net: network.NewMem()}
	windows := quota.Windows{Samples: 11, Size: time.Second}
	r.quotas = quota.NewClients(quota.Options{Clock: clock.Real, Windows: windows, Mutations: windows})
	images := metadata.NewPublisher(func(before, after *metadata.Image, delta *metadata.Delta) { r.quotas.Follow(before, after, delta) })
	r.controller = &fakeController{images: images, cfg: cfg}
	r.groups = &fakeGroups{images: images}
	dir := uuid.New(random.Seeded(1))
	r.controller.apply(t, &metadata.ClusterRecord{ClusterID: "cluster"}, &metadata.BrokerRecord{Broker: metadata.Broker{
		ID: testNode, Epoch: 1, Directories: []uuid.UUID{dir}, Listeners: []metadata.Listener{{Name: "PLAINTEXT", Host: "far", Port: 1}}}})
	r.h = New(Options{Quotas: r.quotas, BrokerID: testNode, Config: cfg, Live: func() *config.Config { return cfg }, Metadata: images, Controller: r.controller, Quorum: fakeQuorum{}, Groups: r.groups,
		Clock: clock.Real, Random: random.Seeded(1), Log: slog.New(slog.DiscardHandler), LogLevel: new(slog.LevelVar)})
	if r.server, err = server.New(server.Options{Handler: r.h}); err != nil {
		t.Fatal(err)
	}
	l, err := r.net.Listen(context.Background(), "127.0.0.1:9092")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	r.serving.Go(func() { _ = r.server.Serve(context.Background(), "PLAINTEXT", l) })
	t.Cleanup(r.stop)
	return r
}

// stop shuts down; nothing may be left over.
func (r *rig) stop() {
	if r.stopped {
		return
	}
	r.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		r.t.Errorf("shut down: %v", err)
	}
	r.h.Wait()
	r.serving.Wait()
	if n := r.server.MemoryInUse(); n != 0 {
		r.t.Errorf("%d bytes of the budget are still taken", n)
	}
}

// fakeQuorum leads always.
type fakeQuorum struct{}

func (fakeQuorum) State(context.Context) (QuorumState, error) {
	return QuorumState{Leader: testNode, Epoch: 4, End: 19, Voters: []QuorumReplica{{Node: testNode, End: 19}}}, nil
}

func (fakeQuorum) Leader() int32 { return testNode }

// fakeController decides as the real one does, and applies at once.
type fakeController struct {
	images  *metadata.Publisher
	cfg     *config.Config
	mu      sync.Mutex
	asked   int
	fail    error
	proceed chan struct{}     // if set, a request waits for it
	news    []metadata.Record // of which this broker hears with the next answer
}

func (f *fakeController) apply(t *testing.T, records ...metadata.Record) {
	t.Helper()
	if err := f.images.Apply(f.images.Image().Index()+1, metadata.Encode(records)); err != nil {
		t.Fatal(err)
	}
}

func (f *fakeController) Do(ctx context.Context, req controller.Request) (controller.Response, error) {
	if f.proceed != nil {
		select {
		case <-f.proceed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.fail != nil {
		return nil, f.fail
	}
	img := f.images.Image()
	if len(f.news) > 0 {
		if err := f.images.Apply(img.Index()+1, metadata.Encode(f.news)); err != nil {
			return nil, err
		}
		img, f.news = f.images.Image(), nil
	}
	records, resp := controller.Step(img, controller.Settings{Configs: anyConfig{cfg: f.cfg}}, req, random.Seeded(2))
	if len(records) > 0 {
		if err := f.images.Apply(img.Index()+1, metadata.Encode(records)); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// anyConfig is the table of configurations as the controller sees it.
type anyConfig struct {
	controller.Configs // what is not asked
	cfg                *config.Config
}

func (a anyConfig) ValidateTopicSet(overrides map[string]string) error {
	return a.cfg.ValidateTopicConfigs(overrides)
}
func (a anyConfig) TopicList(string) (string, bool) { return "", false }
func (a anyConfig) TopicRules(map[string]string) controller.Rules {
	return controller.Rules{MinISR: 1}
}

// fakeGroups answers with what the test says, or keeps the question for later.
type fakeGroups struct {
	images *metadata.Publisher
	mu     sync.Mutex
	answer func(request any) (any, error) // nil, nil keeps it
	asked  []any
	held   chan func(response any, err error)
}

func (f *fakeGroups) PartitionFor(group string) int32 {
	t := f.images.Image().Topic(offsetsTopic)
	if t == nil {
		return -1
	}
	return int32(len(group) % len(t.Partitions))
}

func (f *fakeGroups) Do(_ string, request any, done func(any, error)) {
	f.mu.Lock()
	f.asked = append(f.asked, request)
	answer := f.answer
	f.mu.Unlock()
	response, err := answer(request)
	if response == nil && err == nil {
		f.held <- done
		return
	}
	done(response, err)
}

func (f *fakeGroups) All(request any, done func([]any, error)) {
	f.Do("", request, func(response any, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		done(response.([]any), nil)
	})
}

// reply makes the coordinator answer everything the same.
func (f *fakeGroups) reply(response any, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = func(any) (any, error) { return response, err }
	f.held = make(chan func(any, error), 1000)
	f.asked = nil
}

func (f *fakeGroups) last() any {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		return nil
	}
	return f.asked[len(f.asked)-1]
}

// wire is a client's connection.
type wire struct {
	t    *testing.T
	conn network.Conn
}

func (r *rig) dial() *wire {
	r.t.Helper()
	c, err := r.net.Dial(context.Background(), r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	w := &wire{r.t, c}
	r.t.Cleanup(func() { c.Close() })
	return w
}

func (w *wire) send(v int16, req kmsg.Request) {
	w.t.Helper()
	req.SetVersion(v)
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("tester")).AppendRequest(nil, req, 1)
	if _, err := w.conn.Write(frame); err != nil {
		w.t.Fatalf("send %T version %d: %v", req, v, err)
	}
}

// receive reads the answer to req, which must be the next one.
func (w *wire) receive(v int16, req kmsg.Request) (kmsg.Response, error) {
	w.t.Helper()
	_ = w.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var size [4]byte
	if _, err := io.ReadFull(w.conn, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(w.conn, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(v)
	body = body[4:]
	if resp.IsFlexible() && resp.Key() != 18 { // ApiVersions keeps the first header
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		w.t.Fatalf("read %T version %d: %v", resp, v, err)
	}
	resp.SetVersion(v)
	if again := resp.AppendTo(nil); string(again) != string(body) {
		w.t.Errorf("%T version %d: % x reads as % x", resp, v, body, again)
	}
	return resp, nil
}

// roundTrip sends a request and returns the answer.
func roundTrip[R kmsg.Response](w *wire, v int16, req kmsg.Request) R {
	w.t.Helper()
	w.send(v, req)
	resp, err := w.receive(v, req)
	if err != nil {
		w.t.Fatalf("%T version %d: %v", req, v, err)
	}
	return resp.(R)
}
