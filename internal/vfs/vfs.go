// Package vfs is the file-system seam: every file Moldau reads or writes goes through an FS, so that tests can run on a
// memory file system that loses unsynced bytes in a crash, and on one that fails the n-th call. It owns the calls, never
// their meaning: it knows no segment, no log, no format.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Flags of OpenFile. Their values are package os's.
const (
	ReadOnly  = 0x0
	ReadWrite = 0x2
	Create    = 0x40
	Exclusive = 0x80
	Truncate  = 0x200
)

// ErrLocked is returned by FS.Lock when another process, or another holder in this one, has the lock.
var ErrLocked = errors.New("locked by another process")

// FS is a file system. Names are paths as package filepath makes them. Errors are *fs.PathError or wrap one, so that
// errors.Is(err, fs.ErrNotExist) and errors.Is(err, syscall.ENOSPC) work.
type FS interface {
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Remove(name string) error
	RemoveAll(name string) error
	Rename(oldName, newName string) error
	MkdirAll(name string, perm fs.FileMode) error
	ReadDir(name string) ([]fs.DirEntry, error) // sorted by name
	Stat(name string) (fs.FileInfo, error)

	// SyncDir makes the entries of a directory durable: files created in it, removed from it or renamed in it.
	SyncDir(name string) error
	// Lock takes an exclusive lock on the file name, creating it; the lock ends with Close or with the process.
	Lock(name string) (Lock, error)
	// Free returns the bytes that may still be written to the file system that holds name.
	Free(name string) (uint64, error)
	// Total returns the size in bytes of the file system that holds name.
	Total(name string) (uint64, error)
}

// Lock is a lock that is held.
type Lock interface {
	io.Closer

	// SyncFS makes everything on the file system that holds the locked file durable (syncfs(2)), whoever wrote it. Its error tells of
	// everything on it that could not be written since the lock was taken, by whatever wrote it back, unless an earlier call has told it.
	// Where the system does not promise that, nothing is synced, and the error is errors.ErrUnsupported.
	SyncFS() error
}

// File is one open file. Reads and writes name their offset and may run concurrently; there is no file position.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer

	// WritevAt writes the buffers one after another from off, in one system call where that is possible.
	WritevAt(bufs [][]byte, off int64) (int, error)
	Truncate(size int64) error
	// Sync makes content and metadata durable (fsync); Datasync content and what is needed to read it (fdatasync).
	Sync() error
	Datasync() error
	// Preallocate reserves blocks for [off, off+n) without changing the size. It is a hint: where the file system
	// cannot do it, it returns nil. Lack of space is an error.
	Preallocate(off, n int64) error
	// WriteBack starts writing [off, off+n) to the disk without waiting for it (sync_file_range). It is a hint.
	WriteBack(off, n int64) error
	Size() (int64, error)
	Name() string
}

// Span is a run of bytes to send: in memory when File is nil, otherwise N bytes of File from Off.
type Span struct {
	Mem  []byte
	File File
	Off  int64
	N    int64
}

// MemSpan returns a span of b.
func MemSpan(b []byte) Span { return Span{Mem: b, N: int64(len(b))} }

// AppendTo appends the bytes of the span to dst, reading them from the file if need be.
func (s Span) AppendTo(dst []byte) ([]byte, error) {
	if s.File == nil {
		return append(dst, s.Mem...), nil
	}
	at := len(dst)
	dst = append(dst, make([]byte, s.N)...)
	n, err := s.File.ReadAt(dst[at:], s.Off)
	if int64(n) == s.N {
		return dst, nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return dst[:at], fmt.Errorf("read %d bytes at %d of %s: %w", s.N, s.Off, s.File.Name(), err)
}
