package output

import (
	"bytes"
	"testing"
)

func TestPrint(t *testing.T) {
	list := List{
		Heading:  []string{"TOPIC", "PARTITIONS"},
		Rows:     [][]string{{"a", "1"}, {"a-long-name", "12"}},
		Document: []map[string]any{{"name": "a", "filter": "<x>"}},
	}
	for format, want := range map[Format]string{
		Table: "TOPIC        PARTITIONS\na            1\na-long-name  12\n",
		Plain: "a\t1\na-long-name\t12\n",
		JSON:  "[\n  {\n    \"filter\": \"<x>\",\n    \"name\": \"a\"\n  }\n]\n",
	} {
		var b bytes.Buffer
		if err := list.Print(&b, format); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v", format, b.String(), err)
		}
	}
}

func TestNumbers(t *testing.T) {
	if got := Numbers([]int32{3, 1}) + " " + Numbers(nil); got != "3,1 -" {
		t.Error(got)
	}
}
