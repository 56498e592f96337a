package partition_test

import (
	"errors"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/logdir"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// TestMove: while the log is put in another place nothing is appended or deleted, and readers go on; what waited goes into the new log, or into the old
// one where the move failed.
func TestMove(t *testing.T) {
	disk := vfs.NewMem()
	var dirs []*logdir.Dir
	for i, path := range []string{"one", "two"} {
		d, err := logdir.Open(logdir.Options{FS: disk, Random: random.Seeded(uint64(i)), Path: path, NodeID: self, ClusterID: "cluster"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		dirs = append(dirs, d)
	}
	settings := &partition.Settings{Log: &commitlog.Config{Durable: true, Delete: true}, MinISR: 1, DeleteAllowed: true}
	id := commitlog.ID{Topic: "orders", TopicID: uuid.UUID{1}}
	old, err := dirs[0].Log(id, settings.Log, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := partition.New(id, &partition.Host{Broker: self}, old, settings, 0, false)
	p.Registered(selfEpoch)
	lead(p, 0, 0, self)
	if _, err := p.Append(batch(3), false); err != nil {
		t.Fatal(err)
	}
	if _, err := old.SyncFiles(); err != nil {
		t.Fatal(err)
	}
	p.Synced(3)

	type result struct {
		first int64
		err   error
	}
	during := func(finish func() (*commitlog.Log, error)) (result, result, error) {
		t.Helper()
		appended, deleted := make(chan result, 1), make(chan result, 1)
		err := p.Move(func() (*commitlog.Log, error) {
			go func() {
				info, err := p.Append(batch(2), false)
				appended <- result{info.First, err}
			}()
			go func() {
				low, err := p.DeleteRecords(1)
				deleted <- result{low, err}
			}()
			r, err := p.Read(partition.ReadRequest{Offset: 2, MaxBytes: 1 << 20, LeaderEpoch: -1, LastFetchedEpoch: -1})
			if err != nil || r.Slice.Bytes == 0 {
				t.Errorf("a reader gets %d bytes, %v", r.Slice.Bytes, err)
			}
			r.Slice.Release()
			assign(p, metadata.Partition{Leader: self, PartitionEpoch: 1, Replicas: []int32{self}, ISR: []int32{self}})
			end, start := old.LogEnd(), old.LogStart()
			log, err := finish()
			if old.LogEnd() != end || old.LogStart() != start {
				t.Errorf("%d to %d became %d to %d under the move", start, end, old.LogStart(), old.LogEnd())
			}
			return log, err
		})
		got := func(c chan result) result {
			select {
			case r := <-c:
				return r
			case <-time.After(10 * time.Second):
				t.Fatal("who waited for the move still waits")
				return result{}
			}
		}
		return got(appended), got(deleted), err
	}

	broken := errors.New("broken")
	if appended, deleted, err := during(func() (*commitlog.Log, error) { return nil, broken }); !errors.Is(err, broken) || p.Log() != old ||
		appended != (result{3, nil}) || deleted != (result{1, nil}) || old.LogEnd() != 5 || old.LogStart() != 1 {
		t.Errorf("after a move that failed: %v, appended %v, deleted %v, log %d to %d", err, appended, deleted, old.LogStart(), old.LogEnd())
	}

	copied, err := dirs[1].Begin(id, settings.Log, old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := copied.Copy(1 << 20); err != nil {
		t.Fatal(err)
	}
	if err := copied.Ready(dirs[0]); err != nil {
		t.Fatal(err)
	}
	appended, _, err := during(func() (*commitlog.Log, error) { return copied.Finish(dirs[0], settings.Log, p.Synced) })
	if err != nil || appended != (result{5, nil}) || p.Log() == old || p.Log().LogEnd() != 7 || p.Log().LogStart() != 1 || old.LogEnd() != 5 {
		t.Fatalf("%v, appended %v, the old log ends at %d, the new one reaches from %d to %d", err, appended, old.LogEnd(), p.Log().LogStart(), p.Log().LogEnd())
	}
	await(t, p, 1) // the new directory syncs it
	if _, _, hw, end := p.Offsets(); hw != 8 || end != 8 {
		t.Errorf("high watermark %d, log end %d", hw, end)
	}
}
