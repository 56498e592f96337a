package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	cell     = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^(\S+) (Test\w+)$`)
	caseName = regexp.MustCompile(`^diff (?:(seq-[\w-]+)|([a-z-]+)/([a-z-]+))$`)
)

// exists says whether the tree of the project has what a page calls a test.
func exists(t *testing.T, root, name string) bool {
	t.Helper()
	if m := testName.FindStringSubmatch(name); m != nil {
		files, err := filepath.Glob(filepath.Join(root, m[1], "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "\nfunc "+m[2]+"(t *testing.T) {") {
				return true
			}
		}
		return false
	}
	m := caseName.FindStringSubmatch(name)
	if m == nil {
		return false
	}
	file, line := m[1], `(?m)^== sequence$`
	if file == "" {
		file, line = m[2], `(?m)^== v\d+/`+m[3]+`$`
	}
	text, err := os.ReadFile(filepath.Join(root, "test/diff/testdata", file+".txt"))
	return err == nil && regexp.MustCompile(line).Match(text)
}

// TestProtocolPage finds every test that docs/protocol.md names, so that the page cannot promise one that is gone.
func TestProtocolPage(t *testing.T) {
	const root = "../.."
	page, err := os.ReadFile(filepath.Join(root, "docs/protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows, names, shown := 0, 0, false
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 2 || !strings.HasPrefix(line, "| ") {
			continue
		}
		if strings.HasPrefix(cells[1], "---") {
			continue
		}
		if strings.HasPrefix(cells[0], "| rule") || strings.HasPrefix(cells[0], "| what") {
			shown = strings.HasPrefix(cells[1], "shown by")
			continue
		}
		if !shown {
			continue
		}
		rows++
		found := cell.FindAllStringSubmatch(cells[1], -1)
		if len(found) == 0 {
			t.Errorf("nothing shows: %s", line)
		}
		for _, m := range found {
			names++
			if !exists(t, root, m[1]) {
				t.Errorf("there is no test %q", m[1])
			}
		}
	}
	if rows < 100 || names < rows {
		t.Errorf("%d rows and %d names were found on the page", rows, names)
	}
	for _, gone := range []string{"internal/server TestNoSuchThing", "diff seq-no-such-case", "diff produce/no-such-case", "something else"} {
		if exists(t, root, gone) {
			t.Errorf("%q was found", gone)
		}
	}
}
