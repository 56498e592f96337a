//go:build !linux

package disk

import "errors"

func ioctl(uintptr, uintptr, uint32) error { return errors.ErrUnsupported }
