// Package peer holds connections from this node to another one of its cluster: Kafka's framing, pipelined requests, messages that expect no
// answer, connecting again after a loss. It owns no request's meaning, decides nothing about the other node, and never waits without a bound.
package peer
