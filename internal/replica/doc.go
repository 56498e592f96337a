// Package replica decides for one replica of one partition: whether it leads or follows, how far records are committed, who is in
// sync, where a follower truncates. It is pure: a method is one step, (state, input, now) to a new state and an Out with what is to be
// done. It owns the rules of replication; it has no clock, no file, no connection and no lock, and it never decides who leads, which is
// the controller's.
//
// The log belongs to the host, which reads and writes it. A Machine only looks at its ends and epochs. After each step the host does
// what Out says, in the order of its fields, before it makes the next step; whenever the log's start, end or synced end moved, because of
// an Out or else, it calls Advance.
//
// The rules are Kafka's with every lesson since: truncation by leader epoch (KIP-101, KIP-279, KIP-320), ISR changes through the
// controller with partition epochs and the maximal ISR (KIP-497), broker epochs (KIP-841, KIP-903), strict min ISR (KIP-966). Where the
// topic is durable, what counts of a replica is its synced end, else its log end.
package replica
