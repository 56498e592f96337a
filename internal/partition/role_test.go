package partition

import (
	"runtime"
	"testing"

	"github.com/moldau/moldau/internal/clock"
	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/random"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
	"github.com/moldau/moldau/internal/vfs"
)

// alone are the brokers of a cluster of one.
type alone struct{}

func (alone) Broker(id int32) *metadata.Broker {
	if id != 1 {
		return nil
	}
	return &metadata.Broker{ID: 1, Epoch: 10}
}

// TestRoleChangesWhileAnAppendSyncs lets a change of role wait for an append that syncs (flush.messages): the append hears from the log
// that its records are durable while it still holds the role, and must not wait behind the change.
func TestRoleChangesWhileAnAppendSyncs(t *testing.T) {
	disk := vfs.NewMem()
	if err := disk.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	env, err := commitlog.NewEnv(commitlog.EnvOptions{FS: disk, Clock: clock.Real, Random: random.Seeded(1), Dir: "data",
		Files: commitlog.NewFileCache(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	settings := &Settings{Log: &commitlog.Config{FlushMessages: 1}, MinISR: 1}
	changed := make(chan struct{})
	var p *Partition
	log, err := commitlog.New(commitlog.ID{Topic: "orders", TopicID: uuid.UUID{1}}, commitlog.Options{
		Env: env, Config: settings.Log, Recovery: commitlog.Recovery{Missing: true},
		OnSynced: func(end int64) {
			go func() {
				defer close(changed)
				p.Apply(alone{}, &metadata.Partition{Leader: 2, LeaderEpoch: 1, PartitionEpoch: 1, Replicas: []int32{1, 2}, ISR: []int32{1, 2}})
			}()
			for p.roleMu.TryRLock() { // until the change waits for the append
				p.roleMu.RUnlock()
				runtime.Gosched()
			}
			p.Synced(end)
		}})
	if err != nil {
		t.Fatal(err)
	}
	p = New(log.ID(), &Host{Broker: 1}, log, settings, 0, false)
	p.Registered(10)
	p.Apply(alone{}, &metadata.Partition{Leader: 1, Replicas: []int32{1}, ISR: []int32{1}})
	b := record.NewBuilder(record.Compression{})
	b.Append(record.Record{Timestamp: 1, Value: []byte("value")})
	if _, err := p.Append(b.Build(), true); err != nil {
		t.Fatal(err)
	}
	<-changed
	if a, leader := p.State(); leader || a.LeaderEpoch != 1 || p.HighWatermark() != 1 {
		t.Errorf("leads %v in epoch %d, high watermark %d", leader, a.LeaderEpoch, p.HighWatermark())
	}
}
