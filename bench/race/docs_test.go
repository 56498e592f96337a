package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// wellFormed reads a document of XML to its end.
func wellFormed(text string) error {
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func lines(t *testing.T, r *results) string {
	t.Helper()
	var out strings.Builder
	put := func(v any) {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(text, '\n'))
	}
	put(r.headers[0])
	put(start{Kind: "start", Label: "moldau", EmptyMS: []float64{14, 12, 13}, AgainMS: []float64{9}, IdleRSSMB: 18, IdleCPU: 0.1, IdleSecs: 30, Threads: 9})
	for _, x := range r.runs {
		x.Kind = "run"
		put(x)
	}
	return out.String()
}

func TestDocsHaveTablesAndCharts(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	begin, end := strings.ReplaceAll(blockBegin, "NAME", "memory"), strings.ReplaceAll(blockEnd, "NAME", "memory")
	places := ""
	for _, name := range races {
		places += strings.ReplaceAll(blockBegin+"\nold\n"+blockEnd+"\nafter\n", "NAME", name.file)
	}
	write("docs/performance.md", "before\n"+places)
	r := raced("memory", "produce-1K", 1.5, 3)
	r.runs = append(r.runs, raced("memory", "e2e-1K-20k/s", 0.4, 3).runs...)
	write("bench/results/memory.jsonl", lines(t, r))
	if err := writeDocs(root); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs/performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, want := range []string{
		"before\n" + begin + "\n", end + "\nafter\n",
		"| produce-1K | 200 MB/s | 300 MB/s | 1.50 (1.50..1.50) | 200 | 133 | 0.67 (0.67..0.67) | rate >= 1.2; cpu <= 0.55 | **NOT met: cpu** |",
		"| e2e-1K-20k/s | 200 us / 200 us | 80 us / 80 us | p50 0.40 (0.40..0.40), p99 0.40 (0.40..0.40) |",
		"| p50 <= 0.5; p99 <= 1.1 | met |",
		"| Moldau | 13 (12..14) ms | 9 ms | 18.0 MB | 0.10 % of a core in 30 s | 9 | 0 MB |",
		"Not measured yet: `bench/run --table disk --out bench/results/disk.jsonl`.\n", "Commit abc, ", "seed 7",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "\nold\n") {
		t.Error("the old table is still there")
	}
	for _, name := range []string{"race-memory.svg", "race-latency.svg"} {
		text, err := os.ReadFile(filepath.Join(root, "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := wellFormed(string(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s := string(text); strings.Contains(s, "<script") || len(s) > 20_000 || !strings.Contains(s, "<rect") || strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
			t.Errorf("%s has %d bytes or what a printable chart has not:\n%s", name, len(s), s)
		}
	}
	write("docs/performance.md", "no place for a table\n")
	if err := writeDocs(root); err == nil {
		t.Error("a page without a place for the table is written")
	}
}

// What docs/ says of a race must be what its results say.
func TestDocsAreThoseOfTheResults(t *testing.T) {
	want, err := pages("../..")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range want {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != text {
			t.Errorf("%s is not what its results make: go run ./bench/race docs", path)
		}
		if strings.HasSuffix(path, ".svg") {
			if err := wellFormed(text); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}
