package chaos

import (
	"context"
	"encoding/binary"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// take returns the kinds that were found, and forgets them.
func (f *findings) take() []string {
	kinds := f.kinds()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count, f.words = nil, nil
	return kinds
}

// TestPlanted plants what must not happen in a cluster under load, each by means that any client or operator has, and expects that it is found.
func TestPlanted(t *testing.T) {
	tr := newTrial(t, *seed, false)
	cl, err := kgo.NewClient(tr.load.options(kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	if _, ok := tr.inSync(time.Now(), bound); !ok || len(tr.check.kinds()) > 0 {
		t.Fatal("something was found before anything was planted")
	}
	// expect plants something, again and again, until it is found; nothing else may be.
	expect := func(what string, plant func(), kinds ...string) {
		t.Helper()
		for end := time.Now().Add(bound); ; <-time.After(50 * time.Millisecond) {
			plant()
			got := tr.check.kinds()
			if slices.Equal(got, kinds) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: found %q, want %q", what, got, kinds)
			}
		}
		tr.check.take()
	}
	produce := func(part int32, e entry) {
		value := make([]byte, fewest)
		binary.BigEndian.PutUint32(value, e.producer)
		binary.BigEndian.PutUint32(value[4:], e.number)
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: tr.load.idempotent, Partition: part, Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func() {}
	produce(0, entry{1, 0})
	expect("a record once more", nothing, doubled)
	produce(1, entry{99, 0})
	produce(1, entry{99, 2})
	expect("a record that came before the one before it", nothing, reordered)
	expect("a commit of less", func() {
		var offsets kadm.Offsets
		offsets.AddOffset(tr.load.plain, 0, 0, -1)
		if err := admin.CommitAllOffsets(ctx, tr.load.registers[0].group, offsets); err != nil {
			t.Fatal(err)
		}
	}, wentBack)
	tr.check.alive(tr.load.pulses, time.Now(), bound) // readers have seen the last of it
	tr.check.take()
	one := tr.nodes[0]
	one.signal(syscall.SIGKILL, false)
	expect("a broker that dies of itself", nothing, ended)
	expect("a broker that is not there", func() { tr.inSync(time.Now(), time.Second) }, unsynced)
	if err := one.start(); err != nil {
		t.Fatal(err)
	}
	tr.inSync(time.Now(), bound)
	for _, n := range tr.nodes {
		n.freeze()
	}
	frozen := time.Now()
	expect("brokers that nobody thaws", func() {
		tr.check.alive(tr.load.pulses, frozen.Add(time.Second), 2*time.Second)
		if got := tr.check.of(stuck); got != len(tr.load.pulses) {
			t.Errorf("%d things are said to be stuck, of %d", got, len(tr.load.pulses))
		}
	}, stuck)
	for _, n := range tr.nodes {
		n.thaw()
	}
	tr.check.alive(tr.load.pulses, time.Now(), bound)
	tr.load.finish(bound)
	if got := tr.check.take(); len(got) > 0 {
		t.Fatalf("found %q of what went on well", got)
	}
	ends := tr.ends(tr.load.idempotent)
	var until kadm.Offsets
	until.AddOffset(tr.load.idempotent, 2, ends[2]-1, -1)
	if _, err := admin.DeleteRecords(ctx, until); err != nil {
		t.Fatal(err)
	}
	tr.readAll()
	if got := tr.check.take(); !slices.Contains(got, lost) || !slices.Contains(got, skipped) {
		t.Errorf("records that are gone: found %q", got)
	}
}
