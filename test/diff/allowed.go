package diff

import (
	"fmt"
)

// Differences lists where Moldau deliberately answers otherwise than Kafka. Each reason is a heading of docs/differences.md; an entry that
// no longer describes any difference fails the test, and so does a heading without an entry.
func Differences() []Allowed {
	all := []Allowed{
		{Path: ".Topics[*].RecordBatches[*].Cut", Reason: "Fetched data ends with a whole batch"},
		{Path: "*.Configs[\"max.decompressed.message.bytes\"]*.Value", Reason: "Fewer bytes are decompressed"},
		{Path: "*.Configs[\"durability\"]*", Reason: "Durability is a setting"},
		{Case: "seq-describe-broker/*", Path: "*.Configs[\"log.durability\"]*", Reason: "Durability is a setting"},
		{Case: "seq-describe-synonyms/*", Path: "*.Configs[\"log.durability\"]*", Reason: "Durability is a setting"},
		{Case: "seq-describe-synonyms/*", Path: "*.Configs[\"log.dir\"]*.Value", Reason: "Data lies in the working directory"},
		{Case: "seq-describe-broker/*", Path: "*.Configs[\"log.dir\"].Value", Reason: "Data lies in the working directory"},
	}
	for _, name := range []string{"broker.session.timeout.ms", "broker.heartbeat.interval.ms"} {
		for _, c := range []string{"seq-describe-broker/*", "seq-describe-synonyms/*"} {
			all = append(all, Allowed{Case: c, Path: "*.Configs[\"" + name + "\"]*.Value", Reason: "Dead brokers are noticed sooner"})
		}
	}
	for _, name := range []string{"listeners", "listener.security.protocol.map"} {
		all = append(all, Allowed{Case: "seq-describe-broker/*", Path: "*.Configs[\"" + name + "\"].ReadOnly", Reason: "Listeners change with a restart"},
			Allowed{Case: "seq-describe-synonyms/*", Path: "*.Configs[\"" + name + "\"].ReadOnly", Reason: "Listeners change with a restart"})
	}
	for _, name := range []string{"node.id", "process.roles", "listeners"} {
		all = append(all, Allowed{Case: "seq-describe-synonyms/*", Path: "*.Configs[\"" + name + "\"].ConfigSynonyms[1].*", Reason: "A node needs no settings"})
	}
	all = append(all, Allowed{Case: "seq-settings-loggers/*", Path: "*.Configs[\"org.apache.kafka.*", Reason: "A broker has one logger"})
	for _, api := range NotServed() {
		all = append(all, Allowed{Path: fmt.Sprintf(".ApiKeys[%d].*", api.Key), Reason: "What is not served is not advertised"})
	}
	for _, key := range betweenNodes {
		all = append(all, Allowed{Case: "controller-ApiVersions/*", Path: fmt.Sprintf(".ApiKeys[%d].*", key), Reason: "What is not served is not advertised"})
	}
	for _, path := range []string{".SupportedFeatures[*", ".FinalizedFeatures[*", ".FinalizedFeaturesEpoch"} {
		all = append(all, Allowed{Path: path, Reason: "What is not served is not advertised"})
	}
	for _, x := range []struct{ id, note, path string }{
		{"Produce/*/wrong-batches", "codec 5", "*.Partitions[*].*"},
		{"Produce/*/wrong-batches", "not *", "*.Partitions[*].*"},
		{"Produce/*/wrong-batches", "gzip cut", "*.Partitions[*].*"},
		{"seq-compressed-odd/*", "codec *, offsets with a gap", "*.Partitions[*].*"},
		{"seq-compressed-odd/*", "codec *, empty payload", "*.Partitions[*].*"},
		{"seq-compressed-odd/*", "codec *, other codec", "*.Partitions[*].*"},
		{"Fetch/*/wrong", "partition limit -1", ".Topics[0].Partitions[0]*"},
		{"seq-fetch-limits/*", "partition limit -1, *", ".Topics[0].Partitions[*"},
		{"seq-fetch-limits/*", "*, limit -1", ".Topics[0].Partitions[*"},
		{"Fetch/*/wrong", "isolation level 7", "*"},
		{"ListOffsets/*/wrong", "isolation level 9", ".Topics[*].Partitions[*].*"},
		{"Metadata/*/wrong", "neither name nor id", "*"},
		{"DescribeTopicPartitions/*/wrong", "no name", "*"},
		{"*AlterUserSCRAMCredentials/*/wrong", "empty salted password", "*"},
		{"*CreateDelegationToken/*/wrong", "an owner without a type", "*"},
	} {
		all = append(all, Allowed{x.id, x.note, x.path, "An internal error is not an answer"})
	}
	for _, suite := range []string{"DescribeDelegationToken", "DescribeUserSCRAMCredentials"} { // Kafka lists them for controllers and has no answer
		all = append(all, Allowed{Case: "controller-" + suite + "/*", Path: "*", Reason: "An internal error is not an answer"})
	}
	all = append(all, Allowed{Note: brokerSettings, Path: "*", Reason: "Settings of brokers are checked on every listener"})
	for _, path := range []string{"Timestamp", "Offset", "LeaderEpoch"} {
		all = append(all, Allowed{Note: deletedByTime, Path: ".Topics[*].Partitions[*]." + path, Reason: "Deleted records have no time"})
	}
	all = append(all, groupDifferences()...)
	return append(all,
		Allowed{"*UpdateFeatures/*/wrong-known", "", ".ErrorMessage", "What is not served is not advertised"},
		Allowed{"seq-hidden-apis/*", "", "outcome", "What is hidden is not answered"},
		Allowed{"*-transactional", "", ".ErrorCode", "Transactions are refused"},
		Allowed{"seq-transactional-refused/*", "", "*", "Transactions are refused"},
		Allowed{"seq-null-records/*", "", "outcome", "Null records are answered"},
		Allowed{"Produce/*/wrong-batches", "delete horizon bit", "*.Partitions[*].*", "The delete horizon is the broker's"},
		Allowed{"Produce/*/wrong-batches", "", fmt.Sprintf(".Topics[0].Partitions[%d]*", oddIndex("delete horizon bit")), "The delete horizon is the broker's"},
		Allowed{"Produce/*/wrong-batches", "", fmt.Sprintf(".Topics[0].Partitions[%d].RecordBatches[0].Records", oddIndex("gap between record offsets")), "Records are numbered"},
		Allowed{"Produce/*/wrong-batches", "", fmt.Sprintf(".Topics[0].Partitions[%d].RecordBatches[0].Records", oddIndex("record offsets backwards")), "Records are numbered"},
		Allowed{"seq-headers/*", "the same tag twice", "outcome", "Tags ascend"},
		Allowed{"seq-headers/*", "tags out of order", "outcome", "Tags ascend"},
		Allowed{"seq-tags-in-answers/*", "a tag of a later version", "outcome", "Unknown tags are passed over"},
		Allowed{"seq-restart-idempotent/*", "duplicate of the first", "*.Partitions[*].*", "What was in flight is known after a restart"},
	)
}

// groupDifferences lists those that only cases about groups see.
func groupDifferences() []Allowed {
	return []Allowed{
		{"FindCoordinator/*/boundary-transactions", "", "*", "Transactions are refused"},
		{"FindCoordinator/*/*-shares", "", "*", "Share groups are refused"},
		{"seq-group-sync-parked-leaves/*", "", "outcome", "Nobody waits in vain"},
		{"seq-group-protocol-twice/*", "", "*", "Nobody waits in vain"},
		{"AlterConfigs/*/wrong", "a resource twice", "outcome", "Nobody waits in vain"},
		{"seq-group-join-twice/*", "", "outcome", "Nobody waits in vain"},
		{"seq-group-sync-twice/*", "", "outcome", "Nobody waits in vain"},
		{"seq-group-first-use/*", "", "*", "A coordinator is there when it is asked for"},
		{"seq-group-odd-names/*", "a name that is not UTF-8", "*", "Names are not repaired"},
	}
}

// betweenNodes lists the API keys by which Kafka's nodes speak to one another on the listener for controllers.
var betweenNodes = []int16{1, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82}

// oddIndex is the partition that a batch of the wrong-batches cases is sent to.
func oddIndex(about string) int {
	for i, odd := range wrongBatches() {
		if odd.about == about {
			return i
		}
	}
	panic("no odd batch is called " + about)
}
