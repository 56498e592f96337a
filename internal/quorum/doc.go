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
// write or a sync ends the node (Run returns it) and nothing is written after it; a write that finds no space is the exception, see
// below. A torn tail is cut, and the log says so; damage of synced bytes is ErrCorrupt and never repaired here, since a voter that
// lost its vote must not vote again: such a directory is replaced by an empty one, which is a new voter. Committed entries are
// applied in order by one goroutine. Leases are never used; time only decides when to stand for election.
//
// # A full disk
//
// The log keeps zeros written ahead of its last frame as a reserve, which needs no more space to be used. An entry that would need
// it is answered with ErrFull, unless its proposer calls it urgent: then it may take all but a last part, which is for terms, votes
// and the entries of the quorum itself. So a node with a full disk starts, leads, and gets out of its need by the entries that free
// space. The reserve is a quarter of a segment, at most 1 MiB, and more where four urgent entries of the largest size seen would not
// fit. It is made with the directory; one that has none, or a part of it, starts as well. With every write, and every second, it is
// filled up again where there is space. A snapshot, or a new segment, that finds no space is put off.
package quorum
