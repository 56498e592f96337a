package broker

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/coordinator"
	"github.com/moldau/moldau/internal/coordinator/group"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
)

// offsetsTopic is where groups and their committed offsets are kept.
const offsetsTopic = "__consumer_offsets"

// groups lets the coordinator of consumer groups follow the metadata: it leads what this broker leads of __consumer_offsets, and
// hears of topics that are deleted.
type groups struct {
	*coordinator.Coordinator
	replicas    *replicas
	live        *liveConfig
	recordLimit atomic.Int64 // max.message.bytes of __consumer_offsets, as the machines were told

	// mu guards started and serialises changes.
	mu      sync.Mutex
	started bool
	applied atomic.Pointer[metadata.Image] // what is followed; never older than the image that requests go by
}

func (b *Broker) newGroups() *groups {
	cfg := b.opts.Config
	g := &groups{replicas: b.replicas, live: b.live}
	g.applied.Store(metadata.Empty)
	g.recordLimit.Store(cfg.Number("message.max.bytes"))
	settings := groupSettings(cfg)
	machine := func(int32) coordinator.Machine {
		s := settings
		s.MaxRecordBytes = int(g.recordLimit.Load())
		return group.New(s, b.opts.Random, b.opts.Log)
	}
	g.Coordinator = coordinator.New(coordinator.Options{
		Clock: b.opts.Clock, Log: b.opts.Log, Fatal: b.fail,
		Machine:       machine,
		Loaded:        func() any { return &group.TopicsKnown{ID: g.topicID} },
		Compression:   record.Compression{Codec: record.Codec(cfg.Number("offsets.topic.compression.codec"))},
		LoadBytes:     int(cfg.Number("offsets.load.buffer.size")),
		CommitTimeout: cfg.Millis("offsets.commit.timeout.ms"),
	})
	return g
}

// groupSettings is what the machine of groups reads of the configuration.
func groupSettings(cfg *config.Config) group.Settings {
	return group.Settings{
		MinSessionTimeout:     cfg.Millis("group.min.session.timeout.ms"),
		MaxSessionTimeout:     cfg.Millis("group.max.session.timeout.ms"),
		InitialRebalanceDelay: cfg.Millis("group.initial.rebalance.delay.ms"),
		MaxSize:               int(cfg.Number("group.max.size")),
		OffsetsRetention:      minutes(cfg.Number("offsets.retention.minutes")),
		RetentionCheck:        cfg.Millis("offsets.retention.check.interval.ms"),
		MaxMetadataBytes:      int(cfg.Number("offset.metadata.max.bytes")),
	}
}

// minutes converts without overflow: who sets the largest number means for ever, and a negative time would end all offsets at once.
func minutes(n int64) time.Duration {
	return time.Duration(min(n, math.MaxInt64/int64(time.Minute))) * time.Minute
}

// topicID finds a topic in the metadata that made this broker lead a partition of __consumer_offsets: they have every topic for which the one
// before it took offsets. Those that requests go by may be older still, and the offsets of a topic that they lack would be taken for those of one that is gone.
func (g *groups) topicID(topic string) (uuid.UUID, bool) {
	if t := g.applied.Load().Topic(topic); t != nil {
		return t.ID, true
	}
	return uuid.UUID{}, false
}

// start takes over the metadata as they stand, once the replicas have.
func (g *groups) start(img *metadata.Image) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.started = true
	g.applied.Store(img)
	g.limitRecords(img)
	if t := img.Topic(offsetsTopic); t != nil {
		g.leadLocked(metadata.TopicChange{New: t})
	}
}

// follow is a metadata subscriber; the replicas have followed already.
func (g *groups) follow(_, after *metadata.Image, delta *metadata.Delta) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.started || after.Index() <= g.applied.Load().Index() {
		return
	}
	g.applied.Store(after)
	if len(delta.Configs) > 0 || len(delta.Topics) > 0 {
		g.limitRecords(after)
	}
	var deleted []group.DeletedTopic
	for _, change := range delta.Topics {
		switch {
		case change.Old != nil && change.Old.Name == offsetsTopic, change.New != nil && change.New.Name == offsetsTopic:
			g.leadLocked(change)
		case change.New == nil:
			deleted = append(deleted, group.DeletedTopic{Topic: change.Old.Name, ID: change.Old.ID})
		}
	}
	if len(deleted) > 0 {
		g.Tell(&group.TopicsDeleted{Topics: deleted})
	}
}

// limitRecords tells the machines how large a record of __consumer_offsets may be now: the topic's setting, or the broker's.
func (g *groups) limitRecords(img *metadata.Image) {
	var own map[string]string
	if t := img.Topic(offsetsTopic); t != nil {
		own = t.Configs
	}
	limit := int64(g.live.now().Topic(own).MaxMessageBytes)
	if g.recordLimit.Swap(limit) != limit {
		g.Tell(&group.RecordLimit{Bytes: int(limit)})
	}
}

// leadLocked takes up and lays down what changed of the partitions of __consumer_offsets.
func (g *groups) leadLocked(change metadata.TopicChange) {
	if change.New == nil {
		g.Resize(0)
		for i := range change.Old.Partitions {
			g.Resign(int32(i))
		}
		return
	}
	for i, pair := range change.Partitions() {
		p := g.replicas.Partition(change.New.ID, i)
		if pair[1] == nil || pair[1].Leader != g.replicas.brokerID || p == nil {
			g.Resign(i)
			continue
		}
		g.Lead(i, commitlog.LeaderEpoch(pair[1].LeaderEpoch), p)
	}
	g.Resize(int32(len(change.New.Partitions)))
}
