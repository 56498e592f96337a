// Package clock is the time seam. Now's monotonic reading drives every time-out; its wall reading only stamps records and
// decides retention by time. The package owns no policy: nobody's time-out is defined here.
package clock

import "time"

// Clock tells the time and runs functions later. Implementations are safe for concurrent use.
type Clock interface {
	Now() time.Time
	// AfterFunc runs f in its own goroutine after d; the returned timer stops or restarts it.
	AfterFunc(d time.Duration, f func()) Timer
	// After returns a channel that receives once after d.
	After(d time.Duration) <-chan time.Time
}

// Timer is a pending call of AfterFunc, as *time.Timer.
type Timer interface {
	Stop() bool
	Reset(d time.Duration) bool
}

// Real is the clock of this machine.
var Real Clock = realClock{}

type realClock struct{}

func (realClock) Now() time.Time                            { return time.Now() }
func (realClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
func (realClock) After(d time.Duration) <-chan time.Time    { return time.After(d) }
