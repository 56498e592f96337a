package metadata

import (
	"encoding/binary"
	"fmt"
)

// # Format: one entry of the metadata log
//
//	byte 0: format version, 1
//	then records to the end, each
//	  kind    unsigned varint, see kindCluster and following
//	  length  unsigned varint, bytes of the body
//	  body    the fields in the order of the Go struct
//
// Numbers are zig-zag varints, strings and lists begin with an unsigned varint length, ids are 16 bytes, the value of a quota the
// 8 bytes of a double, highest first. An entity with quotas is a byte each for user, client id and address: 0 it has none, 1 the
// default, 2 a name, which follows. The body of a PartitionChangeRecord starts with a bit set of the fields that are present (changeLeader and following). An unknown kind,
// version or bit, or a body that is longer than its fields, is an error: what a newer version writes must not be half
// understood, it must not be written before all nodes know it. Nothing guards that yet: nodes of different builds do not go together.
const entryVersion = 1

// Bits of PartitionChangeRecord and BrokerChangeRecord. They are frozen.
const (
	changeLeader       uint64 = 1 << 0
	changeReplicas     uint64 = 1 << 1
	changeISR          uint64 = 1 << 2
	changeELR          uint64 = 1 << 3
	changeLastKnownELR uint64 = 1 << 4
	changeDirectories  uint64 = 1 << 5
	changeRecovering   uint64 = 1 << 6
	changeLeaderEpoch  uint64 = 1 << 7
	changeReassignment uint64 = 1 << 8
	changeChosen       uint64 = 1 << 9
	changeAll          uint64 = 1<<10 - 1

	changeFenced             uint64 = 1 << 0
	changeControlledShutdown uint64 = 1 << 1
	changeBrokerDirectories  uint64 = 1 << 2
	changeBrokerAll          uint64 = 1<<3 - 1
)

// Encode returns the log entry that holds the records.
func Encode(records []Record) []byte {
	dst := make([]byte, 1, 1+64*len(records))
	dst[0] = entryVersion
	var body []byte
	for _, r := range records {
		body = appendBody(body[:0], r)
		dst = binary.AppendUvarint(dst, r.kind())
		dst = binary.AppendUvarint(dst, uint64(len(body)))
		dst = append(dst, body...)
	}
	return dst
}

// Decode returns the records of a log entry.
func Decode(entry []byte) ([]Record, error) {
	if len(entry) == 0 || entry[0] != entryVersion {
		return nil, fmt.Errorf("%w: entry of an unknown version", ErrCorrupt)
	}
	d := decoder{b: entry[1:]}
	var records []Record
	for len(d.b) > 0 {
		kind := d.uvarint()
		body := decoder{b: d.take(d.uvarint())}
		if d.err != nil {
			return nil, d.err
		}
		r := decodeBody(kind, &body)
		if r == nil {
			return nil, fmt.Errorf("%w: record of unknown kind %d", ErrCorrupt, kind)
		}
		if body.err != nil {
			return nil, fmt.Errorf("record of kind %d: %w", kind, body.err)
		}
		if len(body.b) > 0 {
			return nil, fmt.Errorf("%w: record of kind %d has %d bytes too many", ErrCorrupt, kind, len(body.b))
		}
		records = append(records, r)
	}
	return records, nil
}

func appendBody(dst []byte, r Record) []byte {
	switch r := r.(type) {
	case *ClusterRecord:
		return appendString(dst, r.ClusterID)
	case *FeatureRecord:
		return appendInt(appendString(dst, r.Name), int64(r.Level))
	case *TopicRecord:
		return append(appendString(dst, r.Name), r.ID[:]...)
	case *PartitionRecord:
		dst = appendInt(append(dst, r.TopicID[:]...), int64(r.Number))
		dst = appendInts(dst, r.Replicas)
		dst = appendInts(dst, r.ISR)
		dst = appendInts(dst, r.ELR)
		dst = appendInts(dst, r.LastKnownELR)
		dst = appendIDs(dst, r.Directories)
		dst = appendInt(dst, int64(r.Leader))
		dst = appendInt(dst, int64(r.LeaderEpoch))
		dst = appendInt(dst, int64(r.PartitionEpoch))
		return appendBool(dst, r.Recovering)
	case *PartitionChangeRecord:
		return appendPartitionChange(dst, r)
	case *RemoveTopicRecord:
		return append(dst, r.ID[:]...)
	case *ConfigRecord:
		dst = appendInt(dst, int64(r.Resource.Type))
		dst = appendString(dst, r.Resource.Name)
		dst = appendString(dst, r.Name)
		dst = appendBool(dst, r.Value != nil)
		if r.Value != nil {
			dst = appendString(dst, *r.Value)
		}
		return dst
	case *BrokerRecord:
		return appendBroker(dst, &r.Broker)
	case *BrokerChangeRecord:
		return appendBrokerChange(dst, r)
	case *RemoveBrokerRecord:
		return appendInt(appendInt(dst, int64(r.ID)), r.Epoch)
	case *ScramRecord:
		return appendScram(appendScramUser(dst, r.User), r.Credential)
	case *RemoveScramRecord:
		return appendScramUser(dst, r.User)
	case *QuotaRecord:
		dst = appendString(appendQuotaEntity(dst, r.Entity), r.Name)
		dst = appendBool(dst, r.Value != nil)
		if r.Value != nil {
			dst = appendFloat(dst, *r.Value)
		}
		return dst
	case *ProducerIDsRecord:
		return appendInt(appendInt(appendInt(dst, int64(r.BrokerID)), r.BrokerEpoch), r.Next)
	}
	panic(fmt.Sprintf("metadata: record %T has no encoding", r))
}

func decodeBody(kind uint64, d *decoder) Record {
	switch kind {
	case kindCluster:
		return &ClusterRecord{ClusterID: d.string()}
	case kindFeature:
		return &FeatureRecord{Name: d.string(), Level: d.int16()}
	case kindTopic:
		return &TopicRecord{Name: d.string(), ID: d.id()}
	case kindPartition:
		return &PartitionRecord{TopicID: d.id(), Number: d.int32(), Partition: Partition{Replicas: d.ints(), ISR: d.ints(), ELR: d.ints(),
			LastKnownELR: d.ints(), Directories: d.ids(), Leader: d.int32(), LeaderEpoch: d.int32(), PartitionEpoch: d.int32(), Recovering: d.bool()}}
	case kindPartitionChange:
		return decodePartitionChange(d)
	case kindRemoveTopic:
		return &RemoveTopicRecord{ID: d.id()}
	case kindConfig:
		r := &ConfigRecord{Resource: Resource{Type: d.int8(), Name: d.string()}, Name: d.string()}
		if d.bool() {
			r.Value = new(d.string())
		}
		return r
	case kindBroker:
		return &BrokerRecord{Broker: d.broker()}
	case kindBrokerChange:
		return decodeBrokerChange(d)
	case kindRemoveBroker:
		return &RemoveBrokerRecord{ID: d.int32(), Epoch: d.int()}
	case kindScram:
		return &ScramRecord{User: d.scramUser(), Credential: d.scram()}
	case kindRemoveScram:
		return &RemoveScramRecord{User: d.scramUser()}
	case kindQuota:
		r := &QuotaRecord{Entity: d.quotaEntity(), Name: d.string()}
		if d.bool() {
			r.Value = new(d.float())
		}
		return r
	case kindProducerIDs:
		return &ProducerIDsRecord{BrokerID: d.int32(), BrokerEpoch: d.int(), Next: d.int()}
	}
	return nil
}

func appendPartitionChange(dst []byte, r *PartitionChangeRecord) []byte {
	dst = appendInt(append(dst, r.TopicID[:]...), int64(r.Number))
	var bits uint64
	for i, set := range [...]bool{r.Leader != nil, r.Replicas != nil, r.ISR != nil, r.ELR != nil, r.LastKnownELR != nil, r.Directories != nil, r.Recovering != nil,
		r.LeaderEpoch != nil, r.Reassignment != nil, r.Chosen != nil} {
		if set {
			bits |= 1 << i // changeLeader and following
		}
	}
	dst = binary.AppendUvarint(dst, bits)
	if r.Leader != nil {
		dst = appendInt(dst, int64(*r.Leader))
	}
	for _, list := range [][]int32{r.Replicas, r.ISR, r.ELR, r.LastKnownELR} {
		if list != nil {
			dst = appendInts(dst, list)
		}
	}
	if r.Directories != nil {
		dst = appendIDs(dst, r.Directories)
	}
	if r.Recovering != nil {
		dst = appendBool(dst, *r.Recovering)
	}
	if r.LeaderEpoch != nil {
		dst = appendInt(dst, int64(*r.LeaderEpoch))
	}
	if r.Reassignment != nil {
		dst = appendInts(appendInts(dst, r.Reassignment.Adding), r.Reassignment.Removing)
	}
	if r.Chosen != nil {
		dst = appendBool(dst, *r.Chosen)
	}
	return dst
}

func decodePartitionChange(d *decoder) Record {
	r := &PartitionChangeRecord{TopicID: d.id(), Number: d.int32()}
	bits := d.uvarint()
	if bits&^changeAll != 0 {
		d.fail("unknown field of a partition change")
	}
	if bits&changeLeader != 0 {
		r.Leader = new(d.int32())
	}
	if bits&changeReplicas != 0 {
		r.Replicas = d.ints()
	}
	if bits&changeISR != 0 {
		r.ISR = d.ints()
	}
	if bits&changeELR != 0 {
		r.ELR = d.ints()
	}
	if bits&changeLastKnownELR != 0 {
		r.LastKnownELR = d.ints()
	}
	if bits&changeDirectories != 0 {
		r.Directories = d.ids()
	}
	if bits&changeRecovering != 0 {
		r.Recovering = new(d.bool())
	}
	if bits&changeLeaderEpoch != 0 {
		r.LeaderEpoch = new(d.int32())
	}
	if bits&changeReassignment != 0 {
		r.Reassignment = &Reassignment{Adding: d.ints(), Removing: d.ints()}
	}
	if bits&changeChosen != 0 {
		r.Chosen = new(d.bool())
	}
	return r
}

func appendBrokerChange(dst []byte, r *BrokerChangeRecord) []byte {
	dst = appendInt(appendInt(dst, int64(r.ID)), r.Epoch)
	var bits uint64
	if r.Fenced != nil {
		bits |= changeFenced
	}
	if r.ControlledShutdown != nil {
		bits |= changeControlledShutdown
	}
	if r.Directories != nil {
		bits |= changeBrokerDirectories
	}
	dst = binary.AppendUvarint(dst, bits)
	if r.Fenced != nil {
		dst = appendBool(dst, *r.Fenced)
	}
	if r.ControlledShutdown != nil {
		dst = appendBool(dst, *r.ControlledShutdown)
	}
	if r.Directories != nil {
		dst = appendIDs(dst, r.Directories)
	}
	return dst
}

func decodeBrokerChange(d *decoder) Record {
	r := &BrokerChangeRecord{ID: d.int32(), Epoch: d.int()}
	bits := d.uvarint()
	if bits&^changeBrokerAll != 0 {
		d.fail("unknown field of a broker change")
	}
	if bits&changeFenced != 0 {
		r.Fenced = new(d.bool())
	}
	if bits&changeControlledShutdown != 0 {
		r.ControlledShutdown = new(d.bool())
	}
	if bits&changeBrokerDirectories != 0 {
		r.Directories = d.ids()
	}
	return r
}
