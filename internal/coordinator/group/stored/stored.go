// Package stored reads and writes the records of __consumer_offsets. It owns their format, which is Apache Kafka's: what this package
// writes Kafka loads and its tools print, and what any release of Kafka since 0.8.2 wrote is read. It decides nothing about groups.
//
// # Keys
//
// A key starts with two bytes that say what kind of record it is (Kafka once called them the key's version). Numbers are
// big-endian; a string is an int16 length and its bytes.
//
//	0, 1  a committed offset: group string, topic string, partition int32. 0 is what Kafka wrote before 0.9; it means the same
//	2     the state of a classic group: group string
//	3-21  records of consumer, share and streams groups (KIP-848, KIP-932, KIP-1071), which are passed over
//
// A record without a value, a tombstone, ends what its key names. Bytes after the last field are passed over, as in Kafka: a
// newer release may have put them there.
//
// # Values
//
// A value starts with an int16 version. From version 4 on strings and arrays are compact (an unsigned varint, their length plus one)
// and every structure ends with tagged fields; those that are not known are passed over (KIP-915).
//
// The value of a committed offset:
//
//	offset          int64
//	leader epoch    int32, version 3 on; -1 where it is not known
//	metadata        string
//	commit time     int64, milliseconds since 1970
//	expiry time     int64, version 1 only; -1 for none
//	topic id        tag 0, 16 bytes, version 4 on
//
// The value of a group:
//
//	protocol type   string
//	generation      int32
//	protocol        string or null
//	leader          string or null
//	state since     int64, milliseconds since 1970, version 2 on; -1 where it is not known
//	members         array of:
//	  member              string
//	  instance            string or null, version 3 on
//	  client id           string
//	  client host         string
//	  rebalance time-out  int32, milliseconds, version 1 on
//	  session time-out    int32, milliseconds
//	  subscription        bytes, the member's metadata under the protocol
//	  assignment          bytes
//
// Kafka 4.4, and so this package, writes key 1 with value version 4, or version 1 for an offset that has an expiry of its own, and key
// 2 with value version 3.
package stored

import (
	"errors"
	"fmt"

	"github.com/moldau/moldau/internal/protocol"
)

// ErrCorrupt is wrapped by every error of a decoder.
var ErrCorrupt = errors.New("corrupt record of __consumer_offsets")

// Kind says what a record is about. The numbers are frozen.
type Kind int16

const (
	KindLegacyOffset Kind = 0
	KindOffset       Kind = 1
	KindGroup        Kind = 2
)

// Key is the key of a record. Of a kind that is none of ours only the kind is set.
type Key struct {
	Kind         Kind
	Group, Topic []byte // alias the record
	Partition    int32
}

// DecodeKey reads a key.
func DecodeKey(b []byte) (Key, error) {
	r := protocol.NewReader(b)
	k := Key{Kind: Kind(r.Int16())}
	switch k.Kind {
	case KindLegacyOffset:
		k.Kind = KindOffset // the difference is of no use to anyone
		fallthrough
	case KindOffset:
		k.Group, k.Topic, k.Partition = r.String(false), r.String(false), r.Int32()
	case KindGroup:
		k.Group = r.String(false)
	}
	if r.Err() != nil {
		return Key{}, fmt.Errorf("%w: key %s", ErrCorrupt, head(b))
	}
	return k, nil
}

// AppendOffsetKey appends the key of a committed offset.
func AppendOffsetKey(dst []byte, group, topic string, partition int32) []byte {
	dst = protocol.AppendInt16(dst, int16(KindOffset))
	dst = protocol.AppendString(dst, group, false)
	dst = protocol.AppendString(dst, topic, false)
	return protocol.AppendInt32(dst, partition)
}

// OffsetKeySize is the length of what AppendOffsetKey appends.
func OffsetKeySize(group, topic string) int { return 2 + 2 + len(group) + 2 + len(topic) + 4 }

// AppendGroupKey appends the key of a group's state.
func AppendGroupKey(dst []byte, group string) []byte {
	dst = protocol.AppendInt16(dst, int16(KindGroup))
	return protocol.AppendString(dst, group, false)
}

// head prints the start of a record for an error: enough to find it, not enough to flood a log.
func head(b []byte) string {
	if len(b) > 64 {
		return fmt.Sprintf("%x... (%d bytes)", b[:64], len(b))
	}
	return fmt.Sprintf("%x", b)
}
