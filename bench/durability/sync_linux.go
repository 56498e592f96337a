package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

func settle(f *os.File) { _ = unix.Syncfs(int(f.Fd())) } // only the figure suffers if it fails

// prepareMemory stores to so much memory and gives it back: a virtual machine that returned free memory to its host pays
// for the first store to it ten times what the copy costs, and the measurement would be of that.
func prepareMemory(n int) {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	_ = unix.Munmap(b)
}
