package group

import (
	"maps"
	"strings"
	"testing"
)

func TestReadOffsets(t *testing.T) {
	want := map[place]int64{{"orders", 0}: 5, {"a-topic-with-a-rather-long-name", 12}: 0}
	for name, text := range map[string]string{
		"plain":           "orders,0,5\na-topic-with-a-rather-long-name,12,0\n",
		"as Kafka quotes": "orders,0,5\n\"a-topic-with-a-rather-long-name\",12,0\n",
		"other line ends": "orders, 0, 5\r\na-topic-with-a-rather-long-name,12,0",
		"with groups":     "\"billing\",orders,0,5\nshipping,orders,0,77\nbilling,a-topic-with-a-rather-long-name,12,0\n",
	} {
		if got, err := readOffsets(strings.NewReader(text), "f", "billing"); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                               "read offsets from f: it is empty",
		"shipping,orders,0,5\n":          "read offsets from f: it has other groups only, none of its 1 lines is for billing",
		"orders,0\n":                     "f:1: want topic,partition,offset or group,topic,partition,offset",
		",0,5\n":                         "f:1: want topic,partition,offset or group,topic,partition,offset",
		"orders,0,5\norders,x,5\n":       "f:2: \"x\" is no partition",
		"orders,-1,5\n":                  "f:1: \"-1\" is no partition",
		"TOPIC,PARTITION,OFFSET\n":       "f:1: \"PARTITION\" is no partition",
		"orders,0,5.5\n":                 "f:1: \"5.5\" is no offset",
		"orders,0,5\norders,0,6\n":       "f:2: partition 0 of topic orders stands there twice",
		"orders,0,\"5\n":                 "read offsets from f: parse error on line 1",
		"orders,0,9223372036854775808\n": "f:1: \"9223372036854775808\" is no offset",
	} {
		if got, err := readOffsets(strings.NewReader(text), "f", "billing"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestWrittenOffsetsAreRead(t *testing.T) {
	var b strings.Builder
	if err := writeOffsets(&b, []change{{Topic: "orders", Partition: 0, After: 5}, {Topic: "b.c_d-e", Partition: 7, After: 1 << 40}}); err != nil {
		t.Fatal(err)
	}
	if b.String() != "orders,0,5\nb.c_d-e,7,1099511627776\n" {
		t.Errorf("written %q", b.String())
	}
	got, err := readOffsets(strings.NewReader(b.String()), "f", "g")
	if want := (map[place]int64{{"orders", 0}: 5, {"b.c_d-e", 7}: 1 << 40}); err != nil || !maps.Equal(got, want) {
		t.Errorf("read %v, %v", got, err)
	}
}
