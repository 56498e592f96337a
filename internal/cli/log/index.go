package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"strings"

	"github.com/moldau/moldau/internal/commitlog/index"
	"github.com/moldau/moldau/internal/commitlog/segment"
)

var errBrokenIndex = errors.New("what follows breaks the rules of the index; a broker rebuilds such a file")

func (d *dumper) offsetIndex(path, name string, data []byte) error {
	base, ok := segment.ParseName(name, segment.IndexSuffix)
	if !ok {
		return errors.New("the name is not an offset of 20 digits")
	}
	size := int64(math.MaxInt64) // without its .log file any position may be right
	if info, err := os.Stat(strings.Replace(path, segment.IndexSuffix, segment.LogSuffix, 1)); err == nil {
		size = info.Size()
	}
	entries, whole := index.DecodeOffsets(data, size)
	for _, e := range entries {
		fmt.Fprintf(d.out, "offset %d  position %d\n", base+int64(e.Rel), e.Pos)
	}
	return d.indexEnd(len(entries), whole)
}

func (d *dumper) timeIndex(name string, data []byte) error {
	base, ok := segment.ParseName(name, segment.TimeSuffix)
	if !ok {
		return errors.New("the name is not an offset of 20 digits")
	}
	entries, whole := index.DecodeTimes(data)
	for _, e := range entries {
		fmt.Fprintf(d.out, "%s  offset %d\n", timeText(e.Timestamp), base+int64(e.Rel))
	}
	return d.indexEnd(len(entries), whole)
}

func (d *dumper) indexEnd(entries int, whole bool) error {
	fmt.Fprintf(d.out, "%d entries\n", entries)
	if !whole {
		return errBrokenIndex
	}
	return nil
}

// aborted prints a .txnindex file, whose format package segment describes.
func (d *dumper) aborted(data []byte) error {
	const size = 34
	for i := 0; len(data) > 0; i++ {
		if len(data) < size || binary.BigEndian.Uint16(data) != 0 {
			return fmt.Errorf("entry %d is cut or of another version", i)
		}
		v := func(at int) int64 { return int64(binary.BigEndian.Uint64(data[at:])) }
		fmt.Fprintf(d.out, "producer %d  aborted offsets %d-%d  last stable offset %d\n", v(2), v(10), v(18), v(26))
		data = data[size:]
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshot prints a .snapshot file, whose format package producer describes.
func (d *dumper) snapshot(data []byte) error {
	const head, size = 10, 46
	if len(data) < head || binary.BigEndian.Uint16(data) != 1 {
		return errors.New("not a producer snapshot of version 1")
	}
	if sum := crc32.Checksum(data[6:], castagnoli); sum != binary.BigEndian.Uint32(data[2:]) {
		return fmt.Errorf("checksum %#x, want %#x", binary.BigEndian.Uint32(data[2:]), sum)
	}
	count := int64(binary.BigEndian.Uint32(data[6:]))
	if int64(len(data)) != head+count*size {
		return fmt.Errorf("%d entries in %d bytes", count, len(data))
	}
	for e := data[head:]; len(e) > 0; e = e[size:] {
		last, delta := int64(binary.BigEndian.Uint64(e[14:])), int32(binary.BigEndian.Uint32(e[22:]))
		fmt.Fprintf(d.out, "producer %d/%d", int64(binary.BigEndian.Uint64(e)), int16(binary.BigEndian.Uint16(e[8:])))
		if last >= 0 {
			fmt.Fprintf(d.out, "  last batch %d-%d  last sequence %d", last-int64(delta), last, int32(binary.BigEndian.Uint32(e[10:])))
		}
		fmt.Fprintf(d.out, "  %s", timeText(int64(binary.BigEndian.Uint64(e[26:]))))
		if coordinator := int32(binary.BigEndian.Uint32(e[34:])); coordinator >= 0 {
			fmt.Fprintf(d.out, "  coordinator epoch %d", coordinator)
		}
		if first := int64(binary.BigEndian.Uint64(e[38:])); first >= 0 {
			fmt.Fprintf(d.out, "  transaction open since offset %d", first)
		}
		fmt.Fprintln(d.out)
	}
	fmt.Fprintf(d.out, "%d producers\n", count)
	return nil
}
