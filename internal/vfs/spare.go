package vfs

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// NoDescriptors says of an error that the process, or the system, has no file descriptor left. Only what opens a file fails so, and nothing
// has happened to any file then: whoever meets it may try again.
func NoDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// spares are descriptors that stand open for nothing but to be closed when a file must be opened and connections have taken all others.
var spares spareFiles

type spareFiles struct {
	short atomic.Bool // there are fewer than wanted
	mu    sync.Mutex
	want  int
	open  []*os.File
}

// KeepSpare keeps so many descriptors of this process for the files of OS: once there is no other, a file is opened in the place of a
// spare one, and that is kept again when a file is closed.
func KeepSpare(n int) { spares.keep(n) }

func (s *spareFiles) keep(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want = n
	for len(s.open) > n {
		s.closeLocked()
	}
	s.fillLocked()
}

func (s *spareFiles) fillLocked() {
	for len(s.open) < s.want {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		s.open = append(s.open, f)
	}
	s.short.Store(len(s.open) < s.want)
}

func (s *spareFiles) closeLocked() {
	last := len(s.open) - 1
	s.open[last].Close()
	s.open = s.open[:last]
}

// refill is called when a descriptor may have become free.
func (s *spareFiles) refill() {
	if !s.short.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fillLocked()
}

// give frees a spare descriptor, if there is one.
func (s *spareFiles) give() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) == 0 {
		return false
	}
	s.closeLocked()
	s.short.Store(true)
	return true
}

// opening runs open, which opens a file, again in the place of a spare descriptor for as long as it finds none.
func opening(open func() error) error {
	err := open()
	for errors.Is(err, syscall.EMFILE) && spares.give() {
		err = open() // a connection may have been faster
	}
	return err
}
