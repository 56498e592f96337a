//go:build unix

package network

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// readerSys tries read(2) first and takes the buffer only around the call.
type readerSys struct {
	r    *Reader
	raw  syscall.RawConn
	n    int
	err  error
	once func(fd uintptr) bool
}

func (s *readerSys) init(r *Reader) {
	s.r = r
	if t, ok := r.conn.(*net.TCPConn); ok {
		s.raw, _ = t.SyscallConn()
	}
	s.once = s.try
}

func (s *readerSys) able() bool { return s.raw != nil }

func (s *readerSys) read() (int, error) {
	s.n, s.err = 0, nil
	if err := s.raw.Read(s.once); err != nil {
		return 0, err
	}
	return max(s.n, 0), s.err
}

func (s *readerSys) try(fd uintptr) bool {
	b := s.r.acquire()
	for {
		s.n, s.err = unix.Read(int(fd), b)
		switch s.err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			s.r.release()
			return false
		}
		return true
	}
}

// ended looks at what could be read and leaves it there.
func (s *readerSys) ended() (ended bool) {
	err := s.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK)
		ended = n <= 0 && err != unix.EAGAIN && err != unix.EINTR
		return true
	})
	return ended || err != nil
}
