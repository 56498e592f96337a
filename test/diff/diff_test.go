package diff

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// recording derives the cases and reads Kafka's answers to them.
func recording(t *testing.T) ([]Case, Recording) {
	t.Helper()
	cases, err := Cases(Table())
	if err != nil {
		t.Fatal(err)
	}
	rec, err := Read("testdata", cases)
	if err != nil {
		t.Fatal(err)
	}
	return cases, rec
}

// covered finds versions of a table without cases of all three kinds, or whose cases have no recorded answer.
func covered(table []API, cases []Case, rec Recording) []string {
	type cell struct {
		key, version int16
		kind         Kind
	}
	have := map[cell]int{}
	var missing []string
	for _, c := range cases {
		if len(rec[c.ID()]) == 0 {
			missing = append(missing, c.ID()+" is not recorded")
			continue
		}
		have[cell{c.API, c.Version, c.Kind}]++
	}
	for _, api := range table {
		for v := api.Min; v <= api.Max; v++ {
			for _, kind := range []Kind{Ordinary, Boundary, Wrong} {
				if have[cell{api.Key, v, kind}] == 0 {
					missing = append(missing, fmt.Sprintf("%s v%d has no %s case", api.Name(), v, kind))
				}
			}
		}
	}
	return missing
}

func TestEveryVersionHasCases(t *testing.T) {
	cases, rec := recording(t)
	for _, m := range covered(Table(), cases, rec) {
		t.Error(m)
	}
	for _, m := range covered(served(), cases, rec) {
		t.Errorf("served, but %s", m)
	}
	if n := len(Sequences()); n < 150 {
		t.Errorf("%d sequences, not 150", n)
	}
	more := append(Table(), API{keyFetch, 19, 19})
	if len(covered(more, cases, rec)) != 3 {
		t.Error("a version without cases was not noticed")
	}
	if _, err := Cases(append(Table(), API{Key: 24, Min: 0, Max: 1})); err == nil {
		t.Error("an API without cases was not noticed")
	}
}

// TestRecordingIsWhole reads the recordings and writes them again: every byte must come back, and nothing recorded may belong to no case
// or to a script that broke off.
func TestRecordingIsWhole(t *testing.T) {
	cases, rec := recording(t)
	known := map[string]bool{}
	for _, c := range cases {
		known[c.ID()] = true
	}
	for _, id := range rec.IDs() {
		if !known[id] {
			t.Errorf("%s is recorded but no case", id)
		}
		for i, a := range rec[id] {
			if strings.HasPrefix(a.Outcome, "stopped") || strings.HasPrefix(a.Outcome, "connection refused") {
				t.Errorf("%s request %d: %s", id, i+1, a.Outcome)
			}
		}
	}
	dir := t.TempDir()
	if err := Write(dir, cases, rec); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	written, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != len(written) {
		t.Errorf("%d files are kept, %d belong to cases", len(kept), len(written))
	}
	for _, path := range kept {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, filepath.Base(path)))
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(got) {
			t.Errorf("%s changes when it is read and written", path)
		}
	}
}

// TestPlantedDifferences changes every field of a number of recorded answers, one at a time, and expects each change to be found.
func TestPlantedDifferences(t *testing.T) {
	_, rec := recording(t)
	planted := 0
	for _, id := range []string{"Fetch/v12/boundary", "Produce/v8/wrong-compacted", "Metadata/v9/ordinary", "seq-long-poll/sequence", "CreateTopics/v7/wrong"} {
		want := rec[id]
		if d := Compare(id, want, want); len(d) != 0 {
			t.Errorf("%s differs from itself: %v", id, d[0])
		}
		for step := range want {
			for i, leaf := range want[step].Leaves {
				changed, without := deepCopy(want), deepCopy(want)
				changed[step].Leaves[i].Value += "1"
				without[step].Leaves = append(without[step].Leaves[:i], without[step].Leaves[i+1:]...)
				for _, got := range [][]Answer{changed, without} {
					d := Compare(id, want, got)
					if len(d) != 1 || d[0].Step != step+1 || d[0].Path != leaf.Path() || d[0].Want != leaf.Value {
						t.Fatalf("%s request %d, %s changed: found %v", id, step+1, leaf.Path(), d)
					}
					planted++
				}
			}
			more := deepCopy(want)
			more[step].Leaves = append(more[step].Leaves, Leaf{"", "Surplus", "1"})
			if d := Compare(id, want, more); len(d) != 1 || d[0].Want != absent {
				t.Fatalf("%s request %d, field added: found %v", id, step+1, d)
			}
			closed := deepCopy(want)
			closed[step].Outcome += "connection closed early"
			if d := Compare(id, want, closed); len(d) != 1 || d[0].Path != "outcome" {
				t.Fatalf("%s request %d, closed: found %v", id, step+1, d)
			}
			if d := Compare(id, want, want[:step]); len(d) != 1 || d[0].Step != step+1 {
				t.Fatalf("%s without request %d: found %v", id, step+1, d)
			}
			other := deepCopy(want)
			other[step].Request += "x"
			if d := Compare(id, want, other); len(d) != 1 || d[0].Step != step+1 {
				t.Fatalf("%s, other request %d: found %v", id, step+1, d)
			}
		}
	}
	if planted < 500 {
		t.Errorf("only %d differences planted", planted)
	}
}

func deepCopy(answers []Answer) []Answer {
	out := append([]Answer(nil), answers...)
	for i := range out {
		out[i].Leaves = append([]Leaf(nil), out[i].Leaves...)
	}
	return out
}

func TestJudge(t *testing.T) {
	found := []Difference{
		{Case: "Fetch/v12/boundary", Request: "Fetch v12 0: some", Path: ".Topics[0].Partitions[1].RecordBatches[2].Cut"},
		{Case: "Fetch/v12/boundary", Path: ".Topics[0].Partitions[1].ErrorCode"},
	}
	rest, stale := Judge([]Allowed{
		{"", "", ".Topics[*].Cut", "a"},
		{"Fetch/v4/*", "", ".Topics[*].ErrorCode", "b"},
		{"", "other", ".Topics[*].Cut", "c"},
	}, found)
	if len(rest) != 1 || rest[0].Path != found[1].Path {
		t.Errorf("left over: %v", rest)
	}
	if len(stale) != 2 || stale[0].Reason != "b" || stale[1].Reason != "c" {
		t.Errorf("stale: %v", stale)
	}
}

// TestDifferencesAreExplained holds the table of deliberate differences against the page that explains them.
func TestDifferencesAreExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]bool{}
	for _, line := range strings.Split(string(page), "\n") {
		if text, ok := strings.CutPrefix(line, "### "); ok {
			headings[text] = false
		}
	}
	for _, a := range Differences() {
		if _, ok := headings[a.Reason]; !ok {
			t.Errorf("docs/differences.md has no section %q", a.Reason)
		}
		headings[a.Reason] = true
	}
	for text, used := range headings {
		if !used {
			t.Errorf("section %q of docs/differences.md names no difference the suite allows", text)
		}
	}
}

// TestNormalisationIsListed checks that every rule names fields that messages have and says why.
func TestNormalisationIsListed(t *testing.T) {
	fields := map[string]map[string]bool{}
	for _, api := range append(Table(), API{Key: 71}) { // telemetry, which has a sequence
		for _, m := range []any{kmsg.RequestForKey(api.Key), kmsg.ResponseForKey(api.Key)} {
			collect(fields, reflect.TypeOf(m).Elem())
		}
	}
	for _, r := range rules {
		found := false
		for typeName, names := range fields {
			found = found || names[r.Field] && (r.Type == "*" || r.Type == typeName)
		}
		if !found {
			t.Errorf("rule for %s.%s matches no field", r.Type, r.Field)
		}
		if r.Why == "" {
			t.Errorf("rule for %s.%s gives no reason", r.Type, r.Field)
		}
	}
	for list := range sets {
		typeName, field, _ := strings.Cut(list, ".")
		if !fields[typeName][field] {
			t.Errorf("set %s is no list of a message", list)
		}
	}
	for _, x := range texts {
		if x.Why == "" {
			t.Errorf("normalisation of %v gives no reason", x.Pattern)
		}
	}
}

func collect(fields map[string]map[string]bool, t reflect.Type) {
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || fields[t.Name()] != nil {
		return
	}
	fields[t.Name()] = map[string]bool{}
	for i := range t.NumField() {
		fields[t.Name()][t.Field(i).Name] = true
		collect(fields, t.Field(i).Type)
	}
}

func TestBatchesAndCodecs(t *testing.T) {
	for _, codec := range []int16{0, attrGzip, attrSnappy, attrLZ4, attrZstd} {
		b := of(many(40)...).with(codec).by(7, 3, 11)
		raw := b.bytes()
		var decoded kmsg.RecordBatch
		if err := decoded.ReadFrom(raw); err != nil {
			t.Fatal(err)
		}
		if decoded.NumRecords != 40 || decoded.LastOffsetDelta != 39 || decoded.ProducerID != 7 || decoded.ProducerEpoch != 3 || decoded.FirstSequence != 11 ||
			int(decoded.Length)+12 != len(raw) || decoded.Magic != 2 || decoded.Attributes != codec {
			t.Errorf("codec %d: %+v", codec, decoded)
		}
		plain, err := decompress(codec, decoded.Records)
		if err != nil {
			t.Fatal(err)
		}
		if string(plain) != string(records(b)) {
			t.Errorf("codec %d does not come back", codec)
		}
		w := &walker{norm: newNormaliser(&Target{Addr: "127.0.0.1:1"}, "p")}
		w.batches(".R", raw)
		if text := leavesText(w.leaves); strings.Contains(text, "invalid") || !strings.Contains(text, "BaseSequence=11") {
			t.Errorf("codec %d: %s", codec, text)
		}
		raw[len(raw)-1] ^= 1
		w = &walker{norm: newNormaliser(&Target{Addr: "127.0.0.1:1"}, "p")}
		w.batches(".R", raw)
		if text := leavesText(w.leaves); !strings.Contains(text, "CRC=invalid") {
			t.Errorf("codec %d, one bit changed: %s", codec, text)
		}
	}
}
