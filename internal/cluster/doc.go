// Package cluster makes several nodes one cluster: it forms the metadata quorum, carries its messages, brings requests to the active controller
// wherever they come in and committed metadata to brokers that do not vote, sends a broker's heartbeats, and on the active controller decides
// which brokers are dead. It owns the requests that nodes send one another (protocol's private keys) and no file; what becomes of the metadata
// is the controller's to decide, and a node that is alone needs nothing of it.
//
// # Forming
//
// A raft id belongs to a directory (package quorum), and is durable before it is told. A voter whose directory knows no cluster asks the
// others first. Only when all voters that the configuration lists have answered, and none knows a cluster, does the one with the lowest node id
// form one, with the raft ids that it was told; the others get its first snapshot by raft itself. A voter that finds a cluster which does not
// count its directory, because the disk was wiped or the node is new, takes part as a broker that does not vote, and says so.
//
// # Addresses
//
// Raft knows directories, the configuration knows nodes. Which directory is at which node is learned from answers and from raft's own messages,
// and kept in memory; a message to a directory that nobody has named yet is dropped, as a network may.
package cluster
