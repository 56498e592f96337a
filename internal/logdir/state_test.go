package logdir

import (
	"testing"
	"unsafe"
)

// TestStateSize: there may be a hundred thousand, and the next size in which the runtime gives memory is an eighth larger.
func TestStateSize(t *testing.T) {
	if size := unsafe.Sizeof(state{}); size > 256 {
		t.Fatalf("the state of a log takes %d bytes", size)
	}
}
