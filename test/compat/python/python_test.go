// Package python tests the broker with the clients of Python: kafka-python 2.0.2, which many still have, and the newest,
// aiokafka, and confluent-kafka, so librdkafka. It holds tests only. It installs the clients into virtual environments
// of its own; Python 3.11 must be there, as kafka-python 2.0.2 does not run on later ones.
package python

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/moldau/moldau/test/compat/broker"
)

// TestMain has a Moldau that it starts form groups without a pause, since every test forms some.
func TestMain(m *testing.M) {
	os.Setenv("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
	broker.Main(m)
}

var kafkaPython = []string{"test_three_brokers", "test_second_experiment", "test_groups", "test_third_experiment", "test_first_experiment", "test_client"}

// clients are what is installed, and the folder and the modules of its tests. The experiments run the programs of examples/python.
var clients = []struct {
	name, requirement, folder string
	modules                   []string
}{
	{"kafka-python-2.0.2", "kafka-python==2.0.2", "kafkapython", kafkaPython},
	{"kafka-python-newest", "kafka-python", "kafkapython", append(kafkaPython, "test_groups_newest")},
	{"aiokafka", "aiokafka", "aio", []string{"test_life", "test_client"}},
	{"confluent-kafka", "confluent-kafka", "confluent", []string{"test_life", "test_admin"}},
}

// atOnce is how many modules run at a time: they wait for rebalances and time-outs most of their time.
const atOnce = 8

var ran = regexp.MustCompile(`(?m)^Ran [1-9][0-9]* tests? in .*\n\nOK$`)

// TestClients runs each module of each client in a process of its own, several at a time, and prints what each checked.
func TestClients(t *testing.T) {
	type run struct {
		name string
		out  []byte
		err  error
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		runs []run
		slot = make(chan struct{}, atOnce)
	)
	moldau, err := broker.Command(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		python := environment(t, c.name, c.requirement)
		for _, module := range c.modules {
			wg.Go(func() {
				slot <- struct{}{}
				defer func() { <-slot }()
				began := time.Now()
				out, err := unittest(python, moldau, c.folder, module)
				name := fmt.Sprintf("%s/%s after %d s", c.name, module, int(time.Since(began).Seconds()))
				mu.Lock()
				defer mu.Unlock()
				runs = append(runs, run{name, out, err})
			})
		}
	}
	wg.Wait()
	for _, r := range runs {
		if r.err != nil || !ran.Match(r.out) {
			t.Errorf("%s: %v\n%s", r.name, r.err, r.out)
		} else {
			t.Logf("%s\n%s", r.name, r.out)
		}
	}
}

// unittest runs a module. The programs of examples/python, what the suites share and the binary are within its reach.
func unittest(python, moldau, folder, module string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	here := filepath.Join(broker.Root(), "test/compat/python")
	cmd := exec.CommandContext(ctx, python, "-m", "unittest", "-v", module)
	cmd.Dir = filepath.Join(here, folder)
	cmd.Env = append(os.Environ(), "BOOTSTRAP="+broker.Addr(), fmt.Sprintf("REPLICAS=%d", broker.Replicas()), "PYTHONPATH="+here, "PYTHONDONTWRITEBYTECODE=1", "MOLDAU="+moldau,
		"EXAMPLES="+filepath.Join(broker.Root(), "examples/python"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 10 * time.Second // for programs that it left
	err := cmd.Run()
	return out.Bytes(), err
}

// environment returns the interpreter of a virtual environment that has the client and its codecs.
func environment(t *testing.T, name, requirement string) string {
	t.Helper()
	dir := broker.Cache(t, name)
	python := filepath.Join(dir, "bin/python")
	base, err := exec.LookPath("python3.11")
	if err != nil {
		base = "python3"
	}
	if _, err := os.Stat(python); err != nil {
		broker.Run(t, "", base, "-m", "venv", "--clear", dir)
	}
	broker.Run(t, "", python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", requirement, "python-snappy", "lz4", "zstandard")
	return python
}
