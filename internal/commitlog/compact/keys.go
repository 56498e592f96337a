package compact

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// Keys maps each key to the largest offset at which it was seen, in bounded memory. A slot has 32 bytes whatever the key: one of up to
// 23 bytes lies in it as it is, a longer one as 184 bits of its SHA-256 under a secret prefix. So no two keys are ever taken
// for one another, neither by chance (2^-92 for a hundred million long keys) nor by a producer who tries.
//
// The slots lie in shards that grow one by one, so that growing takes little more than what is there.
type Keys struct {
	seed   maphash.Seed
	secret [16]byte
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

// NewKeys returns a map of at most bytes memory, of which the fraction load may be in use. It takes memory as it grows, and however
// small the limit is, one key always fits.
func NewKeys(bytes int64, load float64) *Keys {
	if load <= 0 || load > 1 {
		load = 0.9
	}
	k := &Keys{seed: maphash.MakeSeed(), budget: max(bytes/slotSize, 1), load: load}
	binary.LittleEndian.PutUint64(k.secret[:], maphash.String(k.seed, "left"))
	binary.LittleEndian.PutUint64(k.secret[8:], maphash.String(k.seed, "right"))
	return k
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
		return maphash.Bytes(k.seed, key)
	}
	k.long = append(append(k.long[:0], k.secret[:]...), key...)
	sum := sha256.Sum256(k.long)
	copy(s.key[:], sum[:inline])
	s.length = hashed
	return maphash.Bytes(k.seed, s.key[:])
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
	more := int64(max(len(h.slots)/3, firstSize))
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

// hash returns the hash of what lies in a slot.
func (k *Keys) hash(s *slot) uint64 {
	return maphash.Bytes(k.seed, s.key[:min(s.length, inline)])
}
