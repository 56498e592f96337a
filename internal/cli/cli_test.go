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
		{[]string{"serve", "--port", "1"}, nil, "moldau: unknown flag: --port; it is called as \"moldau serve [flags]\", and --help says more\n"},
		{[]string{"serve", "--data", ""}, nil, "moldau: --data: is empty; leave it out for the default\n"},
		{[]string{"topic", "list", "--bootstrap", ""}, nil, "moldau: --bootstrap \"\": want HOST:PORT[,HOST:PORT...]\n"},
		{[]string{"serf"}, nil, "moldau: unknown command \"serf\" for \"moldau\"; \"moldau --help\" lists them\n"},
		{[]string{"topic", "destroy"}, nil, "moldau: unknown command \"destroy\" for \"moldau topic\"; \"moldau topic --help\" lists them\n"},
		{[]string{"topic", "create"}, nil, "moldau: requires at least 1 arg(s), only received 0; it is called as \"moldau topic create TOPIC... [flags]\", and --help says more\n"},
		{[]string{"topic", "create", "a", "--config", "b"}, nil, "moldau: --config b: want KEY=VALUE\n"},
		{[]string{"topic", "list", "--format", "xml"}, nil, "moldau: invalid argument \"xml\" for \"--format\" flag: want table, json or plain\n"},
		{[]string{"produce", "t", "--acks", "2"}, nil, "moldau: --acks 2: want all, 1 or 0\n"},
		{[]string{"produce", "t", "--compression", "zip"}, nil, "moldau: --compression zip: want none, gzip, snappy, lz4 or zstd\n"},
		{[]string{"produce", "t", "--header", "x"}, nil, "moldau: --header x: want KEY=VALUE\n"},
		{[]string{"completion", "csh"}, nil, "moldau: completion csh: want bash, zsh, fish or powershell\n"},
		{[]string{"group", "destroy"}, nil, "moldau: unknown command \"destroy\" for \"moldau group\"; \"moldau group --help\" lists them\n"},
		{[]string{"group", "list", "--state", "busy"}, nil, "moldau: --state busy: want some of PreparingRebalance, "},
		{[]string{"group", "reset", "g"}, nil, "moldau: want one of --to-earliest, "},
		{[]string{"group", "reset", "g", "--to-latest", "--topic", "a:"}, nil, "moldau: --topic a:: want TOPIC or TOPIC:PARTITION[,PARTITION]\n"},
		{[]string{"group", "delete-offsets", "g"}, nil, "moldau: want --topic; "},
		{[]string{"config", "describe", "topic"}, nil, "moldau: want topic|broker|group|client-metrics NAME [SETTING...], such as \"moldau config describe topic orders\"\n"},
		{[]string{"config", "describe", "user", "u"}, nil, "moldau: user: want one of topic, broker, group, client-metrics\n"},
		{[]string{"broker", "status", "--interval", "0s"}, nil, "moldau: --interval 0s: want a time above zero, such as 1s\n"},
		{[]string{"broker", "status", "1", "--admin", "127.0.0.1:1"}, nil, "moldau: --admin names the broker already; leave out 1\n"},
		{[]string{"broker", "status", "--top", "-1"}, nil, "moldau: --top -1: want a number of topics\n"},
		{[]string{"cluster", "--top", "-1"}, nil, "moldau: --top -1: want a number of partitions, or 0 for all\n"},
		{[]string{"dev", "--brokers", "0"}, nil, "moldau: --brokers 0: want 1 to 20\n"},
		{[]string{"dev", "--port", "70000"}, nil, "moldau: --port 70000: want a port, or 0 for any that are free\n"},
		{[]string{"dev", "--data", ""}, nil, "moldau: --data: is empty; leave it out for a temporary directory\n"},
		{[]string{"dev", "--data", "a,b"}, nil, "moldau: --data a,b: want one directory, without a comma in its name\n"},
		{[]string{"dev", "--restart-after", "-1s"}, nil, "moldau: --restart-after -1s: want a time, such as 5s\n"},
		{[]string{"dev", "--set", "node.id=1"}, nil, "moldau: --set node.id=1: moldau dev gives each broker its own; \"moldau serve\" takes any\n"},
		{[]string{"config", "diff", "user"}, nil, "moldau: user: want some of topic, broker, group, client-metrics, or nothing for all of them\n"},
		{[]string{"config", "set", "topic", "t", "retention.ms"}, nil, "moldau: retention.ms: want SETTING=VALUE\n"},
		{[]string{"config", "unset", "topic", "t", "a", "a"}, nil, "moldau: a: the setting is given twice\n"},
		{[]string{"consume", "t", "u", "--partition", "1"}, nil, "moldau: --partition: with several topics "},
		{[]string{"consume", "t", "u", "--from", "7"}, nil, "moldau: --from 7: an offset is one of one topic; "},
		{[]string{"consume", "t", "--group", ""}, nil, "moldau: --group: a group needs a name\n"},
		{[]string{"consume", "t", "--group", "g", "--partition", "1"}, nil, "moldau: --partition: the group divides the partitions"},
		{[]string{"consume", "t", "--group", "g", "--from", "7"}, nil, "moldau: --from 7: a group goes on where it has committed; "},
		{[]string{"consume", "t", "--group", "g", "--commit-interval", "1ms"}, nil, "moldau: --commit-interval 1ms: want 100ms or more\n"},
		{[]string{"consume", "t", "--group", "g", "--session-timeout", "0s"}, nil, "moldau: --session-timeout 0s: want 1s or more"},
		{[]string{"consume", "t", "--instance-id", "i"}, nil, "moldau: --instance-id, --session-timeout and --commit-interval are for members of a group; "},
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

// TestEndOfInputStops stops a broker whose input ends, as "moldau dev" has it.
func TestEndOfInputStops(t *testing.T) {
	broker := func(ctx context.Context, _ *config.Config, _ io.Writer) error {
		<-ctx.Done()
		return nil
	}
	if status, out, errOut := run(t, broker, nil, "serve", "--until-input-ends"); status != 0 || out+errOut != "" {
		t.Errorf("status %d, out %q, err %q", status, out, errOut)
	}
}

func TestNoBrokerIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // nobody listens there now
	for _, args := range [][]string{{"topic", "list"}, {"topic", "describe", "t"}, {"produce", "t"}, {"consume", "t"}, {"consume", "t", "--group", "g"},
		{"group", "list"}, {"group", "describe", "g"}, {"group", "lag"}, {"group", "reset", "g", "--to-latest"}, {"group", "delete", "g"},
		{"group", "delete-offsets", "g", "--topic", "t"}, {"config", "describe", "topic", "t"}, {"config", "set", "broker", "1", "a=b"}} {
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

// TestCompletion asks for words as the scripts of the shells do. Without a broker there are none, and no complaint either.
func TestCompletion(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete -o default -F __start_moldau moldau", "zsh": "#compdef moldau", "fish": "complete -c moldau", "powershell": "Register-ArgumentCompleter"} {
		if status, out, errOut := run(t, nil, nil, "completion", shell); status != 0 || !strings.Contains(out, want) || errOut != "" {
			t.Errorf("%s: status %d, err %q, no %q in\n%.300s", shell, status, errOut, want, out)
		}
	}
	t.Setenv("MOLDAU_BOOTSTRAP", "127.0.0.1:1") // nobody listens there
	for line, want := range map[string]string{
		"group d":                         "delete\ndelete-offsets\ndescribe\n",
		"completion ":                     "bash\nzsh\nfish\npowershell\n",
		"group list --state ":             "PreparingRebalance\nCompletingRebalance\nStable\nEmpty\nDead\nAssigning\nReconciling\nNotReady\n",
		"topic list --format ":            "table\njson\nplain\n",
		"consume t --format ":             "plain\ntable\njson\n",
		"config describe ":                "topic\nbroker\ngroup\nclient-metrics\n",
		"config diff ":                    "topic\nbroker\ngroup\nclient-metrics\n",
		"broker ":                         "list\nstatus\n",
		"broker status ":                  "",
		"config describe group ":          "",
		"topic size ":                     "",
		"topic describe ":                 "",
		"topic create ":                   "",
		"group describe ":                 "",
		"consume t --group ":              "",
		"config describe broker ":         "",
		"config set topic orders ":        "",
		"config set nothing orders ":      "",
		"group reset g --topic ":          "",
		"produce ":                        "",
		"topic list --bootstrap x:1,, a ": "",
	} {
		words := strings.Split(line, " ")
		status, out, _ := run(t, nil, nil, append([]string{"__complete"}, words...)...)
		var got []string
		for l := range strings.Lines(out) {
			if name, _, _ := strings.Cut(strings.TrimSuffix(l, "\n"), "\t"); !strings.HasPrefix(name, ":") {
				got = append(got, name+"\n")
			}
		}
		if status != 0 || strings.Join(got, "") != want {
			t.Errorf("%q: status %d, %q", line, status, got)
		}
	}
}
