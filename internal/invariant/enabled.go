//go:build invariants

package invariant

// Enabled says that costly checks run too (build tag "invariants").
const Enabled = true
