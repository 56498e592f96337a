package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordFormat appends one record, line end included, as --format asks.
type recordFormat func(dst []byte, r *kgo.Record) ([]byte, error)

// parseRecordFormat reads plain, table, json or a template.
func parseRecordFormat(s string) (recordFormat, error) {
	switch s {
	case "plain":
		return parseTemplate("{value}")
	case "table":
		return parseTemplate(`{partition}\t{offset}\t{timestamp}\t{key}\t{headers}\t{value}`)
	case "json":
		return appendJSON, nil
	}
	if !strings.Contains(s, "{") {
		return nil, fmt.Errorf("--format %s: want plain, table, json or a template such as '{offset} {key}={value}'", s)
	}
	return parseTemplate(s)
}

// fields are the words a template may have in braces.
var fields = map[string]func(dst []byte, r *kgo.Record) []byte{
	"topic":     func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Topic...) },
	"partition": func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, int64(r.Partition), 10) },
	"offset":    func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, r.Offset, 10) },
	"timestamp": func(dst []byte, r *kgo.Record) []byte { return append(dst, timeText(r.Timestamp)...) },
	"millis":    func(dst []byte, r *kgo.Record) []byte { return strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10) },
	"key":       func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Key...) },
	"value":     func(dst []byte, r *kgo.Record) []byte { return append(dst, r.Value...) },
	"headers":   appendHeaders,
}

func appendHeaders(dst []byte, r *kgo.Record) []byte {
	for i, h := range r.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, h.Key...), '='), h.Value...)
	}
	return dst
}

func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// parseTemplate reads text in which {word} is a field and \t, \n, \\ and \{ are escapes. A line end follows every record.
func parseTemplate(s string) (recordFormat, error) {
	type part struct {
		text  string
		field func(dst []byte, r *kgo.Record) []byte
	}
	var parts []part
	var text strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 't':
				text.WriteByte('\t')
			case 'n':
				text.WriteByte('\n')
			default:
				text.WriteByte(s[i])
			}
		case s[i] == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("--format %s: a { without its }", s)
			}
			word := s[i+1 : i+end]
			field := fields[word]
			if field == nil {
				return nil, fmt.Errorf("--format %s: no field {%s}; there are topic, partition, offset, timestamp, millis, key, value and headers", s, word)
			}
			parts = append(parts, part{text: text.String(), field: field})
			text.Reset()
			i += end
		default:
			text.WriteByte(s[i])
		}
	}
	tail := text.String() + "\n"
	return func(dst []byte, r *kgo.Record) ([]byte, error) {
		for _, p := range parts {
			dst = p.field(append(dst, p.text...), r)
		}
		return append(dst, tail...), nil
	}, nil
}

// jsonRecord is one line of --format json. Bytes that are not UTF-8 are base64 in the field of that name.
type jsonRecord struct {
	Topic       string       `json:"topic"`
	Partition   int32        `json:"partition"`
	Offset      int64        `json:"offset"`
	Timestamp   string       `json:"timestamp"`
	Key         *string      `json:"key"`
	KeyBase64   string       `json:"keyBase64,omitempty"`
	Value       *string      `json:"value"`
	ValueBase64 string       `json:"valueBase64,omitempty"`
	Headers     []jsonHeader `json:"headers,omitempty"`
}

type jsonHeader struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 string  `json:"valueBase64,omitempty"`
}

func appendJSON(dst []byte, r *kgo.Record) ([]byte, error) {
	j := jsonRecord{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: timeText(r.Timestamp)}
	j.Key, j.KeyBase64 = textOrBase64(r.Key)
	j.Value, j.ValueBase64 = textOrBase64(r.Value)
	for _, h := range r.Headers {
		value, encoded := textOrBase64(h.Value)
		j.Headers = append(j.Headers, jsonHeader{h.Key, value, encoded})
	}
	line, err := json.Marshal(j)
	if err != nil {
		return dst, fmt.Errorf("print offset %d of partition %d: %w", r.Offset, r.Partition, err)
	}
	return append(append(dst, line...), '\n'), nil
}

func textOrBase64(b []byte) (text *string, encoded string) {
	switch {
	case b == nil:
		return nil, ""
	case utf8.Valid(b):
		s := string(b)
		return &s, ""
	}
	return nil, base64.StdEncoding.EncodeToString(b)
}
