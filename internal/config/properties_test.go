package config

import (
	"slices"
	"testing"
)

func TestProperties(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       []property
	}{
		{"separators", "a=1\nb:2\nc 3\nd = 4\ne : 5\nf\t6\ng\n=h", []property{
			{"a", "1", 1}, {"b", "2", 2}, {"c", "3", 3}, {"d", "4", 4}, {"e", "5", 5}, {"f", "6", 6}, {"g", "", 7}, {"", "h", 8}}},
		{"only one separator goes", "a==1\nb=:2\nc = = 3", []property{{"a", "=1", 1}, {"b", ":2", 2}, {"c", "= 3", 3}}},
		{"comments and blank lines", "# a=1\n  ! b=2\n\n   \n c=3 # not a comment", []property{{"c", "3 # not a comment", 5}}},
		{"blanks at the end stay", "a=1 \t", []property{{"a", "1 \t", 1}}},
		{"continuation", "a=1,\\\n   2,\\\n\t3\nb=x", []property{{"a", "1,2,3", 1}, {"b", "x", 4}}},
		{"an even number of backslashes ends the line", `a=x\\` + "\nb=1", []property{{"a", `x\`, 1}, {"b", "1", 2}}},
		{"a comment does not go on", "# a \\\nb=1", []property{{"b", "1", 2}}},
		{"a continued line may look like a comment", "a=1\\\n#2", []property{{"a", "1#2", 1}}},
		{"open at the end", "a=1\\", []property{{"a", "1", 1}}},
		{"escapes", `a\ b\:c\=d=\t\n\r\f\q\\`, []property{{"a b:c=d", "\t\n\r\fq\\", 1}}},
		{"unicode", `a=\u00e9\ud83d\ude00`, []property{{"a", "é😀", 1}}},
		{"line ends", "a=1\r\nb=2\rc=3", []property{{"a", "1", 1}, {"b", "2", 2}, {"c", "3", 3}}},
		{"byte order mark", "\ufeffa=1", []property{{"a", "1", 1}}},
	} {
		got, err := parseProperties(c.data)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
	}
}

func FuzzProperties(f *testing.F) {
	f.Add("a=1\\\n b\\u0041:c")
	f.Fuzz(func(t *testing.T, data string) {
		found, err := parseProperties(data)
		total := 0
		for _, p := range found {
			total += len(p.key) + len(p.value)
		}
		if err == nil && total > 3*len(data) {
			t.Errorf("%d bytes of keys and values from %d", total, len(data))
		}
	})
}
