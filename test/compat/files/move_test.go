package files

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
)

// ended waits until the Kafka on the port has ended.
func ended(t *testing.T, port string) {
	t.Helper()
	out, err := exec.Command(filepath.Join(broker.Root(), "bench/kafka.sh"), "pids", port).Output()
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(strings.TrimSpace(string(out)), &pid); err != nil {
		t.Fatalf("pid of Kafka: %v", err)
	}
	broker.Eventually(t, "Kafka has ended", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
}

// bring copies the folder of a topic's partition 0 from one stopped broker to another, but for some files, and what the checkpoints say of it.
func bring(t *testing.T, from, to, topic string, without ...string) {
	t.Helper()
	name := topic + "-0"
	if err := os.RemoveAll(filepath.Join(to, name)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(from, name))); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range without {
		gone, err := filepath.Glob(filepath.Join(to, name, pattern))
		if err != nil || len(gone) == 0 {
			t.Fatalf("%s has no %s: %v", name, pattern, err)
		}
		for _, file := range gone {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	checkpoints(t, from, to, topic)
}

// replace is bring for a broker that keeps the identity of its partition.
func replace(t *testing.T, from, to, topic string) {
	t.Helper()
	identity := filepath.Join(to, topic+"-0", "partition.metadata")
	body, err := os.ReadFile(identity)
	if err != nil {
		t.Fatal(err)
	}
	bring(t, from, to, topic)
	write(t, identity, body)
}

// checkpoints puts what the checkpoints of one broker say of a topic into those of the other.
func checkpoints(t *testing.T, from, to, topic string) {
	t.Helper()
	for _, name := range []string{"recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "replication-offset-checkpoint", "cleaner-offset-checkpoint"} {
		var lines []string
		for _, dir := range []string{from, to} {
			body, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(body)) {
				if fields := strings.Fields(line); len(fields) == 3 && (fields[0] == topic) == (dir == from) {
					lines = append(lines, strings.Join(fields, " ")+"\n")
				}
			}
		}
		write(t, filepath.Join(to, name), fmt.Appendf(nil, "0\n%d\n%s", len(lines), strings.Join(lines, "")))
	}
}

func write(t *testing.T, name string, body []byte) {
	t.Helper()
	if err := os.WriteFile(name, body, 0o644); err != nil {
		t.Fatal(err)
	}
}
