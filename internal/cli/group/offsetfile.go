package group

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The files that --export writes and --from-file reads are those of kafka-consumer-groups: CSV without a heading, a line
//
//	topic,partition,offset
//
// for each partition, or group,topic,partition,offset, of which the lines of other groups are passed over.

// readOffsets reads such a file. The name is for messages.
func readOffsets(in io.Reader, name, group string) (map[place]int64, error) {
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	found, others := map[place]int64{}, 0
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read offsets from %s: %w", name, err)
		}
		line, _ := r.FieldPos(0)
		if len(fields) == 4 {
			if fields[0] != group {
				others++
				continue
			}
			fields = fields[1:]
		}
		if len(fields) != 3 || fields[0] == "" {
			return nil, fmt.Errorf("%s:%d: want topic,partition,offset or group,topic,partition,offset", name, line)
		}
		partition, err := strconv.ParseInt(fields[1], 10, 32)
		if err != nil || partition < 0 {
			return nil, fmt.Errorf("%s:%d: %q is no partition", name, line, fields[1])
		}
		offset, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %q is no offset", name, line, fields[2])
		}
		at := place{fields[0], int32(partition)}
		if _, twice := found[at]; twice {
			return nil, fmt.Errorf("%s:%d: %v stands there twice", name, line, at)
		}
		found[at] = offset
	}
	if len(found) == 0 && others > 0 {
		return nil, fmt.Errorf("read offsets from %s: it has other groups only, none of its %d lines is for %s", name, others, group)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("read offsets from %s: it is empty", name)
	}
	return found, nil
}

// writeOffsets writes what readOffsets reads.
func writeOffsets(out io.Writer, changes []change) error {
	b := bufio.NewWriter(out)
	w := csv.NewWriter(b)
	for _, c := range changes {
		if err := w.Write([]string{c.Topic, strconv.Itoa(int(c.Partition)), strconv.FormatInt(c.After, 10)}); err != nil {
			return err
		}
	}
	w.Flush()
	return errors.Join(w.Error(), b.Flush())
}
