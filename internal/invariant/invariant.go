// Package invariant stops the broker when a fact that its data must always obey no longer holds. What comes from a client or
// from a disk is never asserted: it is validated and answered.
package invariant

import "fmt"

// Violation is the value that a broken invariant panics with; the broker's Run recovers it and returns it as an error.
type Violation struct{ Message string }

func (v *Violation) Error() string { return "invariant broken: " + v.Message }

// Check panics with a *Violation unless ok holds.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic(&Violation{Message: fmt.Sprintf(format, args...)})
	}
}
