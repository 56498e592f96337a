package config

// Settings of topics and producers.
var topicsSettings = []Setting{
	honoured("auto.create.topics.enable", Bool, "true", anything, "Create a topic when a client asks for one that is not there."),
	honoured("num.partitions", Int, "1", atLeast(1), "Partitions of a topic created without a number."),
	honoured("default.replication.factor", Int, "1", anything, "Replicas of a topic created without a number; where it is not set, 3 once three brokers are registered."),
	honoured("delete.topic.enable", Bool, "true", anything, "Allow topics to be deleted."),
	honoured("min.insync.replicas", Int, "1", atLeast(1), "In-sync replicas that acks=all needs. Where nobody sets it, not even to 1, topics with three replicas or more need 2."),
	honoured("message.max.bytes", Int, "1048588", atLeast(0), "Largest record batch, as it arrives."),
	honoured("max.decompressed.message.bytes", Int, "134217728", between(1, 2147483639), "Largest record batch once decompressed."),
	honoured("compression.type", String, "producer", oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), "Codec of stored batches; producer keeps what arrives."),
	honoured("compression.gzip.level", Int, "-1", gzipLevel, "Level for gzip, where the broker compresses."),
	honoured("compression.lz4.level", Int, "9", between(1, 17), "Level for lz4, where the broker compresses."),
	honoured("compression.zstd.level", Int, "3", between(-131072, 22), "Level for zstd, where the broker compresses."),
	accepted("unclean.leader.election.enable", Bool, "false", anything, "Let a replica that may lack records lead."),
	refused("create.topic.policy.class.name", ClassName, unset, anything, "Class that judges topic creations."),
	refused("alter.config.policy.class.name", ClassName, unset, anything, "Class that judges config changes."),
	honoured("producer.id.expiration.ms", Int, "86400000", atLeast(1), "Time an idle producer's sequence numbers are remembered."),
	accepted("producer.id.expiration.check.interval.ms", Int, "600000", atLeast(1), "Pause between clean-ups of remembered producers.").internal(),
	accepted("errors.deadletterqueue.auto.create.topics.enable", Bool, "false", anything, "Create dead letter topics of share groups."),
	accepted("errors.deadletterqueue.topic.name.prefix", String, "dlq.", anything, "Prefix of dead letter topics."),
}
