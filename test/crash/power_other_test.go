//go:build !linux

package crash

import (
	"fmt"
	"os"
	"testing"
)

// disk is of Linux alone.
type disk struct{}

func enclose() {
	fmt.Fprintln(os.Stderr, "cutting the power needs Linux")
	os.Exit(1)
}

func newDisk(t *testing.T, _ string) *disk { t.Fatal("no disk to cut the power of"); return nil }
func (*disk) cut() error                   { return nil }
func (*disk) replug(*testing.T)            {}
