package vfs

import (
	"fmt"
	"math/rand/v2"
)

// sectorSize is what a disk writes as a whole or not at all.
const sectorSize = 512

// Survivors says what of the unsynced bytes and directory changes a power loss leaves. What is synced survives always. Of
// bytes written several times since the last sync, only the last ones are remembered.
type Survivors int

const (
	// LoseUnsynced leaves nothing that was not synced.
	LoseUnsynced Survivors = iota
	// TearSectors leaves each unsynced sector, directory change and new file size with even chance: torn writes, names
	// without content, content without names. Where a file kept its new size and lost sectors, they are zero.
	TearSectors
	// Reorder leaves late writes and loses early ones: names and sizes survive, content before a random point of each
	// file does not. It is the file system that commits its metadata ahead of the data.
	Reorder
	// KeepAll leaves everything, as when the machine lives and only the process dies.
	KeepAll
)

// AllSurvivors lists every model, for tests that run under each.
var AllSurvivors = []Survivors{LoseUnsynced, TearSectors, Reorder, KeepAll}

func (s Survivors) String() string {
	switch s {
	case LoseUnsynced:
		return "lose-unsynced"
	case TearSectors:
		return "tear-sectors"
	case Reorder:
		return "reorder"
	case KeepAll:
		return "keep-all"
	}
	return fmt.Sprintf("Survivors(%d)", int(s))
}

// Crash ends m, so that every later operation on it and on its files fails with ErrCrashed, and returns what the disk
// holds when the machine starts again. The same operations, model and seed give the same disk. All of it is durable.
func (m *Mem) Crash(model Survivors, seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
	return m.after(model, seed)
}

// KillProcess is Crash with KeepAll: locks and handles end, every byte written stays.
func (m *Mem) KillProcess() *Mem { return m.Crash(KeepAll, 0) }

// Peek returns what Crash would, and leaves m alive.
func (m *Mem) Peek(model Survivors, seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.after(model, seed)
}

func (m *Mem) after(model Survivors, seed uint64) *Mem {
	c := crash{model: model, rng: rand.New(rand.NewPCG(seed, sectorSize)), entries: map[*memNode]map[string]*memNode{},
		done: map[*memNode]*memNode{}}
	for _, op := range m.dirOps {
		if c.keepsDirOp() {
			c.apply(op)
		}
	}
	out := NewMem()
	out.capacity, out.changes = m.capacity, m.changes
	out.root = c.survive(m.root)
	out.used = used(out.root, map[*memNode]bool{})
	return out
}

func used(n *memNode, seen map[*memNode]bool) int64 {
	if seen[n] {
		return 0
	}
	seen[n] = true
	sum := max(int64(len(n.data)), n.reserved)
	for _, child := range n.dir {
		sum += used(child, seen)
	}
	return sum
}

// crash works out what one power loss leaves.
type crash struct {
	model   Survivors
	rng     *rand.Rand
	entries map[*memNode]map[string]*memNode // of directories where an unsynced change survives
	done    map[*memNode]*memNode            // nodes of the old file system to those of the new
}

func (c *crash) coin() bool { return c.rng.Uint64()&1 == 0 }

func (c *crash) keepsDirOp() bool {
	switch c.model {
	case LoseUnsynced:
		return false
	case TearSectors:
		return c.coin()
	}
	return true
}

func (c *crash) apply(op dirOp) {
	for _, change := range op {
		entries := c.entries[change.dir]
		if entries == nil {
			entries = map[string]*memNode{}
			for name, n := range change.dir.durable {
				entries[name] = n
			}
			c.entries[change.dir] = entries
		}
		if change.node == nil {
			delete(entries, change.name)
		} else {
			entries[change.name] = change.node
		}
	}
}

// survive returns the node that stands for n after the crash.
func (c *crash) survive(n *memNode) *memNode {
	if out := c.done[n]; out != nil {
		out.links++
		return out
	}
	out := &memNode{perm: n.perm, modTime: n.modTime, links: 1}
	c.done[n] = out
	switch _, changed := c.entries[n]; {
	case n.dir != nil && !changed: // entries and time are one transaction
		out.modTime = n.oldTime
	case n.dir == nil && (c.model == LoseUnsynced || c.model != KeepAll && n.modTime.Nanosecond()%2 == 0):
		out.modTime = n.oldTime // content and time need not be
	}
	out.oldTime = out.modTime
	if n.dir == nil {
		out.data = c.content(n)
		out.synced = append([]byte(nil), out.data...)
		out.low = int64(len(out.data))
		return out
	}
	entries, ok := c.entries[n]
	if !ok {
		entries = n.durable
	}
	out.dir, out.durable = map[string]*memNode{}, map[string]*memNode{}
	for _, name := range sortedNames(entries) { // sorted, so that the seed decides alone
		child := c.survive(entries[name])
		out.dir[name], out.durable[name] = child, child
	}
	return out
}

// content returns the bytes of the file n after the crash.
func (c *crash) content(n *memNode) []byte {
	if c.model == KeepAll || len(n.dirty) == 0 && len(n.data) == len(n.synced) {
		return append([]byte(nil), n.data...)
	}
	if c.model == LoseUnsynced {
		return append([]byte(nil), n.synced...)
	}
	size := int64(len(n.data))
	if c.model == TearSectors && c.coin() {
		size = int64(len(n.synced))
	}
	out := make([]byte, size)
	copy(out, n.synced)
	cut := int64(0)
	if c.model == Reorder && c.coin() {
		cut = c.rng.Int64N(size + 1)
	}
	for _, r := range n.dirty {
		for at := r.from / sectorSize * sectorSize; at < min(r.end, size); at += sectorSize {
			end := min(at+sectorSize, size)
			switch {
			case c.model == TearSectors && c.coin(), c.model == Reorder && at >= cut:
				clear(out[at:end])
				if at < int64(len(n.data)) {
					copy(out[at:end], n.data[at:])
				}
			case end > n.low && c.coin(): // the truncation survived, the write after it did not
				clear(out[max(at, n.low):end])
			}
		}
	}
	return out
}

// sync makes the content of n durable. It costs what was written since the last sync.
func (n *memNode) sync() {
	if n.dir != nil {
		return
	}
	if len(n.synced) > len(n.data) {
		n.synced = n.synced[:len(n.data)]
	}
	if missing := len(n.data) - len(n.synced); missing > 0 {
		n.synced = append(n.synced, make([]byte, missing)...)
	}
	for _, r := range n.dirty {
		if end := min(r.end, int64(len(n.data))); r.from < end {
			copy(n.synced[r.from:end], n.data[r.from:end])
		}
	}
	n.dirty, n.low, n.oldTime = n.dirty[:0], int64(len(n.data)), n.modTime
}

// ranges are byte ranges, sorted and apart from one another.
type ranges []byteRange

type byteRange struct{ from, end int64 }

// add joins [from, end) to the ranges; a write at the end of the last one, the common case, costs nothing.
func (rs *ranges) add(from, end int64) {
	if from >= end {
		return
	}
	old := *rs
	if k := len(old); k > 0 && from >= old[k-1].from && from <= old[k-1].end {
		old[k-1].end = max(old[k-1].end, end)
		return
	}
	i := len(old)
	for i > 0 && old[i-1].end >= from {
		i--
	}
	j := i
	for j < len(old) && old[j].from <= end {
		from, end = min(from, old[j].from), max(end, old[j].end)
		j++
	}
	if i == j {
		old = append(old, byteRange{})
		copy(old[i+1:], old[i:])
		old[i] = byteRange{from, end}
	} else {
		old[i] = byteRange{from, end}
		old = append(old[:i+1], old[j:]...)
	}
	*rs = old
}
