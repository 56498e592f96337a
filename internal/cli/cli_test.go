package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moldau/moldau/internal/config"
)

// run runs one command line.
func run(t *testing.T, broker Broker, environment []string, args ...string) (status int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	status = Main(t.Context(), Process{Args: args, Environment: environment, In: strings.NewReader(""), Out: &o, Err: &e, Broker: broker})
	return status, o.String(), e.String()
}

func TestServeGivesTheBrokerItsConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("node.id=5\nlog.dirs=/file\nlisteners=PLAINTEXT://127.0.0.1:1234\nnum.io.threads=9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var got *config.Config
	broker := func(_ context.Context, cfg *config.Config, out io.Writer) error {
		got = cfg
		_, err := io.WriteString(out, "serving\n")
		return err
	}
	status, out, errOut := run(t, broker, []string{"KAFKA_NUM_PARTITIONS=6", "KAFKA_HEAP_OPTS=-Xmx1g"}, "serve", "--config", file, "--data", "/flag", "--listen", "127.0.0.1:0")
	if status != 0 || out != "serving\n" {
		t.Fatalf("status %d, out %q, err %q", status, out, errOut)
	}
	if got.NodeID != 5 || got.LogDirs[0] != "/flag" || got.NumPartitions != 6 || got.Listeners[0].Address() != "127.0.0.1:0" {
		t.Errorf("configuration %+v", got)
	}
	want := "moldau: warning: accepted, but nothing in this release acts on it: num.io.threads (" + file + ":4)\n" +
		"moldau: warning: passed over, not a setting: KAFKA_HEAP_OPTS\n"
	if errOut != want {
		t.Errorf("warnings %q", errOut)
	}
}

func TestServeFailsWithOneLine(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.properties")
	in := errors.New("open data directory moldau-data: locked by another process")
	busy := func(context.Context, *config.Config, io.Writer) error { return in }
	for _, c := range []struct {
		args []string
		env  []string
		want string
	}{
		{[]string{"serve"}, nil, "moldau: " + in.Error() + "\n"},
		{[]string{"serve", "--listen", "9092"}, nil, "moldau: --listen 9092: not HOST:PORT, such as 127.0.0.1:9092 or 0.0.0.0:9092\n"},
		{[]string{"serve", "--config", missing}, nil, "moldau: read settings: open " + missing + ": no such file or directory\n"},
		{[]string{"serve"}, []string{"KAFKA_NUM_PARTITIONS=0"}, "moldau: KAFKA_NUM_PARTITIONS: num.partitions=0: Invalid value 0 for configuration num.partitions: Value must be at least 1\n"},
		{[]string{"serve", "--port", "1"}, nil, "moldau: unknown flag: --port\n"},
		{[]string{"serve", "--data", ""}, nil, "moldau: --data: is empty; leave it out for the default\n"},
		{[]string{"topic", "list", "--bootstrap", ""}, nil, "moldau: --bootstrap \"\": want HOST:PORT[,HOST:PORT...]\n"},
		{[]string{"serf"}, nil, "moldau: unknown command \"serf\" for \"moldau\"\n"},
		{[]string{"topic", "destroy"}, nil, "moldau: unknown command \"destroy\" for \"moldau topic\"\n"},
		{[]string{"topic", "create"}, nil, "moldau: requires at least 1 arg(s), only received 0\n"},
		{[]string{"topic", "create", "a", "--config", "b"}, nil, "moldau: --config b: want KEY=VALUE\n"},
		{[]string{"topic", "list", "--format", "xml"}, nil, "moldau: invalid argument \"xml\" for \"--format\" flag: want table, json or plain\n"},
		{[]string{"produce", "t", "--acks", "2"}, nil, "moldau: --acks 2: want all, 1 or 0\n"},
		{[]string{"produce", "t", "--compression", "zip"}, nil, "moldau: --compression zip: want none, gzip, snappy, lz4 or zstd\n"},
		{[]string{"produce", "t", "--header", "x"}, nil, "moldau: --header x: want KEY=VALUE\n"},
		{[]string{"produce", "t", missing}, nil, "moldau: read records: open " + missing + ": no such file or directory\n"},
	} {
		status, out, errOut := run(t, busy, c.env, c.args...)
		if status != 1 || out != "" || !strings.HasPrefix(errOut, strings.TrimSuffix(c.want, "\n")) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%v: status %d, out %q, err %q", c.args, status, out, errOut)
		}
	}
}

func TestStopIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var errOut bytes.Buffer
	broker := func(ctx context.Context, _ *config.Config, _ io.Writer) error {
		cancel()
		return context.Cause(ctx)
	}
	if status := Main(ctx, Process{Args: []string{"serve"}, Out: io.Discard, Err: &errOut, Broker: broker}); status != 0 || errOut.Len() > 0 {
		t.Errorf("status %d, err %q", status, errOut.String())
	}
}

func TestNoBrokerIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // nobody listens there now
	for _, args := range [][]string{{"topic", "list"}, {"topic", "describe", "t"}, {"produce", "t"}, {"consume", "t"}} {
		status, _, errOut := run(t, nil, nil, append(args, "--bootstrap", addr)...)
		if status != 1 || !strings.HasPrefix(errOut, "moldau: connect to "+addr+": ") || !strings.Contains(errOut, "moldau serve") {
			t.Errorf("%v: status %d, err %q", args, status, errOut)
		}
	}
}

func TestVersion(t *testing.T) {
	status, out, _ := run(t, nil, nil, "version")
	if status != 0 || !strings.HasPrefix(out, "moldau ") || !strings.Contains(out, " go1.") {
		t.Errorf("status %d, out %q", status, out)
	}
}
