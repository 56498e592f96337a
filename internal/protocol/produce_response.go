package protocol

import "github.com/moldau/moldau/internal/uuid"

// ProduceResponse is a Produce response, versions 3 to 13.
//
//	v5  log start offset                     v8  record errors and error message (KIP-467)
//	v9  flexible                             v10 current leader and node endpoints, both tagged (KIP-951)
//	v13 topic ids instead of names (KIP-516)
type ProduceResponse struct {
	Topics        []ProduceResponseTopic
	ThrottleMs    int32
	NodeEndpoints []NodeEndpoint // from v10
}

// ProduceResponseTopic is one topic of a ProduceResponse.
type ProduceResponseTopic struct {
	Name       string    // to v12
	ID         uuid.UUID // from v13
	Partitions []ProduceResponsePartition
}

// ProduceResponsePartition answers for one partition.
type ProduceResponsePartition struct {
	Partition       int32
	Error           ErrorCode
	BaseOffset      int64          // -1 where nothing was appended
	LogAppendTimeMs int64          // -1 unless the topic stamps records itself
	LogStartOffset  int64          // from v5; -1 where unknown
	RecordErrors    []RecordError  // from v8
	ErrorMessage    *string        // from v8
	CurrentLeader   *CurrentLeader // from v10; nil for none
}

// RecordError says why one record of a batch was refused.
type RecordError struct {
	Index   int32 // of the record within its batch
	Message *string
}

// CurrentLeader tells a client that asked the wrong broker which one to ask.
type CurrentLeader struct{ ID, Epoch int32 }

// NodeEndpoint is the address of a broker that a CurrentLeader names.
type NodeEndpoint struct {
	ID   int32
	Host string
	Port int32
	Rack *string
}

// AppendTo appends the body of the response.
func (p *ProduceResponse) AppendTo(dst []byte, version int16) []byte {
	flexible := version >= 9
	dst = AppendArrayLen(dst, len(p.Topics), flexible)
	for i := range p.Topics {
		t := &p.Topics[i]
		dst = appendTopic(dst, t.Name, t.ID, flexible, version >= 13)
		dst = AppendArrayLen(dst, len(t.Partitions), flexible)
		for j := range t.Partitions {
			dst = t.Partitions[j].appendTo(dst, version, flexible)
		}
		dst = appendNoTags(dst, flexible)
	}
	dst = AppendInt32(dst, p.ThrottleMs)
	if flexible {
		if version >= 10 && len(p.NodeEndpoints) > 0 {
			dst = append(dst, 1)
			return appendEndpoints(dst, p.NodeEndpoints)
		}
		dst = append(dst, 0)
	}
	return dst
}

func (p *ProduceResponsePartition) appendTo(dst []byte, version int16, flexible bool) []byte {
	dst = AppendInt32(dst, p.Partition)
	dst = AppendInt16(dst, int16(p.Error))
	dst = AppendInt64(dst, p.BaseOffset)
	dst = AppendInt64(dst, p.LogAppendTimeMs)
	if version >= 5 {
		dst = AppendInt64(dst, p.LogStartOffset)
	}
	if version >= 8 {
		dst = AppendArrayLen(dst, len(p.RecordErrors), flexible)
		for _, e := range p.RecordErrors {
			dst = AppendInt32(dst, e.Index)
			dst = AppendNullableString(dst, e.Message, flexible)
			dst = appendNoTags(dst, flexible)
		}
		dst = AppendNullableString(dst, p.ErrorMessage, flexible)
	}
	switch {
	case !flexible:
	case version >= 10 && p.CurrentLeader != nil:
		dst = append(dst, 1)
		dst = appendCurrentLeader(dst, 0, p.CurrentLeader)
	default:
		dst = append(dst, 0)
	}
	return dst
}

// appendCurrentLeader appends the tagged field, the same in Produce (tag 0) and Fetch (tag 1).
func appendCurrentLeader(dst []byte, tag byte, l *CurrentLeader) []byte {
	dst = append(dst, tag, 4+4+1)
	dst = AppendInt32(dst, l.ID)
	dst = AppendInt32(dst, l.Epoch)
	return append(dst, 0)
}

// appendEndpoints appends the tagged field 0 of the whole response, the same in Produce and Fetch.
func appendEndpoints(dst []byte, nodes []NodeEndpoint) []byte {
	size := uvarintLen(uint32(len(nodes)) + 1)
	for _, n := range nodes {
		size += 4 + uvarintLen(uint32(len(n.Host))+1) + len(n.Host) + 4 + 1 + 1
		if n.Rack != nil {
			size += uvarintLen(uint32(len(*n.Rack))+1) - 1 + len(*n.Rack)
		}
	}
	dst = append(dst, 0)
	dst = AppendUvarint(dst, uint32(size))
	dst = AppendArrayLen(dst, len(nodes), true)
	for _, n := range nodes {
		dst = AppendInt32(dst, n.ID)
		dst = AppendString(dst, n.Host, true)
		dst = AppendInt32(dst, n.Port)
		dst = AppendNullableString(dst, n.Rack, true)
		dst = append(dst, 0)
	}
	return dst
}
