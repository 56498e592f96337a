package handler

import (
	"errors"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterReplicaLogDirs, versions 1 to 2: replicas of this broker move to other data directories of it (KIP-113). The answer says whether
// the move has begun; DescribeLogDirs shows how far it is. Of a partition that is named for several directories the last counts.

// Answers of LogDirs.Move.
var (
	// ErrTopicTooLong: the name of the topic is so long that a copy's folder has no name.
	ErrTopicTooLong = errors.New("topic name is too long")
	// ErrNoLogDir: the broker has no such data directory.
	ErrNoLogDir = errors.New("no such log directory")
	// ErrNoPartition: the partition does not exist. When the broker gets it, it is made where it was to move.
	ErrNoPartition = errors.New("no such partition")
	// ErrNoReplica: the broker does not host the partition; likewise.
	ErrNoReplica = errors.New("no replica of the partition is here")
)

// movedSize is about what one partition of the request takes until it is answered.
const movedSize = int64(unsafe.Sizeof(kmsg.AlterReplicaLogDirsResponseTopicPartition{})) + 160

func serveAlterReplicaLogDirs(h *Handler, c call, req *kmsg.AlterReplicaLogDirsRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterReplicaLogDirsResponse()
	at := map[string]int{} // the topic in the answer
	type key struct {
		topic     string
		partition int32
	}
	n := int64(0)
	for _, d := range req.Dirs {
		for _, t := range d.Topics {
			n += int64(len(t.Partitions))
		}
	}
	if !c.take(n * movedSize) {
		return nil
	}
	asked := map[key]string{}
	var order []key
	for _, d := range req.Dirs {
		for _, t := range d.Topics {
			for _, number := range t.Partitions {
				k := key{t.Topic, number}
				if _, twice := asked[k]; !twice {
					order = append(order, k)
				}
				asked[k] = d.Dir
			}
		}
	}
	for _, k := range order {
		i, known := at[k.topic]
		if !known {
			i = len(resp.Topics)
			at[k.topic] = i
			rt := kmsg.NewAlterReplicaLogDirsResponseTopic()
			rt.Topic = k.topic
			resp.Topics = append(resp.Topics, rt)
		}
		rp := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
		rp.Partition = k.partition
		if err := h.LogDirs.Move(k.topic, k.partition, asked[k]); err != nil {
			rp.ErrorCode = int16(codeOf(err))
		}
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, rp)
	}
	return resp
}
