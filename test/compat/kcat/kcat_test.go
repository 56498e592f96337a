// Package kcat tests the broker with kcat, so with librdkafka. It holds tests only and needs kcat on the path.
package kcat

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
)

// TestMain has a Moldau that it starts form groups without a pause, since the tests form some.
func TestMain(m *testing.M) {
	os.Setenv("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
	broker.Main(m)
}

func kcat(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	return broker.Run(t, stdin, "timeout", append([]string{"60", "kcat", "-b", broker.Addr(), "-X", "broker.address.family=v4"}, args...)...)
}

// lines numbers n lines and gives every second one a key.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "key%d:value %d, long enough to be compressed, long enough to be compressed\n", i%7, i)
	}
	return b.String()
}

// TestProduce writes with every codec and acks, plain and idempotent, and reads all of it back.
func TestProduce(t *testing.T) {
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		for name, opts := range map[string][]string{
			"acks=0": {"-X", "acks=0"}, "acks=1": {"-X", "acks=1"}, "acks=all": {"-X", "acks=all"},
			"idempotent": {"-X", "enable.idempotence=true"},
		} {
			t.Run(codec+"/"+name, func(t *testing.T) {
				topic := broker.Topic(t, 1)
				sent := lines(200)
				kcat(t, sent, append(opts, "-P", "-t", topic, "-p", "0", "-K:", "-z", codec)...)
				if got := kcat(t, "", "-C", "-t", topic, "-o", "beginning", "-c", "200", "-K:"); got != sent {
					t.Errorf("read %d bytes that are not the %d sent", len(got), len(sent))
				}
			})
		}
	}
}

type message struct {
	Partition int
	Offset    int64
	Key       *string
	Payload   *string
	Headers   []string
	Ts        int64
}

func messages(t *testing.T, out string) (ms []message) {
	t.Helper()
	for line := range strings.Lines(out) {
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ms = append(ms, m)
	}
	return ms
}

// TestKeys expects a key's records in one partition, and records without a key in every partition.
func TestKeys(t *testing.T) {
	topic := broker.Topic(t, 3)
	for range 2 {
		kcat(t, lines(70), "-P", "-t", topic, "-K:")
	}
	kcat(t, strings.Repeat("unkeyed\n", 100), "-P", "-t", topic, "-X", "topic.partitioner=murmur2_random", "-X", "sticky.partitioning.linger.ms=0")
	at, spread := map[string]int{}, map[int]bool{}
	for _, m := range messages(t, kcat(t, "", "-C", "-t", topic, "-o", "beginning", "-c", "240", "-J")) {
		if m.Key == nil {
			spread[m.Partition] = true
		} else if p, ok := at[*m.Key]; ok && p != m.Partition {
			t.Errorf("key %s lies in partition %d and in %d", *m.Key, p, m.Partition)
		} else {
			at[*m.Key] = m.Partition
		}
	}
	if len(at) != 7 || len(spread) != 3 {
		t.Errorf("%d keys, records without a key in %d partitions", len(at), len(spread))
	}
}

// TestHeaders keeps headers, and null apart from empty.
func TestHeaders(t *testing.T) {
	topic := broker.Topic(t, 1)
	kcat(t, "k:\n", "-P", "-t", topic, "-Z", "-K:", "-H", "a=1", "-H", "b=2")
	ms := messages(t, kcat(t, "", "-C", "-t", topic, "-o", "beginning", "-c", "1", "-J"))
	if m := ms[0]; m.Payload != nil || m.Key == nil || strings.Join(m.Headers, " ") != "a 1 b 2" {
		t.Errorf("read %+v", m)
	}
}

// TestConsumeFrom starts at the start, an offset, an offset before the end, a time, and at the end.
func TestConsumeFrom(t *testing.T) {
	topic := broker.Topic(t, 1)
	cl := broker.Client(t, kgo.DefaultProduceTopic(topic))
	start := time.Now().Add(-time.Hour).UnixMilli()
	for b := range 10 {
		var rs []*kgo.Record
		for i := range 10 {
			n := b*10 + i
			rs = append(rs, &kgo.Record{Value: fmt.Appendf(nil, "%d", n), Timestamp: time.UnixMilli(start + int64(n)*1000)})
		}
		if err := cl.ProduceSync(broker.Context(t), rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for from, first := range map[string]int{"beginning": 0, "37": 37, "-5": 95, fmt.Sprintf("s@%d", start+55_000): 55, "end": 100} {
		t.Run(from, func(t *testing.T) {
			var want strings.Builder
			for n := first; n < 100; n++ {
				fmt.Fprintf(&want, "%d %d\n", n, n)
			}
			if got := kcat(t, "", "-C", "-t", topic, "-p", "0", "-o", from, "-e", "-f", "%o %s\n"); got != want.String() {
				t.Errorf("read %q", got)
			}
		})
	}
	for at, want := range map[string]int{"-2": 0, "-1": 100, fmt.Sprint(start + 41_001): 42} {
		if got := kcat(t, "", "-Q", "-t", topic+":0:"+at); strings.TrimSpace(got) != fmt.Sprintf("%s [0] offset %d", topic, want) {
			t.Errorf("query of %s: %q", at, got)
		}
	}
}

// TestMetadata lists all topics and one, and produces to one that is not there.
func TestMetadata(t *testing.T) {
	topic := broker.Topic(t, 4)
	for _, args := range [][]string{{"-L", "-J"}, {"-L", "-J", "-t", topic}} {
		var m struct {
			Brokers []struct{ Name string }
			Topics  []struct {
				Topic      string
				Partitions []struct{ Leader int }
			}
		}
		if err := json.Unmarshal([]byte(kcat(t, "", args...)), &m); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, x := range m.Topics {
			found = found || x.Topic == topic && len(x.Partitions) == 4
		}
		if len(m.Brokers) != broker.Brokers() || !found {
			t.Errorf("kcat %v: %+v", args, m)
		}
	}
	name := broker.Name(t)
	kcat(t, "hello\n", "-P", "-t", name)
	if got := kcat(t, "", "-C", "-t", name, "-o", "beginning", "-c", "1"); got != "hello\n" {
		t.Errorf("read %q from a topic made by its producer", got)
	}
}
