package metadata

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/moldau/moldau/internal/uuid"
)

// # Format: snapshot of an image
//
//	bytes 0-3: "MLDM"
//	byte 4:    format version, 3
//	index, cluster id, next broker epoch, next producer id
//	features:    count, then name and level of each, by name
//	directories: count, then the 16 bytes of every directory id that a partition names, sorted
//	brokers:     count, then each as in a BrokerRecord, by id
//	configs:     count of resources other than topics, then type, name and a list of name and value of each
//	topics:      count, then each by name: name, id, list of configuration name and value, count of partitions, partitions
//	credentials: count, then user, mechanism, salt, stored key, server key and iterations of each, by user and mechanism; not in version 1
//	quotas:      count of entities, then entity and a list of name and value of each, by entity and name; not in versions 1 and 2
//
// A partition is a bit set (snapSameReplicas and following), then what the bits say is there, in this order: replicas, ISR,
// directories as places in the list above plus one (0: none), ELR, last known ELR, replicas that are being added, replicas that are
// being removed; then leader, leader epoch and partition epoch. Numbers, strings and lists are as in a log entry. The same image always gives the same bytes. The file around it, with
// length and CRC, is the quorum's.
const (
	snapshotMagic   = "MLDM"
	snapshotVersion = 3
)

// Bits of a partition in a snapshot. They are frozen.
const (
	snapSameReplicas    uint64 = 1 << 0 // as the partition before
	snapISRIsReplicas   uint64 = 1 << 1
	snapSameDirectories uint64 = 1 << 2 // as the partition before
	snapELR             uint64 = 1 << 3
	snapLastKnownELR    uint64 = 1 << 4
	snapRecovering      uint64 = 1 << 5
	snapReassignment    uint64 = 1 << 6
	snapChosen          uint64 = 1 << 7
	snapAll             uint64 = 1<<8 - 1
)

// EncodeSnapshot returns the bytes that DecodeSnapshot makes the image from.
func (img *Image) EncodeSnapshot() []byte {
	dst := make([]byte, 0, 1024+64*img.TopicCount()+16*img.partitions)
	dst = append(dst, snapshotMagic...)
	dst = append(dst, snapshotVersion)
	dst = binary.AppendUvarint(dst, img.index)
	dst = appendString(dst, img.clusterID)
	dst = appendInt(dst, img.nextBrokerEpoch)
	dst = appendInt(dst, img.nextProducerID)
	dst = binary.AppendUvarint(dst, uint64(len(img.features)))
	for _, name := range slices.Sorted(maps.Keys(img.features)) {
		dst = appendInt(appendString(dst, name), int64(img.features[name]))
	}
	directories := img.directories()
	dst = appendIDs(dst, directories)
	place := make(map[uuid.UUID]uint64, len(directories)+1)
	for i, id := range directories {
		place[id] = uint64(i) + 1
	}
	dst = binary.AppendUvarint(dst, uint64(len(img.brokers)))
	for _, b := range img.brokers {
		dst = appendBroker(dst, b)
	}
	dst = binary.AppendUvarint(dst, uint64(len(img.configs)))
	for _, r := range sortedResources(img.configs) {
		dst = appendString(appendInt(dst, int64(r.Type)), r.Name)
		dst = appendConfigs(dst, img.configs[r])
	}
	dst = binary.AppendUvarint(dst, uint64(img.TopicCount()))
	for t := range img.Topics() {
		dst = append(appendString(dst, t.Name), t.ID[:]...)
		dst = appendConfigs(dst, t.Configs)
		dst = binary.AppendUvarint(dst, uint64(len(t.Partitions)))
		before := &Partition{}
		for _, p := range t.Partitions {
			dst = appendSnapshotPartition(dst, p, before, place)
			before = p
		}
	}
	return img.appendQuotas(img.appendScrams(dst))
}

// Hash is equal for two images exactly when all of their content is.
func (img *Image) Hash() [32]byte { return sha256.Sum256(img.EncodeSnapshot()) }

// directories returns every directory id that a partition names, sorted.
func (img *Image) directories() []uuid.UUID {
	set := make(map[uuid.UUID]struct{})
	for t := range img.Topics() {
		var before *uuid.UUID
		for _, p := range t.Partitions {
			if len(p.Directories) == 0 || &p.Directories[0] == before {
				continue
			}
			before = &p.Directories[0]
			for _, id := range p.Directories {
				set[id] = struct{}{}
			}
		}
	}
	delete(set, uuid.UUID{})
	return slices.SortedFunc(maps.Keys(set), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
}

func appendConfigs(dst []byte, configs map[string]string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(configs)))
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		dst = appendString(appendString(dst, name), configs[name])
	}
	return dst
}

func appendSnapshotPartition(dst []byte, p, before *Partition, place map[uuid.UUID]uint64) []byte {
	var bits uint64
	if slices.Equal(p.Replicas, before.Replicas) {
		bits |= snapSameReplicas
	}
	if slices.Equal(p.ISR, p.Replicas) {
		bits |= snapISRIsReplicas
	}
	if slices.Equal(p.Directories, before.Directories) {
		bits |= snapSameDirectories
	}
	if len(p.ELR) > 0 {
		bits |= snapELR
	}
	if len(p.LastKnownELR) > 0 {
		bits |= snapLastKnownELR
	}
	if p.Recovering {
		bits |= snapRecovering
	}
	if p.Reassignment != nil {
		bits |= snapReassignment
	}
	if p.Chosen {
		bits |= snapChosen
	}
	dst = binary.AppendUvarint(dst, bits)
	if bits&snapSameReplicas == 0 {
		dst = appendInts(dst, p.Replicas)
	}
	if bits&snapISRIsReplicas == 0 {
		dst = appendInts(dst, p.ISR)
	}
	if bits&snapSameDirectories == 0 {
		dst = binary.AppendUvarint(dst, uint64(len(p.Directories)))
		for _, id := range p.Directories {
			dst = binary.AppendUvarint(dst, place[id]) // zero for the zero id, which is in no list
		}
	}
	if bits&snapELR != 0 {
		dst = appendInts(dst, p.ELR)
	}
	if bits&snapLastKnownELR != 0 {
		dst = appendInts(dst, p.LastKnownELR)
	}
	if bits&snapReassignment != 0 {
		dst = appendInts(appendInts(dst, p.Reassignment.Adding), p.Reassignment.Removing)
	}
	return appendInt(appendInt(appendInt(dst, int64(p.Leader)), int64(p.LeaderEpoch)), int64(p.PartitionEpoch))
}

// DecodeSnapshot makes an image from what EncodeSnapshot gave.
func DecodeSnapshot(b []byte) (*Image, error) {
	if len(b) < len(snapshotMagic)+1 || string(b[:4]) != snapshotMagic || b[4] < 1 || b[4] > snapshotVersion {
		return nil, fmt.Errorf("%w: no snapshot, or one of an unknown version", ErrCorrupt)
	}
	d := &decoder{b: b[5:]}
	e := newEditor(Empty)
	index := d.uvarint()
	e.img.clusterID = d.string()
	e.img.nextBrokerEpoch = d.int()
	e.img.nextProducerID = d.int()
	for range d.count(2) {
		if e.img.features == nil {
			e.img.features = make(map[string]int16)
		}
		name := d.string()
		e.img.features[name] = d.int16()
	}
	directories := d.ids()
	e.img.brokers = make([]*Broker, d.count(20))
	for i := range e.img.brokers {
		e.img.brokers[i] = new(d.broker())
		if i > 0 && e.img.brokers[i-1].ID >= e.img.brokers[i].ID {
			d.fail("brokers out of order")
		}
	}
	for range d.count(3) {
		if e.img.configs == nil {
			e.img.configs = make(map[Resource]map[string]string)
		}
		r := Resource{Type: d.int8(), Name: d.string()}
		e.img.configs[r] = d.configs()
	}
	last := ""
	for i := range d.count(19) {
		t := &Topic{Name: d.string(), ID: d.id(), Configs: d.configs()}
		if i > 0 && t.Name <= last {
			d.fail("topics out of order")
		}
		last = t.Name
		d.partitions(t, directories, e.share)
		if d.err != nil {
			break
		}
		if _, ok := e.byID.get(idShard(t.ID), t.ID); ok {
			d.fail("topic id twice")
			break
		}
		e.placeNew(t)
	}
	if b[4] >= 2 {
		e.img.scram = d.scrams()
	}
	if b[4] >= 3 {
		e.readQuotas(d)
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("bytes after the end")
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode metadata snapshot: %w", d.err)
	}
	img, _ := e.finish(index)
	return img, nil
}

func (d *decoder) configs() map[string]string {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		name := d.string()
		m[name] = d.string()
	}
	return m
}

func (d *decoder) partitions(t *Topic, directories []uuid.UUID, share func(*Partition)) {
	n := d.count(4)
	t.Partitions = make([]*Partition, 0, n)
	before := &Partition{}
	for range n {
		p := d.partition(before, directories)
		share(p)
		t.Partitions = append(t.Partitions, p)
		before = p
	}
}

func (d *decoder) partition(before *Partition, directories []uuid.UUID) *Partition {
	p := new(Partition)
	bits := d.uvarint()
	if bits&^snapAll != 0 {
		d.fail("unknown field of a partition")
	}
	if p.Replicas = before.Replicas; bits&snapSameReplicas == 0 {
		p.Replicas = d.ints()
	}
	if p.ISR = p.Replicas; bits&snapISRIsReplicas == 0 {
		p.ISR = d.ints()
	}
	if p.Directories = before.Directories; bits&snapSameDirectories == 0 {
		p.Directories = make([]uuid.UUID, d.count(1))
		for i := range p.Directories {
			if at := d.uvarint(); at > uint64(len(directories)) {
				d.fail("no such directory")
			} else if at > 0 {
				p.Directories[i] = directories[at-1]
			}
		}
	}
	if bits&snapELR != 0 {
		p.ELR = d.ints()
	}
	if bits&snapLastKnownELR != 0 {
		p.LastKnownELR = d.ints()
	}
	if bits&snapReassignment != 0 {
		p.Reassignment = &Reassignment{Adding: d.ints(), Removing: d.ints()}
	}
	p.Leader, p.LeaderEpoch, p.PartitionEpoch = d.int32(), d.int32(), d.int32()
	p.Recovering, p.Chosen = bits&snapRecovering != 0, bits&snapChosen != 0
	return p
}
