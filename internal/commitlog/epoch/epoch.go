// Package epoch keeps the leader epochs of one log: which epoch begins at which offset. It owns the rules of that list
// (KIP-101, KIP-279) and the format of its file, and reads and writes no file itself. It has no lock.
package epoch

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strconv"
)

// Entry says that the leader of Epoch began at offset Start.
type Entry struct {
	Epoch int32
	Start int64
}

// Cache is the list. The zero value is empty. Both columns strictly increase, except that an epoch without a record begins where
// the next one does.
type Cache struct{ entries []Entry }

// None is what lookups answer when nothing fits.
const None = -1

// Entries returns the list; it must not be changed.
func (c *Cache) Entries() []Entry { return c.entries }

// Latest returns the last epoch.
func (c *Cache) Latest() (int32, bool) {
	if len(c.entries) == 0 {
		return None, false
	}
	return c.entries[len(c.entries)-1].Epoch, true
}

// Assign notes that epoch begins at start and drops what contradicts it: epochs not below it and starts not before it. It says
// whether the list changed.
func (c *Cache) Assign(epoch int32, start int64) bool {
	if epoch < 0 || start < 0 {
		return false
	}
	if k := len(c.entries); k > 0 && c.entries[k-1].Epoch == epoch && c.entries[k-1].Start <= start {
		return false
	}
	k := len(c.entries)
	for k > 0 && (c.entries[k-1].Epoch >= epoch || c.entries[k-1].Start >= start) {
		k--
	}
	c.entries = append(c.entries[:k:k], Entry{epoch, start})
	return true
}

// EndOffset answers OffsetForLeaderEpoch for a log that ends at logEnd.
func (c *Cache) EndOffset(epoch int32, logEnd int64) (int32, int64) {
	latest, ok := c.Latest()
	switch {
	case epoch == None || !ok || epoch > latest:
		return None, None
	case epoch == latest:
		return epoch, logEnd
	}
	higher := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Epoch > epoch })
	if higher == 0 {
		return epoch, c.entries[0].Start
	}
	return c.entries[higher-1].Epoch, c.entries[higher].Start
}

// At returns the epoch of the record at offset.
func (c *Cache) At(offset int64) (int32, bool) {
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Start > offset })
	if i == 0 {
		return None, false
	}
	return c.entries[i-1].Epoch, true
}

// TruncateEnd drops the epochs that begin at or above end.
func (c *Cache) TruncateEnd(end int64) bool {
	k := len(c.entries)
	for k > 0 && c.entries[k-1].Start >= end {
		k--
	}
	changed := k < len(c.entries)
	c.entries = c.entries[:k:k]
	return changed
}

// TruncateStart drops the epochs that end at or below start; the one that goes on there begins at it.
func (c *Cache) TruncateStart(start int64) bool {
	k := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].Start > start })
	if k == 0 || k == 1 && c.entries[0].Start == start {
		return false
	}
	entries := append([]Entry(nil), c.entries[k-1:]...)
	entries[0].Start = start
	c.entries = entries
	return true
}

// Clone returns a copy that changes by itself.
func (c *Cache) Clone() *Cache { return &Cache{slices.Clone(c.entries)} }

// Clear drops all.
func (c *Cache) Clear() { c.entries = nil }

// Name is the file's name in the partition directory. Frozen: it is Kafka's.
const Name = "leader-epoch-checkpoint"

// Encode returns the content of the file.
//
// # File format: leader-epoch-checkpoint
//
//	line 1: version, 0
//	line 2: number of entries
//	then a line each: epoch, a space, start offset
//
// Lines end with \n. There is no checksum; the entries are compared with the batches, after a clean stop the last one alone.
func (c *Cache) Encode() []byte {
	b := append([]byte("0\n"), strconv.Itoa(len(c.entries))...)
	b = append(b, '\n')
	for _, e := range c.entries {
		b = strconv.AppendInt(b, int64(e.Epoch), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, e.Start, 10)
		b = append(b, '\n')
	}
	return b
}

// Decode reads the content of the file. It refuses a list that breaks the rules.
func Decode(b []byte) (*Cache, error) {
	lines := bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
	if len(lines) < 2 || string(lines[0]) != "0" {
		return nil, fmt.Errorf("read %s: want version 0 in line 1 and a count in line 2", Name)
	}
	n, err := strconv.Atoi(string(lines[1]))
	if err != nil || n != len(lines)-2 {
		return nil, fmt.Errorf("read %s: line 2 says %q entries, there are %d", Name, lines[1], len(lines)-2)
	}
	c := &Cache{entries: make([]Entry, 0, n)}
	last := Entry{-1, -1}
	for i, line := range lines[2:] {
		first, second, ok := bytes.Cut(line, []byte(" "))
		e, err := strconv.ParseInt(string(first), 10, 32)
		start, err2 := strconv.ParseInt(string(second), 10, 64)
		if !ok || err != nil || err2 != nil || int32(e) <= last.Epoch || start < 0 || start < last.Start {
			return nil, fmt.Errorf("read %s: line %d is %q after %d %d", Name, i+3, line, last.Epoch, last.Start)
		}
		last = Entry{int32(e), start}
		c.entries = append(c.entries, last)
	}
	return c, nil
}
