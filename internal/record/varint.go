package record

// The integers of a record are zig-zag varints: 7 bits a byte, least significant first, the sign in the lowest bit. An
// int32 takes at most 5 bytes, an int64 at most 10; bits that do not fit are dropped, as Kafka drops them.

// varint reads an int32 at p[i:] and returns where the next field starts, or -1 if p ends or the number is too long.
func varint(p []byte, i int) (int32, int) {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		if i >= len(p) {
			return 0, -1
		}
		b := p[i]
		i++
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return int32(v>>1) ^ -int32(v&1), i
		}
	}
	return 0, -1
}

// short reads the bits of a number that takes 1 or 2 bytes, as nearly all in a record do, and returns how many it takes, or
// 0 if it is longer or p ends near. It is small enough to be inlined: calls would cost more than the reading.
func short(p []byte, i int) (u uint32, n int) {
	if i+1 < len(p) {
		u = uint32(p[i])
		if u < 0x80 {
			return u, 1
		}
		if hi := uint32(p[i+1]); hi < 0x80 {
			return u&0x7f | hi<<7, 2
		}
	}
	return 0, 0
}

// zigzag returns the number of the bits that short gives.
func zigzag(u uint32) int32 { return int32(u>>1) ^ -int32(u&1) }

// varlong is varint for an int64.
func varlong(p []byte, i int) (int64, int) {
	var v uint64
	for shift := 0; shift < 70; shift += 7 {
		if i >= len(p) {
			return 0, -1
		}
		b := p[i]
		i++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(v>>1) ^ -int64(v&1), i
		}
	}
	return 0, -1
}

func appendVarint(dst []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

func varintSize(v int64) int {
	n := 1
	for u := (uint64(v)<<1 ^ uint64(v>>63)) >> 7; u != 0; u >>= 7 {
		n++
	}
	return n
}
