package vfs

import (
	"io"
	"io/fs"
	"syscall"
	"time"
)

// memFile is a handle on a file of a Mem.
type memFile struct {
	fs       *Mem
	node     *memNode
	name     string
	writable bool
	closed   bool
}

// usable says why the handle cannot be used, if it cannot.
func (f *memFile) usable(write bool) error {
	switch {
	case f.fs.crashed:
		return ErrCrashed
	case f.closed:
		return fs.ErrClosed
	case f.node.dir != nil:
		return syscall.EISDIR
	case write && !f.writable:
		return syscall.EBADF
	}
	return nil
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	if err := f.usable(false); err != nil {
		return 0, pathError("read", f.name, err)
	}
	if off < 0 {
		return 0, pathError("readat", f.name, syscall.EINVAL)
	}
	if len(b) == 0 {
		return 0, nil
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.writeLocked(b, off)
}

func (f *memFile) writeLocked(b []byte, off int64) (int, error) {
	if err := f.usable(true); err != nil {
		return 0, pathError("write", f.name, err)
	}
	if off < 0 {
		return 0, pathError("writeat", f.name, syscall.EINVAL)
	}
	if len(b) == 0 {
		return 0, nil
	}
	full := error(nil)
	if end := f.fs.room(f.node); off+int64(len(b)) > end {
		full = pathError("write", f.name, syscall.ENOSPC)
		b = b[:max(end-off, 0)]
		if len(b) == 0 {
			return 0, full
		}
	}
	end := off + int64(len(b))
	if end > int64(len(f.node.data)) {
		f.fs.grow(f.node, end)
	}
	copy(f.node.data[off:], b)
	f.node.dirty.add(off, end)
	f.fs.changed(f.node)
	return len(b), full
}

// room returns the offset in n at which the file system would be full.
func (m *Mem) room(n *memNode) int64 {
	if m.capacity == 0 {
		return unbounded
	}
	return m.takes(n) + max(m.capacity-m.used, 0)
}

// grow extends n to size with zeros.
func (m *Mem) grow(n *memNode, size int64) {
	before := m.takes(n)
	old := int64(len(n.data))
	if size <= int64(cap(n.data)) {
		n.data = n.data[:size]
		clear(n.data[old:]) // a truncation may have left bytes there
	} else {
		n.data = append(n.data, make([]byte, size-old)...)
	}
	n.dirty.add(old, size)
	m.used += m.takes(n) - before
}

// truncate sets the size of n.
func (m *Mem) truncate(n *memNode, size int64) {
	m.changed(n)
	if size > int64(len(n.data)) { // the same size gives back what was reserved behind it
		m.grow(n, size)
		return
	}
	before := m.takes(n)
	n.data = n.data[:size]
	n.reserved = min(n.reserved, size)
	n.low = min(n.low, size)
	n.dirty.add(size, max(int64(len(n.synced)), size))
	m.used += m.takes(n) - before
}

func (f *memFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	total := 0
	for _, b := range bufs {
		n, err := f.writeLocked(b, off+int64(total))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.usable(true)
	if err == nil && size < 0 {
		err = syscall.EINVAL
	}
	if err != nil {
		return pathError("truncate", f.name, err)
	}
	f.fs.truncate(f.node, size)
	return nil
}

func (f *memFile) Sync() error     { return f.sync("sync") }
func (f *memFile) Datasync() error { return f.sync("fdatasync") }

func (f *memFile) sync(op string) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable(false); err != nil {
		return pathError(op, f.name, err)
	}
	f.node.sync()
	return nil
}

func (f *memFile) Preallocate(off, n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable(true); err != nil {
		return pathError("fallocate", f.name, err)
	}
	if n <= 0 {
		return nil
	}
	end := off + n
	if end > f.fs.room(f.node) {
		return pathError("fallocate", f.name, syscall.ENOSPC)
	}
	before := f.fs.takes(f.node)
	f.node.reserved = max(f.node.reserved, end)
	f.fs.used += f.fs.takes(f.node) - before
	return nil
}

// WriteBack promises nothing, so it does nothing: a crash may keep any unsynced sector with or without it.
func (f *memFile) WriteBack(off, n int64) error {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	return pathError("sync_file_range", f.name, f.usable(false))
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	if err := f.usable(false); err != nil {
		return 0, pathError("stat", f.name, err)
	}
	return int64(len(f.node.data)), nil
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.crashed {
		return pathError("close", f.name, ErrCrashed)
	}
	if f.closed {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	f.node.open--
	f.fs.release(f.node)
	return nil
}

// memInfo is what Stat and ReadDir tell of a node.
type memInfo struct {
	name string
	size int64
	mode fs.FileMode
	time time.Time
}

func (n *memNode) info(name string) memInfo {
	return memInfo{name, int64(len(n.data)), n.perm, n.modTime}
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.time }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
