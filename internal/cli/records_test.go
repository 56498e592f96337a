package cli

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestRecordFormats(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8e6, time.UTC)
	full := &kgo.Record{Topic: "orders", Partition: 2, Offset: 41, Timestamp: at, Key: []byte("k"), Value: []byte("v\t<1>"),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b", Value: nil}}}
	bare := &kgo.Record{Topic: "orders", Timestamp: at, Value: []byte{0xff, 0}}
	for _, c := range []struct {
		format string
		record *kgo.Record
		want   string
	}{
		{"plain", full, "v\t<1>\n"},
		{"table", full, "2\t41\t2026-03-04T05:06:07.008Z\tk\ta=1,b=\tv\t<1>\n"},
		{"json", full, `{"topic":"orders","partition":2,"offset":41,"timestamp":"2026-03-04T05:06:07.008Z","key":"k","value":"v\t\u003c1\u003e","headers":[{"key":"a","value":"1"},{"key":"b","value":null}]}` + "\n"},
		{"json", bare, `{"topic":"orders","partition":0,"offset":0,"timestamp":"2026-03-04T05:06:07.008Z","key":null,"value":null,"valueBase64":"/wA="}` + "\n"},
		{`{topic}-{partition}@{offset}\t{key}\{{millis}\\`, full, "orders-2@41\tk{1772600767008\\\n"},
		{"{key}={value}", bare, "=\xff\x00\n"},
	} {
		f, err := parseRecordFormat(c.format)
		if err != nil {
			t.Errorf("%s: %v", c.format, err)
			continue
		}
		got, err := f([]byte(">"), c.record)
		if err != nil || string(got) != ">"+c.want {
			t.Errorf("%s: got %s, %v", c.format, got, err)
		}
	}
	for format, want := range map[string]string{"xml": "want plain, table, json or a template", "{val}": "no field {val}", "a{key": "a { without its }"} {
		if _, err := parseRecordFormat(format); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", format, err)
		}
	}
}

func TestLinesBecomeRecords(t *testing.T) {
	for _, c := range []struct {
		separator, line, key, value string
		noKey                       bool
	}{
		{"", "a:b\r\n", "", "a:b", true},
		{":", "a:b:c\n", "a", "b:c", false},
		{"=>", "k=>", "k", "", false},
		{":", ":v", "", "v", false},
		{"", "", "", "", true},
	} {
		s := sender{topic: "t", partition: 3, separator: []byte(c.separator), headers: []kgo.RecordHeader{{Key: "h"}}}
		r, err := s.record([]byte(c.line))
		if err != nil || string(r.Key) != c.key || string(r.Value) != c.value || (r.Key == nil) != c.noKey || r.Partition != 3 || r.Topic != "t" || len(r.Headers) != 1 {
			t.Errorf("%q by %q: %+v, %v", c.line, c.separator, r, err)
		}
	}
	s := sender{separator: []byte(":")}
	if _, err := s.record([]byte("ab")); err == nil {
		t.Error("a line without the separator is taken")
	}
}

func TestReaderStopsAtTheEndsItFoundAtTheStart(t *testing.T) {
	line, err := parseRecordFormat("{partition}/{offset}")
	if err != nil {
		t.Fatal(err)
	}
	rec := func(partition int32, offset int64) *kgo.Record {
		return &kgo.Record{Topic: "t", Partition: partition, Offset: offset}
	}
	for _, c := range []struct {
		name    string
		follow  bool
		left    int64
		records []*kgo.Record
		taken   int // records handed in before it is done
		out     string
	}{
		{"both ends", false, -1, []*kgo.Record{rec(0, 0), rec(1, 5), rec(0, 1), rec(0, 2), rec(0, 3)}, 4, "0/0\n1/5\n0/1\n0/2\n"},
		{"a gap at the end", false, -1, []*kgo.Record{rec(1, 5), rec(0, 1), rec(0, 9)}, 3, "1/5\n0/1\n"},
		{"a count", false, 2, []*kgo.Record{rec(0, 0), rec(0, 1), rec(0, 2)}, 2, "0/0\n0/1\n"},
		{"follow", true, -1, []*kgo.Record{rec(0, 2), rec(0, 3), rec(1, 9)}, 3, "0/2\n0/3\n1/9\n"},
	} {
		var out bytes.Buffer
		r := reader{topics: []string{"t"}, follow: c.follow, left: c.left, line: line, out: bufio.NewWriter(&out), spans: map[place]span{{"t", 0}: {0, 3}, {"t", 1}: {5, 6}}}
		taken := 0
		for done := false; !done && taken < len(c.records); taken++ {
			if done, err = r.take(c.records[taken]); err != nil {
				t.Fatal(err)
			}
		}
		r.out.Flush()
		if taken != c.taken || out.String() != c.out {
			t.Errorf("%s: took %d, printed %q", c.name, taken, out.String())
		}
	}
}
