package metadata

import (
	"iter"
	"slices"
	"sort"
	"strings"
)

// chunkMax is the most topics a chunk of the sorted list holds; a full one is split.
const chunkMax = 256

// sorted is the list of topics in the order of their names, in chunks, so that a change copies one chunk and the list of
// chunks. No chunk is empty.
type sorted struct {
	chunks [][]*Topic
}

// all yields the topics from the first whose name is not below from.
func (s *sorted) all(from string) iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		at, i := s.find(from)
		for ; at < len(s.chunks); at, i = at+1, 0 {
			for _, t := range s.chunks[at][i:] {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// find returns where name is, or where it would stand: a chunk and a place in it. The chunk is the last one when name is
// above all, and the place may then be its length.
func (s *sorted) find(name string) (chunk, place int) {
	chunk = max(sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i][0].Name > name })-1, 0)
	if chunk == len(s.chunks) {
		return 0, 0
	}
	place, _ = slices.BinarySearchFunc(s.chunks[chunk], name, func(t *Topic, name string) int { return strings.Compare(t.Name, name) })
	return chunk, place
}

// sortedEdit is a sorted list while an Apply changes it.
type sortedEdit struct {
	sorted
	changed bool             // the list of chunks is ours
	owned   map[**Topic]bool // chunks that are ours, by the address of their first element's slot

	lastChunk, lastPlace int // of the topic that was set last; where there are many, they mostly come in order
}

// seek is find that looks behind the topic that was set last first.
func (e *sortedEdit) seek(name string) (chunk, place int) {
	chunk, place = e.lastChunk, e.lastPlace+1
	if chunk >= len(e.chunks) || place > len(e.chunks[chunk]) || e.chunks[chunk][place-1].Name >= name {
		return e.find(name)
	}
	switch c := e.chunks[chunk]; {
	case place < len(c) && name <= c[place].Name, place == len(c) && chunk+1 == len(e.chunks):
		return chunk, place
	case place == len(c) && name == e.chunks[chunk+1][0].Name:
		return chunk + 1, 0
	}
	return e.find(name)
}

// own makes the chunk changeable, with room for one more topic where it is to grow.
func (e *sortedEdit) own(chunk int, grow bool) {
	if !e.changed {
		e.chunks, e.changed = slices.Clone(e.chunks), true
		e.owned = make(map[**Topic]bool)
	}
	c := e.chunks[chunk]
	if !e.owned[&c[0]] || grow && cap(c) == len(c) {
		e.place(chunk, append(make([]*Topic, 0, min(len(c)*5/4+2, chunkMax)), c...))
	}
}

func (e *sortedEdit) place(chunk int, c []*Topic) {
	e.chunks[chunk] = c
	e.owned[&c[:1][0]] = true
}

// set puts a topic in its place, over an earlier version of itself.
func (e *sortedEdit) set(t *Topic) {
	if len(e.chunks) == 0 {
		e.chunks, e.changed, e.owned = [][]*Topic{nil}, true, make(map[**Topic]bool)
		e.place(0, append(make([]*Topic, 0, 4), t))
		return
	}
	chunk, place := e.seek(t.Name)
	if c := e.chunks[chunk]; place < len(c) && c[place].Name == t.Name {
		e.own(chunk, false)
		e.chunks[chunk][place] = t
		e.lastChunk, e.lastPlace = chunk, place
		return
	}
	if c := e.chunks[chunk]; len(c) >= chunkMax {
		// Topics made in the order of their names fill the last chunk; splitting it at its end leaves full ones behind.
		half := len(c) / 2
		if chunk == len(e.chunks)-1 && place == len(c) {
			half = len(c) - 1
		}
		e.own(chunk, false)
		e.chunks = slices.Insert(e.chunks, chunk+1, nil)
		e.place(chunk, append(make([]*Topic, 0, half+1), c[:half]...))
		e.place(chunk+1, append(make([]*Topic, 0, len(c)-half+8), c[half:]...))
		chunk, place = e.find(t.Name)
	}
	e.own(chunk, true)
	e.chunks[chunk] = slices.Insert(e.chunks[chunk], place, t)
	e.lastChunk, e.lastPlace = chunk, place
}

func (e *sortedEdit) remove(name string) {
	chunk, place := e.find(name)
	if chunk >= len(e.chunks) || place >= len(e.chunks[chunk]) || e.chunks[chunk][place].Name != name {
		return
	}
	e.own(chunk, false)
	if len(e.chunks[chunk]) == 1 {
		e.chunks = slices.Delete(e.chunks, chunk, chunk+1)
		return
	}
	e.chunks[chunk] = slices.Delete(e.chunks[chunk], place, place+1)
}
