package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxIovecs is IOV_MAX of Linux: more buffers than that in one pwritev are refused.
const maxIovecs = 1024

// openFile is os.OpenFile without the five system calls in which that tries to have a regular file polled, which is always refused: half of what
// it costs to look into a small file.
func openFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	fd, err := openDescriptor(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openDescriptor(name string, flag int, perm fs.FileMode) (int, error) {
	for {
		fd, err := unix.Open(name, flag|unix.O_CLOEXEC, uint32(perm.Perm()))
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return -1, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// readFile is ReadFile without an os.File: a recovery reads half a million files of some bytes, and what that costs beside the system calls is more than
// they do.
func readFile(name string) ([]byte, error) {
	fd, err := openDescriptor(name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Fstat(fd, &stat)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	data := make([]byte, stat.Size)
	for read := 0; read < len(data); {
		n, err := unix.Pread(fd, data[read:], int64(read))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		case n == 0:
			return data[:read], nil // somebody truncated it meanwhile
		default:
			read += n
		}
	}
	return data, nil
}

// lockRange takes the other kind of lock that Linux has, which the JVM takes, so that a directory of a running Kafka is seen to be in use
// and Kafka sees ours. It belongs to the open file, as flock's does.
func lockRange(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.ENOSYS) {
		return nil // the file system does not know it; flock holds
	}
	return err
}

func (f *osFile) Datasync() error {
	return f.control("fdatasync", func(fd uintptr) error { return unix.Fdatasync(int(fd)) })
}

func (f *osFile) Preallocate(off, n int64) error {
	if n <= 0 {
		return nil
	}
	err := f.control("fallocate", func(fd uintptr) error {
		return unix.Fallocate(int(fd), unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func (f *osFile) WriteBack(off, n int64) error {
	if n <= 0 {
		return nil // to the kernel a length of 0 means to the end of the file
	}
	err := f.control("sync_file_range", func(fd uintptr) error {
		return unix.SyncFileRange(int(fd), off, n, unix.SYNC_FILE_RANGE_WRITE)
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// writev never changes bufs: where the kernel writes a part, the rest is written from a copy of the slice headers.
func (f *osFile) writev(bufs [][]byte, off int64) (int, error) {
	if len(bufs) == 1 {
		return f.f.WriteAt(bufs[0], off)
	}
	total := 0
	for len(bufs) > 0 {
		batch := bufs[:min(len(bufs), maxIovecs)]
		want := 0
		for _, b := range batch {
			want += len(b)
		}
		n := 0
		err := f.control("pwritev", func(fd uintptr) (err error) {
			n, err = unix.Pwritev(int(fd), batch, off+int64(total))
			return err
		})
		n = max(n, 0)
		total += n
		if err != nil {
			return total, err
		}
		if n < want {
			if n == 0 {
				return total, pathError("pwritev", f.f.Name(), io.ErrShortWrite)
			}
			bufs = skip(bufs, n)
			continue
		}
		bufs = bufs[len(batch):]
	}
	return total, nil
}

// skip returns bufs without their first n bytes.
func skip(bufs [][]byte, n int) [][]byte {
	for n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	rest := append([][]byte(nil), bufs...)
	rest[0] = rest[0][n:]
	return rest
}

// syncFS needs a kernel whose syncfs reports what it could not write (since 5.8), with a descriptor that was open all the time: each has its own
// view of errors. And a file system of which it is known that all that is on it goes to a disk of this machine.
func syncFS(f *os.File) error {
	var st unix.Statfs_t
	fd := int(f.Fd())
	if err := unix.Fstatfs(fd, &st); err != nil {
		return err
	}
	switch int64(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
	default:
		return errors.ErrUnsupported
	}
	if !syncfsReports() {
		return errors.ErrUnsupported
	}
	for {
		if err := unix.Syncfs(fd); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

var syncfsReports = sync.OnceValue(func() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return n == 2 && (major > 5 || major == 5 && minor >= 8)
})
