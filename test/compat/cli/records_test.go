package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/moldau/moldau/test/compat/broker"
)

// create makes a topic and waits until it can be used, since a broker learns of it a moment after the controller.
func (c command) create(t *testing.T, topic string, args ...string) {
	t.Helper()
	c.run(t, "", append([]string{"topic", "create", topic}, args...)...)
	t.Cleanup(func() { c.try(t, "", "topic", "delete", topic, "--if-exists") })
	broker.Eventually(t, "topic "+topic+" has leaders", func() bool {
		out, _, status := c.try(t, "", "topic", "describe", topic, "--format", "plain")
		return status == 0 && !strings.Contains(out, "\t-1\t")
	})
}

// records sends and reads records.
func records(t *testing.T, c command) {
	topic := c.prefix + "records"
	c.create(t, topic, "--partitions", "3")
	var sent strings.Builder
	for i := range 100 {
		fmt.Fprintf(&sent, "k%d:v%d\n", i%10, i)
	}
	codecs := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	for _, codec := range codecs {
		// With acks=1 records are seen only when they are synced, a moment after their acknowledgement: they go first.
		acks := map[bool]string{true: "1", false: "all"}[codec == codecs[0]]
		c.run(t, sent.String(), "produce", topic, "--key-separator", ":", "--compression", codec, "--header", "codec="+codec, "--acks", acks)
	}
	c.run(t, "here\n", "produce", topic, "--partition", "2")

	type record struct {
		Partition  int32
		Key, Value *string
	}
	at, n := map[string]int32{}, 0
	for line := range strings.Lines(c.run(t, "", "consume", topic, "--from", "start", "--format", "json")) {
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
		out := c.run(t, "", "consume", topic, "--partition", "2", "--from", from)
		if !strings.HasSuffix(out, want) || want == "" && out != "" {
			t.Errorf("--from %s ends with %.100q", from, out)
		}
	}
	first := c.run(t, "", "consume", topic, "--partition", "2", "--from", "start", "--count", "5", "--format", "{offset} {value}")
	if from2 := c.run(t, "", "consume", topic, "--partition", "2", "--from", "2", "--count", "3", "--format", "{offset} {value}"); !strings.HasSuffix(first, from2) || !strings.HasPrefix(from2, "2 ") {
		t.Errorf("from offset 2: %q, from the start: %q", from2, first)
	}

	other := c.prefix + "other"
	c.create(t, other)
	c.run(t, "x\n", "produce", other)
	if out := c.run(t, "", "consume", topic, other, "--from", "-1", "--format", "{topic} {value}"); !strings.Contains(out, other+" x\n") || !strings.Contains(out, topic+" here\n") || strings.Count(out, "\n") != 4 {
		t.Errorf("the last records of two topics: %q", out)
	}
	c.follow(t, topic)
}

// follow expects a record that comes after consume --follow started.
func (c command) follow(t *testing.T, topic string) {
	t.Helper()
	cmd := exec.Command(c.exe, "consume", topic, "--from", "-1", "--partition", "2", "--follow", "--count", "2", "--bootstrap", c.addr)
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
	c.run(t, "later\n", "produce", topic, "--partition", "2")
	next, _ := out.ReadString('\n')
	if err := cmd.Wait(); err != nil || next != "later\n" {
		t.Errorf("--follow: %v, read %q and %q", err, last, next)
	}
}
