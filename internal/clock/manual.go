package clock

import (
	"sort"
	"sync"
	"time"
)

// Manual is a clock for tests: its time moves only when Advance or Set is called. It is safe for concurrent use.
type Manual struct {
	mu     sync.Mutex // guards the fields below and all timers
	now    time.Time
	timers []*manualTimer // pending, the first due first; those due together in the order in which they were started
}

type manualTimer struct {
	clock *Manual
	due   time.Time
	f     func(now time.Time)
}

// NewManual returns a clock that stands at start.
func NewManual(start time.Time) *Manual { return &Manual{now: start} }

func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// AfterFunc runs f, in the goroutine that calls Advance, once d has passed. A d of 0 or less is due at the next Advance,
// even one of 0.
func (m *Manual) AfterFunc(d time.Duration, f func()) Timer {
	return m.start(d, func(time.Time) { f() })
}

func (m *Manual) After(d time.Duration) <-chan time.Time {
	c := make(chan time.Time, 1)
	m.start(d, func(now time.Time) { c <- now })
	return c
}

func (m *Manual) start(d time.Duration, f func(time.Time)) *manualTimer {
	t := &manualTimer{clock: m, f: f}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.addLocked(t, d)
	return t
}

func (m *Manual) addLocked(t *manualTimer, d time.Duration) {
	t.due = m.now.Add(max(d, 0))
	at := sort.Search(len(m.timers), func(i int) bool { return m.timers[i].due.After(t.due) })
	m.timers = append(m.timers, nil)
	copy(m.timers[at+1:], m.timers[at:])
	m.timers[at] = t
}

// removeLocked says whether t was pending.
func (m *Manual) removeLocked(t *manualTimer) bool {
	for i, pending := range m.timers {
		if pending == t {
			m.timers = append(m.timers[:i], m.timers[i+1:]...)
			return true
		}
	}
	return false
}

// Advance moves the time on by d and runs what is due meanwhile, one after another in order of time; each sees the time
// at which it was due. What they start runs too if it is due by then.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	end := m.now.Add(max(d, 0))
	for len(m.timers) > 0 && !m.timers[0].due.After(end) {
		t := m.timers[0]
		m.timers = m.timers[1:]
		if t.due.After(m.now) { // it is before now only where two goroutines advance at once
			m.now = t.due
		}
		now := m.now
		m.mu.Unlock()
		t.f(now)
		m.mu.Lock()
	}
	if m.now.Before(end) {
		m.now = end
	}
	m.mu.Unlock()
}

// Next returns when the next timer is due, if one is pending.
func (m *Manual) Next() (due time.Time, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.timers) == 0 {
		return time.Time{}, false
	}
	return m.timers[0].due, true
}

// Pending returns how many timers are pending, so that a test can see that nothing was left behind.
func (m *Manual) Pending() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.timers)
}

func (t *manualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.clock.removeLocked(t)
}

func (t *manualTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	was := t.clock.removeLocked(t)
	t.clock.addLocked(t, d)
	return was
}
