package handler

import (
	"errors"
	"iter"
	"math"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/uuid"
)

// DescribeLogDirs, versions 1 to 5: the data directories of this broker, and how large the replicas in them are (KIP-113).
//
//	v3  an error for all of it     v4  size and free space of the file systems (KIP-827)     v5  whether a directory is cordoned (KIP-1066)

// LogDirs tells of the data directories of this broker.
type LogDirs interface {
	// LogDirs returns the directories in the order of the configuration.
	LogDirs() []LogDir
	// Placed returns a replica that this broker hosts, with the number of its directory; nil where it hosts none.
	Placed(topic uuid.UUID, index int32) (p *partition.Partition, dir int)
	// Copied returns the copy of a replica that is being made in another directory, with the number of that; nil where none is.
	Copied(topic uuid.UUID, index int32) (copied *commitlog.Log, dir int)
	// Move moves a replica to the directory of that path, or keeps it in mind for a partition that is not here yet.
	Move(topic string, number int32, path string) error
}

// LogDir is one data directory.
type LogDir struct {
	Path        string // absolute
	Err         error  // why it takes no records, if so
	Total, Free uint64 // bytes of its file system
}

// described is what one partition of the answer takes in memory and on the wire, or more.
const described = int64(unsafe.Sizeof(kmsg.DescribeLogDirsResponseDirTopicPartition{})) + 32

func serveDescribeLogDirs(h *Handler, c call, req *kmsg.DescribeLogDirsRequest) kmsg.Response {
	dirs := h.LogDirs.LogDirs()
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	for _, d := range dirs {
		rd := kmsg.NewDescribeLogDirsResponseDir()
		rd.Dir = d.Path
		if errors.Is(d.Err, commitlog.ErrOffline) {
			rd.ErrorCode = int16(protocol.StorageError)
		} else {
			rd.TotalBytes, rd.UsableBytes = int64(min(d.Total, math.MaxInt64)), int64(min(d.Free, math.MaxInt64))
		}
		resp.Dirs = append(resp.Dirs, rd)
	}
	for topic, partitions := range logDirsAsked(h.Metadata.Image(), req) {
		at := make([]*kmsg.DescribeLogDirsResponseDirTopic, len(dirs)) // the topic in each directory
		add := func(dir int, rp kmsg.DescribeLogDirsResponseDirTopicPartition) bool {
			if resp.Dirs[dir].ErrorCode != 0 {
				return true // of what lies in a directory that is offline nothing can be said
			}
			if at[dir] == nil {
				if !c.take(int64(len(topic.Name)) + 64) {
					return false
				}
				rt := kmsg.NewDescribeLogDirsResponseDirTopic()
				rt.Topic = topic.Name
				resp.Dirs[dir].Topics = append(resp.Dirs[dir].Topics, rt)
				at[dir] = &resp.Dirs[dir].Topics[len(resp.Dirs[dir].Topics)-1]
			}
			at[dir].Partitions = append(at[dir].Partitions, rp)
			return c.take(described)
		}
		for number := range partitions {
			copied, to := h.LogDirs.Copied(topic.ID, number) // before the replica: it may take its place meanwhile
			p, dir := h.LogDirs.Placed(topic.ID, number)
			if p == nil {
				continue
			}
			rp := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			_, _, highWatermark, end := p.Offsets()
			rp.Partition, rp.Size, rp.OffsetLag = number, p.Log().Size(), max(highWatermark-end, 0)
			if !add(dir, rp) {
				return nil
			}
			if copied == nil || to == dir {
				continue
			}
			rp.Size, rp.OffsetLag, rp.IsFuture = copied.Size(), max(p.Log().LogEnd()-copied.LogEnd(), 0), true
			if !add(to, rp) {
				return nil
			}
		}
	}
	return resp
}

// logDirsAsked yields the topics that a request is about, each with the numbers of its partitions: all that there are where it names
// no list. What is named twice is answered once, as in Kafka.
func logDirsAsked(img *metadata.Image, req *kmsg.DescribeLogDirsRequest) iter.Seq2[*metadata.Topic, iter.Seq[int32]] {
	return func(yield func(*metadata.Topic, iter.Seq[int32]) bool) {
		if req.Topics == nil {
			for t := range img.Topics() {
				if !yield(t, upTo(len(t.Partitions))) {
					return
				}
			}
			return
		}
		asked := map[*metadata.Topic]map[int32]bool{}
		var order []*metadata.Topic
		for _, rt := range req.Topics {
			t := img.Topic(rt.Topic)
			if t == nil {
				continue // no directory has it
			}
			if asked[t] == nil {
				asked[t] = map[int32]bool{}
				order = append(order, t)
			}
			for _, number := range rt.Partitions {
				if number >= 0 && int(number) < len(t.Partitions) {
					asked[t][number] = true
				}
			}
		}
		for _, t := range order {
			if !yield(t, among(asked[t], len(t.Partitions))) {
				return
			}
		}
	}
}

// upTo yields the numbers below n.
func upTo(n int) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i := range int32(n) {
			if !yield(i) {
				return
			}
		}
	}
}

// among yields the numbers below n that are in the set, in their order.
func among(set map[int32]bool, n int) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i := range upTo(n) {
			if set[i] && !yield(i) {
				return
			}
		}
	}
}
