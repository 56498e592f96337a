package logdir

import "time"

// economy says when the journal may take what would be synced in segment files because it is much. All that goes through the journal is written
// twice, which a disk that is busy cannot bear. A disk that is not busy is done with a group of the journal much sooner than with syncs of files,
// since those change the file system's own records too. Without the journal a log that once fell behind would stay behind: during each sync of its
// file so much is appended that the next one is necessary.
//
// So it compares what is appended with what the journal writes in the time it takes for that. Only the committing goroutine calls it.
type economy struct {
	speed  float64 // bytes a second that the journal writes; 0: nothing is known
	known  time.Time
	recent float64 // bytes appended, less and less of those that are older
	at     time.Time
}

const (
	// assumedSpeed is taken for the journal's before anything is known of it, and again when nothing has been heard of it for long.
	assumedSpeed = 1 << 30
	forgetSpeed  = 30 * time.Second
	// tellingGroup is how large a group must be to tell how fast the disk writes, and not only how long a sync takes.
	tellingGroup = 256 << 10
	// speedShare is the part of that speed at which logs may be appended to in all: the journal writes as much, and write-back of
	// the files too, and a disk that is half idle is left to readers and to what comes in bursts.
	speedShare = 4
	// recentTime is the time over which appends are counted.
	recentTime = time.Second / 2
)

// appended notes that so much was found to sync.
func (e *economy) appended(now time.Time, n int64) {
	e.age(now)
	e.recent += float64(n)
}

// age lets what was appended count less.
func (e *economy) age(now time.Time) {
	passed := now.Sub(e.at)
	e.at = now
	if passed > 0 {
		e.recent *= max(0, 1-float64(passed)/float64(recentTime))
	}
}

// committed notes how long the journal took for a group.
func (e *economy) committed(now time.Time, n int, took time.Duration) {
	if n < tellingGroup || took <= 0 {
		return
	}
	have := e.assumed(now)
	e.speed, e.known = have+(float64(n)/took.Seconds()-have)/8, now
}

// assumed is the speed that was seen, and the more what is assumed of any disk, the longer ago that is: else a bad moment, after which the journal
// takes only small groups, would be the last that is known.
func (e *economy) assumed(now time.Time) float64 {
	if e.known.IsZero() {
		return assumedSpeed
	}
	old := min(1, max(0, float64(now.Sub(e.known))/float64(forgetSpeed)))
	return e.speed + (assumedSpeed-e.speed)*old
}

// affords says whether the disk can bear that all is written twice.
func (e *economy) affords(now time.Time) bool {
	e.age(now)
	return e.recent/recentTime.Seconds() < e.assumed(now)/speedShare
}
