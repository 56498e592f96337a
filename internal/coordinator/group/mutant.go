package group

// mutant is a planted bug. The simulation must find each of them, or its checks are worth nothing. Outside tests there is none.
type mutant uint8

const (
	noMutant               mutant = iota
	commitOfLastGeneration        // a commit of the previous generation is accepted
	twoOwners                     // a member gets its neighbour's assignment too
	generationKept                // a rebalance ends in the generation in which it began
	fencedAccepted                // a static member that was replaced still counts
	expiredKept                   // a member whose session has expired stays
	replayDropsMember             // a loaded group lacks its last member
	joinedTooEarly                // a join is answered before all have rejoined
	heartbeatIgnored              // a heartbeat does not renew the session
	staticNotStored               // a replaced static member is not written to the log
	leftKept                      // a member that left stays
	syncLost                      // the sync of one member is never answered
	activeDeleted                 // a group with members can be deleted
	pendingKept                   // a pending member that does not come back is waited for
	loadedForever                 // the sessions of loaded members do not begin
	leaderAssigns                 // a static leader that returns is not told who led before
	mutants
)
