package tools

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/group"
	"github.com/moldau/moldau/test/compat/java"
)

// library is the Java client as a member of groups: kafka-verifiable-consumer, each in a machine of its own, which can be
// killed. It commits what each poll brought.
type library struct{ assignor string }

// Join starts a member.
func (l library) Join(t testing.TB, s group.Settings) group.Member {
	config := filepath.Join(t.TempDir(), "consumer.properties")
	properties := fmt.Sprintf("heartbeat.interval.ms=%d\nmax.poll.interval.ms=%d\nfetch.max.wait.ms=200\n", group.Heartbeat.Milliseconds(), group.Rebalance.Milliseconds())
	if err := os.WriteFile(config, []byte(properties), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"org.apache.kafka.tools.VerifiableConsumer", "--bootstrap-server", s.Addr, "--topic", s.Topic, "--group-id", s.Group, "--verbose", "--reset-policy", "earliest",
		"--session-timeout", fmt.Sprint(s.Session.Milliseconds()), "--command-config", config, "--assignment-strategy", "org.apache.kafka.clients.consumer." + l.assignor}
	if s.Instance != "" {
		args = append(args, "--group-instance-id", s.Instance)
	}
	if s.Commits == group.Auto {
		args = append(args, "--enable-autocommit")
	}
	cmd, err := java.Command(args...)
	if err != nil {
		t.Fatal(err)
	}
	return group.Start(t, s, cmd, func(line string) {
		var e struct {
			Name, Value, Error string
			Partition          int32
			Partitions         []struct{ Partition int32 }
			Success            bool
		}
		switch err := json.Unmarshal([]byte(line), &e); {
		case err != nil:
			s.Failed(fmt.Errorf("it printed %q", line))
		case e.Name == "record_data":
			s.Seen(e.Partition, e.Value)
		case e.Name == "partitions_revoked":
			s.Lost(len(e.Partitions))
		case e.Name == "offsets_committed" && !e.Success:
			s.Failed(fmt.Errorf("commit: %s", e.Error))
		}
	}, func(cmd *exec.Cmd) { _ = cmd.Process.Signal(syscall.SIGTERM) })
}

// TestMembers takes Java clients of an eager and the cooperative assignor through a group's life, and restarts static ones.
func TestMembers(t *testing.T) {
	t.Parallel()
	for _, assignor := range []string{"RangeAssignor", "CooperativeStickyAssignor"} {
		t.Run(assignor, func(t *testing.T) {
			t.Parallel()
			group.Life(t, library{assignor})
		})
		if assignor == "CooperativeStickyAssignor" {
			t.Run("cooperative", func(t *testing.T) {
				t.Parallel()
				group.Cooperative(t, library{assignor})
			})
		}
		t.Run("static "+assignor, func(t *testing.T) {
			t.Parallel()
			group.Static(t, library{assignor})
		})
	}
}

// TestConsoleGroup reads in a group: without commits the same records again, with commits where it stopped.
func TestConsoleGroup(t *testing.T) {
	t.Parallel()
	topic, _ := filled(t)
	read := func(n int, args ...string) string {
		return tool(t, "", "consumer.ConsoleConsumer", append(args, "--topic", topic, "--group", "console-"+topic, "--from-beginning", "--max-messages", fmt.Sprint(n), "--timeout-ms", "20000")...)
	}
	lines := func(from, to int) (out string) {
		for n := from; n < to; n++ {
			out += fmt.Sprintln(n)
		}
		return out
	}
	for range 2 {
		if got := read(10, "--command-property", "enable.auto.commit=false"); got != lines(0, 10) {
			t.Errorf("without commits it read %q", got)
		}
	}
	if got := read(10) + read(90); got != lines(0, 100) {
		t.Errorf("with commits two read %q", got)
	}
}

// TestConsumerPerformance reads with kafka-consumer-perf-test, which joins a group.
func TestConsumerPerformance(t *testing.T) {
	t.Parallel()
	topic, _ := filled(t)
	out := tool(t, "", "ConsumerPerformance", "--topic", topic, "--num-records", "100", "--group", "performance-"+topic, "--timeout", "20000")
	expect(t, out, `^start.time, end.time, data.consumed.in.MB`, `^\d{4}-\d\d-\d\d .*, 100, [0-9.]+, [0-9]+, [0-9]+, [0-9.]+, [0-9.]+$`)
	os, err := broker.Admin(t).FetchOffsets(broker.Context(t), "performance-"+topic)
	if o, ok := os.Lookup(topic, 0); err != nil || !ok || o.At != 100 {
		t.Errorf("committed %+v: %v", o, err)
	}
}
