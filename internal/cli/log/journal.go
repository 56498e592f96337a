package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/uuid"
)

// Layout of a journal, which package journal describes.
const (
	journalBlock     = 4096
	journalGroupHead = 32
	journalEntryHead = 36
	journalMaxGroup  = 1 << 30
)

var journalMagic = []byte("MLDAUJNL")

// journal prints the groups of a .journal file up to the first that does not check. That is no damage in the file that is
// written: it is where writing goes on over what an earlier use left.
func (d *dumper) journal(in io.Reader) error {
	block := make([]byte, journalBlock)
	if _, err := io.ReadFull(in, block); err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	if !bytes.Equal(block[:8], journalMagic) || binary.BigEndian.Uint32(block[8:]) != 1 {
		return errors.New("not a journal of version 1")
	}
	crc := binary.BigEndian.Uint32(block[48:])
	if crc != crc32.Checksum(block[:48], castagnoli) {
		return errors.New("the checksum of the header is wrong")
	}
	sequence := binary.BigEndian.Uint64(block[28:])
	fmt.Fprintf(d.out, "journal of directory %s  sequence %d  oldest needed %d\n", uuid.UUID(block[12:28]), sequence, binary.BigEndian.Uint64(block[36:]))
	position := int64(journalBlock)
	for n := uint32(0); ; n++ {
		if _, err := io.ReadFull(in, block); err != nil {
			return d.journalEnd(n, position)
		}
		length := int(binary.BigEndian.Uint32(block[4:]))
		if binary.BigEndian.Uint64(block[8:]) != sequence || binary.BigEndian.Uint32(block[16:]) != n || length > journalMaxGroup {
			return d.journalEnd(n, position)
		}
		group := append([]byte(nil), block...)
		if missing := (journalGroupHead+length+journalBlock-1)/journalBlock*journalBlock - journalBlock; missing > 0 {
			rest, err := io.ReadAll(io.LimitReader(in, int64(missing)))
			if err != nil || len(rest) < missing {
				return d.journalEnd(n, position)
			}
			group = append(group, rest...)
		}
		sum := crc32.Update(crc32.Checksum(binary.BigEndian.AppendUint32(nil, crc), castagnoli), castagnoli, group[4:journalGroupHead+length])
		if crc = binary.BigEndian.Uint32(group); crc != sum {
			return d.journalEnd(n, position)
		}
		entries := binary.BigEndian.Uint32(group[20:])
		if length >= journalEntryHead && group[journalGroupHead+1] == 0 {
			entries-- // the mark
		}
		fmt.Fprintf(d.out, "group %d  position %d  entries %d  %d bytes  oldest needed %d\n", n, position, entries, length, binary.BigEndian.Uint64(group[24:]))
		if err := d.journalEntries(group[journalGroupHead : journalGroupHead+length]); err != nil {
			return fmt.Errorf("group %d at %d: %w", n, position, err)
		}
		position += int64(len(group))
	}
}

func (d *dumper) journalEnd(groups uint32, position int64) error {
	fmt.Fprintf(d.out, "%d groups, the last one ends at %d\n", groups, position)
	return nil
}

func (d *dumper) journalEntries(b []byte) error {
	for len(b) > 0 {
		if len(b) < journalEntryHead {
			return errors.New("an entry is cut")
		}
		topic, n := int(b[1]), int(binary.BigEndian.Uint32(b[32:]))
		if len(b) < journalEntryHead+topic+n {
			return errors.New("an entry is cut")
		}
		if topic == 0 { // the file's mark, with which each group begins
			b = b[journalEntryHead+n:]
			continue
		}
		kind := map[byte]string{1: "append", 2: "settle"}[b[0]]
		fmt.Fprintf(d.out, "  %s  %s-%d  id %s", kind, b[journalEntryHead:journalEntryHead+topic], int32(binary.BigEndian.Uint32(b[20:])), uuid.UUID(b[4:20]))
		if n > 0 {
			fmt.Fprintf(d.out, "  base offset %d  %d bytes", int64(binary.BigEndian.Uint64(b[24:])), n)
		}
		fmt.Fprintln(d.out)
		batches := b[journalEntryHead+topic : journalEntryHead+topic+n]
		b = b[journalEntryHead+topic+n:]
		for d.records && len(batches) > 0 {
			batch, rest, err := record.Next(batches)
			if err != nil {
				return err
			}
			fmt.Fprintf(d.out, "    %v\n", batch)
			batches = rest
		}
	}
	return nil
}
