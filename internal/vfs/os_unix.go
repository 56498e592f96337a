//go:build linux || darwin || freebsd

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	if err != nil {
		return err
	}
	return lockRange(f)
}

// space returns the bytes that may still be written to the file system that holds name, and its size.
func space(name string) (free, total uint64, err error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(name, &st)
		if err == nil {
			return uint64(max(int64(st.Bavail), 0)) * uint64(st.Bsize), uint64(st.Blocks) * uint64(st.Bsize), nil
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, 0, err
		}
	}
}
