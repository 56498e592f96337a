package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// OS is the file system of this machine.
var OS FS = osFS{}

// Raw is implemented by files of OS. It lets package network hand a file's descriptor to sendfile; nothing else may use it.
type Raw interface {
	SyscallConn() (syscall.RawConn, error)
}

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	var f *os.File
	err := opening(func() (err error) {
		f, err = openFile(name, osFlags(flag), perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &osFile{f: f, raw: raw}, nil
}

// osFlags translates this package's flags, whose values are Linux's, to those of the system at hand.
func osFlags(flag int) int {
	out := os.O_RDONLY
	if flag&ReadWrite != 0 {
		out = os.O_RDWR
	}
	if flag&Create != 0 {
		out |= os.O_CREATE
	}
	if flag&Exclusive != 0 {
		out |= os.O_EXCL
	}
	if flag&Truncate != 0 {
		out |= os.O_TRUNC
	}
	return out
}

func (osFS) Remove(name string) error                     { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                  { return os.RemoveAll(name) }
func (osFS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }
func (osFS) Stat(name string) (fs.FileInfo, error)        { return os.Stat(name) }

func (osFS) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = opening(func() error {
		entries, err = os.ReadDir(name)
		return err
	})
	spares.refill()
	return entries, err
}

func (osFS) readFile(name string) (data []byte, err error) {
	err = opening(func() error {
		data, err = readFile(name)
		return err
	})
	spares.refill()
	return data, err
}

func (osFS) SyncDir(name string) error {
	err := opening(func() error { return syncDir(name) })
	spares.refill()
	return err
}

func (osFS) Rename(oldName, newName string) error {
	err := os.Rename(oldName, newName)
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return &fs.PathError{Op: "rename", Path: oldName, Err: link.Err}
	}
	return err
}

func (osFS) Free(name string) (uint64, error) {
	n, _, err := space(name)
	return n, pathError("statfs", name, err)
}

func (osFS) Total(name string) (uint64, error) {
	_, n, err := space(name)
	return n, pathError("statfs", name, err)
}

func (osFS) Lock(name string) (Lock, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		if err := lockFile(f); err != nil {
			f.Close()
			return nil, pathError("lock", name, err)
		}
		if stillAt(f, name) {
			return osLock{f}, nil // closing the only descriptor of the open file ends the lock
		}
		f.Close()
	}
}

type osLock struct{ f *os.File }

func (l osLock) Close() error  { return l.f.Close() }
func (l osLock) SyncFS() error { return pathError("syncfs", l.f.Name(), syncFS(l.f)) }

// stillAt says whether the file is the one that name stands for. Its holder may have removed it before it was locked here: a lock on it
// would keep nobody off.
func stillAt(f *os.File, name string) bool {
	opened, err := f.Stat()
	if err != nil {
		return true
	}
	there, err := os.Stat(name)
	return err == nil && os.SameFile(opened, there) || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// osFile keeps the RawConn of its file, because asking for it allocates and the system calls below are on the hot path.
// RawConn.Control holds the descriptor open for the length of the call, so a concurrent Close cannot hand the number to
// another file under it.
type osFile struct {
	f   *os.File
	raw syscall.RawConn
}

func (f *osFile) ReadAt(b []byte, off int64) (int, error)        { return f.f.ReadAt(b, off) }
func (f *osFile) WriteAt(b []byte, off int64) (int, error)       { return f.f.WriteAt(b, off) }
func (f *osFile) Truncate(size int64) error                      { return f.f.Truncate(size) }
func (f *osFile) Sync() error                                    { return f.f.Sync() }
func (f *osFile) Name() string                                   { return f.f.Name() }
func (f *osFile) SyscallConn() (syscall.RawConn, error)          { return f.raw, nil }
func (f *osFile) WritevAt(bufs [][]byte, off int64) (int, error) { return f.writev(bufs, off) }

func (f *osFile) Close() error {
	err := f.f.Close()
	spares.refill()
	return err
}

func (f *osFile) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// control runs call with the descriptor, again and again while a signal interrupts it, and names the file in its error.
func (f *osFile) control(op string, call func(fd uintptr) error) error {
	var callErr error
	err := f.raw.Control(func(fd uintptr) {
		for {
			if callErr = call(fd); !errors.Is(callErr, syscall.EINTR) {
				return
			}
		}
	})
	if err != nil {
		err = fs.ErrClosed // Control itself fails for no other reason, and its own error is not comparable
	} else {
		err = callErr
	}
	return pathError(op, f.f.Name(), err)
}

// pathError wraps err as the errors of package os are, so that callers need not know which call made it.
func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var have *fs.PathError
	if errors.As(err, &have) {
		return err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
