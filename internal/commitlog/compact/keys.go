package compact

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// Keys maps each key to the largest offset at which it was seen, in bounded memory. A slot has 32 bytes whatever the key: one of up to
// 23 bytes lies in it as it is, a longer one as 184 bits of its SHA-256 under a secret prefix. So no two keys are ever taken
// for one another, neither by chance (2^-92 for a hundred million long keys) nor by a producer who tries.
//
// The slots lie in shards that grow one by one, so that growing takes little more than what is there.
type Keys struct {
	seed   Seed
	shards [shards]shard
	budget int64 // slots there may be
	slots  int64 // that there are
	count  int64
	load   float64
	long   []byte // for hashing
}

const (
	shards    = 256
	slotSize  = 32
	inline    = 23 // the longest key that lies in a slot
	hashed    = 0xff
	firstSize = 4 // slots of a shard at first
)

// slot is one key. An unused one has length 0 and offset 0: offsets are kept one larger than they are.
type slot struct {
	key    [inline]byte
	length byte
	offset int64
}

type shard struct {
	slots []slot
	used  int
}

// Seed is what a map's hashes begin with. Nobody who writes keys may know it: they could make all of them meet in one place.
type Seed [3]uint64

// NewKeys returns a map of at most bytes memory, of which the fraction load may be in use. It takes memory as it grows, and however
// small the limit is, one key always fits.
func NewKeys(bytes int64, load float64, seed Seed) *Keys {
	if load <= 0 || load > 1 {
		load = 0.9
	}
	return &Keys{seed: seed, budget: max(bytes/slotSize, 1), load: load}
}

// Len is how many keys there are.
func (k *Keys) Len() int64 { return k.count }

// Bytes is the memory in use.
func (k *Keys) Bytes() int64 { return k.slots * slotSize }

// place makes the slot content of a key and returns its hash.
func (k *Keys) place(key []byte, s *slot) uint64 {
	if len(key) <= inline {
		copy(s.key[:], key)
		s.length = byte(len(key))
		return k.hash(s)
	}
	k.long = k.long[:0]
	for _, word := range k.seed {
		k.long = binary.LittleEndian.AppendUint64(k.long, word)
	}
	k.long = append(k.long, key...)
	sum := sha256.Sum256(k.long)
	copy(s.key[:], sum[:inline])
	s.length = hashed
	return k.hash(s)
}

// find returns the position of the key in its shard, or of the unused slot where it would go; -1 in a full or empty shard.
func (h *shard) find(want *slot, hash uint64) int {
	n := len(h.slots)
	if n == 0 {
		return -1
	}
	at, _ := bits.Mul64(hash<<8, uint64(n)) // the highest byte chose the shard
	for range n {
		s := &h.slots[at]
		if s.offset == 0 || s.length == want.length && s.key == want.key {
			return int(at)
		}
		if at++; at == uint64(n) {
			at = 0
		}
	}
	return -1
}

// Newest returns the largest offset of the key; ok is false where it was never seen.
func (k *Keys) Newest(key []byte) (offset int64, ok bool) {
	var want slot
	hash := k.place(key, &want)
	h := &k.shards[hash>>56]
	at := h.find(&want, hash)
	if at < 0 || h.slots[at].offset == 0 {
		return 0, false
	}
	return h.slots[at].offset - 1, true
}

// Put notes that the key was seen at offset. It is false, and nothing happens, where there is no room for another key.
func (k *Keys) Put(key []byte, offset int64) bool {
	var want slot
	hash := k.place(key, &want)
	h := &k.shards[hash>>56]
	at := h.find(&want, hash)
	if at >= 0 && h.slots[at].offset != 0 {
		h.slots[at].offset = max(h.slots[at].offset, offset+1)
		return true
	}
	if at < 0 || float64(h.used+1) > k.load*float64(len(h.slots)) {
		if !k.grow(h) {
			return false
		}
		at = h.find(&want, hash)
	}
	want.offset = offset + 1
	h.slots[at] = want
	h.used++
	k.count++
	return true
}

// grow gives a shard more slots, of those that are left.
func (k *Keys) grow(h *shard) bool {
	more := int64(max(len(h.slots), firstSize))
	if k.slots > k.budget/2 { // near the end by small steps, so that the last slots go where they are needed
		more = int64(max(len(h.slots)/4, firstSize))
	}
	more = min(more, k.budget-k.slots)
	if k.count == 0 {
		more = max(more, 1)
	}
	if more <= 0 || float64(h.used+1) > k.load*float64(int64(len(h.slots))+more) && k.count > 0 {
		return false
	}
	old := h.slots
	h.slots = make([]slot, len(old)+int(more))
	k.slots += more
	for i := range old {
		if old[i].offset != 0 {
			h.slots[h.find(&old[i], k.hash(&old[i]))] = old[i]
		}
	}
	return true
}

// hash returns the hash of what lies in a slot: three words and the seed, multiplied to 128 bits and folded, twice.
func (k *Keys) hash(s *slot) uint64 {
	last := uint64(s.length)<<56 | uint64(s.key[22])<<48 | uint64(s.key[21])<<40 | uint64(s.key[20])<<32 | uint64(binary.LittleEndian.Uint32(s.key[16:]))
	h := fold(binary.LittleEndian.Uint64(s.key[:])^k.seed[0]^odd[0], binary.LittleEndian.Uint64(s.key[8:])^k.seed[1]^odd[1])
	return fold(h^k.seed[2]^odd[2], last^k.seed[0]^odd[1])
}

// odd are arbitrary numbers with as many ones as zeros, so that a key of zeros under a seed of zeros is not multiplied by zero.
var odd = [3]uint64{0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}
