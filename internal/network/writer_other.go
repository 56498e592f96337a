//go:build !linux

package network

import (
	"errors"

	"github.com/moldau/moldau/internal/vfs"
)

// writerSys is where a system's own way to send files would go; without one they are read and written.
type writerSys struct{}

func (*writerSys) init(*Writer)                         {}
func (*writerSys) attach(*Reader)                       {}
func (*writerSys) canSend(vfs.File) bool                { return false }
func (*writerSys) canGather() bool                      { return false }
func (*writerSys) sendFile(vfs.Span) (int64, error)     { return 0, errors.ErrUnsupported }
func (*writerSys) gather([][]byte, bool) (int64, error) { return 0, errors.ErrUnsupported }
