package group

import "encoding/binary"

// subscription is what the members of a group of consumers say they read. It is taken from their metadata when somebody asks, or the next
// rebalance begins.
type subscription struct {
	taken, known bool
	topics       map[string]struct{}
}

// subscribed returns the topics that members subscribe to. It is not known for a group that is none of consumers, has not chosen a
// protocol, or has a member whose metadata is not what consumers send.
func (g *group) subscribed() (topics map[string]struct{}, known bool) {
	s := &g.subscription
	if !s.taken {
		*s = subscription{taken: true}
		s.topics, s.known = g.readSubscriptions()
	}
	return s.topics, s.known
}

func (g *group) readSubscriptions() (map[string]struct{}, bool) {
	if g.protocolType != consumerType || len(g.members) > 0 && g.protocol == nil {
		return nil, false
	}
	topics := map[string]struct{}{}
	for _, m := range g.members {
		if !appendTopics(topics, m.metadata(*g.protocol)) {
			return nil, false
		}
	}
	return topics, true
}

// subscribes says whether a member may read a topic. A group of consumers of which that is not known is taken to read every topic.
func (g *group) subscribes(topic string) bool {
	topics, known := g.subscribed()
	if !known {
		return g.protocolType == consumerType
	}
	_, ok := topics[topic]
	return ok
}

// appendTopics adds the topics of a ConsumerProtocolSubscription. Every version begins as version 0 does:
//
//	version    int16
//	topics     int32 count, then strings with an int16 length
//	user data  int32 length or -1 for null, then bytes
//
// The bytes come from a client: nothing is allocated that is not there, and false says that they make no sense.
func appendTopics(topics map[string]struct{}, b []byte) bool {
	if len(b) < 6 {
		return false
	}
	n := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	if n < 0 {
		return false
	}
	for ; n > 0; n-- {
		if len(b) < 2 {
			return false
		}
		size := int16(binary.BigEndian.Uint16(b))
		b = b[2:]
		if size < 0 || int(size) > len(b) {
			return false
		}
		if _, ok := topics[string(b[:size])]; !ok { // the look-up allocates nothing
			topics[string(b[:size])] = struct{}{}
		}
		b = b[size:]
	}
	if len(b) < 4 {
		return false
	}
	size := int32(binary.BigEndian.Uint32(b))
	return size < 0 || int64(size) <= int64(len(b)-4)
}
