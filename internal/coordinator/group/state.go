package group

// State is where a group stands between two generations.
type State uint8

// The states of a group. Only Stable and Empty are ever stored.
const (
	Empty               State = iota // no members: committed offsets alone, or nothing
	PreparingRebalance               // members are to join; their requests are held
	CompletingRebalance              // members are to sync; their requests are held until the leader's comes
	Stable                           // every member can have its assignment
	Dead                             // removed; nobody finds it any more
)

// String returns Kafka's name.
func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}[s]
}

// mayBecome says which states may follow one another.
func (s State) mayBecome(next State) bool {
	switch next {
	case Empty, CompletingRebalance:
		return s == PreparingRebalance
	case PreparingRebalance:
		return s.mayRebalance()
	case Stable:
		return s == CompletingRebalance
	default:
		return true
	}
}

// mayRebalance says whether a rebalance may begin.
func (s State) mayRebalance() bool { return s == Empty || s == CompletingRebalance || s == Stable }
