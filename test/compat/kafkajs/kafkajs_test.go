// Package kafkajs tests the broker with KafkaJS, each member a process of its own that can be killed. It has one
// balancer, which is eager, and no static members. The package holds tests only; Node 18 or newer and npm must be there.
package kafkajs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/group"
)

func TestMain(m *testing.M) {
	group.Parallel()
	broker.Main(m)
}

var installing sync.Mutex

// installed returns a folder that has KafkaJS, as the lock file names it, and our programs.
func installed(t *testing.T) string {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	dir := broker.Cache(t, "kafkajs")
	copied := func(name string) (changed bool) {
		t.Helper()
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && string(old) == string(body) {
			return false
		}
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
			t.Fatal(err)
		}
		return true
	}
	copied("member.mjs")
	for _, name := range tests {
		copied(name)
	}
	changed := copied("package.json")
	changed = copied("package-lock.json") || changed
	if _, err := os.Stat(filepath.Join(dir, "node_modules/kafkajs/package.json")); err != nil || changed {
		broker.Run(t, "", "npm", "ci", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	}
	return dir
}

// library is KafkaJS as a member of groups.
type library struct{ dir string }

// Join starts a member.
func (l library) Join(t testing.TB, s group.Settings) group.Member {
	settings, err := json.Marshal(map[string]any{
		"addr": s.Addr, "group": s.Group, "topic": s.Topic, "commits": map[group.Commits]string{group.None: "none", group.Each: "each", group.Auto: "auto"}[s.Commits],
		"session": s.Session.Milliseconds(), "heartbeat": group.Heartbeat.Milliseconds(), "rebalance": group.Rebalance.Milliseconds(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return group.Start(t, s, exec.Command("node", filepath.Join(l.dir, "member.mjs"), string(settings)), func(line string) {
		var e struct {
			Partition int32
			Value     string
			Failed    string
		}
		switch err := json.Unmarshal([]byte(line), &e); {
		case err != nil:
			s.Failed(err)
		case e.Failed != "":
			s.Failed(errors.New(e.Failed))
		default:
			s.Seen(e.Partition, e.Value)
		}
	}, nil)
}

// TestGroup takes members through a group's life.
func TestGroup(t *testing.T) {
	t.Parallel()
	group.Life(t, library{installed(t)})
}

// TestGroupRestart starts members again with and without commits.
func TestGroupRestart(t *testing.T) {
	t.Parallel()
	group.Restart(t, library{installed(t)})
}

var passed = regexp.MustCompile(`(?m)^# pass [1-9][0-9]*$`)

// tests are the files of tests that Node runs.
var tests = []string{"admin.test.mjs", "client.test.mjs"}

// TestNode runs the tests that are written for Node's own runner.
func TestNode(t *testing.T) {
	t.Parallel()
	dir := installed(t)
	for _, name := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("node", "--test", "--test-reporter=tap", filepath.Join(dir, name))
			cmd.Env = append(os.Environ(), "BOOTSTRAP="+broker.Addr(), fmt.Sprintf("BROKERS=%d", broker.Brokers()), fmt.Sprintf("REPLICAS=%d", broker.Replicas()))
			out, err := cmd.CombinedOutput()
			if err != nil || !passed.Match(out) {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}
