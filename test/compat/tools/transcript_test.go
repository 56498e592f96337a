package tools

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
	"github.com/moldau/moldau/test/compat/java"
)

// Transcripts are what Kafka's tools print when they talk to Apache Kafka, word for word, and Moldau has to make them print the same.
// Each is played to a broker of its own. Where an answer differs on purpose it is followed by the one from here.
//
// # File format: testdata/*.txt
//
//	# text           for people
//	+ NAME CONTENT   writes a file, which calls name as DIR/NAME
//	$ TOOL ARGUMENT  a call, with '' around arguments that have spaces; BROKER and CONTROLLER are the addresses of the node
//	> TOPIC NUMBER   writes that many records to partition 0 of a topic
//	= STATUS         how it ended; then what it printed, and behind ! what it complained of
//	: REASON         why the answer from here, which follows, differs
//
// What two runs do not have in common is replaced, by the table below. Kafka's answers are written afresh by
//
//	go test ./tools -run TestTranscripts -rewrite kafka -kafka-port 21092
//
// and those from here that differ by -rewrite moldau.
var (
	rewrite   = flag.String("rewrite", "", "kafka: write Kafka's answers afresh; moldau: those from here that differ")
	kafkaPort = flag.String("kafka-port", "21092", "with -rewrite kafka: the port that Kafka is started on")
)

// classes are the tools by the names of the scripts that Kafka starts them with.
var classes = map[string]string{
	"kafka-acls":                "org.apache.kafka.tools.AclCommand",
	"kafka-client-metrics":      "org.apache.kafka.tools.ClientMetricsCommand",
	"kafka-cluster":             "org.apache.kafka.tools.ClusterTool",
	"kafka-configs":             "kafka.admin.ConfigCommand",
	"kafka-delegation-tokens":   "org.apache.kafka.tools.DelegationTokenCommand",
	"kafka-delete-records":      "org.apache.kafka.tools.DeleteRecordsCommand",
	"kafka-features":            "org.apache.kafka.tools.FeatureCommand",
	"kafka-get-offsets":         "org.apache.kafka.tools.GetOffsetShell",
	"kafka-leader-election":     "org.apache.kafka.tools.LeaderElectionCommand",
	"kafka-log-dirs":            "org.apache.kafka.tools.LogDirsCommand",
	"kafka-metadata-quorum":     "org.apache.kafka.tools.MetadataQuorumCommand",
	"kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
	"kafka-topics":              "org.apache.kafka.tools.TopicCommand",
	"kafka-transactions":        "org.apache.kafka.tools.TransactionsCommand",
}

// replacements are what two runs do not have in common, by what stands for it.
var replacements = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`(?m)^(\s+at |\t\.\.\. \d+ more|Batch\$Exited$|null$).*\n`), ""}, // where in the tool's code, and how the tests run it
	{regexp.MustCompile(`(?ms)^Option +Description.*\n`), ""},                            // how to use the tool
	{regexp.MustCompile(`(?m)^\[[^\]]*\] (ERROR|WARN) \S+ - \[AdminClient.*\n`), ""},     // the client's log
	{regexp.MustCompile(`TopicId: \S{22}`), "TopicId: <id>"},
	{regexp.MustCompile(`(?i)(cluster ?id: +)\S{22}`), "$1<cluster>"},
	{regexp.MustCompile(`(?m)Epoch: \d+$`), "Epoch: <n>"},
	{regexp.MustCompile(`(LeaderEpoch|HighWatermark): +\d+`), "$1: <n>"},
	{regexp.MustCompile(`(?m)^(\d+ +\t\S{22}\t)\d+ +(\t\d+ +\t)(\d{13} +\t){2}`), "$1<n>$2<time>\t<time>\t"},
	{regexp.MustCompile(`(?m)^(\d+ +\t\S{22}\t)\d+ +(\t\d+ +\t)(\d+ ms ago +\t){2}`), "$1<n>$2<ago>\t<ago>\t"},
	{regexp.MustCompile(`(?m)^(\d+ +\t\d+ +\t-1 +\t\d+ +\t)\d{13}`), "$1<time>"},
	{regexp.MustCompile(` *\t *`), " "},
	{regexp.MustCompile(`(?m)[ \t]+$`), ""},
}

// node is a broker with its listener for controllers that transcripts are played to.
type node struct{ broker, controller, data, files string }

func (n node) in(text string) string {
	return strings.NewReplacer("BROKER", n.broker, "CONTROLLER", n.controller, "DIR", n.files).Replace(text)
}

// port returns the port of an address.
func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

func (n node) normal(text string) string {
	text = strings.NewReplacer(n.broker, "BROKER", n.controller, "CONTROLLER", n.data, "DATA", n.files, "DIR").Replace(text)
	for _, r := range replacements {
		text = r.pattern.ReplaceAllString(text, r.with)
	}
	// Tables of endpoints have the port in a column of its own.
	return regexp.MustCompile(`\b(`+port(n.broker)+`|`+port(n.controller)+`) *`).ReplaceAllString(text, "<port> ")
}

// step is one line of a transcript that does something, with the lines that belong to it.
type step struct {
	line    string   // as it stands, +, > or $ included
	kafka   []string // its answer with Kafka
	reason  string   // why the answer from here differs
	here    []string // the answer from here, if there is a reason
	remarks []string // lines that stand before it
}

func parseTranscript(t *testing.T, text string) (steps []step, end []string) {
	t.Helper()
	var remarks []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		var now *step
		if len(steps) > 0 {
			now = &steps[len(steps)-1]
		}
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			remarks = append(remarks, line)
		case strings.HasPrefix(line, "$ "), strings.HasPrefix(line, "+ "), strings.HasPrefix(line, "> "):
			steps = append(steps, step{line: line, remarks: remarks})
			remarks = nil
		case now == nil:
			t.Fatalf("%q before a call", line)
		case strings.HasPrefix(line, ": "):
			now.reason = line[2:]
		case now.reason != "":
			now.here = append(now.here, line)
		default:
			now.kafka = append(now.kafka, line)
		}
	}
	return steps, remarks
}

func (s step) String() string {
	var b strings.Builder
	for _, line := range slices.Concat(s.remarks, []string{s.line}) {
		fmt.Fprintln(&b, line)
	}
	for _, line := range s.kafka {
		fmt.Fprintln(&b, line)
	}
	if s.reason != "" {
		fmt.Fprintln(&b, ": "+s.reason)
		for _, line := range s.here {
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}

// words splits a call at spaces that are not between quotes.
func words(line string) (all []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		all = append(all, m[1]+m[2])
	}
	return all
}

// write writes records to partition 0 of a topic, each in a batch of its own so that the log has the same size everywhere.
func (n node) write(t *testing.T, what []string) {
	t.Helper()
	count, err := strconv.Atoi(what[1])
	if err != nil {
		t.Fatal(err)
	}
	cl := broker.ClientOf(t, n.broker, kgo.DefaultProduceTopic(what[0]), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range count {
		if err := cl.ProduceSync(broker.Context(t), &kgo.Record{Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// play does what a step says and returns the answer.
func (n node) play(t *testing.T, s step) []string {
	t.Helper()
	if rest, ok := strings.CutPrefix(s.line, "+ "); ok {
		name, content, _ := strings.Cut(rest, " ")
		if err := os.WriteFile(filepath.Join(n.files, name), []byte(strings.ReplaceAll(content, `\n`, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	if rest, ok := strings.CutPrefix(s.line, "> "); ok {
		n.write(t, words(rest))
		return nil
	}
	call := words(s.line[2:])
	class := classes[call[0]]
	if class == "" {
		t.Fatalf("no tool is called %s", call[0])
	}
	call[0] = class
	for i := range call[1:] {
		call[i+1] = n.in(call[i+1])
	}
	r := java.Try(t, "", call...)
	answer := []string{fmt.Sprintf("= %d", r.Status)}
	for _, part := range []struct{ text, mark string }{{r.Out, ""}, {r.Err, "! "}} {
		for line := range strings.Lines(n.normal(part.text)) {
			// What a client logs time and again stands there once.
			if line = part.mark + strings.TrimRight(line, " \n"); line != part.mark && line != answer[len(answer)-1] {
				answer = append(answer, line)
			}
		}
	}
	return answer
}

// TestTranscripts plays every transcript.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) < 10 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			if *rewrite == "" {
				t.Parallel()
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			n := node{files: t.TempDir()}
			if *rewrite == "kafka" {
				k := broker.Kafka(t, *kafkaPort)
				n.broker, n.controller, n.data = k.Addr, k.Controller, k.Data
			} else {
				m := broker.MoldauWithController(t)
				n.broker, n.controller, n.data = m.Addr, m.Controller, m.Data
			}
			steps, end := parseTranscript(t, string(text))
			var written strings.Builder
			for _, s := range steps {
				got := n.play(t, s)
				switch {
				case *rewrite == "kafka":
					s.kafka = got
				case *rewrite == "moldau" && s.reason != "":
					s.here = got
				default:
					s.check(t, got)
				}
				written.WriteString(s.String())
			}
			for _, line := range end {
				fmt.Fprintln(&written, line)
			}
			if *rewrite != "" && written.String() != string(text) {
				if err := os.WriteFile(path, []byte(written.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// check compares an answer with the transcript.
func (s step) check(t *testing.T, got []string) {
	t.Helper()
	want := s.kafka
	if s.reason != "" {
		want = s.here
		if slices.Equal(s.kafka, s.here) {
			t.Errorf("%s\nno longer differs from Kafka: %s", s.line, s.reason)
		}
	}
	if !slices.Equal(want, got) {
		t.Errorf("%s\n--- want\n%s\n--- got\n%s", s.line, strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
}
