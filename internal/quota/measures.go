package quota

import (
	"crypto/sha256"
	"math"
	"sync"
)

// measuresMax bounds how many measures of a kind of owner are kept: some 40 MB.
const measuresMax = 1 << 16

// sampled is how many measures are looked at to find one that can go.
const sampled = 16

// measure is what one owner has taken of one thing.
type measure struct {
	mu      sync.Mutex // guards all below
	gone    bool       // no longer kept: whoever has it looks for the one that is
	version uint64     // of the quotas that limit is from
	limit   float64
	last    int64 // when it was last recorded to, in milliseconds
	rate    rate
	bucket  bucket
	filled  bool // bucket has begun
}

// measures keeps the measures of owners.
type measures[K comparable] struct {
	max int // how many are kept

	mu   sync.Mutex // guards kept; taken before the mu of a measure
	kept map[K]*measure
}

// get returns the measure of an owner, made if need be, under the limit that version of the quotas gives it.
func (m *measures[K]) get(w Windows, owner K, limit float64, version uint64, now int64) *measure {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := m.kept[owner]
	if found == nil {
		m.roomLocked(w, now)
		found = &measure{last: now}
		if m.kept == nil {
			m.kept = map[K]*measure{}
		}
		m.kept[owner] = found
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	if version >= found.version { // not one that was overtaken
		found.limit, found.version = limit, version
	}
	return found
}

// roomLocked forgets measures that are idle, of a few that it looks at for each new one, and of a full table the idlest of them if
// none is: so the table holds hardly more than what is in use.
func (m *measures[K]) roomLocked(w Windows, now int64) {
	left := sampled
	var idlest K
	oldest := int64(math.MaxInt64)  // a bucket that owes something is used in the future
	for owner, is := range m.kept { // Go begins anywhere
		is.mu.Lock()
		last := is.last
		is.gone = now-last >= idle(w)
		gone := is.gone
		is.mu.Unlock()
		if gone {
			delete(m.kept, owner)
		} else if last < oldest {
			idlest, oldest = owner, last
		}
		if left--; left == 0 {
			break
		}
	}
	if len(m.kept) < m.max {
		return
	}
	is := m.kept[idlest]
	is.mu.Lock()
	is.gone = true
	is.mu.Unlock()
	delete(m.kept, idlest)
}

// idle is how long a measure must get nothing to be as new: then no sample counts, and a bucket is full. One that owes something counts as
// used until it does not.
func idle(w Windows) int64 { return w.span() + w.Size.Milliseconds() }

func (m *measures[K]) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.kept)
}

// nameMax is the length up to which a name is kept as it is. Longer ones, which only make memory, are kept as their hash.
const nameMax = 128

// name is a user or a client id, of bounded size.
type name struct {
	text   string
	hashed bool
}

func nameOf(text string) name {
	if len(text) <= nameMax {
		return name{text, false}
	}
	sum := sha256.Sum256([]byte(text))
	return name{string(sum[:]), true}
}
