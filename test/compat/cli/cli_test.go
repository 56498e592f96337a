// Package cli tests moldau's own commands, against Moldau and against Apache Kafka. It holds tests only and needs Java.
package cli

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/test/compat/broker"
)

var port = flag.String("kafka-port", "19592", "first port of the Kafka that the suite starts")

func TestMain(m *testing.M) { broker.Main(m) }

// command is the binary and the broker it talks to.
type command struct{ exe, addr, topic string }

func (c command) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	return broker.Run(t, stdin, c.exe, append(args, "--bootstrap", c.addr)...)
}

func TestCommands(t *testing.T) {
	exe, err := broker.Command(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	topic := fmt.Sprintf("cli-%d", os.Getpid())
	t.Run("moldau", func(t *testing.T) { commands(t, command{exe, broker.Addr(), topic}) })
	t.Run("kafka", func(t *testing.T) { commands(t, command{exe, broker.Kafka(t, *port).Addr, topic}) })
}

// commands tells one story, since each step needs the one before.
func commands(t *testing.T, c command) {
	c.run(t, "", "topic", "create", c.topic, "--partitions", "3", "--config", "retention.ms=86400000")
	if out, err := exec.Command(c.exe, "topic", "create", c.topic, "--bootstrap", c.addr).CombinedOutput(); err == nil {
		t.Errorf("a topic was created twice: %s", out)
	}
	broker.Eventually(t, "the topic is listed", func() bool { // a broker learns of it a moment after the controller
		return strings.Contains(c.run(t, "", "topic", "list"), c.topic)
	})
	if out := c.run(t, "", "topic", "describe", c.topic); !strings.Contains(out, "retention.ms") || !strings.Contains(out, "86400000") {
		t.Errorf("described as: %s", out)
	}

	var sent strings.Builder
	for i := range 100 {
		fmt.Fprintf(&sent, "k%d:v%d\n", i%10, i)
	}
	codecs := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	for _, codec := range codecs {
		c.run(t, sent.String(), "produce", c.topic, "--key-separator", ":", "--compression", codec, "--header", "codec="+codec)
	}
	c.run(t, "here\n", "produce", c.topic, "--partition", "2", "--acks", "1")

	type record struct {
		Partition  int32
		Key, Value *string
	}
	at, n := map[string]int32{}, 0
	for line := range strings.Lines(c.run(t, "", "consume", c.topic, "--from", "start", "--format", "json")) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		n++
		if r.Key == nil {
			if r.Partition != 2 || r.Value == nil || *r.Value != "here" {
				t.Errorf("the record for partition 2 is %s", line)
			}
		} else if p, ok := at[*r.Key]; ok && p != r.Partition {
			t.Errorf("key %s lies in partition %d and in %d", *r.Key, p, r.Partition)
		} else {
			at[*r.Key] = r.Partition
		}
	}
	if n != 501 || len(at) != 10 {
		t.Errorf("read %d records with %d keys", n, len(at))
	}
	for from, want := range map[string]string{"-1": "here\n", "end": "", "@1h": "here\n"} {
		out := c.run(t, "", "consume", c.topic, "--partition", "2", "--from", from)
		if !strings.HasSuffix(out, want) || want == "" && out != "" {
			t.Errorf("--from %s ends with %.100q", from, out)
		}
	}
	first := c.run(t, "", "consume", c.topic, "--partition", "2", "--from", "start", "--count", "5", "--format", "{offset} {value}")
	if from2 := c.run(t, "", "consume", c.topic, "--partition", "2", "--from", "2", "--count", "3", "--format", "{offset} {value}"); !strings.HasSuffix(first, from2) || !strings.HasPrefix(from2, "2 ") {
		t.Errorf("from offset 2: %q, from the start: %q", from2, first)
	}

	c.follow(t)
	c.run(t, "", "topic", "delete", c.topic)
	broker.Eventually(t, "the deleted topic is no longer listed", func() bool {
		return !strings.Contains(c.run(t, "", "topic", "list"), c.topic)
	})
}

// follow expects a record that comes after consume --follow started.
func (c command) follow(t *testing.T) {
	t.Helper()
	cmd := exec.Command(c.exe, "consume", c.topic, "--from", "-1", "--partition", "2", "--follow", "--count", "2", "--bootstrap", c.addr)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	out := bufio.NewReader(pipe)
	last, _ := out.ReadString('\n') // so it is reading
	c.run(t, "later\n", "produce", c.topic, "--partition", "2")
	next, _ := out.ReadString('\n')
	if err := cmd.Wait(); err != nil || next != "later\n" {
		t.Errorf("--follow: %v, read %q and %q", err, last, next)
	}
}
