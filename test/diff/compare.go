package diff

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// Difference is one place where a broker answered otherwise than recorded.
type Difference struct {
	Case    string // id of the case
	Step    int    // which request of it, from 1
	Request string // what was sent
	Path    string // field path; "outcome" where not even an answer corresponds
	Want    string // what Kafka answered
	Got     string
	detail  string // the whole request
}

// absent stands for a field that was at its default or missing.
const absent = "(default)"

func (d Difference) String() string {
	return fmt.Sprintf("%s request %d (%s)\n    %s\n      Kafka: %s\n      here:  %s", d.Case, d.Step, d.Request, d.Path, d.Want, d.Got)
}

// Sent is the whole request the difference was found with, field by field.
func (d Difference) Sent() string { return d.detail }

// Compare finds where the answers of one case differ from the recorded ones.
func Compare(id string, want, got []Answer) []Difference {
	var out []Difference
	for i := range max(len(want), len(got)) {
		d := Difference{Case: id, Step: i + 1, Path: "outcome"}
		switch {
		case i >= len(want):
			d.Request, d.Want, d.Got = got[i].Request, "not recorded; record the case again", outcome(got[i])
			return append(out, d)
		case i >= len(got):
			d.Request, d.Want, d.Got = want[i].Request, outcome(want[i]), "the script ended before this request"
			return append(out, d)
		}
		w, g := want[i], got[i]
		d.Request, d.detail = g.Request, g.detail
		switch {
		case w.Request != g.Request:
			// Either the case changed, or an earlier answer led to another request. Everything after it compares apples with pears.
			d.Want, d.Got = "sent "+w.Request+", "+outcome(w), "sent "+g.Request+", "+outcome(g)
			return append(out, d)
		case w.Outcome != g.Outcome:
			d.Want, d.Got = outcome(w), outcome(g)
			out = append(out, d)
			continue
		}
		out = append(out, leaves(d, w.Leaves, g.Leaves)...)
	}
	return out
}

func outcome(a Answer) string {
	if a.Outcome != "" {
		return a.Outcome
	}
	return "answered " + strings.ReplaceAll(strings.TrimSpace(leavesText(a.Leaves)), "\n", " | ")
}

// leaves compares field by field, in the order of the recording, then what the recording does not have.
func leaves(at Difference, want, got []Leaf) []Difference {
	var out []Difference
	values := map[string]string{}
	for _, l := range got {
		values[l.Path()] = l.Value
	}
	add := func(path, w, g string) {
		at.Path, at.Want, at.Got = path, w, g
		out = append(out, at)
	}
	recorded := map[string]bool{}
	for _, l := range want {
		path := l.Path()
		recorded[path] = true
		if g, ok := values[path]; !ok {
			add(path, l.Value, absent)
		} else if g != l.Value {
			add(path, l.Value, g)
		}
	}
	for _, l := range got {
		if !recorded[l.Path()] {
			add(l.Path(), absent, l.Value)
		}
	}
	return out
}

// Allowed is a deliberate difference. Case, Note and Path are patterns in which * stands for any text.
type Allowed struct {
	Case   string // empty: any
	Note   string // what the script notes about the request; empty: any
	Path   string
	Reason string // the heading in docs/differences.md that explains it
}

// pattern compiles a text with * for anything.
func pattern(s string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, ".*") + "$")
}

// Judge takes the allowed differences out and reports which entries of the table no longer describe any.
func Judge(table []Allowed, all []Difference) (rest []Difference, stale []Allowed) {
	used := make([]bool, len(table))
	type entry struct{ id, note, path *regexp.Regexp }
	patterns := make([]entry, len(table))
	for i, a := range table {
		patterns[i] = entry{pattern(cmp.Or(a.Case, "*")), pattern(cmp.Or(a.Note, "*")), pattern(a.Path)}
	}
	for _, d := range all {
		excused := false
		_, note, _ := strings.Cut(d.Request, ": ")
		for i, p := range patterns {
			if p.id.MatchString(d.Case) && p.note.MatchString(note) && p.path.MatchString(d.Path) {
				used[i], excused = true, true
			}
		}
		if !excused {
			rest = append(rest, d)
		}
	}
	for i, a := range table {
		if !used[i] {
			stale = append(stale, a)
		}
	}
	return rest, stale
}
