package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// evict puts n bytes of a file from off on out of the page cache. What is not on the disk yet would stay, so that is written first.
func evict(path string, off, n int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED)
}
