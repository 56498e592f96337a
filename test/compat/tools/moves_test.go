package tools

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/java"
)

// TestMoves lets kafka-reassign-partitions move a replica between the two data directories of a broker of its own, held to a rate, and
// kafka-log-dirs look on.
func TestMoves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	p, err := broker.Start(dir, nil, "--listen", "127.0.0.1:0", "--data", one+","+two)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	admin := kadm.NewClient(broker.ClientOf(t, p.Addr))
	broker.Create(t, admin, "moved", 1)
	cl := broker.ClientOf(t, p.Addr, kgo.DefaultProduceTopic("moved"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	const records = 40
	for range records {
		if err := cl.ProduceSync(broker.Context(t), &kgo.Record{Value: make([]byte, 400_000)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	tool := func(class string, args ...string) string {
		t.Helper()
		return java.Run(t, "", append([]string{"org.apache.kafka.tools." + class, "--bootstrap-server", p.Addr}, args...)...)
	}
	describe := func() (at string, future string, lag int64) {
		t.Helper()
		out := tool("LogDirsCommand", "--describe", "--topic-list", "moved")
		var described struct {
			Brokers []struct {
				LogDirs []struct {
					LogDir     string
					Partitions []struct {
						Partition string
						OffsetLag int64
						IsFuture  bool
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &described); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		for _, d := range described.Brokers[0].LogDirs {
			for _, p := range d.Partitions {
				if p.IsFuture {
					future, lag = d.LogDir, p.OffsetLag
				} else {
					at = d.LogDir
				}
			}
		}
		return at, future, lag
	}
	at, future, _ := describe()
	target := map[string]string{one: two, two: one}[at]
	if target == "" || future != "" {
		t.Fatalf("the replica lies in %q, a copy in %q", at, future)
	}
	nodes, err := admin.ListBrokers(broker.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	id := nodes[0].NodeID
	plan := filepath.Join(dir, "plan.json")
	if err := os.WriteFile(plan, fmt.Appendf(nil, `{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[%d],"log_dirs":[%q]}]}`, id, target), 0o644); err != nil {
		t.Fatal(err)
	}
	reassign := func(args ...string) string {
		t.Helper()
		return tool("reassign.ReassignPartitionsCommand", append([]string{"--reassignment-json-file", plan}, args...)...)
	}
	expect(t, reassign("--execute", "--replica-alter-log-dirs-throttle", "1000000"), `The replica-alter-dir throttle limit was set to 1000000 B/s`,
		`Successfully started moving log directory to `+regexp.QuoteMeta(target)+` for replica moved-0 with broker `+fmt.Sprint(id))
	if at, future, lag := describe(); at == target || future != target || lag <= 0 || lag > records {
		t.Errorf("held to its rate it lies in %q, its copy in %q, which lags by %d", at, future, lag)
	}
	expect(t, reassign("--verify"), `Reassignment of replica moved-0-`+fmt.Sprint(id)+` is still in progress`)
	reassign("--execute", "--additional", "--replica-alter-log-dirs-throttle", "1000000000")
	broker.Eventually(t, "the replica has moved", func() bool {
		at, future, _ := describe()
		return at == target && future == ""
	})
	out := reassign("--verify")
	expect(t, out, `Reassignment of replica moved-0-`+fmt.Sprint(id)+` completed successfully`, `Clearing broker-level throttles on broker `+fmt.Sprint(id))
	out = java.Run(t, "", "kafka.admin.ConfigCommand", "--bootstrap-server", p.Addr, "--entity-type", "brokers", "--entity-name", fmt.Sprint(id), "--describe")
	if regexp.MustCompile("replica.alter.log.dirs.io.max").MatchString(out) {
		t.Errorf("the limit is left:\n%s", out)
	}
	ends, err := admin.ListEndOffsets(broker.Context(t), "moved")
	if err != nil || ends["moved"][0].Offset != records {
		t.Errorf("the log ends at %+v, %v", ends, err)
	}
}
