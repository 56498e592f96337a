package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
)

type resetAnswer struct {
	Group   string
	DryRun  bool
	Changes []struct {
		Topic     string
		Partition int32
		Before    *int64
		After     int64
		Start     int64
		End       int64
		Note      string
	}
}

// resets moves groups in every way, and consumes afterwards what is then to come. Partition 0 has the offsets 2 to 9, partition 1
// those from 0 to 5; a record is a minute younger than the one before.
func resets(t *testing.T, c command) {
	topic := c.prefix + "orders"
	c.create(t, topic, "--partitions", "2")
	cl := broker.ClientOf(t, c.addr, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	begin := time.Now().Add(-time.Hour).Truncate(time.Second)
	minute := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Minute) }
	for p, n := range []int{10, 6} {
		for i := range n {
			r := &kgo.Record{Topic: topic, Partition: int32(p), Timestamp: minute(i), Value: []byte("v")}
			if err := cl.ProduceSync(broker.Context(t), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	start := kadm.Offsets{}
	start.Add(kadm.Offset{Topic: topic, Partition: 0, At: 2})
	if _, err := kadm.NewClient(cl).DeleteRecords(broker.Context(t), start); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "offsets.csv")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%q,0,8\n%[1]q,1,99\n", topic), 0o600); err != nil {
		t.Fatal(err)
	}

	const ago = "since half a minute before record 5" // which is another duration for each command
	// Each group has committed 7 and 3 before.
	for i, x := range []struct {
		args  string
		after map[int32]int64
		notes int
	}{
		{"--to-earliest", map[int32]int64{0: 2, 1: 0}, 0},
		{"--to-latest", map[int32]int64{0: 10, 1: 6}, 0},
		{"--to-current", map[int32]int64{0: 7, 1: 3}, 0},
		{"--to-offset 5", map[int32]int64{0: 5, 1: 5}, 0},
		{"--to-offset 8", map[int32]int64{0: 8, 1: 6}, 1},
		{"--to-offset 0", map[int32]int64{0: 2, 1: 0}, 1},
		{"--shift 2", map[int32]int64{0: 9, 1: 5}, 0},
		{"--shift -1", map[int32]int64{0: 6, 1: 2}, 0},
		{"--shift -100", map[int32]int64{0: 2, 1: 0}, 2},
		{"--shift 100", map[int32]int64{0: 10, 1: 6}, 2},
		{"--to-time " + minute(4).UTC().Format(time.RFC3339), map[int32]int64{0: 4, 1: 4}, 0},
		{"--to-time " + strconv.FormatInt(minute(7).UnixMilli(), 10), map[int32]int64{0: 7, 1: 6}, 1},
		{"--to-time 0", map[int32]int64{0: 2, 1: 0}, 0},
		{"--by-duration " + ago, map[int32]int64{0: 5, 1: 5}, 0},
		{"--by-duration PT0S", map[int32]int64{0: 10, 1: 6}, 2},
		{"--from-file " + file, map[int32]int64{0: 8, 1: 6}, 1},
		{"--to-earliest --topic " + topic, map[int32]int64{0: 2, 1: 0}, 0},
		{"--to-latest --topic " + topic + ":1", map[int32]int64{0: 7, 1: 6}, 0},
	} {
		group := fmt.Sprintf("%sg%d", c.prefix, i)
		c.run(t, fmt.Sprintf("%s,0,7\n%[1]s,1,3\n", topic), "group", "reset", group, "--from-file", "-", "--yes")
		duration := strconv.Itoa(int(time.Since(minute(5)).Seconds())+30) + "s"
		args := append([]string{"group", "reset", group}, strings.Fields(strings.Replace(x.args, ago, duration, 1))...)
		dry := answer[resetAnswer](t, c, args...)
		if got := c.committed(t, group); !dry.DryRun || !maps.Equal(got, map[int32]int64{0: 7, 1: 3}) {
			t.Errorf("%s: a dry run has committed %v", x.args, got)
		}
		done := answer[resetAnswer](t, c, append(args, "--yes")...)
		if done.DryRun || done.Group != group || fmt.Sprint(done.Changes) == "" || len(done.Changes) != len(dry.Changes) {
			t.Errorf("%s: %+v after %+v", x.args, done, dry)
		}
		notes := 0
		for n, change := range done.Changes {
			if change.Before == nil || *change.Before != map[int32]int64{0: 7, 1: 3}[change.Partition] || change.After != x.after[change.Partition] ||
				change.Topic != topic || change.After != dry.Changes[n].After || change.End != map[int32]int64{0: 10, 1: 6}[change.Partition] {
				t.Errorf("%s: %+v, want %v", x.args, change, x.after)
			}
			if change.Note != "" {
				notes++
			}
		}
		if got := c.committed(t, group); notes != x.notes || !maps.Equal(got, x.after) {
			t.Errorf("%s: committed %v with %d notes, want %v with %d", x.args, got, notes, x.after, x.notes)
		}
		c.consumes(t, topic, group, x.after)
	}
	resetMistakes(t, c, topic)
	exports(t, c, topic)
}

// consumes reads with the group and expects every record from its offsets to the ends.
func (c command) consumes(t *testing.T, topic, group string, from map[int32]int64) {
	t.Helper()
	var want []string
	for p, end := range []int64{10, 6} {
		for o := from[int32(p)]; o < end; o++ {
			want = append(want, fmt.Sprintf("%d/%d", p, o))
		}
	}
	got := strings.Fields(c.run(t, "", "consume", topic, "--group", group, "--format", "{partition}/{offset}"))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("group %s has read %v, want %v", group, got, want)
	}
}

// resetMistakes are resets that are refused, all of them before anything is committed.
func resetMistakes(t *testing.T, c command, topic string) {
	group := c.prefix + "mistaken"
	_, notes, status := c.try(t, "", "group", "reset", group, "--topic", topic+":0", "--to-offset", "3", "--yes")
	if status != 0 || !strings.Contains(notes, "there is no group "+group+" yet") {
		t.Errorf("a group that is made by its reset: status %d, %s", status, notes)
	}
	reset := []string{"group", "reset", group, "--yes"}
	on := " on " + c.addr + ": "
	c.refused(t, 1, append(reset, "--shift", "1", "--topic", topic), "reset group "+group+on, "partition 1 of topic "+topic+": nothing is committed to shift from", "--to-offset")
	c.refused(t, 1, append(reset, "--to-latest", "--topic", topic+":0,7"), "partition 7 of topic "+topic+on, "UNKNOWN_TOPIC_OR_PARTITION")
	c.refused(t, 1, append(reset, "--to-latest", "--topic", topic+"x"), "UNKNOWN_TOPIC_OR_PARTITION", "did you mean "+topic+"?")
	c.refused(t, 1, append(reset, "--to-latest", "--to-earliest"), "want one of --to-earliest, ")
	c.refused(t, 1, append(reset, "--from-file", "/no/such/file"), "read offsets: open /no/such/file")
	c.refused(t, 1, []string{"group", "reset", group + "n", "--to-latest", "--yes"}, "GROUP_ID_NOT_FOUND", "did you mean "+group+"?")
	if got := c.committed(t, group); !maps.Equal(got, map[int32]int64{0: 3}) {
		t.Errorf("a refused reset has committed %v", got)
	}
}

// exports writes plans as files, has Kafka's own tool take one, and takes one of Kafka's.
func exports(t *testing.T, c command, topic string) {
	group, dir := c.prefix+"exported", t.TempDir()
	ours, theirs := filepath.Join(dir, "ours.csv"), filepath.Join(dir, "theirs.csv")
	c.run(t, "", "group", "reset", group, "--topic", topic, "--to-offset", "4", "--yes", "--export", ours)
	c.run(t, "", "group", "reset", group, "--to-latest", "--yes")
	if out := c.run(t, "", "group", "reset", group, "--to-current", "--export", "-"); out != topic+",0,10\n"+topic+",1,6\n" {
		t.Errorf("exported %q", out)
	}
	tool := []string{"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", c.addr, "--group", group, "--reset-offsets"}
	broker.Tool(t, "", append(tool, "--from-file", ours, "--execute")...)
	if got := c.committed(t, group); !maps.Equal(got, map[int32]int64{0: 4, 1: 4}) {
		t.Errorf("from our file Kafka's tool has committed %v", got)
	}
	csv := broker.Tool(t, "", append(tool, "--all-topics", "--shift-by", "1", "--export", "--dry-run")...)
	if err := os.WriteFile(theirs, []byte(csv), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(t, "", "group", "reset", group, "--from-file", theirs, "--yes")
	if got := c.committed(t, group); !maps.Equal(got, map[int32]int64{0: 5, 1: 5}) {
		t.Errorf("from the file of Kafka's tool, %q, it has committed %v", csv, got)
	}
	c.consumes(t, topic, group, map[int32]int64{0: 5, 1: 5})
}
