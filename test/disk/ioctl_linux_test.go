package disk

import (
	"syscall"
	"unsafe"
)

func ioctl(fd uintptr, request uintptr, value uint32) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(&value))); errno != 0 {
		return errno
	}
	return nil
}
