package partition_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

const (
	self      = 1
	selfEpoch = 10
)

// brokers are those that the metadata have.
type brokers map[int32]*metadata.Broker

func (b brokers) Broker(id int32) *metadata.Broker { return b[id] }

// assign gives a partition the state that the metadata of a cluster would, in which no broker but its own is registered.
func assign(p *partition.Partition, state metadata.Partition) {
	p.Apply(brokers{self: {ID: self, Epoch: selfEpoch}}, &state)
}

// hosted opens one partition in a data directory of its own; hold, while set, keeps the committer's news from the partition.
func hosted(t testing.TB, durable bool, hold *atomic.Bool) *partition.Partition {
	t.Helper()
	dir, err := logdir.Open(logdir.Options{FS: vfs.NewMem(), Random: random.Seeded(1), Path: "data", NodeID: self})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	settings := &partition.Settings{Log: &commitlog.Config{Durable: durable, Delete: true}, MinISR: 2, DeleteAllowed: true}
	id := commitlog.ID{Topic: "orders", TopicID: uuid.UUID{1}}
	var p atomic.Pointer[partition.Partition]
	log, err := dir.Log(id, settings.Log, func(end int64) {
		if p := p.Load(); p != nil && (hold == nil || !hold.Load()) {
			p.Synced(end)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	part := partition.New(id, &partition.Host{Broker: self}, log, settings, 0, false)
	part.Registered(selfEpoch)
	p.Store(part)
	return part
}

func lead(p *partition.Partition, epoch commitlog.LeaderEpoch, partitionEpoch int32, isr ...int32) {
	assign(p, metadata.Partition{Leader: self, LeaderEpoch: int32(epoch), PartitionEpoch: partitionEpoch, Replicas: isr, ISR: isr})
}

func batch(n int) record.Batch {
	b := record.NewBuilder(record.Compression{})
	for i := range n {
		b.Append(record.Record{Timestamp: 1000 + int64(i), Key: fmt.Append(nil, i), Value: []byte("value")})
	}
	return b.Build()
}

// await appends and waits until the batch is committed.
func await(t *testing.T, p *partition.Partition, n int) commitlog.AppendInfo {
	t.Helper()
	info, err := p.Append(batch(n), true)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	committed, err := p.Await(&partition.Wait{End: info.Last + 1, Epoch: info.Epoch, Done: func(err error) { done <- err }})
	if err == nil && !committed {
		err = <-done
	}
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestCommittedWhenSynced(t *testing.T) {
	for _, durable := range []bool{true, false} {
		p := hosted(t, durable, nil)
		lead(p, 0, 0, self)
		for i := range 5 {
			if info := await(t, p, 3); info.First != int64(3*i) || info.Last != int64(3*i+2) {
				t.Errorf("durable=%v: appended %d to %d", durable, info.First, info.Last)
			}
			if durable && p.HighWatermark() > p.Log().SyncedEnd() {
				t.Errorf("high watermark %d, synced end %d", p.HighWatermark(), p.Log().SyncedEnd())
			}
		}
		if _, _, hw, end := p.Offsets(); hw != 15 || end != 15 {
			t.Errorf("durable=%v: high watermark %d, log end %d", durable, hw, end)
		}
	}
}

func TestReadersSeeOnlyWhatIsCommitted(t *testing.T) {
	var hold atomic.Bool
	p := hosted(t, true, &hold)
	lead(p, 3, 0, self)
	await(t, p, 2)
	hold.Store(true)
	if _, err := p.Append(batch(4), false); err != nil {
		t.Fatal(err)
	}
	// The append itself looks at the synced end, so only the upper bound is certain here.
	for iso, want := range map[partition.Isolation]int64{partition.ReadUncommitted: p.HighWatermark(), partition.ReadAll: 6} {
		if got, err := p.ListOffset(partition.Latest, iso, partition.NoEpoch); err != nil || got.Offset != want || got.Epoch != 3 {
			t.Errorf("isolation %d: latest is %+v, %v; want offset %d", iso, got, err, want)
		}
	}
	r, err := p.Read(partition.ReadRequest{Offset: p.HighWatermark(), MaxBytes: 1 << 20, AtLeastOne: true, LeaderEpoch: -1, LastFetchedEpoch: -1})
	if err != nil || r.Slice.Bytes != 0 {
		t.Errorf("read %d bytes at the high watermark: %v", r.Slice.Bytes, err)
	}
	r.Slice.Release()
	if _, err := p.Read(partition.ReadRequest{Offset: 7, LeaderEpoch: -1, LastFetchedEpoch: -1}); !errors.Is(err, commitlog.ErrOffsetOutOfRange) {
		t.Errorf("read above the log end: %v", err)
	}
}

func TestLeaderEpochsAreChecked(t *testing.T) {
	p := hosted(t, false, nil)
	if _, err := p.Append(batch(1), false); !errors.Is(err, partition.ErrNotLeader) {
		t.Errorf("append before leading: %v", err)
	}
	lead(p, 5, 1, self)
	await(t, p, 1)
	for epoch, want := range map[commitlog.LeaderEpoch]error{4: partition.ErrFencedLeaderEpoch, 5: nil, 6: partition.ErrUnknownLeaderEpoch, -1: nil} {
		_, err := p.Read(partition.ReadRequest{Offset: 0, MaxBytes: 100, LeaderEpoch: epoch, LastFetchedEpoch: -1})
		if !errors.Is(err, want) {
			t.Errorf("read with leader epoch %d: %v, want %v", epoch, err, want)
		}
	}
	lead(p, 4, 0, self) // older than what is applied
	if a, _ := p.State(); a.LeaderEpoch != 5 {
		t.Errorf("an older partition epoch was taken over: leader epoch %d", a.LeaderEpoch)
	}
	if epoch, end, err := p.EndOffsetForEpoch(5, -1); epoch != 5 || end != 1 || err != nil {
		t.Errorf("end of epoch 5: %d, %d, %v", epoch, end, err)
	}
}

func TestStrictMinISR(t *testing.T) {
	p := hosted(t, false, nil)
	assign(p, metadata.Partition{Leader: self, Replicas: []int32{self, 2, 3}, ISR: []int32{self}})
	if _, err := p.Append(batch(1), true); !errors.Is(err, partition.ErrNotEnoughReplicas) {
		t.Errorf("acks=all with an ISR of one: %v", err)
	}
	if _, err := p.Append(batch(1), false); err != nil {
		t.Fatal(err)
	}
	if hw := p.HighWatermark(); hw != 0 {
		t.Errorf("the high watermark went to %d with an ISR below min.insync.replicas", hw)
	}
}

func TestWaitersAreAnsweredOnce(t *testing.T) {
	p := hosted(t, false, nil)
	assign(p, metadata.Partition{Leader: self, Replicas: []int32{self, 2}, ISR: []int32{self, 2}}) // nobody reports for 2
	info, err := p.Append(batch(1), true)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, 3)
	waits := []*partition.Wait{}
	for range 3 {
		w := &partition.Wait{End: info.Last + 1, Epoch: info.Epoch, Done: func(err error) { answers <- err }}
		if committed, err := p.Await(w); committed || err != nil {
			t.Fatalf("committed %v, %v without the follower", committed, err)
		}
		waits = append(waits, w)
	}
	if !p.Cancel(waits[1]) || p.Cancel(waits[1]) {
		t.Error("a wait is cancelled once")
	}
	woken := make(chan struct{}, 10)
	watcher := partition.NewWatcher(func() { woken <- struct{}{} })
	p.Watch(watcher)
	assign(p, metadata.Partition{Leader: 2, LeaderEpoch: 1, PartitionEpoch: 1, Replicas: []int32{self, 2}, ISR: []int32{self, 2}})
	<-woken
	for range 2 {
		if err := <-answers; !errors.Is(err, partition.ErrNotLeader) {
			t.Errorf("a producer was answered %v when leadership moved", err)
		}
	}
	if _, err := p.Await(waits[0]); !errors.Is(err, partition.ErrNotLeader) {
		t.Errorf("await on a follower: %v", err)
	}
	p.Unwatch(watcher)
	p.Close(partition.ErrDeleted)
	if _, err := p.Append(batch(1), false); !errors.Is(err, partition.ErrDeleted) {
		t.Errorf("append to a deleted partition: %v", err)
	}
	if len(answers) != 0 {
		t.Error("somebody was answered twice")
	}
}

func TestDeleteRecords(t *testing.T) {
	p := hosted(t, true, nil)
	lead(p, 0, 0, self)
	await(t, p, 10)
	if _, err := p.DeleteRecords(11); !errors.Is(err, commitlog.ErrOffsetOutOfRange) {
		t.Errorf("beyond the high watermark: %v", err)
	}
	for _, step := range []struct{ offset, want int64 }{{4, 4}, {2, 4}, {-1, 10}} {
		if low, err := p.DeleteRecords(step.offset); err != nil || low != step.want {
			t.Errorf("delete to %d: low watermark %d, %v; want %d", step.offset, low, err, step.want)
		}
	}
	s := *p.Settings()
	s.DeleteAllowed = false
	p.Configure(&s)
	if _, err := p.DeleteRecords(10); !errors.Is(err, partition.ErrPolicy) {
		t.Errorf("on a topic that only compacts: %v", err)
	}
}

// TestReadersSleepUntilTheyCanSeeMore lets the log grow while the ISR is too small to commit anything.
func TestReadersSleepUntilTheyCanSeeMore(t *testing.T) {
	p := hosted(t, false, nil)
	two := []int32{self, 2}
	assign(p, metadata.Partition{Leader: self, PartitionEpoch: 1, Replicas: two, ISR: two[:1]})
	woken := 0
	p.Watch(partition.NewWatcher(func() { woken++ }))
	if _, err := p.Append(batch(1), false); err != nil {
		t.Fatal(err)
	}
	if woken != 0 {
		t.Error("a reader was woken by a record it cannot see")
	}
	assign(p, metadata.Partition{Leader: self, PartitionEpoch: 2, Replicas: two[:1], ISR: two[:1]})
	if woken == 0 || p.HighWatermark() != 1 {
		t.Errorf("%d wake-ups of a reader, high watermark %d", woken, p.HighWatermark())
	}
}

// TestFailedReplicaAnswersProducers says that the disk is gone while a producer waits, and before another one does.
func TestFailedReplicaAnswersProducers(t *testing.T) {
	p := hosted(t, false, nil)
	two := []int32{self, 2}
	assign(p, metadata.Partition{Leader: self, Replicas: two, ISR: two}) // the other never reports: nothing is committed
	done := make(chan error, 1)
	if committed, err := p.Await(&partition.Wait{End: 1, Epoch: partition.NoEpoch, Done: func(err error) { done <- err }}); committed || err != nil {
		t.Fatalf("committed %v, %v", committed, err)
	}
	p.Fail(commitlog.ErrOffline)
	if err := <-done; !errors.Is(err, commitlog.ErrOffline) {
		t.Errorf("who waited was answered %v", err)
	}
	if _, err := p.Await(&partition.Wait{End: 1, Epoch: partition.NoEpoch}); !errors.Is(err, commitlog.ErrOffline) {
		t.Errorf("who came later was answered %v", err)
	}
	if _, err := p.Read(partition.ReadRequest{MaxBytes: 1, LeaderEpoch: -1, LastFetchedEpoch: -1}); err != nil {
		t.Errorf("a read: %v", err)
	}
}
