package handler

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/uuid"
)

// noReplicas are directories with nothing in them.
type noReplicas []LogDir

func (d noReplicas) LogDirs() []LogDir                                 { return d }
func (noReplicas) Copied(uuid.UUID, int32) (*commitlog.Log, int)       { return nil, 0 }
func (noReplicas) Move(string, int32, string) error                    { return ErrNoLogDir }
func (noReplicas) Placed(uuid.UUID, int32) (*partition.Partition, int) { return nil, 0 }

// TestLogDirsOfHugeDisks: a size beyond what the protocol can say is the largest that it can.
func TestLogDirsOfHugeDisks(t *testing.T) {
	r := newRig(t, "")
	r.h.LogDirs = noReplicas{{Path: "/a", Total: 1 << 63, Free: 1<<64 - 1}, {Path: "/b", Total: 10, Free: 5}}
	w := r.dial()
	for v := int16(1); v <= 5; v++ {
		resp := roundTrip[*kmsg.DescribeLogDirsResponse](w, v, kmsg.NewPtrDescribeLogDirsRequest())
		if len(resp.Dirs) != 2 || resp.Dirs[0].Dir != "/a" || resp.Dirs[1].Dir != "/b" || len(resp.Dirs[0].Topics) != 0 {
			t.Fatalf("version %d: %+v", v, resp.Dirs)
		}
		if a, b := resp.Dirs[0], resp.Dirs[1]; v >= 4 && (a.TotalBytes != 1<<63-1 || a.UsableBytes != 1<<63-1 || b.TotalBytes != 10 || b.UsableBytes != 5) {
			t.Errorf("version %d: %+v", v, resp.Dirs)
		}
	}
}
