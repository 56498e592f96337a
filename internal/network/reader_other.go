//go:build !unix

package network

import "errors"

// readerSys is absent where a connection cannot be tried without waiting.
type readerSys struct{}

func (*readerSys) init(*Reader)       {}
func (*readerSys) able() bool         { return false }
func (*readerSys) read() (int, error) { return 0, errors.ErrUnsupported }
func (*readerSys) ended() bool        { return false }
