package main

import (
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/config"
)

// reaches shows of the settings of brokers that give topics their defaults, and of those of topics, that they reach those who act on them.
const reaches = "internal/broker TestTopicSettingsReachTheirPartitions"

// inOtherUnits are settings of brokers that stand in for one that gives topics their default.
var inOtherUnits = map[string]bool{
	"log.retention.minutes": true, "log.retention.hours": true, "log.roll.hours": true, "log.roll.jitter.hours": true, "log.flush.scheduler.interval.ms": true,
}

// acts has, for each setting that the page on configuration says acts, a test that shows it. Where no broker does anything by itself that a
// client could see, it is the test of the part that acts.
var acts = map[string]string{
	"admin.hosts":                                    "internal/admin TestHostileRequests",
	"admin.listener":                                 "internal/broker TestReadiness",
	"admin.metrics.series.max":                       "internal/broker TestScrapeIsBounded",
	"advertised.listeners":                           "internal/broker TestAdvertisedAddress",
	"auto.leader.rebalance.enable":                   "internal/broker TestPreferredLeaders",
	"leader.imbalance.check.interval.seconds":        "internal/broker TestPreferredLeaders",
	"replica.selector.class":                         "internal/broker TestFetchFromFollowers",
	"auto.create.topics.enable":                      "diff seq-started-topics",
	"broker.id":                                      "internal/config TestLoadAccepts",
	"broker.rack":                                    "diff seq-started-topics",
	"connections.max.idle.ms":                        "internal/server TestIdle",
	"controller.listener.names":                      "internal/broker TestControllerListener",
	"controller.quorum.bootstrap.servers":            "internal/broker TestControllerListener",
	"controller.quorum.voters":                       "internal/config TestLoadRefuses",
	"controller.quota.window.num":                    "internal/quota TestMutations",
	"controller.quota.window.size.seconds":           "internal/quota TestMutations",
	"default.replication.factor":                     "diff seq-started-topics",
	"delete.topic.enable":                            "diff seq-started-topics",
	"fetch.max.bytes":                                "diff seq-started-records",
	"group.initial.rebalance.delay.ms":               "diff seq-group-delay-one",
	"group.max.session.timeout.ms":                   "diff seq-started-groups",
	"group.max.size":                                 "diff seq-group-full",
	"group.min.session.timeout.ms":                   "diff seq-started-groups",
	"inter.broker.listener.name":                     "internal/config TestLoadRefuses",
	"listener.security.protocol.map":                 "internal/config TestListenFlagKeepsTheController",
	"listeners":                                      "internal/broker TestControllerListener",
	"log.cleaner.backoff.ms":                         "internal/broker TestSettingsActAtOnce",
	"log.cleaner.dedupe.buffer.size":                 "internal/commitlog TestManyPasses",
	"log.cleaner.enable":                             "internal/config TestCleaner",
	"log.cleaner.io.buffer.load.factor":              "internal/config TestCleaner",
	"log.cleaner.io.buffer.size":                     "internal/config TestCleaner",
	"log.cleaner.io.max.bytes.per.second":            "internal/commitlog/cleaner TestThrottle",
	"log.cleaner.threads":                            "internal/commitlog/cleaner TestThreadsShareLogs",
	"log.dir":                                        "internal/config TestDefaultNodeNeedsNothing",
	"log.dirs":                                       "internal/broker TestNewDirectoryJoinsTheCluster",
	"log.retention.check.interval.ms":                "internal/broker TestMetricsMove",
	"log.scrub.interval.hours":                       "internal/logdir/scrub TestRound",
	"log.scrub.max.bytes.per.second":                 "internal/logdir/scrub TestPace",
	"logging.format":                                 "internal/config TestLogging",
	"logging.level":                                  "internal/broker TestLevelOfTheLog",
	"max.connection.creation.rate":                   "internal/server TestConnectionRates",
	"max.connections":                                "internal/server TestConnectionLimits",
	"max.connections.per.ip":                         "internal/server TestConnectionLimits",
	"max.connections.per.ip.overrides":               "internal/quota TestConnectionsOfAHost",
	"max.incremental.fetch.session.cache.slots":      "diff seq-started-records",
	"max.request.partition.size.limit":               "diff seq-started-topics",
	"metadata.log.dir":                               "internal/broker TestMetadataDirectoryRefusals",
	"broker.heartbeat.interval.ms":                   "internal/broker TestClusterSettings",
	"broker.session.timeout.ms":                      "internal/broker TestClusterSettings",
	"controlled.shutdown.enable":                     "internal/broker TestClusterSettings",
	"controller.quorum.election.timeout.ms":          "internal/broker TestClusterSettings",
	"replica.fetch.backoff.ms":                       "internal/fetcher TestErrors",
	"replica.fetch.max.bytes":                        "internal/fetcher TestFollows",
	"replica.fetch.min.bytes":                        "internal/fetcher TestFollows",
	"replica.fetch.response.max.bytes":               "internal/fetcher TestFollows",
	"replica.fetch.wait.max.ms":                      "internal/fetcher TestFollows",
	"replica.socket.timeout.ms":                      "internal/fetcher TestSilentLeader",
	"replica.lag.time.max.ms":                        "internal/broker TestSilentFollowerLeavesTheISR",
	"node.id":                                        "internal/broker TestAdvertisedAddress",
	"num.partitions":                                 "diff seq-started-topics",
	"offset.metadata.max.bytes":                      "diff seq-started-groups",
	"offsets.commit.timeout.ms":                      "internal/coordinator TestCommitThatTakesTooLong",
	"offsets.load.buffer.size":                       "internal/coordinator TestRestartReplays",
	"offsets.retention.check.interval.ms":            "diff seq-group-expiry-simple",
	"offsets.retention.minutes":                      "diff seq-group-expiry-simple",
	"offsets.topic.compression.codec":                "internal/broker TestOffsetsInEveryCodec",
	"offsets.topic.num.partitions":                   "diff seq-started-groups",
	"offsets.topic.replication.factor":               "internal/handler TestOffsetsTopicOnAFewBrokers",
	"offsets.topic.segment.bytes":                    "internal/broker TestCoordinatorsTopicsAreMadeAsTheyNeedThem",
	"process.roles":                                  "internal/config TestLoadRefuses",
	"producer.id.expiration.ms":                      "internal/broker TestSettingsActAtOnce",
	"queued.max.request.bytes":                       "internal/server TestMemoryBudget",
	"quota.window.num":                               "internal/quota TestThrottleTimes",
	"quota.window.size.seconds":                      "internal/quota TestThrottleTimes",
	"socket.request.max.bytes":                       "diff seq-started-frames",
	"state.memory.max.bytes":                         "internal/memory TestStateIsBounded",
	"num.replica.alter.log.dirs.threads":             "internal/broker TestReplicaMoves",
	"replica.alter.log.dirs.io.max.bytes.per.second": "internal/broker TestMovesThatDoNotEnd",

	"cleanup.policy":                  "diff seq-started-records",
	"compression.gzip.level":          "internal/record TestLevelsMatter",
	"compression.lz4.level":           "internal/record TestLevelsMatter",
	"compression.type":                "diff seq-settings-act",
	"compression.zstd.level":          "internal/record TestLevelsMatter",
	"delete.retention.ms":             "internal/commitlog TestTombstonesGoAfterTheirTime",
	"durability":                      "internal/commitlog TestCommitter",
	"file.delete.delay.ms":            "internal/commitlog TestDelete",
	"flush.messages":                  "internal/commitlog TestCommitter",
	"flush.ms":                        "internal/commitlog TestCommitter",
	"index.interval.bytes":            "internal/commitlog TestRoll",
	"internal.segment.bytes":          "internal/broker TestCompaction",
	"max.compaction.lag.ms":           "internal/commitlog TestWhatMayBeCompacted",
	"max.decompressed.message.bytes":  "internal/record TestBomb",
	"max.message.bytes":               "diff seq-started-records",
	"message.timestamp.after.max.ms":  "diff seq-timestamps",
	"message.timestamp.before.max.ms": "diff seq-timestamps",
	"message.timestamp.type":          "diff seq-log-append-time",
	"min.cleanable.dirty.ratio":       "internal/commitlog TestWhatMayBeCompacted",
	"min.compaction.lag.ms":           "internal/commitlog TestWhatMayBeCompacted",
	"min.insync.replicas":             "diff seq-settings-act",
	"preallocate":                     "internal/commitlog TestPreallocate",
	"retention.bytes":                 "internal/commitlog TestReasonsOfRetention",
	"retention.ms":                    "internal/commitlog TestRetentionByAge",
	"segment.bytes":                   "internal/commitlog TestRoll",
	"segment.index.bytes":             "internal/commitlog TestRoll",
	"segment.jitter.ms":               "internal/commitlog TestJitter",
	"segment.ms":                      "internal/commitlog TestRoll",
}

// TestSettingsAct: whatever the page on configuration says acts has a test that shows it.
func TestSettingsAct(t *testing.T) {
	const root = "../.."
	followed, used := map[string]bool{}, map[string]bool{}
	check := func(name string) {
		t.Helper()
		used[name] = true
		switch test, ok := acts[name]; {
		case !ok:
			t.Errorf("%s is said to act, and no test shows it", name)
		case !exists(t, root, test):
			t.Errorf("%s: there is no test %q", name, test)
		}
	}
	for _, s := range config.TopicSettings() {
		if s.Class == config.Honoured {
			check(s.Name)
			followed[s.From] = true
		}
	}
	for _, s := range config.BrokerSettings() {
		if s.Class == config.Honoured && !followed[s.Name] && !inOtherUnits[s.Name] {
			check(s.Name)
		}
	}
	if !exists(t, root, reaches) {
		t.Errorf("there is no test %q", reaches)
	}
	for name := range acts {
		if !used[name] {
			t.Errorf("%s is not said to act, or is shown with the topic's setting", strings.TrimSpace(name))
		}
	}
}
