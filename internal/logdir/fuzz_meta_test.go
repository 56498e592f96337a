package logdir

import (
	"testing"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/uuid"
)

func FuzzMeta(f *testing.F) {
	f.Add(meta{cluster: "qvUNoSaIRzmVq9i2QSfKtQ", node: 1, directory: uuid.UUID{1, 2, 3}}.encode())
	f.Add([]byte("#\n#Tue Nov 24 10:00:00 UTC 2026\ncluster.id=abc\nversion=1\nnode.id=2147483647\n"))
	f.Add([]byte("version=0\nbroker.id=1\n"))
	f.Add([]byte("version=1\nnode.id=-1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAA\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		if again, err := decodeMeta(m.encode()); err != nil || again != m {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}

// FuzzDirName: a folder is a partition's only under the one name that the partition has.
func FuzzDirName(f *testing.F) {
	for _, name := range []string{"orders-0", "a-b-2147483647", "-0", "a-", "a--1", "a-00", "__consumer_offsets-49", "a-2147483648"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		topic, partition, ok := parseDirName(name)
		if !ok {
			return
		}
		if got := (commitlog.ID{Topic: topic, Partition: partition}).DirName(); got != name {
			t.Errorf("%q is %q, %d, whose folder is %q", name, topic, partition, got)
		}
	})
}
