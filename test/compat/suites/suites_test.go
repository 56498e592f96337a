package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
)

// TestLists reads the list of every suite.
func TestLists(t *testing.T) {
	for _, s := range suites {
		list, err := readList(filepath.Join("expected", s.name+".tsv"))
		if err != nil {
			t.Error(err)
		}
		for _, e := range list {
			if _, ok := capabilities[e.capability]; !ok {
				t.Errorf("%s: %s is listed with an unknown capability %q", s.name, e.test, e.capability)
			}
		}
	}
}

// TestReadList refuses lines that say too little.
func TestReadList(t *testing.T) {
	for text, want := range map[string]bool{"": true, "# nothing\n": true, "A\ttransactions\twhy\n": true, "A\ttransactions\n": false, "A\t\twhy\n": false, "\ttransactions\twhy\n": false} {
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readList(path); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestParse reads what the runners print.
func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		got  results
		want results
	}{
		"go": {
			parseGo("=== RUN   A\n    x_test.go:1: --- PASS\n--- FAIL: A (0.10s)\n    --- PASS: A/one (0.00s)\n    --- FAIL: A/two_words (0.00s)\n--- SKIP: B (0.00s)\nPASS\n"),
			results{"A": failed, "A/one": passed, "A/two_words": failed, "B": skipped},
		},
		"pytest": {
			parsePytest("test/test_a.py::test_one PASSED   [ 10%]\ntest/test_a.py::test_two[a b] FAILED [ 20%]\ntest/test_a.py::test_three ERROR\ntest/test_a.py::test_four SKIPPED (no)\ntest/test_a.py::test_five XPASS (x)\ntest/test_a.py::test_one ERROR\n=== FAILED ===\n"),
			results{"test_a.py::test_one": failed, "test_a.py::test_two[a b]": failed, "test_a.py::test_three": failed, "test_a.py::test_four": skipped, "test_a.py::test_five": skipped},
		},
		"librdkafka": {
			parseLibrdkafka("|\x1b[32m <MAIN>     |     PASSED |   1.000s \x1b[0m|\n|\x1b[32m 0001_multiobj     |     PASSED |   1.000s \x1b[0m|\n|\x1b[31m 0002_unkpart |     FAILED |   1.000s \x1b[0m| why\n|\x1b[36m 0003_x |    SKIPPED | 0s|\n"),
			results{"0001_multiobj": passed, "0002_unkpart": failed, "0003_x": skipped},
		},
	} {
		if !maps.Equal(c.got, c.want) {
			t.Errorf("%s: %v, not %v", name, c.got, c.want)
		}
	}
}

// TestJudge finds what failed without being listed, and what is listed without having failed.
func TestJudge(t *testing.T) {
	compatibility := "\n" + capabilities["transactions"]
	r := results{"A": failed, "A/one": passed, "A/two": failed, "B": failed, "B/one": failed, "C": passed, "D": skipped, "E": failed}
	for name, c := range map[string]struct {
		list  []entry
		wrong []string
	}{
		"all listed":            {[]entry{{"A/two", "transactions", "x"}, {"B", "environment", "x"}, {"C", unsteady, "x"}, {"E", "transactions", "x"}}, nil},
		"not listed":            {[]entry{{"A", "transactions", "x"}}, []string{"failed: B/one", "failed: E"}},
		"stale":                 {[]entry{{"A", "transactions", "x"}, {"B", "transactions", "x"}, {"E", "transactions", "x"}, {"C", "transactions", "x"}}, []string{"listed, but did not fail: C"}},
		"served by now":         {[]entry{{"A", "SASL", "x"}, {"B", "transactions", "x"}, {"E", "transactions", "x"}}, []string{"listed, but docs/compatibility.md no longer says that SASL are not served: A"}},
		"an unknown capability": {[]entry{{"A", "magic", "x"}, {"B", "transactions", "x"}, {"E", "transactions", "x"}}, []string{`listed with an unknown capability "magic": A`}},
	} {
		v := judge(r, c.list, compatibility)
		if !slices.Equal(v.wrong, c.wrong) {
			t.Errorf("%s: %s", name, strings.Join(v.wrong, "; "))
		}
		if v.tests != 5 || v.passed != 1 || v.skipped != 1 || (len(c.wrong) == 0 && v.expected != 3) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestPattern names one test, and what is within it.
func TestPattern(t *testing.T) {
	if got := pattern("A/two_words"); got != "^A$/^two_words$" {
		t.Error(got)
	}
}

// TestPage compares the table of docs/clients.md with the lists.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(broker.Root(), "docs/clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := "| suite | test | needs | why |\n| --- | --- | --- | --- |\n"
	for _, s := range suites {
		list, err := readList(filepath.Join("expected", s.name+".tsv"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			want += "| " + strings.Join([]string{s.name, "`" + e.test + "`", e.capability, e.reason}, " | ") + " |\n"
		}
	}
	if !strings.HasSuffix(string(page), "\n\n"+want) {
		t.Errorf("docs/clients.md does not end with\n%s", want)
	}
}
