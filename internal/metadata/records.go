package metadata

import "github.com/moldau/moldau/internal/uuid"

// Record is one change of the metadata. The concrete types are the ones below and no others.
type Record interface{ kind() uint64 }

// Kinds of records in the log. The numbers are frozen: they are on disk.
const (
	kindCluster         uint64 = 1
	kindFeature         uint64 = 2
	kindTopic           uint64 = 3
	kindPartition       uint64 = 4
	kindPartitionChange uint64 = 5
	kindRemoveTopic     uint64 = 6
	kindConfig          uint64 = 7
	kindBroker          uint64 = 8
	kindBrokerChange    uint64 = 9
	kindRemoveBroker    uint64 = 10
	kindProducerIDs     uint64 = 11
	kindScram           uint64 = 12
	kindRemoveScram     uint64 = 13
	kindQuota           uint64 = 14
)

type (
	// ClusterRecord names the cluster; it comes once, first.
	ClusterRecord struct{ ClusterID string }

	// FeatureRecord finalises a feature level; level 0 removes the feature.
	FeatureRecord struct {
		Name  string
		Level int16
	}

	// TopicRecord creates a topic without partitions. PartitionRecords follow in the same entry.
	TopicRecord struct {
		Name string
		ID   uuid.UUID
	}

	// PartitionRecord adds the next partition of a topic.
	PartitionRecord struct {
		TopicID uuid.UUID
		Number  int32
		Partition
	}

	// PartitionChangeRecord changes a partition: a nil field stays as it is, an empty slice that is not nil empties the list.
	// The partition epoch rises by one. A Leader, even the same one, raises the leader epoch by one; LeaderEpoch raises it to a number.
	PartitionChangeRecord struct {
		TopicID      uuid.UUID
		Number       int32
		Leader       *int32
		Replicas     []int32
		ISR          []int32
		ELR          []int32
		LastKnownELR []int32
		Directories  []uuid.UUID
		Recovering   *bool
		LeaderEpoch  *int32
		Reassignment *Reassignment // an empty one ends what is under way
		Chosen       *bool
	}

	// RemoveTopicRecord removes a topic with its partitions and configurations.
	RemoveTopicRecord struct{ ID uuid.UUID }

	// ConfigRecord sets one configuration of a resource, or removes it where Value is nil.
	ConfigRecord struct {
		Resource Resource
		Name     string
		Value    *string
	}

	// BrokerRecord registers a broker, in place of an earlier registration with the same id.
	BrokerRecord struct{ Broker }

	// BrokerChangeRecord changes a registration: nil fields stay as they are. Epoch must be the registration's.
	BrokerChangeRecord struct {
		ID                 int32
		Epoch              int64
		Fenced             *bool
		ControlledShutdown *bool
		Directories        []uuid.UUID
	}

	// RemoveBrokerRecord ends a registration.
	RemoveBrokerRecord struct {
		ID    int32
		Epoch int64
	}

	// ProducerIDsRecord says that producer ids below Next are given out.
	ProducerIDsRecord struct {
		BrokerID    int32
		BrokerEpoch int64
		Next        int64
	}
)

func (*ClusterRecord) kind() uint64         { return kindCluster }
func (*FeatureRecord) kind() uint64         { return kindFeature }
func (*TopicRecord) kind() uint64           { return kindTopic }
func (*PartitionRecord) kind() uint64       { return kindPartition }
func (*PartitionChangeRecord) kind() uint64 { return kindPartitionChange }
func (*RemoveTopicRecord) kind() uint64     { return kindRemoveTopic }
func (*ConfigRecord) kind() uint64          { return kindConfig }
func (*BrokerRecord) kind() uint64          { return kindBroker }
func (*BrokerChangeRecord) kind() uint64    { return kindBrokerChange }
func (*RemoveBrokerRecord) kind() uint64    { return kindRemoveBroker }
func (*ProducerIDsRecord) kind() uint64     { return kindProducerIDs }
