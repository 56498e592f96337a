// Package fetcher lets replicas of this broker follow their leaders on others: one connection to every broker that leads any of them, Kafka's Fetch
// in a session on it, answers taken to the replicas. It owns no rules of replication (package replica does) and no log, and never decides who leads.
//
// A request names the partitions whose position has changed, and no others, so idle partitions cost nothing. Two requests may be under way on a
// connection: when one waits at the leader for records, another one tells it what has been synced here since, or asks for another partition, and the
// leader answers the first. So an acks=all costs the append at the leader, one way, append and sync here, and one way back.
//
// Invariants: a partition is asked of one broker at a time, the one that its replica follows; at most one answer with records is under way for it; its
// answers are taken one after another, and no partition waits until the log of another one is cut. A partition or a broker that fails is asked again after a pause which grows to replica.fetch.backoff.ms, and at
// once when its leader or leader epoch changes. What is held in memory is one answer a source.
//
// Beside that, Committed reads what is committed of a partition from any replica, for a repair, on a connection of its own.
package fetcher
