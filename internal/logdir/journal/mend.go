package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"

	"github.com/moldau/moldau/internal/record"
)

// Mended is a bit that a disk gave back otherwise than it was written, and that the CRC over it says how to put right.
type Mended struct {
	Path string
	At   int64 // position in the file
}

func (m Mended) String() string {
	if m.At < blockSize {
		return "in the header of " + m.Path
	}
	return fmt.Sprintf("at byte %d of %s", m.At, m.Path)
}

// fix turns a bit of what is read of a file.
type fix struct {
	at   int64
	mask byte
}

// apply puts right what was read from a position on.
func (x fix) apply(b []byte, from int64) {
	if i := x.at - from; x.mask != 0 && i >= 0 && i < int64(len(b)) {
		b[i] ^= x.mask
	}
}

// oneBit returns which bit of n bytes makes the difference between two CRCs of them; ok is false where no single one does. Bits are tried from the
// last one on: each moves through the register once more than the one behind it.
func oneBit(difference uint32, n int) (at int, mask byte, ok bool) {
	v := uint32(crc32.Castagnoli)
	for at = n - 1; at >= 0; at-- {
		for mask = 0x80; mask != 0; mask >>= 1 {
			if v == difference {
				return at, mask, true
			}
			v = v>>1 ^ crc32.Castagnoli&-(v&1)
		}
	}
	return 0, 0, false
}

// mendCRC compares b with the CRC that stands in field and turns the one bit that is wrong, in b or in field. It says whether they fit then.
func mendCRC(b, field []byte) (turned, ok bool) {
	difference := crc32.Checksum(b, castagnoli) ^ binary.BigEndian.Uint32(field)
	if difference == 0 {
		return false, true
	}
	if bits.OnesCount32(difference) == 1 {
		binary.BigEndian.PutUint32(field, binary.BigEndian.Uint32(field)^difference)
		return true, true
	}
	at, mask, ok := oneBit(difference, len(b))
	if ok {
		b[at] ^= mask
	}
	return ok, ok
}

// distance is the number of bits in which two slices of one length differ.
func distance(a, b []byte) (n int) {
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

// begins says in how many bits the start of a group in b differs from what that of this number has in the file.
func (f *file) begins(b []byte, number uint32) int {
	var want [startSize]byte
	binary.BigEndian.PutUint64(want[8:], f.header.sequence)
	binary.BigEndian.PutUint32(want[16:], number)
	appendMark(want[:groupHeaderSize], f.header.mark)
	return distance(b[8:20], want[8:20]) + distance(b[groupHeaderSize:startSize], want[groupHeaderSize:])
}

// mend looks whether a single bit keeps the group at the end of f from checking. It asks for the file's mark first: what was left there by an
// earlier use of the file, or in a batch by whoever sent it, has another. A write that was cut short is not mended, since no group behind it and no
// batch in it would check. ok is false where nothing can be mended; all is as it was then.
func (f *file) mend(in io.ReaderAt, number uint32) (b []byte, crc uint32, ok bool, err error) {
	if f.end+startSize > f.size {
		return nil, 0, false, nil
	}
	var start [startSize]byte
	if _, err := in.ReadAt(start[:], f.end); err != nil {
		return nil, 0, false, err
	}
	if f.begins(start[:], number) > 1 {
		return nil, 0, false, nil
	}
	g, stored := decodeGroup(start[:])
	for bit := -1; bit < 32; bit++ {
		length := g.length
		if bit >= 0 { // the length may be what is wrong
			length ^= 1 << bit
		}
		total := groupHeaderSize + int64(length)
		if total < startSize || total > searchMost || f.end+total > f.size {
			continue
		}
		b := make([]byte, total)
		if _, err := in.ReadAt(b, f.end); err != nil {
			return nil, 0, false, err
		}
		binary.BigEndian.PutUint32(b[4:], length)
		var x fix
		computed, crc := chain(f.last, b[4:]), stored
		switch difference := computed ^ stored; {
		case difference == 0 && bit >= 0:
			x = fix{f.end + 4 + int64(3-bit/8), 1 << (bit % 8)}
		case difference == 0 || bit >= 0:
			continue
		case bits.OnesCount32(difference) == 1:
			crc = computed
			x = fix{f.end + int64(bits.LeadingZeros32(difference)/8), byte(1) << (bits.TrailingZeros32(difference) % 8)}
		default:
			at, mask, found := oneBit(difference, len(b)-4)
			if !found || at < 4 { // with another length this is not the group
				continue
			}
			x = fix{f.end + 4 + int64(at), mask}
			x.apply(b, f.end)
		}
		followed, err := f.followed(in, f.end+align(total), number+1, crc)
		if err != nil {
			return nil, 0, false, err
		}
		if f.begins(b, number) == 0 && (followed || sound(b)) {
			f.fix = x
			return b, crc, true, nil
		}
	}
	return nil, 0, false, nil
}

// followed says whether the group of a number checks that begins at a position, behind one with this CRC.
func (f *file) followed(in io.ReaderAt, at int64, number, crc uint32) (bool, error) {
	next := *f
	next.end, next.last = at, crc
	_, _, ok, err := next.group(in, number, nil)
	return ok, err
}

// sound says whether all entries of a group can be decoded, and all record batches in it have the right CRC.
func sound(b []byte) bool {
	g, _ := decodeGroup(b)
	b = b[groupHeaderSize:]
	at := 0
	for range g.entries {
		e, next, err := decodeEntry(b, at)
		if err != nil {
			return false
		}
		base := int64(-1) // offsets rise; a compacted leader leaves gaps, and a log may begin inside its first batch
		for batches := b[e.at:next]; len(batches) > 0; {
			one, rest, err := record.Next(batches)
			if err != nil || one.BaseOffset() < base || one.CheckCRC() != nil {
				return false
			}
			base, batches = one.NextOffset(), rest
		}
		at = next
	}
	return at == len(b)
}

// damaged looks for a group behind the one that does not check. None is written before all in front of it are synced: if there is one, no crash was
// here. It goes by the mark, which nobody knows who does not read the file.
func (f *file) damaged(in io.ReaderAt) error {
	want := appendMark(nil, f.header.mark)
	to := f.size
	buf := make([]byte, max(0, min(searchStep, to-f.end)))
	for at := f.end + blockSize; at+startSize <= to; at += searchStep {
		n := min(searchStep, to-at)
		if _, err := in.ReadAt(buf[:n], at); err != nil {
			return err
		}
		for i := int64(0); i+startSize <= n; i += blockSize {
			g, _ := decodeGroup(buf[i:])
			if g.sequence == f.header.sequence && g.number > f.groups && string(buf[i+groupHeaderSize:i+startSize]) == string(want) {
				return fmt.Errorf("%w: group %d at byte %d does not check, although group %d was written behind it, at byte %d", ErrCorrupt,
					f.groups, f.end, g.number, at+i)
			}
		}
	}
	return nil
}

// headless says of a file without a header whether groups of one use follow one another in it, and of which: then it had one. The first group is
// written together with the header, and the second not before both are synced.
func headless(in io.ReaderAt, size int64) (sequence uint64, err error) {
	var first, b [startSize]byte
	if size < blockSize+startSize {
		return 0, nil
	}
	if _, err := in.ReadAt(first[:], blockSize); err != nil {
		return 0, err
	}
	g, _ := decodeGroup(first[:])
	at := blockSize + align(groupHeaderSize+int64(g.length))
	if g.number != 0 || g.length < markSize || !isMark(first[groupHeaderSize:]) || at+startSize > size {
		return 0, nil
	}
	if _, err := in.ReadAt(b[:], at); err != nil {
		return 0, err
	}
	second, _ := decodeGroup(b[:])
	if second.sequence == g.sequence && second.number == 1 && string(b[groupHeaderSize:]) == string(first[groupHeaderSize:]) {
		return g.sequence, nil
	}
	return 0, nil
}

// The longest group that mend tries its hand at, and how much damaged reads at a time. Groups are seldom longer than 12 MiB.
const (
	searchMost = 16 << 20
	searchStep = int64(1 << 20)
)
