package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/vfs"
)

// hurried is a clock on which who waits for a minute or more waits a thousandth of that, as the scrub does.
type hurried struct{ clock.Clock }

func (h hurried) After(d time.Duration) <-chan time.Time {
	if d >= time.Minute {
		d /= 1000
	}
	return h.Clock.After(d)
}

// repairable is a topic of one partition on three brokers, with several segments.
type repairable struct {
	*several
	values [][]byte
}

func newRepairable(t *testing.T, extra string) *repairable {
	r := &repairable{several: newSeveral(t, "log.segment.bytes=1048576\nlog.scrub.interval.hours=1\nlog.scrub.max.bytes.per.second=1000000000\nlog.flush.offset.checkpoint.interval.ms=100\n"+extra)}
	r.start(1, 2, 3)
	r.create("t", 1, 3)
	r.inSync("t")
	cl := r.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	for i := range 40 {
		value := bytes.Repeat(fmt.Appendf(nil, "%08d", i), 12_000)
		r.values = append(r.values, value)
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: value, Key: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// What is damaged above the recovery point while a broker is down looks torn, and is cut off instead.
	for _, n := range r.nodes {
		if _, err := n.replicas.Partition(r.one().publisher.Image().Topic("t").ID, 0).Log().SyncFiles(); err != nil {
			t.Fatal(err)
		}
	}
	r.await("checkpoints of all", func() bool {
		for _, disk := range r.disks {
			if b, err := vfs.ReadFile(disk, "data/recovery-point-offset-checkpoint"); err != nil || !strings.Contains(string(b), "t 0 40\n") {
				return false
			}
		}
		return true
	})
	return r
}

// logs are the paths of a broker's .log files of the partition.
func (r *repairable) logs(id int) (all []string) {
	r.t.Helper()
	entries, err := r.disks[id].ReadDir("data/t-0")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segment.LogSuffix) {
			all = append(all, path.Join("data/t-0", e.Name()))
		}
	}
	return all
}

// flip flips a bit in the batch with that number of a broker that is down.
func (r *repairable) flip(id, number int) {
	r.t.Helper()
	for _, name := range r.logs(id) {
		b, err := vfs.ReadFile(r.disks[id], name)
		if err != nil {
			r.t.Fatal(err)
		}
		for pos, rest := 0, b; len(rest) > 0; {
			one, behind, err := record.Next(rest)
			if err != nil {
				break // allocated ahead
			}
			if one.BaseOffset() == int64(number) {
				f, err := r.disks[id].OpenFile(name, vfs.ReadWrite, 0)
				if err != nil {
					r.t.Fatal(err)
				}
				defer f.Close()
				if _, err := f.WriteAt([]byte{b[pos+5000] ^ 16}, int64(pos+5000)); err != nil || f.Sync() != nil {
					r.t.Fatal(err)
				}
				return
			}
			pos, rest = pos+len(one), behind
		}
	}
	r.t.Fatalf("broker %d has no batch %d", id, number)
}

// level waits until the brokers have repaired so many places in all, and compares the bytes in their files.
func (r *repairable) level(places int64) {
	r.t.Helper()
	r.await(fmt.Sprintf("%d repaired places", places), func() bool {
		n := int64(0)
		for _, b := range r.nodes {
			n += b.repairs.Stats().Repaired.Load()
			if b.repairs.Waiting() > 0 {
				return false
			}
		}
		return n == places
	})
	var want []byte
	for _, id := range []int{1, 2, 3} {
		var got []byte
		for _, name := range r.logs(id) {
			b, err := vfs.ReadFile(r.disks[id], name)
			if err != nil {
				r.t.Fatal(err)
			}
			for len(b) > 0 {
				one, rest, err := record.Next(b)
				if err != nil {
					break // allocated ahead
				}
				got, b = append(got, one...), rest
			}
		}
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) || len(got) < 40*96_000 {
			r.t.Errorf("broker %d has %d bytes in its files, broker 1 has %d, or others", id, len(got), len(want))
		}
	}
}

// consume reads everything from the start, and expects it to be what was written. What is damaged is refused with an error that clients try again after.
func (r *repairable) consume() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	cl := r.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().At(0)}}), kgo.FetchMaxWait(100*time.Millisecond))
	defer cl.Close()
	for next := 0; next < len(r.values); {
		f := cl.PollFetches(ctx)
		f.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, kerr.KafkaStorageError) {
				r.t.Fatalf("consume at %d: %v", next, err)
			}
		})
		f.EachRecord(func(rec *kgo.Record) {
			if rec.Offset != int64(next) || !bytes.Equal(rec.Value, r.values[next]) {
				r.t.Fatalf("record %d is at offset %d, or has another value", next, rec.Offset)
			}
			next++
		})
	}
}

// lead has a broker lead the partition, and waits for it.
func (r *repairable) lead(id int) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); r.leads("t", 0) != id; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("broker %d does not lead", id)
		}
		req := kmsg.NewPtrElectLeadersRequest()
		topic := kmsg.NewElectLeadersRequestTopic()
		topic.Topic, topic.Partitions = "t", []int32{0}
		req.Topics = append(req.Topics, topic)
		_, _ = req.RequestWith(r.t.Context(), r.client())
	}
}

// TestScrubRepairsAFollower: damage in a replica that nobody reads is found by the scrub, within its interval, and repaired from another replica.
func TestScrubRepairsAFollower(t *testing.T) {
	r := newRepairable(t, "")
	victim := r.leads("t", 0)%3 + 1
	r.kill(victim)
	r.flip(victim, 3)
	r.flip(victim, 17)
	r.clock = hurried{clock.Real}
	r.start(victim)
	r.inSync("t")
	r.level(2)
	if n := r.nodes[victim].repairs.Stats().Repaired.Load(); n != 2 {
		t.Errorf("broker %d repaired %d places", victim, n)
	}
	r.consume()
	text := string(r.nodes[victim].scrape(t.Context()))
	for _, line := range []string{"moldau_log_repaired_places_total 2", "moldau_log_repairs_waiting 0", "moldau_log_damaged_places_total 2"} {
		if !strings.Contains(text, line) {
			t.Errorf("the metrics lack %q", line)
		}
	}
}

// TestReaderRepairsALeader: a consumer that meets damage at the leader is refused, and gets everything once that is repaired from a follower, a moment later.
func TestReaderRepairsALeader(t *testing.T) {
	r := newRepairable(t, "")
	victim := r.leads("t", 0)
	r.kill(victim)
	r.flip(victim, 3)
	r.flip(victim, 39) // the last one, in the segment that is appended to
	r.start(victim)
	r.inSync("t")
	r.lead(victim)
	r.consume()
	r.level(2)
	if n := r.nodes[victim].repairs.Stats().Damaged.Load(); n != 2 {
		t.Errorf("the consumer met %d damaged places", n)
	}
	r.same("t")
}

// TestRepairFromTheLastGoodReplica: all brokers go down, and two of the three have the same batch damaged, and others beside. Each gets what it lacks from one that has it.
func TestRepairFromTheLastGoodReplica(t *testing.T) {
	r := newRepairable(t, "")
	for _, id := range slices.Collect(maps.Keys(r.nodes)) {
		r.kill(id)
	}
	r.flip(1, 7)
	r.flip(2, 7)
	r.flip(3, 8)
	r.flip(1, 5) // of the segment of 7: each is left in another one of the other two
	r.flip(3, 5)
	r.flip(1, 22)
	r.clock = hurried{clock.Real}
	r.start(1, 2, 3)
	r.consume()
	r.level(6)
	r.same("t")
}

// TestNobodyHasIt: where all replicas have lost a batch it is refused, by its name, all others are served, and nobody makes anything up. As long as one cannot be asked,
// clients are to try again.
func TestNobodyHasIt(t *testing.T) {
	r := newRepairable(t, "")
	for _, id := range slices.Collect(maps.Keys(r.nodes)) {
		r.kill(id)
	}
	for id := range 3 {
		r.flip(id+1, 7)
	}
	r.flip(2, 25)
	r.clock = hurried{clock.Real}
	r.start(1, 2, 3)
	r.await("the other batch to be repaired", func() bool { return r.nodes[2].repairs.Stats().Repaired.Load() >= 1 })
	lead := r.leads("t", 0)
	p := r.nodes[lead].replicas.Partition(r.one().publisher.Image().Topic("t").ID, 0)
	r.await("all brokers to know of it", func() bool {
		return r.nodes[1].repairs.Waiting()*r.nodes[2].repairs.Waiting()*r.nodes[3].repairs.Waiting() > 0
	})
	for i := range r.values {
		s, err := p.Log().Read(int64(i), 1, 40, true)
		s.Release()
		if got := err != nil; got != (i == 7) {
			t.Errorf("batch %d: %v", i, err)
		}
	}
	told := func(want error) {
		t.Helper()
		cl := r.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().At(7)}}), kgo.KeepRetryableFetchErrors(), kgo.FetchMaxWait(100*time.Millisecond))
		defer cl.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for got := error(nil); !errors.Is(got, want); {
			f := cl.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("the consumer was told %v at last, not %v", got, want)
			}
			f.EachError(func(_ string, _ int32, err error) { got = err })
			f.EachRecord(func(rec *kgo.Record) { t.Fatalf("offset %d", rec.Offset) })
		}
	}
	told(kerr.CorruptMessage)
	r.kill(lead%3 + 1)
	told(kerr.KafkaStorageError)
}

// TestUnreadableBlocks: a block that the disk of a leader does not give back is repaired as a flipped bit is.
func TestUnreadableBlocks(t *testing.T) {
	r := newRepairable(t, "")
	victim := r.leads("t", 0)
	r.kill(victim)
	bad := r.logs(victim)[1]
	var replaced atomic.Bool // another file has the name
	r.fault = func(id int, op vfs.Op) error {
		if id != victim || op.Name != bad || replaced.Load() {
			return nil
		}
		if op.Kind == vfs.OpRename {
			replaced.Store(true)
		}
		if op.Kind == vfs.OpRead && op.Off < 300<<10 && op.Off+op.N > 296<<10 {
			return syscall.EIO
		}
		return nil
	}
	r.start(victim)
	r.inSync("t")
	r.lead(victim)
	r.consume()
	r.level(1)
}
