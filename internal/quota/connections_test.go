package quota

import (
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/metadata"
)

type connectionsRig struct {
	*Connections
	t       *testing.T
	clock   *clock.Manual
	image   *metadata.Image
	index   uint64
	unknown []string
}

func newConnectionsRig(t *testing.T) *connectionsRig {
	c := clock.NewManual(time.Unix(1000, 0))
	return &connectionsRig{NewConnections(Options{Clock: c, Windows: Windows{11, time.Second}}), t, c, metadata.Empty, 0, nil}
}

func (r *connectionsRig) set(ip metadata.QuotaName, v float64) {
	r.t.Helper()
	record := &metadata.QuotaRecord{Entity: metadata.QuotaEntity{IP: ip}, Name: metadata.QuotaConnectionCreationRate}
	if v != 0 {
		record.Value = &v
	}
	r.index++
	after, delta, err := metadata.Apply(r.image, r.index, []metadata.Record{record})
	if err != nil {
		r.t.Fatal(err)
	}
	r.unknown = r.Follow(r.image, after, delta)
	r.image = after
}

func (r *connectionsRig) want(what string, got, want time.Duration) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestConnectionRates(t *testing.T) {
	r := newConnectionsRig(t)
	for range 1000 {
		r.want("without a limit", r.Accept("A", false), 0)
	}
	r = newConnectionsRig(t)
	r.Limit(10, map[string]int{"A": 5, "B": 1000})
	for range 50 { // what ten seconds give, at once
		r.want("A", r.Accept("A", false), 0)
	}
	r.want("one more on A", r.Accept("A", false), 200*time.Millisecond) // (5.1-5)/5 * 10 s
	for range 49 {
		r.want("B", r.Accept("B", false), 0)
	}
	r.want("101st of all", r.Accept("B", false), 100*time.Millisecond)
	for range 100 {
		r.Accept("B", false)
	}
	r.want("one window at most", r.Accept("B", false), time.Second)
	r.want("a protected listener", r.Accept("C", true), 0)
	r.Limit(math.MaxInt32, nil)
	r.want("after the limit of all is gone", r.Accept("B", false), 0)
}

func TestConnectionsOfAnAddress(t *testing.T) {
	r := newConnectionsRig(t)
	r.want("without a quota", r.From("A", false, "10.0.0.1"), 0)
	r.set(metadata.QuotaDefault, 1)
	r.set(metadata.QuotaOf("::0:1"), 2)
	r.Limit(1, nil)
	for range 10 {
		r.want("all", r.Accept("A", false), 0)
		r.want("10.0.0.1", r.From("A", false, "10.0.0.1"), 0)
	}
	r.want("11th, of all", r.Accept("A", false), time.Second)
	r.want("11th, of the address", r.From("A", false, "10.0.0.1"), time.Second) // (1.1-1)/1 * 10 s
	r.want("which counted nowhere", r.Accept("A", false), time.Second)
	r.From("A", false, "10.0.0.1")
	r.want("mapped to IPv6", r.From("A", false, "::ffff:10.0.0.1"), time.Second)
	for range 20 {
		r.want("::1", r.From("A", false, "::1"), 0)
	}
	r.want("21st", r.From("A", false, "::1"), 500*time.Millisecond)
	r.want("another one", r.From("A", false, "10.0.0.2"), 0)
	r.want("no address", r.From("A", false, "pipe"), 0)
	r.set(metadata.QuotaOf("::0:1"), 0)
	r.want("down to the default", r.From("A", false, "::1"), time.Second)
	r.set(metadata.QuotaDefault, 0)
	r.want("and without", r.From("A", false, "::1"), 0)
}

// A quota may name a host: it acts when the host's address is known, and goes with it.
func TestConnectionsOfAHost(t *testing.T) {
	r := newConnectionsRig(t)
	r.set(metadata.QuotaOf("far.example"), 1)
	if !slices.Equal(r.unknown, []string{"far.example"}) {
		t.Fatalf("asked for %q", r.unknown)
	}
	open := func(n int) (last time.Duration) {
		for range n {
			last = r.From("A", false, "10.0.0.9")
		}
		return last
	}
	r.want("before it is known", open(20), 0)
	r.Found("far.example", netip.MustParseAddr("::ffff:10.0.0.9"))
	r.want("then", open(11), time.Second)
	r.set(metadata.QuotaOf("far.example"), 100)
	r.want("raised", open(1), 0)
	r.Found("far.example", netip.MustParseAddr("10.0.0.10"))
	r.want("of another address now", open(2000), 0)
	r.set(metadata.QuotaOf("far.example"), 0)
	r.Found("far.example", netip.MustParseAddr("10.0.0.9"))
	r.want("found when the quota is gone", open(2000), 0)
}
