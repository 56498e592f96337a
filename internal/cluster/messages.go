package cluster

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/quorum"
)

// Bounds of what is decoded. The server bounds the frame, and JSON takes a few times its size.
const (
	infoMax    = 64 << 10
	requestMax = 32 << 20
)

// info is who a node is, and what it knows of the cluster (KeyNodeInfo); the question has no body.
type info struct {
	Node      int32
	Raft      uint64   // id of its quorum directory; 0 where it does not vote
	Formed    bool     // that directory belongs to a cluster
	Voters    []uint64 // of it
	ClusterID string   // as its metadata say, or its data directories
	Holds     int      // partitions in its data directories
	Seeds     []Seed   // voters and where they are, as the configuration of one has it
}

// ask is a request to the controller on its way to the node that leads the quorum (KeyControllerRequest).
type ask struct {
	Name    string
	Body    json.RawMessage
	Limited bool // the client has a quota of changes, and Allowed says whether it is within it
	Allowed bool
}

// told is the answer.
type told struct {
	Refused string // why there is no response; empty: there is one
	NotDone bool   // the request was not carried out: another node may be asked
	NoSpace bool   // it was not, for lack of space
	Index   uint64 // of the metadata that the response speaks of
	Counted int    // changes that the quota counted
	Body    json.RawMessage
}

// beat is a heartbeat of a broker (KeyNodeHeartbeat).
type beat struct {
	Node  int32
	Epoch int64
	Ready bool // it has started its replicas and wants to serve
}

// beaten is the answer.
type beaten struct {
	NotController bool
	StaleEpoch    bool   // the broker must register anew
	Index         uint64 // of the metadata that the controller has: whether the broker is fenced, and who leads what
}

// raftMessage is one message between voters (KeyRaftMessage): node id (4 bytes) and raft id (8 bytes) of the sender, then raft's own bytes.
// Big-endian, frozen.
func appendRaft(node int32, id uint64, message []byte) []byte {
	b := make([]byte, 0, 12+len(message))
	b = binary.BigEndian.AppendUint32(b, uint32(node))
	b = binary.BigEndian.AppendUint64(b, id)
	return append(b, message...)
}

func splitRaft(b []byte) (node int32, id uint64, message []byte, err error) {
	if len(b) < 12 {
		return 0, 0, nil, fmt.Errorf("%w: raft message of %d bytes", protocol.ErrMalformed, len(b))
	}
	return int32(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint64(b[4:]), b[12:], nil
}

// pull asks for committed metadata (KeyMetadataPull): node id (4 bytes), index of the first entry that is wanted (8 bytes), how long to wait
// for one, in milliseconds (4 bytes). Big-endian, frozen.
type pull struct {
	node int32
	from uint64
	wait uint32
}

func (p pull) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(p.node))
	b = binary.BigEndian.AppendUint64(b, p.from)
	return binary.BigEndian.AppendUint32(b, p.wait)
}

func decodePull(b []byte) (p pull, err error) {
	if len(b) != 16 {
		return p, fmt.Errorf("%w: metadata pull of %d bytes", protocol.ErrMalformed, len(b))
	}
	return pull{int32(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint32(b[12:])}, nil
}

// pulled is the answer: node that leads the quorum (4 bytes, -1 unknown), its term (8 bytes), then a byte: 1 and a snapshot with its index
// (8 bytes), or 0 and entries, each an index and its length plus one as unsigned varints (0 is an entry of the quorum's own), and its bytes.
// Big-endian, frozen.
type pulled struct {
	leader   int32
	term     uint64
	index    uint64 // of the snapshot
	snapshot []byte // nil: entries
	entries  []quorum.Entry
}

func (p *pulled) encode(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(p.leader))
	b = binary.BigEndian.AppendUint64(b, p.term)
	if p.snapshot != nil {
		b = binary.BigEndian.AppendUint64(append(b, 1), p.index)
		return append(b, p.snapshot...)
	}
	b = append(b, 0)
	for _, e := range p.entries {
		b = binary.AppendUvarint(b, e.Index)
		if e.Data == nil {
			b = append(b, 0)
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(e.Data))+1)
		b = append(b, e.Data...)
	}
	return b
}

func decodePulled(b []byte) (*pulled, error) {
	bad := fmt.Errorf("%w: answer to a metadata pull", protocol.ErrMalformed)
	if len(b) < 13 {
		return nil, bad
	}
	p := &pulled{leader: int32(binary.BigEndian.Uint32(b)), term: binary.BigEndian.Uint64(b[4:])}
	kind := b[12]
	b = b[13:]
	switch {
	case kind == 1 && len(b) >= 8:
		p.index, p.snapshot = binary.BigEndian.Uint64(b), b[8:]
		return p, nil
	case kind != 0:
		return nil, bad
	}
	for len(b) > 0 {
		index, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, bad
		}
		b = b[n:]
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n)+1 {
			return nil, bad
		}
		b = b[n:]
		e := quorum.Entry{Index: index}
		if size > 0 {
			e.Data, b = b[:size-1:size-1], b[size-1:]
		}
		p.entries = append(p.entries, e)
	}
	return p, nil
}

// decode reads a small JSON body.
func decode(b []byte, limit int, into any) error {
	if len(b) > limit {
		return fmt.Errorf("%w: %d bytes", protocol.ErrMalformed, len(b))
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%w: %w", protocol.ErrMalformed, err)
	}
	return nil
}
