package network

import (
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// pipeBytes is the size asked for: what an unprivileged process may have (fs.pipe-max-size), and a usual fetch as a whole.
	pipeBytes = 1 << 20
	// minPipe is the size below which a pipe is not worth having: sendfile goes through one of 64 KiB inside the kernel.
	minPipe = 256 << 10
	// maxPipes bounds the pipes in use, and with them the pages that receivers who do not read keep in the page cache. All together they stay below
	// what the system lets one user have (fs.pipe-user-pages-soft is 64 MiB).
	maxPipes = 32
	// keptPipes bounds the empty pipes that wait for their next use.
	keptPipes = 8
)

// pipe carries pages of a file to a socket. What is in it are references to the page cache.
type pipe struct {
	in, out int
	have    int // bytes in it
}

// pipePool hands out empty pipes, no more than maxPipes at a time.
type pipePool struct {
	mu struct {
		sync.Mutex
		unused []*pipe
		inUse  int
		failed bool // the system gives none that is large enough, and is not asked again
	}
}

var pipes pipePool

// get returns an empty pipe, or nil where there is none to be had: sendfile does then.
func (p *pipePool) get() *pipe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.inUse == maxPipes || p.mu.failed {
		return nil
	}
	if n := len(p.mu.unused); n > 0 {
		got := p.mu.unused[n-1]
		p.mu.unused = p.mu.unused[:n-1]
		p.mu.inUse++
		return got
	}
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return nil // no descriptor is left; that passes
	}
	size, err := unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeBytes)
	got := &pipe{out: fds[0], in: fds[1]}
	if err != nil || size < minPipe {
		got.close()
		p.mu.failed = true
		return nil
	}
	p.mu.inUse++
	return got
}

// put takes back a pipe. One that is not empty goes, with what is in it.
func (p *pipePool) put(used *pipe) {
	p.mu.Lock()
	p.mu.inUse--
	keep := used.have == 0 && len(p.mu.unused) < keptPipes
	if keep {
		p.mu.unused = append(p.mu.unused, used)
	}
	p.mu.Unlock()
	if !keep {
		used.close()
	}
}

func (p *pipe) close() {
	_ = unix.Close(p.in) // nobody waits for what a pipe says when it is closed
	_ = unix.Close(p.out)
}

// fill moves at most n bytes of the file at *off into the empty pipe, as references to the pages, moves *off on, and says whether there are any.
func (p *pipe) fill(file int, off *int64, n int64) bool {
	k, err := unix.Splice(file, off, p.in, nil, int(min(n, pipeBytes)), unix.SPLICE_F_MOVE)
	if err == nil {
		p.have = int(k)
	}
	return p.have > 0
}

// drain moves what is in the pipe into the socket, as far as that takes it. more says that more is to follow at once.
func (p *pipe) drain(socket int, more bool) (int, error) {
	flags := unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK
	if more {
		flags |= unix.SPLICE_F_MORE
	}
	for {
		k, err := unix.Splice(p.out, nil, socket, nil, p.have, flags)
		if err != unix.EINTR {
			p.have -= int(max(k, 0))
			return int(max(k, 0)), err
		}
	}
}
