// Package dump reads stopped data directories with the other side's tool: Moldau's with kafka-dump-log, Kafka's with
// moldau log dump. It holds tests only and needs Java.
package dump

import (
	"flag"
	"fmt"
	"math/rand"
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

var port = flag.String("kafka-port", "19392", "first port of the Kafka that the suite starts")

func TestMain(m *testing.M) {
	flag.Parse()
	if err := os.Setenv("EXTRA_PROPERTIES", cleaned); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

const rounds, perRound = 60, 10

// fill writes a topic for each codec: several segments of 1 MiB with many index entries, by an idempotent producer
// and by one that is not, with keys, headers and null values. The values begin with a number that tells them apart.
func fill(t *testing.T, addr string) {
	t.Helper()
	random := rand.New(rand.NewSource(1))
	admin := kadm.NewClient(broker.ClientOf(t, addr))
	for name, codec := range codecs {
		topic := "dump-" + name
		broker.Create(t, admin, topic, 1, "segment.bytes=1048576", "index.interval.bytes=1024")
		common := []kgo.Opt{kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec)}
		idempotent := broker.ClientOf(t, addr, common...)
		plain := broker.ClientOf(t, addr, append(common, kgo.DisableIdempotentWrite())...)
		for round := range rounds {
			var rs []*kgo.Record
			for i := range perRound {
				noise := make([]byte, 2500)
				random.Read(noise)
				r := &kgo.Record{Key: fmt.Appendf(nil, "key%d", i), Value: fmt.Appendf(nil, "value-%s-%d-%x-%x", name, round*perRound+i, noise, noise)}
				if i == 3 {
					r.Headers = []kgo.RecordHeader{{Key: "header", Value: []byte("h")}}
				}
				rs = append(rs, r)
			}
			cl := idempotent
			if round%2 == 1 {
				cl = plain
			}
			if err := cl.ProduceSync(broker.Context(t), rs...).FirstErr(); err != nil {
				t.Fatalf("produce to %s: %v", topic, err)
			}
		}
		if err := idempotent.ProduceSync(broker.Context(t), &kgo.Record{Key: []byte("gone")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// files lists the files of a topic by kind.
func files(t *testing.T, data, topic, ext string) []string {
	t.Helper()
	fs, err := filepath.Glob(filepath.Join(data, topic+"-0", "*"+ext))
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

var complaint = regexp.MustCompile(`(?im)^.*(mismatch|not found|non-consecutive|invalid|isvalid: false|exception|corrupt|out of order|unknown|could not|trailing|^error).*$`)

// kafkaDump has Kafka's tool read every file of the topics, and fails on any complaint.
func kafkaDump(t *testing.T, data string) {
	t.Helper()
	var all, indexes []string
	for name := range codecs {
		topic := "dump-" + name
		logs := files(t, data, topic, ".log")
		if len(logs) < 2 {
			t.Errorf("%s has %d segments", topic, len(logs))
		}
		// The snapshot of a clean stop stands at the log's end; those of rolled segments stand at their start.
		snapshots := files(t, data, topic, ".snapshot")
		if want := filepath.Join(data, topic+"-0", fmt.Sprintf("%020d.snapshot", rounds*perRound+1)); len(snapshots) < 2 || snapshots[len(snapshots)-1] != want {
			t.Errorf("%s has the snapshots %v, not one at its end", topic, snapshots)
		}
		for _, ext := range []string{".index", ".timeindex"} {
			indexes = append(indexes, files(t, data, topic, ext)...)
		}
		all = append(all, logs...)
		all = append(all, snapshots...)
	}
	if len(indexes) < 2*len(codecs) {
		t.Fatalf("%d index files", len(indexes))
	}
	all = append(all, indexes...)

	out := java.Run(t, "", "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--print-data-log", "--files", strings.Join(all, ","))
	if c := complaint.FindAllString(out, 10); c != nil {
		t.Errorf("complaints:\n%.2000s", strings.Join(c, "\n"))
	}
	for name := range codecs {
		seen := map[string]bool{}
		for _, v := range regexp.MustCompile("payload: value-"+name+"-([0-9]+)-").FindAllStringSubmatch(out, -1) {
			seen[v[1]] = true
		}
		if len(seen) != rounds*perRound {
			t.Errorf("%s: %d of %d records were read", name, len(seen), rounds*perRound)
		}
		if !strings.Contains(out, "compresscodec: "+name) {
			t.Errorf("no batch is %s", name)
		}
	}
	if n := strings.Count(out, "| offset: "); n != len(codecs)*(rounds*perRound+1) {
		t.Errorf("%d records were read", n)
	}
	for what, least := range map[string]int{`^offset: [0-9]+ position: [0-9]+$`: 200, `^timestamp: [0-9]+ offset: [0-9]+$`: 50, `^producerId: [0-9]+ producerEpoch: 0`: 10} {
		if n := len(regexp.MustCompile("(?m)"+what).FindAllString(out, -1)); n < least {
			t.Errorf("%d lines %q, fewer than %d", n, what, least)
		}
	}

	out = java.Run(t, "", "org.apache.kafka.tools.DumpLogSegments", "--index-sanity-check", "--files", strings.Join(indexes, ","))
	if c := complaint.FindAllString(out, 10); c != nil {
		t.Errorf("complaints:\n%s", strings.Join(c, "\n"))
	}
	if n := strings.Count(out, "passed sanity check."); n != len(indexes) {
		t.Errorf("%d of %d indexes passed\n%s", n, len(indexes), out)
	}
}

// TestMoldauReadByKafka has kafka-dump-log read what Moldau wrote.
func TestMoldauReadByKafka(t *testing.T) {
	t.Parallel()
	p := broker.Moldau(t)
	fill(t, p.Addr)
	fillGroups(t, p.Addr)
	want := served(t, p.Addr)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	kafkaDump(t, p.Data)
	kafkaDecode(t, p.Data, want)
}

// TestKafkaReadByMoldau has Moldau read what Kafka wrote, after Kafka's own tool did, which shows that the checks above
// ask nothing that Kafka does not do: moldau log dump its topics, Moldau itself the committed offsets.
func TestKafkaReadByMoldau(t *testing.T) {
	t.Parallel()
	p := broker.Kafka(t, *port)
	fill(t, p.Addr)
	fillGroups(t, p.Addr)
	fillCleaned(t, p)
	want := served(t, p.Addr)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	kafkaDump(t, p.Data)
	kafkaDecode(t, p.Data, want)
	moldauDump(t, p.Data)
	moldauServes(t, p.Data, want)
}

// moldauDump has moldau log dump read every record of the topics, and fails on any complaint.
func moldauDump(t *testing.T, data string) {
	t.Helper()
	exe, err := broker.Command(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name := range codecs {
		topic := "dump-" + name
		seen := map[string]bool{}
		out := broker.Run(t, "", exe, "log", "dump", "--records", filepath.Join(data, topic+"-0"))
		for _, v := range regexp.MustCompile("value-"+name+"-([0-9]+)-").FindAllStringSubmatch(out, -1) {
			seen[v[1]] = true
		}
		if c := complaint.FindAllString(out, 10); c != nil {
			t.Errorf("complaints:\n%.2000s", strings.Join(c, "\n"))
		}
		if len(seen) != rounds*perRound {
			t.Errorf("%s: moldau log dump shows %d of %d records", topic, len(seen), rounds*perRound)
		}
	}
}
