package dev

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/config"
	"github.com/moldau/moldau/internal/vfs"
)

// planned is a run that has decided and written what its brokers are.
func planned(t *testing.T, r *runner) *runner {
	t.Helper()
	r.dir = t.TempDir()
	if err := r.plan(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFiles(t *testing.T) {
	r := planned(t, &runner{brokers: 4, settings: []setting{{"log.retention.ms", "60000"}, {"broker.rack", `a\b`}}})
	ports := map[int]bool{}
	votes := 0
	for i, n := range r.nodes {
		text, err := os.ReadFile(n.file())
		if err != nil {
			t.Fatal(err)
		}
		cfg, _, err := config.Load(config.Sources{FileName: n.file(), File: text})
		if err != nil {
			t.Fatal(err)
		}
		if cfg.NodeID != int32(i+1) || !cfg.Broker || len(cfg.Voters) != 3 || cfg.Alone() || cfg.LogDirs[0] != n.data() || cfg.Listeners[0].Address() != n.address() ||
			cfg.DefaultReplicationFactor != 3 || cfg.Number("min.insync.replicas") != 2 || cfg.Number("log.retention.ms") != 60000 || cfg.Rack != `a\b` {
			t.Errorf("broker %d: %s", n.id, text)
		}
		ports[n.port] = true
		if cfg.Votes {
			votes++
			ports[n.controller] = true
			if at := cfg.ControllerListeners[0].Address(); at != n.controllerAddress() || cfg.Voters[i].Port != n.controller {
				t.Errorf("controller %d on %s: %s", n.id, at, text)
			}
		}
	}
	if votes != 3 || len(ports) != 7 {
		t.Errorf("%d voters on ports %v", votes, ports)
	}
}

func TestOneBroker(t *testing.T) {
	r := planned(t, &runner{brokers: 1})
	text, err := os.ReadFile(r.nodes[0].file())
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(config.Sources{FileName: "test", File: text})
	if err != nil || !cfg.Alone() || len(cfg.ControllerListeners) > 0 || cfg.DefaultReplicationFactor != 1 || cfg.Number("min.insync.replicas") != 1 {
		t.Errorf("%v: %s", err, text)
	}
}

func TestVoters(t *testing.T) {
	var got []int
	for n := 1; n <= 8; n++ {
		got = append(got, voters(n))
	}
	if !slices.Equal(got, []int{1, 2, 3, 3, 5, 5, 5, 5}) {
		t.Errorf("voters of 1 to 8 brokers: %v", got)
	}
}

// TestAgain is about a cluster whose data has stayed.
func TestAgain(t *testing.T) {
	first := planned(t, &runner{brokers: 3})
	again := &runner{brokers: 1, dir: first.dir}
	if err := again.plan(); err != nil || len(again.nodes) != 3 {
		t.Errorf("%d brokers, %v", len(again.nodes), err)
	}
	other := &runner{brokers: 2, counted: true, dir: first.dir, data: "here"}
	if err := other.plan(); err == nil || err.Error() != "--brokers 2: the cluster in here has 3" {
		t.Errorf("another number: %v", err)
	}
}

func TestDirectoryIsLocked(t *testing.T) {
	data := filepath.Join(t.TempDir(), "a", "b")
	first, second := &runner{data: data}, &runner{data: data}
	leave, err := first.enter()
	if err != nil || first.dir != data {
		t.Fatalf("%s, %v", first.dir, err)
	}
	if _, err := second.enter(); err == nil || !strings.Contains(err.Error(), "another \"moldau dev\" runs there") {
		t.Errorf("a second one: %v", err)
	}
	if err := leave(); err != nil {
		t.Fatal(err)
	}
	leave, err = second.enter()
	if err != nil {
		t.Fatal(err)
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
}

// TestRemove removes temporary data, but not from under a broker that runs.
func TestRemove(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var notes bytes.Buffer
	r := &runner{brokers: 1, notes: &notes}
	leave, err := r.enter()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.plan(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(r.nodes[0].data(), 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := vfs.OS.Lock(filepath.Join(r.nodes[0].data(), ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := leave(); err != nil || !strings.Contains(notes.String(), "broker 1 was started by hand and still runs: its data stays in "+r.dir) {
		t.Errorf("%v, %s", err, notes.String())
	}
	if _, err := os.Stat(r.nodes[0].file()); err != nil {
		t.Error(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := leave(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(r.dir); !os.IsNotExist(err) {
		t.Errorf("the temporary data is still there: %v", err)
	}
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if _, err := choosePorts(port, 1); err == nil || !strings.Contains(err.Error(), "port "+strconv.Itoa(port)+" cannot be had: ") || !strings.Contains(err.Error(), "--port 0 for any that are free") {
		t.Errorf("a port that is taken: %v", err)
	}
	if _, err := choosePorts(65534, 3); err == nil || err.Error() != "--port 65534: 3 ports are needed from there on" {
		t.Errorf("ports beyond the last: %v", err)
	}
}

func TestSettings(t *testing.T) {
	got, err := parseSettings([]string{"a.b=c=d", "e="})
	if err != nil || !slices.Equal(got, []setting{{"a.b", "c=d"}, {"e", ""}}) {
		t.Errorf("%v, %v", got, err)
	}
	for bad, want := range map[string]string{"a": "want SETTING=VALUE", "=b": "want SETTING=VALUE", "a b=c": "want SETTING=VALUE", "node.id=7": "gives each broker its own"} {
		if _, err := parseSettings([]string{bad}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v", bad, err)
		}
	}
	rest, warnings := withoutOwn([]string{"KAFKA_NODE_ID=3", "KAFKA_NUM_PARTITIONS=3", "PATH=/bin", "KAFKA_LISTENERS=x"})
	if !slices.Equal(rest, []string{"KAFKA_NUM_PARTITIONS=3", "PATH=/bin"}) || len(warnings) != 2 || !strings.HasPrefix(warnings[0], "KAFKA_NODE_ID does not act") {
		t.Errorf("environment %v, warnings %v", rest, warnings)
	}
}
