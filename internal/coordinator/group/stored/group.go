package stored

import (
	"fmt"

	"github.com/moldau/moldau/internal/protocol"
)

// Versions of the value of a group. They are frozen.
const (
	groupWithRebalanceTimeout = 1
	groupWithStateSince       = 2
	groupWithInstance         = 3
	groupWritten              = 3
	groupFlexible             = 4
	groupNewest               = 4
	minMemberSize             = 15 // a member of version 4 with everything empty
)

// Group is the value of a classic group's record.
type Group struct {
	ProtocolType string // "" until somebody joined
	Generation   int32
	Protocol     *string
	Leader       *string
	StateSinceMs int64 // None where the writer did not tell
	Members      []Member
}

// Member is a member of a stored group.
type Member struct {
	Member             string
	Instance           *string
	ClientID           string
	ClientHost         string
	RebalanceTimeoutMs int32 // the session time-out where the record has none, as Kafka takes it
	SessionTimeoutMs   int32
	Subscription       []byte
	Assignment         []byte
}

// DecodeGroup reads the value of a group. It keeps nothing of b.
func DecodeGroup(b []byte) (Group, error) {
	r := protocol.NewReader(b)
	version := r.Int16()
	if r.Err() == nil && (version < 0 || version > groupNewest) {
		return Group{}, fmt.Errorf("%w: group of unknown version %d", ErrCorrupt, version)
	}
	flexible := version >= groupFlexible
	g := Group{
		ProtocolType: string(r.String(flexible)),
		Generation:   r.Int32(),
		Protocol:     nullable(&r, flexible),
		Leader:       nullable(&r, flexible),
		StateSinceMs: None,
	}
	if version >= groupWithStateSince {
		g.StateSinceMs = r.Int64()
	}
	if n := r.ArrayLen(flexible, minMemberSize); n > 0 {
		g.Members = make([]Member, n)
		for i := range g.Members {
			if g.Members[i].decode(&r, version); r.Err() != nil {
				break
			}
		}
	}
	if flexible {
		r.SkipTags()
	}
	if r.Err() != nil {
		return Group{}, fmt.Errorf("%w: group %s", ErrCorrupt, head(b))
	}
	return g, nil
}

func (m *Member) decode(r *protocol.Reader, version int16) {
	flexible := version >= groupFlexible
	m.Member = string(r.String(flexible))
	if version >= groupWithInstance {
		m.Instance = nullable(r, flexible)
	}
	m.ClientID = string(r.String(flexible))
	m.ClientHost = string(r.String(flexible))
	m.RebalanceTimeoutMs = None
	if version >= groupWithRebalanceTimeout {
		m.RebalanceTimeoutMs = r.Int32()
	}
	m.SessionTimeoutMs = r.Int32()
	if m.RebalanceTimeoutMs == None {
		m.RebalanceTimeoutMs = m.SessionTimeoutMs
	}
	m.Subscription = r.NullableBytes(flexible)
	m.Assignment = r.NullableBytes(flexible)
	if m.Subscription == nil || m.Assignment == nil {
		r.Take(-1) // null is not allowed here; fails r unless it has failed before
	}
	m.Subscription, m.Assignment = append([]byte{}, m.Subscription...), append([]byte{}, m.Assignment...)
	if flexible {
		r.SkipTags()
	}
}

// Append appends the value in the version that Kafka writes.
func (g *Group) Append(dst []byte) []byte {
	dst = protocol.AppendInt16(dst, groupWritten)
	dst = protocol.AppendString(dst, g.ProtocolType, false)
	dst = protocol.AppendInt32(dst, g.Generation)
	dst = protocol.AppendNullableString(dst, g.Protocol, false)
	dst = protocol.AppendNullableString(dst, g.Leader, false)
	dst = protocol.AppendInt64(dst, g.StateSinceMs)
	dst = protocol.AppendArrayLen(dst, len(g.Members), false)
	for i := range g.Members {
		m := &g.Members[i]
		dst = protocol.AppendString(dst, m.Member, false)
		dst = protocol.AppendNullableString(dst, m.Instance, false)
		dst = protocol.AppendString(dst, m.ClientID, false)
		dst = protocol.AppendString(dst, m.ClientHost, false)
		dst = protocol.AppendInt32(dst, m.RebalanceTimeoutMs)
		dst = protocol.AppendInt32(dst, m.SessionTimeoutMs)
		dst = appendBytes(dst, m.Subscription)
		dst = appendBytes(dst, m.Assignment)
	}
	return dst
}

// Size is the length of what Append appends.
func (g *Group) Size() int {
	n := 2 + 2 + len(g.ProtocolType) + 4 + 2 + length(g.Protocol) + 2 + length(g.Leader) + 8 + 4
	for i := range g.Members {
		m := &g.Members[i]
		n += 2 + len(m.Member) + 2 + length(m.Instance) + 2 + len(m.ClientID) + 2 + len(m.ClientHost) + 4 + 4
		n += 4 + len(m.Subscription) + 4 + len(m.Assignment)
	}
	return n
}

func length(s *string) int {
	if s == nil {
		return 0
	}
	return len(*s)
}

func nullable(r *protocol.Reader, flexible bool) *string {
	b, ok := r.NullableString(flexible)
	if !ok {
		return nil
	}
	return new(string(b))
}

func appendBytes(dst, b []byte) []byte {
	return append(protocol.AppendArrayLen(dst, len(b), false), b...)
}
