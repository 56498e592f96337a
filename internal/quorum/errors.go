package quorum

import "errors"

var (
	// ErrCorrupt means that the directory does not hold what was synced to it.
	ErrCorrupt = errors.New("corrupt quorum directory")
	// ErrNotLeader means that this node does not lead, or not in the term that the caller thinks of. The entry is not appended.
	ErrNotLeader = errors.New("not the leader of the quorum")
	// ErrLeadershipLost means that leadership ended while the entry was under way: it may or may not be committed.
	ErrLeadershipLost = errors.New("leadership of the quorum lost")
	// ErrFull means that the disk has no room for the entry. The entry is not appended.
	ErrFull = errors.New("no space for the metadata log")
	// ErrStopped means that the node has stopped; whether an entry under way is committed is not known.
	ErrStopped = errors.New("quorum node stopped")
	// ErrMissing is returned by Open for an empty directory where none may be made.
	ErrMissing = errors.New("no quorum directory")
)
