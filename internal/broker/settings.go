package broker

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/metadata"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/protocol"
	"github.com/moldau/moldau/internal/record"
)

// settingsTable answers the controller's questions about settings from the configuration in force.
type settingsTable struct{ live *liveConfig }

func (t settingsTable) ValidateTopicSet(overrides map[string]string) error {
	return t.live.now().ValidateTopicConfigs(overrides)
}

func (t settingsTable) TopicList(name string) (value string, list bool) {
	if kind, ok := config.TopicType(name); !ok || kind != config.List {
		return "", false
	}
	return strings.Join(t.live.now().TopicList(name, nil), ","), true
}

func (t settingsTable) TopicRules(overrides map[string]string) controller.Rules {
	topic := t.live.now().Topic(overrides)
	return controller.Rules{MinISR: topic.MinInsyncReplicas, Unclean: topic.UncleanElection}
}

func (t settingsTable) CheckBroker(asked int32, name string) controller.Error {
	if name == "" {
		return controller.Error{}
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return controller.Error{Code: protocol.InvalidRequest, Message: "Node id must be an integer, but it is: " + name}
	}
	if int32(id) != asked {
		return controller.Error{Code: protocol.InvalidRequest, Message: fmt.Sprintf("Unexpected broker id, expected %d, but received %s", asked, name)}
	}
	return controller.Error{}
}

func (t settingsTable) BrokerList(name, done string) (string, controller.Error) {
	def, err := t.live.started.BrokerList(name, done)
	return def, refusal(err)
}

func (t settingsTable) ValidateBroker(img *metadata.Image, name string, after map[string]string) controller.Error {
	now, err := t.live.at(img)
	if err != nil {
		now = t.live.started // of what is set already nothing is in force
	}
	other := t.live.ofBroker()
	if name != "" {
		other = t.live.ofAll()
	}
	return refusal(now.ValidateBroker(after, img.Config(other), name != ""))
}

func (t settingsTable) ValidateGroup(after map[string]string) controller.Error {
	return refusal(t.live.now().ValidateGroup(after))
}

func (t settingsTable) ValidateClientMetrics(after map[string]string) controller.Error {
	return refusal(config.ValidateClientMetrics(after))
}

// refusal turns an error of the table into the controller's.
func refusal(err error) controller.Error {
	switch {
	case err == nil:
		return controller.Error{}
	case isRequestError(err):
		return controller.Error{Code: protocol.InvalidRequest, Message: err.Error()}
	}
	return controller.Error{Code: protocol.InvalidConfig, Message: err.Error()}
}

// partitionSettings turns a topic's overrides into what its partitions act on.
func partitionSettings(cfg *config.Config, topic string, overrides map[string]string) *partition.Settings {
	t := cfg.Topic(overrides)
	s := &partition.Settings{
		Log: &commitlog.Config{
			SegmentBytes:       t.SegmentBytes,
			Preallocate:        t.Preallocate,
			SegmentAge:         t.SegmentAge,
			SegmentJitter:      t.SegmentJitter,
			SegmentIndexBytes:  int32(t.SegmentIndexBytes),
			IndexIntervalBytes: int32(t.IndexIntervalBytes),
			RetentionBytes:     t.RetentionBytes,
			RetentionAge:       t.Retention,
			Delete:             t.Delete,
			Compact:            t.Compact,
			MinCleanableRatio:  t.MinCleanableRatio,
			MinCompactionLag:   t.MinCompactionLag,
			MaxCompactionLag:   t.MaxCompactionLag,
			DeleteRetention:    t.DeleteRetention,
			FileDeleteDelay:    t.FileDeleteDelay,
			FlushMessages:      t.FlushMessages,
			FlushInterval:      t.FlushInterval,
			Durable:            t.Durable,
			Reserved:           topic == offsetsTopic,
		},
		Rules: record.Rules{
			BeforeMax:            t.TimestampBeforeMs,
			AfterMax:             t.TimestampAfterMs,
			Compacted:            t.Compact,
			MaxBatchBytes:        int64(t.MaxMessageBytes),
			MaxDecompressedBytes: t.MaxDecompressedBytes,
			MaxRecordBytes:       t.MaxDecompressedBytes,
			Compression:          compression(t),
		},
		MinISR:        t.MinInsyncReplicas,
		LagMax:        lagMax(cfg),
		DeleteAllowed: t.Delete || !t.Compact,
		Zstd:          t.Compression == "zstd",
	}
	if t.IndexIntervalBytes == 0 {
		s.Log.IndexIntervalBytes = -1 // an index entry with every append
	}
	if t.FlushInterval == time.Duration(1<<63-1) {
		s.Log.FlushInterval = 0 // never
	}
	if t.LogAppendTime {
		s.Rules.TimestampType = record.LogAppendTime
	}
	return s
}

// lagMax is how long a follower may lag before it leaves the ISR.
func lagMax(cfg *config.Config) time.Duration { return cfg.Millis("replica.lag.time.max.ms") }

// compression is what compression.type asks for; nil leaves a batch as its producer made it.
func compression(t config.Topic) *record.Compression {
	switch t.Compression {
	case "uncompressed":
		return &record.Compression{Codec: record.None}
	case "gzip":
		return &record.Compression{Codec: record.Gzip, Level: t.GzipLevel}
	case "snappy":
		return &record.Compression{Codec: record.Snappy}
	case "lz4":
		return &record.Compression{Codec: record.LZ4, Level: t.LZ4Level}
	case "zstd":
		return &record.Compression{Codec: record.Zstd, Level: t.ZstdLevel}
	}
	return nil
}
