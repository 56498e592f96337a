package metadata

import (
	"iter"
	"maps"
)

// shardCount is how many pieces a sharded map has. A change copies the piece it falls into and the array of pieces: with 10,000
// keys that is 10 entries and 8 KiB, with a million 1,000 entries.
const shardCount = 1024

// sharded is a map that is copied piece by piece. A value is immutable; owned says which pieces belong to the copy at hand.
type sharded[K comparable, V any] struct {
	shards *[shardCount]map[K]V
	len    int
}

// edit is a sharded map while an Apply changes it.
type edit[K comparable, V any] struct {
	sharded[K, V]
	changed bool                    // the array of pieces is ours
	owned   [shardCount / 64]uint64 // which pieces are ours
}

func (m *sharded[K, V]) get(shard uint, key K) (V, bool) {
	if m.shards == nil {
		var none V
		return none, false
	}
	v, ok := m.shards[shard%shardCount][key]
	return v, ok
}

// all yields every key with its value, in no order.
func (m *sharded[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m.shards == nil {
			return
		}
		for _, shard := range m.shards {
			for k, v := range shard {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// own returns a piece that may be changed.
func (e *edit[K, V]) own(shard uint) map[K]V {
	shard %= shardCount
	if !e.changed {
		var shards [shardCount]map[K]V
		if e.shards != nil {
			shards = *e.shards
		}
		e.shards, e.changed = &shards, true
	}
	if e.owned[shard/64]&(1<<(shard%64)) == 0 {
		e.owned[shard/64] |= 1 << (shard % 64)
		if e.shards[shard] == nil {
			e.shards[shard] = make(map[K]V)
		} else {
			e.shards[shard] = maps.Clone(e.shards[shard])
		}
	}
	return e.shards[shard]
}

func (e *edit[K, V]) set(shard uint, key K, v V) {
	m := e.own(shard)
	if _, ok := m[key]; !ok {
		e.len++
	}
	m[key] = v
}

func (e *edit[K, V]) remove(shard uint, key K) {
	m := e.own(shard)
	if _, ok := m[key]; !ok {
		return
	}
	delete(m, key)
	e.len--
	if len(m) == 0 {
		e.shards[shard%shardCount] = nil // owned still: the next own sees nil only after a new edit
		e.owned[shard%shardCount/64] &^= 1 << (shard % 64)
	}
}
