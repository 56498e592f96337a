package record

import (
	"encoding/binary"
	"hash/crc32"
)

// castagnoli makes package crc32 use the processor's CRC-32C instructions.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	// coldFrom is the size from which on bytes are believed to lie in memory and in no cache of the processor.
	coldFrom = 128 << 10
	// ahead is how much of them is brought into the cache at a time.
	ahead = 4 << 10
	// cacheLine is the least that memory gives; where lines are longer some are asked for twice.
	cacheLine = 64
)

// extendCRC adds p to a CRC. The instructions that compute it take three streams at once, hop from one kilobyte to another and wait for
// memory at each hop, which costs two thirds of the speed where nothing of p is in a cache: several partitions' batches of a megabyte in one
// request. So each page is loaded in order first, as memory likes to be read.
func extendCRC(crc uint32, p []byte) uint32 {
	if len(p) < coldFrom {
		return crc32.Update(crc, castagnoli, p)
	}
	for len(p) > 0 {
		n := min(ahead, len(p))
		load(p[:n])
		crc = crc32.Update(crc, castagnoli, p[:n])
		p = p[n:]
	}
	return crc
}

// load reads a byte of each cache line of p. What it returns is of no use, but keeps the reads from being left out.
//
//go:noinline
func load(p []byte) (sum byte) {
	for i := 0; i < len(p); i += cacheLine {
		sum += p[i]
	}
	return sum
}

// combineFrom is the size of a batch from which on its CRC is derived from the old one after a change of the header. It
// costs what computing the CRC of about so many bytes does.
const combineFrom = 32 << 10

// A CRC is linear: the CRCs of two messages of one length differ by the CRC, without inversions, of their difference; zeros
// before the difference count for nothing, and n zero bytes behind it multiply by x^8n modulo the polynomial. So a change
// in a header needs no second pass over a megabyte of records.

// changeCRC makes the CRC right after the bytes of b from attributesAt on were old before.
func (b Batch) changeCRC(old []byte) {
	var difference [HeaderSize]byte
	for i, x := range old {
		difference[i] = x ^ b[attributesAt+i]
	}
	crc := ^crc32.Update(^uint32(0), castagnoli, difference[:len(old)])
	behind := len(b) - attributesAt - len(old)
	binary.BigEndian.PutUint32(b[crcAt:], b.CRC()^mulmod(crc, xPow8(behind)))
}

// xPowers are x^(8 * 2^k) modulo the polynomial; the lowest power of a polynomial is in the highest bit.
var xPowers = func() (powers [32]uint32) {
	powers[0] = 1 << (31 - 8)
	for k := 1; k < len(powers); k++ {
		powers[k] = mulmod(powers[k-1], powers[k-1])
	}
	return powers
}()

// xPow8 returns x^8n modulo the polynomial.
func xPow8(n int) uint32 {
	product := uint32(1 << 31) // x^0
	for k := 0; n != 0; k++ {
		if n&1 != 0 {
			product = mulmod(product, xPowers[k])
		}
		n >>= 1
	}
	return product
}

// mulmod multiplies two polynomials modulo the Castagnoli polynomial.
func mulmod(a, b uint32) uint32 {
	product := uint32(0)
	for ; a != 0; a <<= 1 {
		product ^= b & -(a >> 31)
		b = b>>1 ^ crc32.Castagnoli&-(b&1)
	}
	return product
}
