package broker

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/vfs"
)

// breakable is a disk whose directory with that name fails once it is broken.
func breakable(mem *vfs.Mem) (disk vfs.FS, broken *atomic.Pointer[string]) {
	broken = &atomic.Pointer[string]{}
	return vfs.NewFault(mem, func(op vfs.Op) error {
		if dir := broken.Load(); dir != nil && strings.HasPrefix(op.Name, *dir+"/") && op.Kind.Changes() {
			return errors.New("the disk is gone")
		}
		return nil
	}), broken
}

// TestTargetOfMoveFails: the directory that a replica moves to goes offline. The replica is served where it is, and goes there after the next
// start.
func TestTargetOfMoveFails(t *testing.T) {
	mem := vfs.NewMem()
	disk, broken := breakable(mem)
	n, home := moving(t, disk)
	target := other(home)
	broken.Store(&target)
	n.create("witness", 2, nil) // one of its partitions is there, unless the failure is known already
	c := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	for p := range int32(2) {
		c.ProduceSync(n.context(), &kgo.Record{Topic: "witness", Partition: p, Value: []byte("x")})
	}
	n.await("the end of the move", func() bool { return n.replicas.moves.of(mustPlaced(t, n, "topic").ID()) == nil })
	n.fill("topic", 1)
	if dirs := n.logDirs(); protocol.ErrorCode(dirs[target].ErrorCode) != protocol.StorageError || dirs[home].ErrorCode != 0 {
		t.Errorf("%+v", dirs)
	}
	if code := n.moveTo("topic", 0, target); code != protocol.StorageError {
		t.Errorf("a move to a directory that is offline: %s", code)
	}
	_, _, _, end := mustPlaced(t, n, "topic").Offsets()
	n.Abort()
	broken.Store(nil)
	n, err := startIn(t, mem, twoDirs)
	if err != nil {
		t.Fatal(err)
	}
	n.awaitMoved("topic", 0, target)
	if _, _, _, got := mustPlaced(t, n, "topic").Offsets(); got != end {
		t.Errorf("the log ends at %d, want %d", got, end)
	}
	n.stop()
}

// TestSourceOfMoveFails: the directory that a replica moves from goes offline. It does not move; its producers hear of it.
func TestSourceOfMoveFails(t *testing.T) {
	mem := vfs.NewMem()
	disk, broken := breakable(mem)
	n, home := moving(t, disk)
	broken.Store(&home)
	c := n.client(kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	if err := c.ProduceSync(n.context(), &kgo.Record{Topic: "topic", Value: []byte("x")}).FirstErr(); err == nil {
		t.Error("a record was acknowledged without a disk")
	}
	n.await("the end of the move", func() bool { return n.replicas.moves.of(mustPlaced(t, n, "topic").ID()) == nil })
	if code := n.moveTo("topic", 0, other(home)); code != protocol.StorageError {
		t.Errorf("a move from a directory that is offline: %s", code)
	}
	n.Abort()
	broken.Store(nil)
	n, err := startIn(t, mem, twoDirs)
	if err != nil {
		t.Fatal(err)
	}
	n.awaitMoved("topic", 0, other(home))
	if _, _, _, end := mustPlaced(t, n, "topic").Offsets(); end < 12 {
		t.Errorf("the log ends at %d", end)
	}
	n.stop()
}

// TestMoveWaitsForRoom: a move takes no space that producers need, and goes on when there is more.
func TestMoveWaitsForRoom(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(64 << 20)
	n, err := startIn(t, mem, twoDirs)
	if err != nil {
		t.Fatal(err)
	}
	n.create("topic", 1, nil)
	n.fill("topic", 3)
	home, _ := n.lies("topic", 0)
	n.moveTo("topic", 0, other(home))
	n.fill("topic", 1)
	if dir, future := n.lies("topic", 0); dir != home || future != other(home) {
		t.Errorf("it lies in %s, its copy in %q", dir, future)
	}
	mem.SetCapacity(1 << 30)
	n.awaitMoved("topic", 0, other(home))
	n.stop()
}

// TestMoveOutlivesLacks: what a move lacks for a while, space for a small file or a descriptor, does not end it.
func TestMoveOutlivesLacks(t *testing.T) {
	for _, lack := range []error{syscall.ENOSPC, syscall.EMFILE} {
		mem := vfs.NewMem()
		var failed atomic.Int64
		disk := vfs.NewFault(mem, func(op vfs.Op) error {
			if op.Kind == vfs.OpCreate && strings.Contains(op.Name, "-future/moves") && failed.Add(1) <= 2 {
				return lack
			}
			return nil
		})
		n, err := startIn(t, disk, twoDirs)
		if err != nil {
			t.Fatal(err)
		}
		n.create("topic", 1, nil)
		n.fill("topic", 1)
		home, _ := n.lies("topic", 0)
		n.moveTo("topic", 0, other(home))
		n.awaitMoved("topic", 0, other(home))
		n.fill("topic", 1)
		if failed.Load() < 3 {
			t.Errorf("%v: the number of moves was written at the first try", lack)
		}
		n.stop()
	}
}

// TestMovesAreThrottled: bytes are paid for at the rate, a rate that changes acts soon, and the end of the move or of the broker ends the wait.
func TestMovesAreThrottled(t *testing.T) {
	clk := clock.NewManual(time.Unix(1_700_000_000, 0))
	var rate atomic.Int64
	rate.Store(1000)
	throttle := &moveThrottle{clock: clk, rate: rate.Load}
	take := func(ctx context.Context, bytes int64, over chan struct{}) (waited time.Duration, paid bool) {
		t.Helper()
		done, began := make(chan bool), clk.Now()
		go func() { done <- throttle.take(ctx, bytes, over) }()
		deadline := time.After(20 * time.Second)
		for {
			select {
			case paid := <-done:
				return clk.Now().Sub(began), paid
			case <-deadline:
				t.Fatal("who waits for the limit is not let through")
			default:
			}
			if clk.Pending() > 0 {
				clk.Advance(throttleLook)
			}
		}
	}
	near := func(about string, got, want time.Duration) {
		t.Helper()
		if got < want || got > want+2*throttleLook {
			t.Errorf("%s: waited %v, want %v", about, got, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	waited, paid := take(ctx, 3000, nil)
	if near("3000 bytes at 1000 a second", waited, 3*time.Second); !paid {
		t.Error("it was not paid for")
	}
	rate.Store(math.MaxInt64)
	waited, _ = take(ctx, 1<<40, nil)
	near("without a limit", waited, 0)
	rate.Store(1000)
	time.AfterFunc(20*time.Millisecond, func() { rate.Store(1 << 40) })
	if _, paid = take(ctx, 1<<40, nil); !paid {
		t.Error("a limit that was raised does not act")
	}
	rate.Store(1)
	over := make(chan struct{})
	close(over)
	if _, paid = take(ctx, 1<<40, over); paid {
		t.Error("a move that is over waits")
	}
	cancel()
	if _, paid = take(ctx, 1, nil); paid {
		t.Error("a broker that stops waits")
	}
}
