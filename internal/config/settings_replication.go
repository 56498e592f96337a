package config

// The classes that Kafka has to pick the replica that a consumer reads from.
const (
	rackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
	leaderSelector    = "org.apache.kafka.common.replica.LeaderSelector"
)

// Settings of replication and quotas.
var replicationSettings = []Setting{
	accepted("num.replica.fetchers", Int, "1", atLeast(1), "Fetching threads per source broker; all partitions of one are fetched by one connection here, with two requests under way."),
	honoured("replica.fetch.backoff.ms", Int, "1000", atLeast(0), "Longest pause after a failed fetch; the first is 10 ms."),
	honoured("replica.fetch.max.bytes", Int, "1048576", atLeast(0), "Bytes of one partition in a follower's fetch."),
	honoured("replica.fetch.min.bytes", Int, "1", anything, "Bytes a follower waits for."),
	honoured("replica.fetch.response.max.bytes", Int, "10485760", atLeast(0), "Bytes in the answer to a follower's fetch."),
	honoured("replica.fetch.wait.max.ms", Int, "500", anything, "How long a follower's fetch waits."),
	accepted("replica.high.watermark.checkpoint.interval.ms", Long, "5000", anything, "Pause between high-watermark checkpoints."),
	honoured("replica.lag.time.max.ms", Long, "30000", anything, "Lag after which a follower leaves the ISR."),
	honoured("replica.selector.class", String, unset, oneOf(rackAwareSelector, leaderSelector), "Whether consumers with a client.rack are sent to a replica in their rack; unset, all read from leaders."),
	accepted("replica.socket.receive.buffer.bytes", Int, "65536", anything, "Receive buffer of replication sockets."),
	honoured("replica.socket.timeout.ms", Int, "30000", anything, "How long an answer to a follower's fetch may be late."),
	accepted("replication.quota.window.num", Int, "11", atLeast(1), "Samples kept for replication quotas."),
	accepted("replication.quota.window.size.seconds", Int, "1", atLeast(1), "Length of such a sample."),
	accepted("alter.log.dirs.replication.quota.window.num", Int, "11", atLeast(1), "Samples kept for quotas on moves between directories."),
	accepted("alter.log.dirs.replication.quota.window.size.seconds", Int, "1", atLeast(1), "Length of such a sample."),
	accepted("leader.replication.throttled.rate", Long, "9223372036854775807", atLeast(0), "Bytes a second a leader sends for throttled replicas.").internal(),
	accepted("follower.replication.throttled.rate", Long, "9223372036854775807", atLeast(0), "Bytes a second a follower takes for throttled replicas.").internal(),
	honoured("replica.alter.log.dirs.io.max.bytes.per.second", Long, "9223372036854775807", atLeast(0), "Bytes a second for moves between directories.").internal(),
	honoured("quota.window.num", Int, "11", atLeast(1), "Samples kept for client quotas."),
	honoured("quota.window.size.seconds", Int, "1", atLeast(1), "Length of such a sample."),
	refused("client.quota.callback.class", ClassName, unset, anything, "Class that decides client quotas."),
}
