package network

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/moldau/moldau/internal/vfs"
)

const (
	// maxSendFile bounds one sendfile(2), so that OnProgress is called now and then.
	maxSendFile = 4 << 20
	// minSplice is the size from which a file goes through a pipe of ours. It costs a call more than sendfile, which has the same pipe inside, but one of
	// 64 KiB: with each of those it wakes the receiver.
	minSplice = 128 << 10
)

// writerSys sends from file to socket inside the kernel. The callbacks are made once, so that a write allocates nothing.
type writerSys struct {
	w    *Writer
	sock syscall.RawConn // nil where there is none
	file syscall.RawConn // the file being sent
	off  int64
	left int64
	n    int
	err  error
	bufs [][]byte
	more bool  // a file follows the buffers
	pipe *pipe // that the file goes through; nil: sendfile

	onSocket, onGather func(fd uintptr) bool
	onFile             func(fd uintptr)
	socket             int
}

func (s *writerSys) init(w *Writer) {
	s.w = w
	if w.tcp != nil {
		s.sock, _ = w.tcp.SyscallConn()
	}
	s.onSocket, s.onGather, s.onFile = s.withSocket, s.withGather, s.withFile
}

func (s *writerSys) attach(r *Reader) {
	s.sock = nil
	if r != nil {
		s.sock = r.sys.raw
	}
}

func (s *writerSys) canSend(f vfs.File) bool {
	_, ok := f.(vfs.Raw)
	return ok && s.sock != nil
}

func (s *writerSys) canGather() bool { return s.sock != nil }

// sendFile sends the span with offsets of its own: the file's position is neither used nor moved, so that one open file serves any
// number of connections.
func (s *writerSys) sendFile(span vfs.Span) (n int64, err error) {
	if s.file, err = span.File.(vfs.Raw).SyscallConn(); err != nil {
		return 0, err
	}
	if span.N >= minSplice {
		s.pipe = pipes.get()
	}
	defer func() {
		s.file = nil
		if s.pipe != nil {
			pipes.put(s.pipe)
			s.pipe = nil
		}
	}()
	for s.off, s.left = span.Off, span.N; s.left > 0; {
		if err := s.sock.Write(s.onSocket); err != nil {
			return span.N - s.left, err
		}
		if s.err != nil {
			return span.N - s.left, s.err
		}
		if s.n == 0 {
			return span.N - s.left, io.ErrUnexpectedEOF
		}
	}
	return span.N, nil
}

// withSocket sends as much of the file as the socket takes, and says whether it need not be waited for.
func (s *writerSys) withSocket(fd uintptr) bool {
	s.socket = int(fd)
	if err := s.file.Control(s.onFile); err != nil {
		s.n, s.err = 0, err
	}
	return s.err != unix.EAGAIN
}

func (s *writerSys) withFile(fd uintptr) {
	for s.n, s.err = 1, nil; s.left > 0 && s.n > 0 && s.err == nil; {
		if s.pipe != nil {
			s.splice(int(fd))
		} else {
			s.n, s.err = unix.Sendfile(s.socket, int(fd), &s.off, int(min(s.left, maxSendFile)))
		}
		if s.err == unix.EINTR {
			s.n, s.err = 1, nil
		} else if s.n > 0 {
			s.left -= int64(s.n)
			s.w.progress()
		}
	}
}

// splice fills the pipe if it is empty, and sends from it once. Where the file gives nothing it leaves the rest to sendfile, which says why.
func (s *writerSys) splice(file int) {
	if s.pipe.have == 0 && !s.pipe.fill(file, &s.off, s.left) {
		pipes.put(s.pipe)
		s.pipe, s.n, s.err = nil, 0, unix.EINTR // again, without the pipe
		return
	}
	s.n, s.err = s.pipe.drain(s.socket, s.left > int64(s.pipe.have))
}

// gather writes buffers. It is not left to net.Buffers, with which a connection would keep a vector as long as the longest that it was ever sent.
func (s *writerSys) gather(bufs [][]byte, more bool) (n int64, err error) {
	s.bufs, s.more = bufs, more
	defer func() { s.bufs = nil }()
	for len(s.bufs) > 0 {
		if err := s.sock.Write(s.onGather); err != nil {
			return n, err
		}
		if s.err != nil {
			return n, s.err
		}
		n += int64(s.n)
		for s.n > 0 && len(s.bufs) > 0 {
			if s.n < len(s.bufs[0]) {
				s.bufs[0] = s.bufs[0][s.n:]
				s.n = 0
			} else {
				s.n -= len(s.bufs[0])
				s.bufs = s.bufs[1:]
			}
		}
	}
	return n, nil
}

func (s *writerSys) withGather(fd uintptr) bool {
	for {
		bufs := s.bufs[:min(len(s.bufs), 1024)]
		if s.more { // MSG_MORE keeps the header from travelling in a packet of its own
			s.n, s.err = unix.SendmsgBuffers(int(fd), bufs, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
		} else {
			s.n, s.err = unix.Writev(int(fd), bufs)
		}
		if s.err != unix.EINTR {
			return s.err != unix.EAGAIN
		}
	}
}
