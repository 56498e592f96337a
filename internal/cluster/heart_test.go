package cluster

import (
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
)

// TestDoubtful goes through the life of a broker: it is trusted from the moment on in which the metadata let it serve, for as long as heartbeats are taken, and
// after a silence only once its metadata are as new as those of the controller that took one.
func TestDoubtful(t *testing.T) {
	now := clock.NewManual(time.UnixMilli(0))
	images := metadata.NewPublisher()
	n := New(Options{NodeID: 1, Clock: now, Images: images, Session: 2 * time.Second, Heartbeat: 500 * time.Millisecond, ElectionTimeout: time.Second})
	defer n.Close()
	b := &Broker{node: n, incarnation: uuid.New(random.Seeded(1))}
	apply := func(records ...metadata.Record) {
		t.Helper()
		if err := images.Apply(images.Image().Index()+1, metadata.Encode(records)); err != nil {
			t.Fatal(err)
		}
	}
	registered := func(incarnation uuid.UUID, fenced bool) metadata.Record {
		return &metadata.BrokerRecord{Broker: metadata.Broker{ID: 1, Epoch: int64(images.Image().Index()), Incarnation: incarnation, Fenced: fenced}}
	}
	at := func(ms int64) { now.Advance(time.UnixMilli(ms).Sub(now.Now())) }
	beat := func(ms int64, index uint64) { b.took(taken{time.UnixMilli(ms), index}) }
	want := func(doubtful bool, when string) {
		t.Helper()
		if b.Doubtful() != doubtful {
			t.Errorf("%s: doubtful is %v", when, !doubtful)
		}
	}

	want(true, "not registered")
	apply(registered(uuid.New(random.Seeded(2)), false))
	want(true, "another process is")
	apply(registered(b.incarnation, true))
	b.Beat() // to nobody: the test says what becomes of heartbeats
	want(true, "fenced")
	at(100)
	apply(registered(b.incarnation, false))
	want(false, "let in, before its heartbeat is answered")
	beat(0, images.Image().Index()-1)
	at(500)
	beat(500, images.Image().Index())
	at(1999)
	want(false, "almost a session, less an election, after a heartbeat")
	at(2000)
	want(true, "after it")

	// It was cut off, and fenced: so say metadata that it has not got yet.
	index := images.Image().Index()
	at(9000)
	beat(9000, index+2)
	want(true, "its metadata are old")
	at(9500)
	beat(9500, index+9)
	apply()
	want(true, "they are old still")
	apply(registered(b.incarnation, true))
	want(true, "they say that it is fenced")
	apply(registered(b.incarnation, false))
	want(false, "let in again")
	at(10_499)
	want(false, "almost a session, less an election, after the heartbeat whose metadata it has")
	at(10_500)
	want(true, "after it")
	beat(10_500, images.Image().Index())
	want(false, "confirmed again")
}
