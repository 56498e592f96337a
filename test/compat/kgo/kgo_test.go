// Package kgo runs franz-go's own tests against the broker: its chains of consumer groups with members that join and
// leave, every balancer, static members, and what else of its package kgo wants a broker outside. They are built from
// the module that the other suites use. With -brokers 3 -kill-every 20s brokers die under them. Tests that need transactions or share groups are not among them.
package kgo

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/test/compat/broker"
)

var records = flag.Int("records", 20_000, "records that go through each chain of groups; franz-go's own default is 500000")

func TestMain(m *testing.M) { broker.Main(m) }

// own are the tests that run, with the subtests that must have passed: a test that finds a broker too old for what it
// tests skips that without a failure.
var own = map[string][]string{
	"TestGroupETL":                       {"range", "cooperative-sticky", "cooperative-sticky/static"},
	"TestGroupSimple":                    {"classic"},
	"TestIssue523":                       {"roundrobin", "sticky"},
	"TestIssue337":                       nil,
	"TestIssue434":                       nil,
	"TestIssue865":                       nil,
	"TestConsumeRegex":                   nil,
	"TestHookPollStart":                  {"PollRecords", "PollFetches"},
	"TestUnknownGroupOffsetFetchPinned":  nil,
	"TestIssue325":                       nil,
	"TestIssue648":                       nil,
	"TestIssue810":                       nil,
	"TestIssue1034":                      nil,
	"TestPing":                           nil,
	"TestAddRemovePartitions":            nil,
	"TestDirectPartitionPurge":           nil,
	"TestPauseIssue489":                  nil,
	"TestPauseIssueOct2023":              nil,
	"TestPooling":                        nil,
	"TestConsumeMaxDecompressBatchBytes": nil,
	"TestIssueFetchLargerThanBrokerMaxReadBytes": nil,
	"TestClient_Produce":                         nil,
	"TestClient_ProduceLargeMessages":            nil,
	"TestIssue769":                               nil,
	"TestIssue831":                               nil,
	"TestIssueProduceSyncManualPartitionNegativeDoesNotPanic": nil,
}

var result = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+) \(.*\)$`)

// TestOwn builds franz-go's tests and runs those above.
func TestOwn(t *testing.T) {
	dir := t.TempDir()
	exe := filepath.Join(dir, "kgo.test")
	build := exec.Command("go", "test", "-c", "-o", exe, "github.com/twmb/franz-go/pkg/kgo")
	from, environment := source(t, dir)
	build.Dir, build.Env = from, append(os.Environ(), environment...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build franz-go's tests: %v\n%s", err, out)
	}
	var names []string
	for name := range own {
		names = append(names, name)
	}
	limit := 10 * time.Minute
	if end, ok := t.Deadline(); ok {
		limit = time.Until(end) - 10*time.Second
	}
	run := exec.Command(exe, "-test.v", "-test.parallel", "8", "-test.timeout", limit.String(), "-test.run", "^("+strings.Join(names, "|")+")$")
	run.Dir = dir
	run.Env = append(os.Environ(), "KGO_SEEDS="+broker.Seeds(), fmt.Sprintf("KGO_TEST_RF=%d", broker.Replicas()), fmt.Sprintf("KGO_TEST_RECORDS=%d", *records), "KGO_LOG_LEVEL=none")
	var out bytes.Buffer
	run.Stdout, run.Stderr = &out, &out
	err := run.Run()
	if c := broker.TheFleet(); c != nil {
		t.Logf("%d brokers were killed meanwhile", c.Kills())
	}
	said := map[string]string{}
	for _, m := range result.FindAllStringSubmatch(out.String(), -1) {
		said[m[2]] = m[1]
		t.Log(m[0])
	}
	if err != nil {
		t.Errorf("franz-go's tests: %v\n%s", err, tail(out.String(), 20_000))
	}
	for name, parts := range own {
		if said[name] != "PASS" {
			t.Errorf("%s did not pass: %q", name, said[name])
		}
		for _, part := range parts {
			if said[name+"/"+part] != "PASS" {
				t.Errorf("%s/%s did not pass: %q", name, part, said[name+"/"+part])
			}
		}
	}
}

// A member of franz-go tells its user, with a poll, that its coordinator could not be reached, and joins again by itself. Its own tests, in which
// no broker dies, take every error of a poll for a failure: this one is left out.
const (
	everyError = "if fetchErrs := fetches.Errors(); len(fetchErrs) > 0 {"
	butThatOne = `var fetchErrs []FetchError
			for _, e := range fetches.Errors() {
				if told := (*ErrGroupSession)(nil); !errors.As(e.Err, &told) {
					fetchErrs = append(fetchErrs, e)
				}
			}
			if len(fetchErrs) > 0 {`
)

// source is where the tests are built, with what the build has of its own: where brokers die, in a copy that bears it.
func source(t *testing.T, dir string) (from string, environment []string) {
	t.Helper()
	here := filepath.Join(broker.Root(), "test/compat")
	if c := broker.TheFleet(); c == nil || !c.Killing() {
		return here, nil
	}
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/twmb/franz-go")
	list.Dir = here
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(dir, "franz-go")
	if err := os.CopyFS(module, os.DirFS(strings.TrimSpace(string(out)))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(module, "pkg/kgo/group_test.go")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), everyError) != 1 {
		t.Fatalf("%s has nothing to replace any more", file)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), everyError, butThatOne, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	return module, []string{"GOFLAGS=-mod=mod", "GOWORK=off"}
}

// tail is the end of a long text.
func tail(s string, n int) string { return s[max(0, len(s)-n):] }
