package handler

import (
	"unicode/utf8"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/protocol"
)

// FindCoordinator, versions 0 to 6: which broker keeps a group.
//
//	v1  what kind of key it is: group, transactional id, and from v6 on a partition of a share group (KIP-932)
//	v4  several keys, each with an error of its own (KIP-699)
//	v5  and v6 need no change here: what they announce are codes of transactions (KIP-890) and the new kind of key
//
// The first question creates __consumer_offsets. Kafka answers COORDINATOR_NOT_AVAILABLE meanwhile; here the answer waits for
// the topic a moment, which spares the client a retry. Transactions and share groups are not served yet: they are refused with codes that
// clients take as fatal, since those that say "not yet" would have them ask for ever.

// Kinds of keys. The numbers are Kafka's and frozen.
const (
	keyGroup       = 0
	keyTransaction = 1
	keyShare       = 2
)

// found is the answer for one key.
type found struct {
	node    int32
	host    string
	port    int32
	code    protocol.ErrorCode
	message string
}

func notFound(code protocol.ErrorCode, message string) found {
	return found{-1, "", -1, code, message}
}

func serveFindCoordinator(h *Handler, c call, req *kmsg.FindCoordinatorRequest, answer func(kmsg.Response)) {
	keys := req.CoordinatorKeys
	if c.version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	respond := func() {
		find := finder{h: h, c: c, img: h.Metadata.Image(), nodes: make(map[int32]found)}
		if c.version < 4 {
			answer(find.single(req.CoordinatorType, keys[0]))
		} else {
			answer(find.batch(req.CoordinatorType, keys))
		}
	}
	if req.CoordinatorType == keyGroup && len(keys) > 0 {
		h.withOffsetsTopic(respond)
	} else {
		respond()
	}
}

// finder looks up the keys of one request.
type finder struct {
	h     *Handler
	c     call
	img   *metadata.Image
	nodes map[int32]found // how the client reaches a broker
}

func (f *finder) single(kind int8, key string) kmsg.Response {
	at := f.find(kind, key)
	resp := kmsg.NewPtrFindCoordinatorResponse()
	resp.NodeID, resp.Host, resp.Port, resp.ErrorCode = at.node, at.host, at.port, int16(at.code)
	switch {
	case at.code == protocol.None:
		resp.ErrorMessage = kmsg.StringPtr("NONE") // Kafka's words
	case at.message != "":
		resp.ErrorMessage = &at.message
	case at.code == protocol.CoordinatorNotAvailable:
		resp.ErrorMessage = kmsg.StringPtr("The coordinator is not available.")
	case at.code == protocol.InvalidRequest:
		resp.ErrorMessage = kmsg.StringPtr(invalidRequest)
	}
	return resp
}

// batch answers every key as often as it is named, as Kafka does. A few bytes ask for an address each, so the answer is paid for.
func (f *finder) batch(kind int8, keys []string) kmsg.Response {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	if !f.c.take(int64(len(keys)) * int64(unsafe.Sizeof(kmsg.FindCoordinatorResponseCoordinator{}))) {
		return nil
	}
	resp.Coordinators = make([]kmsg.FindCoordinatorResponseCoordinator, len(keys))
	size := 0
	for i, key := range keys {
		at := f.find(kind, key)
		size += len(key) + len(at.host) + len(at.message) + 32
		resp.Coordinators[i] = kmsg.FindCoordinatorResponseCoordinator{
			Key: key, NodeID: at.node, Host: at.host, Port: at.port, ErrorCode: int16(at.code), ErrorMessage: kmsg.StringPtr(at.message),
		}
	}
	if !f.c.take(int64(size)) {
		return nil
	}
	return resp
}

func (f *finder) find(kind int8, key string) found {
	switch {
	case kind == keyGroup && !utf8.ValidString(key):
		return notFound(protocol.InvalidGroupID, "")
	case kind == keyGroup:
		return f.group(key)
	case kind == keyTransaction:
		return notFound(protocol.TransactionalIDAuthorizationFailed, "Transactions are not served yet.")
	case kind == keyShare && f.c.version >= 6: // the code that Kafka has for a key of the wrong form
		return notFound(protocol.InvalidRequest, "Share groups are not served yet.")
	case kind == keyShare:
		return notFound(protocol.InvalidRequest, "")
	}
	return notFound(protocol.InvalidRequest, invalidRequest)
}

// group finds the leader of the partition that keeps a group. Even the empty id has one, as in Kafka.
func (f *finder) group(key string) found {
	unavailable := notFound(protocol.CoordinatorNotAvailable, "")
	topic := f.img.Topic(offsetsTopic)
	p := f.h.Groups.PartitionFor(key)
	if topic == nil || p < 0 || int(p) >= len(topic.Partitions) {
		return unavailable
	}
	leader := topic.Partitions[p].Leader
	if at, known := f.nodes[leader]; known {
		return at
	}
	at := unavailable
	if b := f.img.Broker(leader); b != nil && !b.Fenced {
		if host, port, ok := f.h.endpoint(b, f.c.conn); ok {
			at = found{node: leader, host: host, port: port}
		}
	}
	f.nodes[leader] = at
	return at
}
