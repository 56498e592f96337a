package broker

import (
	"path/filepath"
	"testing"

	"github.com/moldau/moldau/internal/vfs"
)

// TestFolderFromAnotherCluster: the log of a partition that was led more often elsewhere is served, and written on in a later epoch.
func TestFolderFromAnotherCluster(t *testing.T) {
	there := vfs.NewMem()
	n := start(t, there, "")
	n.create("topic", 1, nil)
	n.produce("topic", 10)
	for range 3 { // each kill begins a leader epoch
		n.Abort()
		n = start(t, there, "")
		n.produce("topic", 10)
	}
	n.stop()

	here := vfs.NewMem()
	n = start(t, here, "")
	n.create("topic", 1, nil)
	n.stop()
	from := filepath.Join("data", "topic-0")
	if err := vfs.MkdirAllSynced(here, from, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range tree(t, there, from) {
		if filepath.Base(name) == "partition.metadata" {
			continue
		}
		body, err := vfs.ReadFile(there, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := vfs.WriteFileAtomic(here, name, body); err != nil {
			t.Fatal(err)
		}
	}
	n = start(t, here, "")
	p := n.publisher.Image().Topic("topic").Partitions[0]
	log := n.replicas.Partition(n.publisher.Image().Topic("topic").ID, 0).Log()
	if latest, _ := log.LatestEpoch(); latest < 3 || p.LeaderEpoch != int32(latest)+1 {
		t.Errorf("the log ends in epoch %d, the partition is in epoch %d", latest, p.LeaderEpoch)
	}
	n.produce("topic", 5)
	n.consume("topic", 0, 45)
	n.stop()
	n = start(t, here, "")
	if again := n.publisher.Image().Topic("topic").Partitions[0]; again.LeaderEpoch < p.LeaderEpoch {
		t.Errorf("epoch %d became %d", p.LeaderEpoch, again.LeaderEpoch)
	}
	n.consume("topic", 0, 45)
	n.stop()
}
