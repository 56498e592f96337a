package record

import (
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with a batch. Each stands for one error code of the protocol, which package handler gives it.
var (
	ErrCorrupt                = errors.New("corrupt record batch")
	ErrInvalidRecord          = errors.New("invalid record")
	ErrInvalidTimestamp       = errors.New("invalid timestamp")
	ErrUnsupportedCompression = errors.New("unsupported compression type")
	ErrTooLarge               = errors.New("record batch too large")
	// ErrDecompressedTooLarge is an ErrInvalidRecord too, which is the code clients get.
	ErrDecompressedTooLarge = fmt.Errorf("decompressed records too large: %w", ErrInvalidRecord)
)

// Error is why a batch was refused. Its text is Kafka's wherever a client can see it.
type Error struct {
	Kind    error // one of the errors above
	Message string
	// Records are the records at fault, where single records are, in order and at most maxRecordErrors of them. Kafka
	// sends Message to the client together with these; nearly every other refusal is a bare error code.
	Records []RecordError
	// Unframed says that no batch could be cut out of the bytes; Kafka sends Message then too.
	Unframed bool
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Kind }

// RecordError says what is wrong with one record of a batch (KIP-467).
type RecordError struct {
	Index   int32 // of the record in its batch
	Message string
}

// String is the form in which Kafka puts it into the message of the whole batch.
func (e RecordError) String() string {
	return fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", e.Index, e.Message)
}

func failf(kind error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

func unframed(format string, args ...any) *Error {
	e := failf(ErrCorrupt, format, args...)
	e.Unframed = true
	return e
}

// maxRecordErrors bounds the answer to a batch in which every record is wrong.
const maxRecordErrors = 1000

// recordErrors collects what is wrong with single records; the batch as a whole is refused once all are seen.
type recordErrors struct {
	count     int
	timestamp bool // one of them is about a timestamp, which decides the kind of the whole
	list      []RecordError
}

func (e *recordErrors) add(kind error, index int32, format string, args ...any) {
	e.count++
	e.timestamp = e.timestamp || kind == ErrInvalidTimestamp
	if len(e.list) < maxRecordErrors {
		e.list = append(e.list, RecordError{index, fmt.Sprintf(format, args...)})
	}
}

func (e *recordErrors) err() error {
	if e.count == 0 {
		return nil
	}
	if e.timestamp {
		return &Error{Kind: ErrInvalidTimestamp, Message: "One or more records have been rejected due to invalid timestamp", Records: e.list}
	}
	shown := make([]string, 0, 3)
	for _, r := range e.list[:min(3, len(e.list))] {
		shown = append(shown, r.String())
	}
	return &Error{Kind: ErrInvalidRecord, Message: fmt.Sprintf("One or more records have been rejected due to %d record errors in total, "+
		"and only showing the first three errors at most: [%s]", e.count, strings.Join(shown, ", ")), Records: e.list}
}
