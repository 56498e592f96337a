package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// outcome is what became of a test.
type outcome int

const (
	skipped outcome = iota + 1
	passed
	failed
)

// results are the outcomes by a test's name; a test within another has both names, with a slash between them.
type results map[string]outcome

// merge adds results; a test that ran before has the later outcome.
func (r results) merge(more results) { maps.Copy(r, more) }

var goResult = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+) \(.*\)$`)

// parseGo reads what a Go test binary prints with -test.v.
func parseGo(text string) results {
	r := results{}
	for _, m := range goResult.FindAllStringSubmatch(text, -1) {
		r[m[2]] = map[string]outcome{"PASS": passed, "FAIL": failed, "SKIP": skipped}[m[1]]
	}
	return r
}

var pytestResult = regexp.MustCompile(`(?m)^(test/\S+::.*?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b.*$`)

// parsePytest reads what pytest prints with -v. A test that is expected to fail counts as skipped, whatever it does.
func parsePytest(text string) results {
	r := results{}
	for _, m := range pytestResult.FindAllStringSubmatch(text, -1) {
		name := strings.TrimPrefix(m[1], "test/")
		if o := map[string]outcome{"PASSED": passed, "FAILED": failed, "ERROR": failed}[m[2]]; o == 0 {
			r[name] = skipped
		} else {
			r[name] = max(r[name], o)
		}
	}
	return r
}

// entry is a line of a list: the test fails because of a capability, which is not served.
type entry struct{ test, capability, reason string }

// readList reads a list: lines of test, capability and reason, with tabs between them.
func readList(path string) ([]entry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []entry
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 3 || f[0] == "" || f[1] == "" || f[2] == "" {
			return nil, fmt.Errorf("%s:%d: not a test, a capability and a reason: %q", path, i+1, line)
		}
		list = append(list, entry{f[0], f[1], f[2]})
	}
	return list, nil
}

// capabilities are what a test may need that is not there, with the words of docs/compatibility.md that say so. The last
// ones are no want of Moldau's, and have no such words.
var capabilities = map[string]string{
	"transactions":    "| 24 | AddPartitionsToTxn | 0-5 |\n",
	"SASL":            "| 36 | SaslAuthenticate | 0-2 |\n",
	"ACLs":            "no authorizer yet",
	"several brokers": "replicas are not copied to other brokers yet",
	"features":        "no feature has levels yet",
	"difference":      "", // a deliberate one, which docs/differences.md tells
	"fails on Kafka":  "", // on Apache Kafka 4.4.0 as well
	"environment":     "", // the test reaches into the containers that its authors run
	unsteady:          "", // fails on Apache Kafka 4.4.0 as well, but not always
}

const unsteady = "unsteady"

// verdict is a suite's result.
type verdict struct {
	tests, passed, skipped, expected int
	wrong, again                     []string
}

func (v verdict) String() string {
	text := fmt.Sprintf("%d tests: %d passed, %d skipped, %d failed as listed, %d not as listed", v.tests, v.passed, v.skipped, v.expected, len(v.wrong))
	if len(v.again) > 0 {
		text += "; passed when run again: " + strings.Join(v.again, ", ")
	}
	return text
}

// judge compares the results with the list. A test that contains a failed one fails through that one alone, and one that
// is listed covers those within it. Tests are counted without those within them.
func judge(r results, list []entry, compatibility string) (v verdict) {
	for _, e := range list {
		switch words, known := capabilities[e.capability]; {
		case !known:
			v.wrong = append(v.wrong, fmt.Sprintf("listed with an unknown capability %q: %s", e.capability, e.test))
		case !strings.Contains(compatibility, words):
			v.wrong = append(v.wrong, fmt.Sprintf("listed, but docs/compatibility.md no longer says that %s are not served: %s", e.capability, e.test))
		}
	}
	used := map[string]bool{}
	unexpected := map[string]bool{} // by the outermost test
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if r[name] != failed || containsFailed(r, name) {
			continue
		}
		covered := ""
		for _, e := range list {
			if e.test == name || strings.HasPrefix(name, e.test+"/") {
				covered = e.test
			}
		}
		if covered == "" {
			v.wrong = append(v.wrong, "failed: "+name)
			unexpected[outermost(name)] = true
		}
		used[covered] = true
	}
	for _, e := range list {
		if !used[e.test] && e.capability != unsteady {
			v.wrong = append(v.wrong, "listed, but did not fail: "+e.test)
		}
	}
	for name, o := range r {
		if outermost(name) != name {
			continue
		}
		v.tests++
		switch {
		case o == passed:
			v.passed++
		case o == skipped:
			v.skipped++
		case !unexpected[name]:
			v.expected++
		}
	}
	return v
}

func containsFailed(r results, name string) bool {
	for other, o := range r {
		if o == failed && strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

// outermost is the test that contains this one; names of kafka-python's files have no slash but before the file.
func outermost(name string) string {
	if strings.Contains(name, "::") {
		return name
	}
	top, _, _ := strings.Cut(name, "/")
	return top
}
