package output

import (
	"bytes"
	"os"
	"testing"
)

func TestPrint(t *testing.T) {
	list := List{
		Heading:  []string{"TOPIC", "PARTITIONS"},
		Rows:     [][]string{{"a", "1"}, {"größe", "12"}, {"a-long-name", "12"}},
		Document: []map[string]any{{"name": "a", "filter": "<x>"}},
	}
	for format, want := range map[Format]string{
		Table: "TOPIC        PARTITIONS\na            1\ngröße        12\na-long-name  12\n",
		Plain: "a\t1\ngröße\t12\na-long-name\t12\n",
		JSON:  "[\n  {\n    \"filter\": \"<x>\",\n    \"name\": \"a\"\n  }\n]\n",
	} {
		var b bytes.Buffer
		if err := list.Print(&b, format); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v", format, b.String(), err)
		}
	}
}

func TestColours(t *testing.T) {
	list := List{
		Heading: []string{"GROUP", "STATE"},
		Rows:    [][]string{{"a", "Stable"}, {"bcd", "Dead"}},
		Styles: map[int]func(string) Style{1: func(cell string) Style {
			if cell == "Dead" {
				return Bad
			}
			return None
		}},
	}
	var b bytes.Buffer
	want := "\x1b[1mGROUP\x1b[0m  \x1b[1mSTATE\x1b[0m\na      Stable\nbcd    \x1b[31mDead\x1b[0m\n"
	if err := list.table(&b, true); err != nil || b.String() != want {
		t.Errorf("%q, %v", b.String(), err)
	}
	for _, c := range []struct {
		mode          os.FileMode
		noColor, term string
		want          bool
	}{
		{os.ModeDevice | os.ModeCharDevice, "", "xterm", true},
		{os.ModeDevice | os.ModeCharDevice, "1", "xterm", false},
		{os.ModeDevice | os.ModeCharDevice, "", "dumb", false},
		{os.ModeDevice | os.ModeCharDevice, "", "", false},
		{os.ModeNamedPipe, "", "xterm", false},
		{0, "", "xterm", false},
	} {
		env := map[string]string{"NO_COLOR": c.noColor, "TERM": c.term}
		if got := colourful(c.mode, func(name string) string { return env[name] }); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if Coloured(file) || Coloured(&b) {
		t.Error("what is no terminal is coloured")
	}
}

func TestCells(t *testing.T) {
	n := int64(7)
	if got := Numbers([]int32{3, 1}) + " " + Numbers(nil) + " " + Number(&n) + " " + Number(nil) + " " + Text("") + " " + Text("x"); got != "3,1 - 7 - - x" {
		t.Error(got)
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
