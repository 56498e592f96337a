package handler

import (
	"errors"
	"fmt"
	"maps"
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

// movable notes what is to be moved, and answers by the partition's number.
type movable struct {
	noReplicas
	asked []string
}

func (m *movable) Move(topic string, number int32, path string) error {
	m.asked = append(m.asked, fmt.Sprintf("%s-%d to %s", topic, number, path))
	return []error{nil, ErrTopicTooLong, ErrNoLogDir, ErrNoPartition, ErrNoReplica, commitlog.ErrOffline, commitlog.ErrReadOnly, errors.New("odd")}[number]
}

// TestAlterReplicaLogDirs: each partition is asked for once, in the directory that is named last, and each reason has its code.
func TestAlterReplicaLogDirs(t *testing.T) {
	r := newRig(t, "")
	w := r.dial()
	for v := int16(1); v <= 2; v++ {
		m := &movable{}
		r.h.LogDirs = m
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{
			{Dir: "/a", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "one", Partitions: []int32{0, 1, 2, 3, 0}}, {Topic: "two", Partitions: []int32{4}}}},
			{Dir: "/b", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "one", Partitions: []int32{5, 6, 7, 0}}}},
		}
		resp := roundTrip[*kmsg.AlterReplicaLogDirsResponse](w, v, req)
		if want := "[one-0 to /b one-1 to /a one-2 to /a one-3 to /a two-4 to /a one-5 to /b one-6 to /b one-7 to /b]"; fmt.Sprint(m.asked) != want {
			t.Errorf("version %d asked for %v", v, m.asked)
		}
		codes := map[string]int16{}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				codes[fmt.Sprintf("%s-%d", topic.Topic, p.Partition)] = p.ErrorCode
			}
		}
		if want := map[string]int16{"one-0": 0, "one-1": 17, "one-2": 57, "one-3": 3, "two-4": 9, "one-5": 56, "one-6": 56, "one-7": 56}; len(resp.Topics) != 2 || !maps.Equal(codes, want) {
			t.Errorf("version %d: %v", v, codes)
		}
	}
}
