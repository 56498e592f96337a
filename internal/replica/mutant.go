package replica

// mutant is a planted bug. The simulation must find each of them, or its checks are worth nothing. Outside tests there is none.
type mutant uint8

const (
	noMutant            mutant = iota
	truncateToHW               // a new follower cuts its log at its high watermark, as before KIP-101
	truncateOnce               // the end of an epoch that the follower does not know is taken for its own (KIP-279)
	staleAnswers               // answers of other leader epochs are followed
	answerTwice                // an answer to a fetch from another offset is followed
	staleFetches               // fetches of other leader epochs are counted
	oldIncarnation             // what the last incarnation of a follower had counts for the new one
	countUnsynced              // a follower's log end counts on a durable topic
	countOwnUnsynced           // the leader's own log end counts on a durable topic
	noMinISR                   // the high watermark moves while the ISR is too small
	earlyShrink                // a smaller ISR counts before the controller took it
	refusedForgotten           // a refused proposal counts no more, though a copy of it may be under way
	joinBelowHW                // a follower joins the ISR without having reached the high watermark
	joinBelowEpochStart        // ... without having reached the start of the leader epoch
	joinUnfetched              // ... without having fetched in this leader epoch
	eagerHW                    // a new leader answers with a high watermark that may be old
	deleteUncommitted          // the log start passes the high watermark
	unregisteredLeads          // a restarted broker leads in the epoch of its last incarnation
	mutants
)
