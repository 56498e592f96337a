// Package broker gives a suite the broker it talks to: the one that -bootstrap names, whatever it is, or a Moldau
// built from this tree and started for the suite on a free port. It never looks inside that broker.
//
// With -brokers 3, or COMPAT_BROKERS=3 in the environment, that Moldau is a cluster: three brokers, all topics with three replicas.
// A suite runs on it as it is.
package broker

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	bootstrap = flag.String("bootstrap", "", "the broker to test; a Moldau of this tree when empty")
	topics    atomic.Int64
)

// Main is a suite's TestMain: it starts Moldau if no broker is named.
func Main(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "moldau-compat-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	built.dir = dir
	switch {
	case *bootstrap != "":
	case *count > 1:
		if shared, err = StartFleet(dir, *count); err != nil {
			fmt.Fprintln(os.Stderr, "compat:", err)
			return 1
		}
		defer func() {
			if err := shared.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, "compat:", err)
			}
		}()
		*bootstrap = shared.Addrs[0]
		if *killEvery > 0 {
			shared.KillEvery(*killEvery)
		}
	default:
		p, err := startMoldau(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, "compat:", err)
			return 1
		}
		defer func() {
			if err := p.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, "compat:", err)
			}
		}()
		*bootstrap = p.Addr
	}
	return m.Run()
}

// Addr is the bootstrap address, of the first broker where there are several.
func Addr() string { return *bootstrap }

// Root is the top folder of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../../..")
}

// Name returns a topic name no other test uses, and deletes that topic when the test ends.
func Name(t testing.TB) string {
	t.Helper()
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name())
	name := fmt.Sprintf("%s-%d-%d", clean, os.Getpid(), topics.Add(1))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, _ = Admin(t).DeleteTopics(ctx, name) // a test may have deleted it, or never have made it
	})
	return name
}

// Topic creates a topic for the test. Configs are name=value.
func Topic(t testing.TB, partitions int32, configs ...string) string {
	t.Helper()
	name := Name(t)
	Create(t, Admin(t), name, partitions, configs...)
	return name
}

// Create creates the topic with as many replicas as the broker gives one by itself, fails the test if that fails, and waits until the
// broker speaks of the topic's leaders, which Apache Kafka may do only a moment after its answer.
func Create(t testing.TB, admin *kadm.Client, name string, partitions int32, configs ...string) {
	t.Helper()
	set := map[string]*string{}
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		set[k] = &v
	}
	if _, err := admin.CreateTopic(Context(t), partitions, -1, set, name); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	Eventually(t, "topic "+name+" has leaders", func() bool {
		topics, err := admin.ListTopics(Context(t), name)
		if err != nil || len(topics[name].Partitions) != int(partitions) {
			return false
		}
		for _, p := range topics[name].Partitions {
			if p.Err != nil || p.Leader < 0 {
				return false
			}
		}
		return true
	})
}

// Admin returns an admin client of the broker.
func Admin(t testing.TB) *kadm.Client {
	t.Helper()
	return kadm.NewClient(Client(t))
}

// Client returns a client of the broker.
func Client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return ClientOf(t, Addr(), opts...)
}

// ClientOf returns a client of the broker at the address. A cleanup closes it.
func ClientOf(t testing.TB, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.MetadataMinAge(50 * time.Millisecond)}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// Context ends after a minute, so that a broker that does not answer fails a test by name.
func Context(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Eventually waits for what the broker does after its answer. It fails the test after half a minute.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	end := time.After(30 * time.Second)
	for !done() {
		select {
		case <-end:
			t.Fatalf("not so: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
