package handler

import "github.com/twmb/franz-go/pkg/kmsg"

// ListPartitionReassignments, version 0: the reassignments under way (KIP-455). What AlterPartitionReassignments does it does at once, so
// that there are none; topics and partitions that do not exist are passed over, as in Kafka.

func serveListPartitionReassignments(*Handler, call, *kmsg.ListPartitionReassignmentsRequest) kmsg.Response {
	return kmsg.NewPtrListPartitionReassignmentsResponse()
}
