package logdir

import (
	"fmt"
	"sync"
	"time"
)

// background runs work that nobody waits for: the removal of files. It goes step by step, and cutting a piece off a large file is a step, so that
// no call keeps the file system busy for long. After each step it rests as long as that took: whoever writes has the disk for half of the time.
// Where space is short it does not rest. What is not done when it is closed is found again at the next start.
type background struct {
	d    *Dir
	wake chan struct{}
	done chan struct{}
	stop chan struct{}
	once sync.Once

	mu struct {
		sync.Mutex
		jobs []func() (again bool, err error)
	}
}

func newBackground(d *Dir) *background {
	b := &background{d: d, wake: make(chan struct{}, 1), done: make(chan struct{}), stop: make(chan struct{})}
	go b.loop()
	return b
}

// run implements commitlog's Background. On a full disk nothing waits: what is removed makes room.
func (b *background) run(delay time.Duration, step func() (again bool, err error)) {
	if delay > 0 && !b.d.full.Load() && !b.d.low.Load() {
		b.d.opts.Clock.AfterFunc(delay, func() { b.add(step) })
		return
	}
	b.add(step)
}

func (b *background) add(step func() (again bool, err error)) {
	b.mu.Lock()
	b.mu.jobs = append(b.mu.jobs, step)
	b.mu.Unlock()
	signal(b.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one signal is enough
	}
}

func (b *background) loop() {
	defer close(b.done)
	for {
		select {
		case <-b.stop:
			return
		case <-b.wake:
		}
		for b.step() {
			select {
			case <-b.stop:
				return
			default:
			}
		}
	}
}

// step runs one step of the oldest job and says whether there was one.
func (b *background) step() bool {
	b.mu.Lock()
	if len(b.mu.jobs) == 0 {
		b.mu.Unlock()
		return false
	}
	job := b.mu.jobs[0]
	b.mu.jobs = b.mu.jobs[1:]
	b.mu.Unlock()
	began := b.d.opts.Clock.Now()
	again, err := job()
	if lacks(err) {
		b.d.opts.Clock.AfterFunc(time.Second, func() { b.add(job) })
		return true
	}
	if err != nil {
		b.d.opts.Warn(fmt.Errorf("remove files in the background: %w", err))
		return true
	}
	if again {
		b.rest(b.d.opts.Clock.Now().Sub(began))
		b.add(job)
	}
	return true
}

// maxRest bounds a pause after a step that took long.
const maxRest = time.Second

// rest leaves the disk to others after a step.
func (b *background) rest(took time.Duration) {
	if took <= 0 || b.d.full.Load() || b.d.low.Load() {
		return
	}
	select {
	case <-b.stop:
	case <-b.d.opts.Clock.After(min(took, maxRest)):
	}
}

func (b *background) close() {
	b.once.Do(func() { close(b.stop) })
	<-b.done
}
