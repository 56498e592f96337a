package log

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/moldau/moldau/internal/commitlog/segment"
	"github.com/moldau/moldau/internal/record"
)

// segment prints the batches of a .log file and stops at the first that is none, since nothing says where the next one is.
func (d *dumper) segment(f io.Reader, size int64) error {
	in := bufio.NewReaderSize(f, 1<<20)
	var batches, records, position int64
	next := int64(-1)
	for position < size {
		head, err := in.Peek(record.LengthEnd)
		if err != nil || allZero(head) {
			break
		}
		n := segment.Length(head)
		if n < record.HeaderSize || n > size-position {
			return d.rest(position, size, fmt.Errorf("position %d: a batch of %d bytes, %d bytes to the end of the file", position, n, size-position))
		}
		buf := make([]byte, n)
		if _, err := io.ReadFull(in, buf); err != nil {
			return fmt.Errorf("position %d: %w", position, err)
		}
		b, _, err := record.Next(buf)
		if err != nil {
			return d.rest(position, size, fmt.Errorf("position %d: %w", position, err))
		}
		damage := b.CheckCRC()
		if damage == nil && b.BaseOffset() < next {
			damage = fmt.Errorf("offset %d after %d", b.BaseOffset(), next-1)
		}
		d.batch(position, b, damage)
		if damage == nil && d.records {
			damage = d.batchRecords(b)
		}
		if damage != nil {
			return d.rest(position+n, size, fmt.Errorf("position %d: %w", position, damage))
		}
		next = b.NextOffset()
		position += n
		records += int64(b.Count())
		batches++
	}
	fmt.Fprintf(d.out, "%d batches, %d records, %d bytes\n", batches, records, position)
	return d.tail(in, position, size)
}

// rest says how much was not read because of err.
func (d *dumper) rest(position, size int64, err error) error {
	fmt.Fprintf(d.out, "stopped at position %d, %d bytes not read\n", position, size-position)
	return err
}

// tail looks at what follows the last batch: nothing, or the zeros of a preallocated or torn file.
func (d *dumper) tail(in io.Reader, position, size int64) error {
	if position == size {
		return nil
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := in.Read(buf)
		if !allZero(buf[:n]) {
			return d.rest(position, size, fmt.Errorf("position %d: no batch", position))
		}
		if errors.Is(err, io.EOF) {
			fmt.Fprintf(d.out, "%d zeros follow\n", size-position)
			return nil
		}
		if err != nil {
			return fmt.Errorf("position %d: %w", position, err)
		}
	}
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

func (d *dumper) batch(position int64, b record.Batch, damage error) {
	fmt.Fprintf(d.out, "position %d  offsets %d-%d  records %d  %s  %d bytes  epoch %d  ", position, b.BaseOffset(), b.LastOffset(),
		b.Count(), b.Codec(), b.Size(), b.LeaderEpoch())
	kind := "created"
	if b.TimestampType() != 0 {
		kind = "appended"
	}
	fmt.Fprintf(d.out, "%s %s", kind, timeText(b.MaxTimestamp()))
	if b.HasProducerID() {
		fmt.Fprintf(d.out, "  producer %d/%d", b.ProducerID(), b.ProducerEpoch())
		if b.BaseSequence() >= 0 {
			fmt.Fprintf(d.out, "  sequences %d-%d", b.BaseSequence(), b.LastSequence())
		}
	}
	if b.IsTransactional() {
		fmt.Fprint(d.out, "  transactional")
	}
	if b.IsControl() {
		fmt.Fprint(d.out, "  control")
	}
	if b.HasDeleteHorizon() {
		fmt.Fprintf(d.out, "  delete horizon %s", timeText(b.BaseTimestamp()))
	}
	if damage != nil {
		fmt.Fprintf(d.out, "  DAMAGED: %v", damage)
	}
	fmt.Fprintln(d.out)
}

func (d *dumper) batchRecords(b record.Batch) error {
	for r, err := range b.Records(d.maxBytes) {
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "  offset %d  %s  ", r.Offset, timeText(r.Timestamp))
		if b.IsControl() {
			fmt.Fprintln(d.out, controlText(r))
			continue
		}
		fmt.Fprintf(d.out, "key %s  value %s", quoted(r.Key), quoted(r.Value))
		if len(r.Headers) > 0 {
			var headers []string
			for _, h := range r.Headers {
				headers = append(headers, quoted([]byte(h.Key))+"="+quoted(h.Value))
			}
			fmt.Fprintf(d.out, "  headers %s", strings.Join(headers, " "))
		}
		fmt.Fprintln(d.out)
	}
	return nil
}

// controlText reads the key of a control record: version, then type. The value of a transaction marker is a version and the
// epoch of its coordinator.
func controlText(r record.Record) string {
	if len(r.Key) < 4 {
		return "marker " + quoted(r.Key)
	}
	switch kind := binary.BigEndian.Uint16(r.Key[2:]); kind {
	case 0, 1:
		text := [...]string{"abort", "commit"}[kind]
		if len(r.Value) >= 6 {
			text += fmt.Sprintf("  coordinator epoch %d", int32(binary.BigEndian.Uint32(r.Value[2:])))
		}
		return text
	default:
		return fmt.Sprintf("marker of type %d", kind)
	}
}

func quoted(b []byte) string {
	if b == nil {
		return "null"
	}
	return strconv.Quote(string(b))
}
