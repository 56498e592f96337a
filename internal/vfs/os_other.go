//go:build !linux

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

func readFile(name string) ([]byte, error) { return os.ReadFile(name) }

func openFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}

func (f *osFile) Datasync() error                              { return f.f.Sync() }
func (f *osFile) Preallocate(off, n int64) error               { return nil }
func (f *osFile) WriteBack(off, n int64) error                 { return nil }
func (f *osFile) writev(bufs [][]byte, off int64) (int, error) { return writeEach(f.f, bufs, off) }

// lockRange does nothing: only Linux has two kinds of locks that belong to the open file.
func lockRange(*os.File) error { return nil }

// syncFS has no portable form: sync(2) elsewhere starts the writing and does not wait for it. Callers sync file by file.
func syncFS(*os.File) error { return errors.ErrUnsupported }

// writeEach is WritevAt where the system has no vectored write.
func writeEach(f io.WriterAt, bufs [][]byte, off int64) (int, error) {
	total := 0
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+int64(total))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
