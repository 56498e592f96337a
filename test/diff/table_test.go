package diff

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// hidden are APIs of a broker's listener that Kafka lists only where it has something to do with them: no reporter of clients' metrics is
// configured, so those of telemetry are not there.
var hidden = []int16{71, 72}

// TestEveryAdvertisedAPIIsAccountedFor holds the table and the list of what is not served against what Kafka advertises: each API with the
// very versions is in one of them, and nothing else is.
func TestEveryAdvertisedAPIIsAccountedFor(t *testing.T) {
	_, rec := recording(t)
	for _, version := range []int16{3, 4, 5} {
		kafka := advertised(t, rec[fmt.Sprintf("ApiVersions/v%d/ordinary", version)])
		if len(kafka) < 70 {
			t.Fatalf("Kafka advertises %d APIs in version %d, which is hard to believe", len(kafka), version)
		}
		for _, wrong := range unaccounted(kafka, Table(), NotServed()) {
			t.Error(wrong)
		}
		for _, key := range hidden {
			if _, ok := kafka[key]; ok {
				t.Errorf("Kafka lists API %d, which it was thought to hide", key)
			}
		}
	}
	kafka := advertised(t, rec["ApiVersions/v4/ordinary"])
	kafka[1] = API{1, 4, 19}
	kafka[99] = API{99, 0, 0}
	if wrong := unaccounted(kafka, Table(), NotServed()[1:]); len(wrong) != 3 {
		t.Errorf("another version, another API and a missing entry are noticed as %q", wrong)
	}
}

// unaccounted compares what Kafka advertises with the table and with the list of what is not served.
func unaccounted(kafka map[int16]API, table []API, missing []Missing) (wrong []string) {
	seen := map[int16]bool{}
	check := func(a API, in string) {
		of, ok := kafka[a.Key]
		switch {
		case seen[a.Key]:
			wrong = append(wrong, fmt.Sprintf("API %d stands twice, the second time in %s", a.Key, in))
		case !ok:
			wrong = append(wrong, fmt.Sprintf("API %d stands in %s, and Kafka does not advertise it", a.Key, in))
		case of.Max != a.Max || of.Min != a.Min && !(a.Key == keyProduce && of.Min == 0 && a.Min == 3): // listed from 0 for librdkafka, and refused
			wrong = append(wrong, fmt.Sprintf("API %d stands in %s with versions %d-%d, Kafka has %d-%d", a.Key, in, a.Min, a.Max, of.Min, of.Max))
		}
		seen[a.Key] = true
	}
	for _, a := range table {
		check(a, "the table")
	}
	for _, m := range missing {
		if m.Why == "" {
			wrong = append(wrong, fmt.Sprintf("API %d is not served, and nobody says why", m.Key))
		}
		check(m.API, "the list of what is not served")
	}
	for key, a := range kafka {
		if !seen[key] {
			wrong = append(wrong, fmt.Sprintf("Kafka advertises API %d with versions %d-%d, which has neither cases nor an entry among what is not served", key, a.Min, a.Max))
		}
	}
	slices.Sort(wrong)
	return wrong
}

var apiKeyPath = regexp.MustCompile(`^\.ApiKeys\[([0-9]+)\]$`)

// advertised reads a recorded answer to ApiVersions. Fields at their default are not in it.
func advertised(t *testing.T, answers []Answer) map[int16]API {
	t.Helper()
	if len(answers) == 0 {
		t.Fatal("no such answer is recorded")
	}
	found := map[int16]API{}
	for _, l := range answers[0].Leaves {
		at := apiKeyPath.FindStringSubmatch(l.Parent)
		if at == nil {
			continue
		}
		key, err := strconv.ParseInt(at[1], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		a := found[int16(key)]
		a.Key = int16(key)
		n, _ := strconv.ParseInt(l.Value, 10, 16) // other fields are no numbers
		switch l.Name {
		case "MinVersion":
			a.Min = int16(n)
		case "MaxVersion":
			a.Max = int16(n)
		}
		found[a.Key] = a
	}
	return found
}

// TestNotServedIsSaid expects the page on compatibility to name what is not served, but for what brokers say among themselves.
func TestNotServedIsSaid(t *testing.T) {
	page, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	between := []int16{27, 83, 84, 85, 86, 87}
	_, rest, _ := strings.Cut(string(page), "## Not served yet")
	for _, m := range NotServed() {
		said := strings.Contains(rest, fmt.Sprintf("\n| %d | ", m.Key))
		if said == slices.Contains(between, m.Key) {
			t.Errorf("API %d (%s) on the page: %v", m.Key, m.Name(), said)
		}
	}
}

// settingNames are the settings that a recorded answer describes.
func settingNames(a Answer) map[string]bool {
	path := regexp.MustCompile(`\.Configs\["([^"]+)"\]$`)
	found := map[string]bool{}
	for _, l := range a.Leaves {
		if m := path.FindStringSubmatch(l.Parent); m != nil {
			found[m[1]] = true
		}
	}
	return found
}

// TestEverySettingOfATopicIsTried expects odd values for every setting that Kafka describes for a topic.
func TestEverySettingOfATopicIsTried(t *testing.T) {
	_, rec := recording(t)
	described := rec["seq-create-configs/sequence"]
	if len(described) != 2 {
		t.Fatalf("the settings of a topic are not recorded: %d answers", len(described))
	}
	names := settingNames(described[1])
	if len(names) < 35 {
		t.Fatalf("Kafka describes %d settings of a topic, which is hard to believe", len(names))
	}
	for _, s := range topicSettings() {
		if !names[s.name] {
			t.Errorf("%s is no setting that Kafka describes", s.name)
		}
		delete(names, s.name)
		if len(s.values) < 5 {
			t.Errorf("%s is tried with %d values only", s.name, len(s.values))
		}
	}
	for name := range names {
		t.Errorf("%s is not tried with odd values", name)
	}
}
