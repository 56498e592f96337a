package commitlog

import (
	"strconv"

	"github.com/moldau/moldau/internal/uuid"
)

// LeaderEpoch counts the leaderships of a partition; the leader stamps its epoch on every batch it appends.
type LeaderEpoch int32

// ID names one partition. The topic id decides identity: a topic that was deleted and made again has the same name, another id.
type ID struct {
	Topic     string
	TopicID   uuid.UUID
	Partition int32
}

// DirName is the name of the partition's directory inside the log directory, as Kafka writes it: "orders-0".
func (id ID) DirName() string { return id.Topic + "-" + strconv.Itoa(int(id.Partition)) }

func (id ID) String() string { return id.DirName() }
