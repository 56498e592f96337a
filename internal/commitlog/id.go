package commitlog

import (
	"encoding/hex"
	"strconv"

	"github.com/moldau/moldau/internal/random"
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

// DeleteSuffix ends the name of a directory that is being removed. Frozen: it is Kafka's.
const DeleteSuffix = "-delete"

// maxName is the longest file name that file systems take.
const maxName = 255

// AsideName is Kafka's name for a directory that was the partition's and is no log's any more: topic-partition.<32 hex digits><suffix>. The topic is
// cut where that would be too long, and never the partition, without which Kafka does not start.
func (id ID) AsideName(suffix string, rnd random.Source) string {
	unique := uuid.New(rnd)
	tail := "-" + strconv.Itoa(int(id.Partition)) + "." + hex.EncodeToString(unique[:]) + suffix
	return id.Topic[:min(len(id.Topic), maxName-len(tail))] + tail
}

func (id ID) String() string { return id.DirName() }
