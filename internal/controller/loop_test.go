package controller_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/quorum"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

type anything struct{ controller.Configs }

func (anything) ValidateTopicSet(map[string]string) error   { return nil }
func (anything) TopicList(string) (value string, list bool) { return "", false }
func (anything) TopicRules(map[string]string) controller.Rules {
	return controller.Rules{MinISR: 1}
}

// node is a quorum of one with its controller, put together as a broker does it.
type node struct {
	images *metadata.Publisher
	loop   *controller.Loop
	stop   func()
	seen   int // topics that the subscriber saw appear
}

func open(t *testing.T, fs vfs.FS) *node {
	t.Helper()
	n := &node{}
	n.images = metadata.NewPublisher(func(before, after *metadata.Image, delta *metadata.Delta) {
		for _, c := range delta.Topics {
			if c.Old == nil {
				n.seen++
			}
		}
	})
	q, err := quorum.Open(quorum.Options{FS: fs, Dir: "data/quorum", StateMachine: n.images, SnapshotEntries: 20})
	if err != nil {
		t.Fatal(err)
	}
	n.loop = controller.NewLoop(controller.LoopOptions{Log: q, Images: n.images, Settings: controller.Settings{Configs: anything{}}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := q.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := n.loop.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	n.stop = func() { cancel(); wg.Wait() }
	n.do(t, &controller.StartCluster{ClusterID: "c"})
	r := n.do(t, &controller.RegisterBroker{ClusterID: "c", Incarnation: uuid.UUID{1}, Directories: []uuid.UUID{{2}}, Unfence: true})
	if e := r.(*controller.RegisterBrokerResponse).Error; e.Failed() {
		t.Fatal(e)
	}
	return n
}

func (n *node) do(t *testing.T, r controller.Request) controller.Response {
	t.Helper()
	response, err := n.loop.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestLoopOverAQuorumOfOne(t *testing.T) {
	mem := vfs.NewMem()
	n := open(t, mem)
	var wg sync.WaitGroup
	for who := range 8 {
		wg.Go(func() {
			for i := range 15 {
				name := fmt.Sprintf("topic-%d-%d", who, i)
				response, err := n.loop.Do(t.Context(), &controller.CreateTopics{Topics: []controller.NewTopic{{Name: name, Partitions: 2, ReplicationFactor: 1}}})
				if err != nil {
					t.Error(err)
					return
				}
				made := response.(*controller.CreateTopicsResponse).Topics[0]
				if topic := n.images.Image().Topic(name); made.Error.Failed() || topic == nil || topic.ID != made.ID {
					t.Errorf("%+v was answered before it was there", made)
				}
			}
		})
	}
	wg.Wait()
	hash, index := n.images.Image().Hash(), n.images.Image().Index()
	n.stop()
	if n.seen != 120 {
		t.Fatalf("the subscriber saw %d topics", n.seen)
	}
	if _, err := n.loop.Do(t.Context(), &controller.StartCluster{}); !errors.Is(err, controller.ErrNotController) {
		t.Fatalf("a stopped loop gave %v", err)
	}
	n = open(t, mem) // the same incarnation: nothing changes but the index
	defer n.stop()
	if img := n.images.Image(); img.TopicCount() != 120 || img.Broker(0).Epoch != 0 || img.Index() <= index || img.Hash() == hash {
		t.Fatalf("%d topics at %d after a restart", img.TopicCount(), img.Index())
	}
}

// TestLoopBatches holds the first proposal until others wait behind it: they share an entry, and see each other.
func TestLoopBatches(t *testing.T) {
	images := metadata.NewPublisher()
	log := &slowLog{images: images, proposed: make(chan struct{}), goOn: make(chan struct{})}
	loop := controller.NewLoop(controller.LoopOptions{Log: log, Images: images, Settings: controller.Settings{Configs: anything{}}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- loop.Run(ctx) }()
	started := make(chan error)
	go func() {
		_, err := loop.Do(ctx, &controller.StartCluster{ClusterID: "c"})
		started <- err
	}()
	<-log.proposed
	answers := make(chan string, 3)
	for _, id := range []string{"d", "e", "f"} {
		go func() {
			r, err := loop.Do(ctx, &controller.StartCluster{ClusterID: id})
			if err != nil {
				answers <- err.Error()
				return
			}
			answers <- r.(*controller.StartClusterResponse).ClusterID
		}()
	}
	log.goOn <- struct{}{}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := <-answers; got != "c" {
			t.Fatalf("the cluster is %q now", got)
		}
	}
	log.fail = errors.New("leadership lost")
	go func() {
		_, err := loop.Do(ctx, &controller.RegisterBroker{ClusterID: "c", Directories: []uuid.UUID{{1}}})
		started <- err
	}()
	<-log.proposed
	log.goOn <- struct{}{}
	if err := <-started; !errors.Is(err, controller.ErrNotController) || images.Image().Broker(0) != nil {
		t.Fatalf("a lost entry was answered with %v", err)
	}
	cancel()
	<-ended
}

type slowLog struct {
	images         *metadata.Publisher
	proposed, goOn chan struct{}
	fail           error
}

func (l *slowLog) Lead(context.Context) (uint64, error) { return 1, nil }

func (l *slowLog) Propose(_ context.Context, _ uint64, entry []byte, urgent bool) error {
	l.proposed <- struct{}{}
	<-l.goOn
	if !urgent {
		return fmt.Errorf("what starts a cluster or registers a broker is urgent")
	}
	if l.fail != nil {
		return l.fail
	}
	return l.images.Apply(l.images.Image().Index()+1, entry)
}

// fullLog is a log on a full disk, with room for urgent entries up to a size.
type fullLog struct {
	images   *metadata.Publisher
	goOn     chan struct{}
	largest  int
	proposed chan string // receives each entry's urgency and fate
}

func (l *fullLog) Lead(context.Context) (uint64, error) { return 1, nil }

func (l *fullLog) Propose(_ context.Context, _ uint64, entry []byte, urgent bool) error {
	if l.goOn != nil {
		<-l.goOn
	}
	if !urgent || len(entry) > l.largest {
		l.proposed <- fmt.Sprintf("urgent %v refused", urgent)
		return quorum.ErrFull
	}
	l.proposed <- fmt.Sprintf("urgent %v taken", urgent)
	return l.images.Apply(l.images.Image().Index()+1, entry)
}

// TestFullDiskTakesUrgentRequests: ordinary requests are refused for what it is, and urgent ones that wait among them are carried out,
// one by one where they have no room together.
func TestFullDiskTakesUrgentRequests(t *testing.T) {
	images := metadata.NewPublisher()
	log := &fullLog{images: images, largest: 1 << 20, proposed: make(chan string, 100)}
	loop := controller.NewLoop(controller.LoopOptions{Log: log, Images: images, Settings: controller.Settings{Configs: anything{}}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- loop.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	register := func(id int32) controller.Request {
		return &controller.RegisterBroker{ID: id, ClusterID: "c", Incarnation: uuid.UUID{byte(id)}, Directories: []uuid.UUID{{byte(id)}}, Unfence: true}
	}
	for _, r := range []controller.Request{&controller.StartCluster{ClusterID: "c"}, register(1)} {
		if _, err := loop.Do(ctx, r); err != nil {
			t.Fatalf("%T on a full disk: %v", r, err)
		}
	}
	create := &controller.CreateTopics{Topics: []controller.NewTopic{{Name: "t", Partitions: 1, ReplicationFactor: 1}}}
	if _, err := loop.Do(ctx, create); !errors.Is(err, controller.ErrNoSpace) || errors.Is(err, controller.ErrNotController) {
		t.Fatalf("creating a topic on a full disk gave %v", err)
	}
	for len(log.proposed) > 0 {
		<-log.proposed
	}

	// While the first is under way the others queue up: urgent and ordinary ones by turns, then urgent ones together.
	log.goOn, log.largest = make(chan struct{}), 200
	answers := make(chan error, 30)
	do := func(r controller.Request) { _, err := loop.Do(ctx, r); answers <- err }
	go do(register(2))
	log.goOn <- struct{}{}
	<-log.proposed
	if err := <-answers; err != nil {
		t.Fatal(err)
	}
	go do(register(3))
	for range 2 { // held in its proposal
		go do(create)
	}
	const more = 12 // of which a few have room in an entry
	for id := range int32(more) {
		go do(register(10 + id))
	}
	close(log.goOn)
	refused := 0
	for range 3 + more {
		switch err := <-answers; {
		case errors.Is(err, controller.ErrNoSpace):
			refused++
		case err != nil:
			t.Fatal(err)
		}
	}
	if refused != 2 || len(images.Image().Brokers()) != 3+more {
		t.Fatalf("%d requests were refused, %d brokers are registered", refused, len(images.Image().Brokers()))
	}
	for len(log.proposed) > 0 {
		if got := <-log.proposed; got == "urgent false taken" {
			t.Fatal("an ordinary entry was taken")
		}
	}
}
