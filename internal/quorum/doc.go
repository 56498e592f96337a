// Package quorum makes an ordered log of entries durable on a majority of voters and hands the committed ones to a state
// machine: the metadata log's Raft, run on go.etcd.io/raft/v3. It is the only importer of that library, and it knows no topics:
// bytes go in, committed bytes and snapshots come out.
//
// The package owns the files of one directory:
//
//	identity          who this directory is as a voter; written last when the directory is made
//	NNN.log           segments of the log, see segment.go
//	NNN.snapshot      the two newest snapshots by index, see snapshot.go
//
// # Rules
//
// Term, vote and entries go into one log, one write and one sync for each batch; nothing is answered before. Any error of a
// write or a sync ends the node (Run returns it) and nothing is written after it; only lack of space for more than what the log
// holds in reserve is answered, with ErrFull. A torn tail is cut; damage before synced bytes is ErrCorrupt and never repaired
// here, since a voter that lost its vote must not vote again: such a directory is replaced by an empty one, which is a new voter.
// Committed entries are applied in order by one goroutine. Leases are never used; time only decides when to stand for election.
package quorum
