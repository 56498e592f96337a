package metadata

import (
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/moldau/moldau/internal/uuid"
)

// Image is the state of the cluster at one index of the metadata log. It is immutable; reading it takes no lock. Whatever its
// methods return belongs to it and must not be changed.
type Image struct {
	index           uint64
	clusterID       string
	byName          sharded[string, *Topic]
	byID            sharded[uuid.UUID, *Topic]
	byUnified       sharded[string, []string] // names that contain '.' or '_', under the name with '_' for '.'
	byOrder         sorted
	partitions      int
	brokers         []*Broker // by id
	nextBrokerEpoch int64
	nextProducerID  int64
	configs         map[Resource]map[string]string // of everything but topics
	features        map[string]int16
	scram           map[ScramUser]ScramCredential
	quotas          sharded[QuotaEntity, map[string]float64]
}

// Empty is the image before the first record.
var Empty = &Image{}

// Index is the log index of the last record in the image.
func (img *Image) Index() uint64 { return img.index }

// ClusterID is empty until the cluster has one.
func (img *Image) ClusterID() string { return img.clusterID }

// NextProducerID is the first producer id that no block has been given for.
func (img *Image) NextProducerID() int64 { return img.nextProducerID }

// NextBrokerEpoch is above the epoch of every registration that ever was.
func (img *Image) NextBrokerEpoch() int64 { return img.nextBrokerEpoch }

// Topic returns the topic of that name, or nil.
func (img *Image) Topic(name string) *Topic {
	t, _ := img.byName.get(nameShard(name), name)
	return t
}

// TopicByID returns the topic with that id, or nil.
func (img *Image) TopicByID(id uuid.UUID) *Topic {
	t, _ := img.byID.get(idShard(id), id)
	return t
}

// Partition returns a partition, or nil where there is no such topic or partition.
func (img *Image) Partition(id uuid.UUID, number int32) *Partition {
	t := img.TopicByID(id)
	if t == nil || number < 0 || int(number) >= len(t.Partitions) {
		return nil
	}
	return t.Partitions[number]
}

// Topics yields all topics in the order of their names.
func (img *Image) Topics() iter.Seq[*Topic] { return img.byOrder.all("") }

// TopicsFrom yields the topics from the first whose name is not below from, in order.
func (img *Image) TopicsFrom(from string) iter.Seq[*Topic] { return img.byOrder.all(from) }

// TopicCount is the number of topics.
func (img *Image) TopicCount() int { return img.byName.len }

// PartitionCount is the number of partitions of all topics.
func (img *Image) PartitionCount() int { return img.partitions }

// Colliding returns a topic whose name equals name where '.' and '_' count as the same, or "". The topic of that very name
// counts too.
func (img *Image) Colliding(name string) string {
	if !strings.ContainsAny(name, "._") {
		return ""
	}
	unified := unify(name)
	names, _ := img.byUnified.get(nameShard(unified), unified)
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// Brokers returns the registered brokers by id, fenced ones too.
func (img *Image) Brokers() []*Broker { return img.brokers }

// Broker returns the registration of the broker, or nil.
func (img *Image) Broker(id int32) *Broker {
	if i, ok := img.findBroker(id); ok {
		return img.brokers[i]
	}
	return nil
}

func (img *Image) findBroker(id int32) (int, bool) {
	return slices.BinarySearchFunc(img.brokers, id, func(b *Broker, id int32) int { return int(int64(b.ID) - int64(id)) })
}

// Config returns the configurations that are set on a resource; nil where there is none.
func (img *Image) Config(r Resource) map[string]string {
	if r.Type == ResourceTopic {
		if t := img.Topic(r.Name); t != nil {
			return t.Configs
		}
		return nil
	}
	return img.configs[r]
}

// Configured yields the resources other than topics that have configurations, in no order.
func (img *Image) Configured() iter.Seq[Resource] { return maps.Keys(img.configs) }

// Feature returns the finalised level of a feature, 0 where it has none.
func (img *Image) Feature(name string) int16 { return img.features[name] }

// Features returns all finalised feature levels.
func (img *Image) Features() map[string]int16 { return img.features }

// The seed differs from process to process, which nothing can see: it only decides which piece of a map a name falls into.
var shardSeed = maphash.MakeSeed()

func nameShard(name string) uint { return uint(maphash.String(shardSeed, name)) }

func idShard(id uuid.UUID) uint { return uint(id[0])<<8 | uint(id[1]) }

func unify(name string) string { return strings.ReplaceAll(name, ".", "_") }
