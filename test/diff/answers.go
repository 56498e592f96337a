package diff

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Answer is what a broker did on one request, normalised.
type Answer struct {
	Request string // API, version and digest of what was sent
	Outcome string // empty: answered; else "connection closed", "no answer", ...
	Leaves  []Leaf // the fields of the answer that are not at their default
	detail  string // the whole request, for people; not kept
}

// Leaf is one field of an answer. Parent and Name together are its path.
type Leaf struct {
	Parent string // path of the struct, empty for the response itself
	Name   string // field in it
	Value  string
}

// Path is the full path of the field.
func (l Leaf) Path() string { return l.Parent + "." + l.Name }

// Recording holds the answers of all cases by case id.
type Recording map[string][]Answer

// leavesText writes leaves in the format of the files: fields of one struct in a line.
func leavesText(leaves []Leaf) string {
	var b strings.Builder
	for i, l := range leaves {
		if i == 0 || leaves[i-1].Parent != l.Parent {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(l.Parent + ":")
		}
		b.WriteString(" " + l.Name + "=" + l.Value)
	}
	if len(leaves) > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// fileName turns the name of a suite into the name of its file.
func fileName(suite string) string { return strings.ToLower(suite) + ".txt" }

// Write keeps a recording under dir, one file per suite, and removes files of suites that are gone.
func Write(dir string, cases []Case, rec Recording) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make test data directory: %w", err)
	}
	files := map[string]*strings.Builder{}
	for _, c := range cases {
		b, ok := files[fileName(c.Suite)]
		if !ok {
			b = &strings.Builder{}
			files[fileName(c.Suite)] = b
		}
		fmt.Fprintf(b, "== %s\n", c.Name)
		appendAnswers(b, rec[c.ID()])
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if files[filepath.Base(path)] == nil {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove recording of a suite that is gone: %w", err)
			}
		}
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o644); err != nil {
			return fmt.Errorf("write recording: %w", err)
		}
	}
	return nil
}

// Read reads the recordings of the suites that the cases belong to.
func Read(dir string, cases []Case) (Recording, error) {
	rec := Recording{}
	done := map[string]bool{}
	for _, c := range cases {
		if done[c.Suite] {
			continue
		}
		done[c.Suite] = true
		path := filepath.Join(dir, fileName(c.Suite))
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a suite that was not recorded yet
		}
		if err != nil {
			return nil, fmt.Errorf("read recording: %w", err)
		}
		if err := parse(rec, c.Suite, string(data)); err != nil {
			return nil, fmt.Errorf("parse %s: %w", path, err)
		}
	}
	return rec, nil
}

func parse(rec Recording, suite, data string) error {
	id := ""
	for i, line := range strings.Split(strings.TrimSuffix(data, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "== "):
			id = suite + "/" + line[3:]
			rec[id] = []Answer{}
		case strings.HasPrefix(line, "> "):
			rec[id] = append(rec[id], Answer{Request: line[2:]})
		case len(rec[id]) == 0:
			return fmt.Errorf("line %d stands before any request", i+1)
		case strings.HasPrefix(line, "! "):
			rec[id][len(rec[id])-1].Outcome = line[2:]
		case strings.HasPrefix(line, "= "):
			n := 0
			if _, err := fmt.Sscanf(line, "= request %d", &n); err != nil || n < 1 || n >= len(rec[id]) {
				return fmt.Errorf("line %d names no earlier request of the case", i+1)
			}
			rec[id][len(rec[id])-1].Leaves = rec[id][n-1].Leaves
		default:
			a := &rec[id][len(rec[id])-1]
			leaves, err := parseLeaves(line)
			if err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
			a.Leaves = append(a.Leaves, leaves...)
		}
	}
	return nil
}

// parseLeaves reads one line of fields: a parent path, a colon, and name=value pairs. Paths and values may hold quoted strings.
func parseLeaves(line string) ([]Leaf, error) {
	end := unquoted(line, ':')
	if end < 0 {
		return nil, fmt.Errorf("no path in %q", line)
	}
	parent, rest := line[:end], line[end+1:]
	var leaves []Leaf
	for rest != "" {
		rest = strings.TrimPrefix(rest, " ")
		n := unquoted(rest, ' ')
		if n < 0 {
			n = len(rest)
		}
		name, value, ok := strings.Cut(rest[:n], "=")
		if !ok {
			return nil, fmt.Errorf("no value in %q", rest[:n])
		}
		leaves = append(leaves, Leaf{parent, name, value})
		rest = rest[n:]
	}
	return leaves, nil
}

// unquoted finds the first c outside quoted strings.
func unquoted(s string, c byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == c:
			return i
		}
	}
	return -1
}

// IDs returns the ids of a recording in order.
func (r Recording) IDs() []string {
	ids := make([]string, 0, len(r))
	for id := range r {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids
}

// Text renders the recorded answers of one case as they are kept.
func (r Recording) Text(id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "== %s\n", id)
	appendAnswers(&b, r[id])
	return b.String()
}

func appendAnswers(b *strings.Builder, answers []Answer) {
	earlier := map[string]int{}
	for i, a := range answers {
		fmt.Fprintf(b, "> %s\n", a.Request)
		if a.Outcome != "" {
			fmt.Fprintf(b, "! %s\n", a.Outcome)
		}
		text := leavesText(a.Leaves)
		if n, ok := earlier[text]; ok && len(text) > 40 {
			fmt.Fprintf(b, "= request %d\n", n)
			continue
		}
		earlier[text] = i + 1
		b.WriteString(text)
	}
}
