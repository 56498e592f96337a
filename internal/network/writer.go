package network

import (
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/moldau/moldau/internal/vfs"
)

const (
	// smallFile is the size below which a file span is read and sent with the memory around it: the system call that sendfile costs
	// is then dearer than the copy.
	smallFile = 16 << 10
	// chunk is the size of the pooled buffers that file spans are read into.
	chunk = 64 << 10
	// maxRun bounds the memory given to one write, so that OnProgress is called now and then.
	maxRun = 4 << 20
)

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// Writer writes spans to one connection: memory runs with one gathered write, files with sendfile(2) where the system has it.
// It is not safe for concurrent use.
type Writer struct {
	// OnProgress, if set, is called whenever a part of the spans has been written; a time-out may start again then.
	OnProgress func()

	conn Conn
	tcp  *net.TCPConn // nil if conn is none
	bufs net.Buffers  // the memory run that is being gathered
	copy net.Buffers  // what a gathered write may consume
	held int64        // bytes in bufs
	tmp  *[chunk]byte // holds small files of the run
	used int          // of tmp
	sys  writerSys
}

// NewWriter returns a Writer on conn, which may be nil for one that is to be attached.
func NewWriter(conn Conn) *Writer {
	w := &Writer{conn: conn}
	if t, ok := conn.(*net.TCPConn); ok {
		w.tcp = t
	}
	w.sys.init(w)
	return w
}

// Attach makes the writer write to the connection that r reads, or lets go of its connection if r is nil: writers are larger than what an
// idle connection should hold. Between two writes only.
func (w *Writer) Attach(r *Reader) {
	w.conn, w.tcp = nil, nil
	if r != nil {
		w.conn = r.conn
		w.tcp, _ = r.conn.(*net.TCPConn)
	}
	w.sys.attach(r)
}

// Write writes all spans and returns how many bytes went out. After an error the connection has an unknown part of them and can
// only be closed. A file that ends before its span does is an error.
func (w *Writer) Write(spans []vfs.Span) (n int64, err error) {
	if len(spans) == 1 && spans[0].File == nil && spans[0].N <= maxRun {
		k, err := w.conn.Write(spans[0].Mem)
		w.progress()
		return int64(k), err
	}
	defer w.reset()
	for i := range spans {
		m, err := w.span(spans[i])
		if n += m; err != nil {
			return n, err
		}
	}
	m, err := w.flush(false)
	return n + m, err
}

func (w *Writer) span(s vfs.Span) (n int64, err error) {
	switch {
	case s.File == nil:
		for rest := s.Mem; len(rest) > 0 && err == nil; {
			b := rest[:min(len(rest), maxRun)]
			rest = rest[len(b):]
			var m int64
			m, err = w.hold(b)
			n += m
		}
		return n, err
	case s.N > smallFile && w.sys.canSend(s.File):
		if n, err = w.flush(true); err != nil {
			return n, err
		}
		m, err := w.sys.sendFile(s)
		if err != nil {
			err = fmt.Errorf("send %d bytes at %d of %s: %w", s.N, s.Off, s.File.Name(), err)
		}
		return n + m, err
	}
	for off, end := s.Off, s.Off+s.N; off < end; {
		if w.used == chunk {
			m, err := w.flush(false)
			if n += m; err != nil {
				return n, err
			}
		}
		if w.tmp == nil {
			w.tmp = chunks.Get().(*[chunk]byte)
		}
		b := w.tmp[w.used:min(chunk, w.used+int(min(end-off, chunk)))]
		if k, err := s.File.ReadAt(b, off); k < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, fmt.Errorf("read %d bytes at %d of %s: %w", len(b), off, s.File.Name(), err)
		}
		w.used += len(b)
		off += int64(len(b))
		m, err := w.hold(b)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// hold adds b to the run.
func (w *Writer) hold(b []byte) (n int64, err error) {
	if w.held+int64(len(b)) > maxRun && w.held > 0 {
		if n, err = w.flush(false); err != nil {
			return n, err
		}
	}
	w.bufs = append(w.bufs, b)
	w.held += int64(len(b))
	return n, nil
}

// flush writes the run. more says that a file follows at once.
func (w *Writer) flush(more bool) (n int64, err error) {
	if len(w.bufs) == 0 {
		w.used = 0
		return 0, nil
	}
	switch {
	case len(w.bufs) == 1 && !more:
		var k int
		k, err = w.conn.Write(w.bufs[0])
		n = int64(k)
	case w.sys.canGather():
		n, err = w.sys.gather(w.bufs, more)
	case w.tcp != nil:
		w.copy = w.bufs // WriteTo moves the slice it is called on
		n, err = w.copy.WriteTo(w.conn)
		w.copy = nil
	default:
		n, err = w.joined()
	}
	clear(w.bufs)
	w.bufs, w.held, w.used = w.bufs[:0], 0, 0
	w.progress()
	return n, err
}

// joined writes the run through a buffer, for connections where every write costs: TLS records, memory pipes.
func (w *Writer) joined() (n int64, err error) {
	j := chunks.Get().(*[chunk]byte)
	defer chunks.Put(j)
	fill := 0
	write := func(b []byte) {
		k, e := w.conn.Write(b)
		n, err = n+int64(k), e
	}
	for _, b := range w.bufs {
		if len(b) > chunk-fill && fill > 0 {
			if write(j[:fill]); err != nil {
				return n, err
			}
			fill = 0
		}
		if len(b) >= chunk {
			if write(b); err != nil {
				return n, err
			}
			continue
		}
		fill += copy(j[fill:], b)
	}
	if fill > 0 {
		write(j[:fill])
	}
	return n, err
}

func (w *Writer) reset() {
	clear(w.bufs)
	w.bufs, w.held, w.used = w.bufs[:0], 0, 0
	if cap(w.bufs) > 64 {
		w.bufs = nil
	}
	if w.tmp != nil {
		chunks.Put(w.tmp)
		w.tmp = nil
	}
}

func (w *Writer) progress() {
	if w.OnProgress != nil {
		w.OnProgress()
	}
}
