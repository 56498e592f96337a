// Package cli tests moldau's own commands, against Moldau and against Apache Kafka. It holds tests only and needs Java.
package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
)

var port = flag.String("kafka-port", "19592", "first port of the Kafka that the suite starts")

// TestMain has both brokers form groups at once, not after the three seconds in which more members may come.
func TestMain(m *testing.M) {
	const setting = "group.initial.rebalance.delay.ms"
	os.Setenv("KAFKA_"+strings.ToUpper(strings.ReplaceAll(setting, ".", "_")), "0")
	os.Setenv("EXTRA_PROPERTIES", setting+"=0")
	broker.Main(m)
}

// command is the binary and the broker it talks to.
type command struct {
	exe, addr string
	brokers   int    // of which there are so many
	prefix    string // of the names of everything that the stories make
}

// replicas is how many a topic has that nobody gave a number.
func (c command) replicas() int {
	if c.brokers >= 3 {
		return 3
	}
	return 1
}

// run runs a command that is to succeed and returns what it prints.
func (c command) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, notes, status := c.try(t, stdin, args...)
	if status != 0 {
		t.Fatalf("moldau %s: status %d: %s\n%s", strings.Join(args, " "), status, notes, out)
	}
	return out
}

// refused runs a command that is to fail, and expects a message with these words.
func (c command) refused(t *testing.T, status int, args []string, words ...string) {
	t.Helper()
	out, notes, got := c.try(t, "", args...)
	if got != status {
		t.Errorf("moldau %s: status %d, want %d: %s\n%s", strings.Join(args, " "), got, status, notes, out)
	}
	for _, w := range words {
		if !strings.Contains(notes, w) {
			t.Errorf("moldau %s: no %q in its message: %s", strings.Join(args, " "), w, notes)
		}
	}
}

// try runs a command and returns its output, its messages and its exit status.
func (c command) try(t *testing.T, stdin string, args ...string) (out, notes string, status int) {
	t.Helper()
	cmd := exec.Command(c.exe, args...)
	cmd.Env = append(os.Environ(), "MOLDAU_BOOTSTRAP="+c.addr)
	cmd.Stdin = strings.NewReader(stdin)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// answer runs a command with --format json and reads its document, in which it expects no field but those of the type.
func answer[T any](t *testing.T, c command, args ...string) T {
	t.Helper()
	var v T
	out := c.run(t, "", append(args, "--format", "json")...)
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("moldau %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return v
}

// names makes those of one story differ from those of the same one before.
var names atomic.Int64

// stories are told on both brokers. Within one each step needs those before.
var stories = map[string]func(*testing.T, command){
	"records":    records,
	"topics":     topics,
	"settings":   settings,
	"quotas":     quotas,
	"completion": completion,
	"cluster":    cluster,
	"groups":     groups,
	"resets":     resets,
	"members":    members,
	"mistakes":   mistakes,
}

func TestCommands(t *testing.T) {
	exe, err := broker.Command(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, addr := range map[string]func(*testing.T) string{
		"moldau": func(*testing.T) string { return broker.Addr() },
		"kafka":  func(t *testing.T) string { return broker.Kafka(t, *port).Addr },
	} {
		if name == "kafka" && broker.Brokers() > 1 {
			continue // what Kafka says is what it says of one broker
		}
		t.Run(name, func(t *testing.T) {
			c := command{exe: exe, addr: addr(t), brokers: 1}
			if name == "moldau" {
				c.brokers = broker.Brokers()
			}
			for story, tell := range stories {
				t.Run(story, func(t *testing.T) {
					t.Parallel()
					c := c
					c.prefix = fmt.Sprintf("cli-%s-%d-%d-", story, os.Getpid(), names.Add(1))
					tell(t, c)
				})
			}
		})
	}
}
