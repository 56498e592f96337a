// Command suites runs the tests that clients of Kafka publish against a Moldau of this tree, and says which of them
// fail. It owns how a suite is fetched, built and pointed at a broker, and the lists (expected/) of the tests that must
// fail because they need what docs/compatibility.md marks as not served. It contains no test of its own, and changes
// nothing of a suite but where its brokers are, and how many.
//
//	go run ./suites [-records N] [-out FOLDER] [SUITE...]
//	go run ./suites -list
//	go run ./suites -rdkafka-performance    builds librdkafka's load generator and prints where it is
//
// Sources come from the registries that the machine's own clients use: Go modules, Debian's source packages, PyPI. The
// last line that it prints for each suite is the result.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moldau/moldau/test/compat/broker"
)

var (
	records = flag.Int("records", 500_000, "records that go through each of franz-go's chains of groups")
	out     = flag.String("out", "", "folder that keeps what each suite printed")
	list    = flag.Bool("list", false, "print the names of the suites")
	tool    = flag.Bool("rdkafka-performance", false, "build librdkafka's load generator and print its path")
)

// suite is the published tests of one client.
type suite struct {
	name string
	run  func(ctx context.Context, s *session) error
}

var suites = []suite{
	{"franz-go", franzGo},
	{"sarama", sarama},
	{"kafka-go", kafkaGo},
	{"librdkafka", librdkafka},
	{"kafka-python", kafkaPython},
}

func main() {
	flag.Parse()
	if *list {
		for _, s := range suites {
			fmt.Println(s.name)
		}
		return
	}
	if *tool {
		path, err := rdkafkaPerformance(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, "suites:", err)
			os.Exit(1)
		}
		fmt.Println(path)
		return
	}
	wanted := flag.Args()
	for _, name := range wanted {
		if !slices.ContainsFunc(suites, func(s suite) bool { return s.name == name }) {
			fmt.Fprintf(os.Stderr, "suites: no suite %q\n", name)
			os.Exit(2)
		}
	}
	status := 0
	for _, s := range suites {
		if len(wanted) > 0 && !slices.Contains(wanted, s.name) {
			continue
		}
		began := time.Now()
		v, err := perform(s)
		for _, line := range v.wrong {
			fmt.Println("!!!", line)
		}
		if err != nil {
			fmt.Println("!!!", err)
		}
		if err != nil || len(v.wrong) > 0 {
			status = 1
		}
		fmt.Printf("%s, %d s: %s\n", s.name, int(time.Since(began).Seconds()), v)
	}
	os.Exit(status)
}

// perform runs a suite and judges what it said by its list.
func perform(s suite) (verdict, error) {
	expected, err := readList(filepath.Join(broker.Root(), "test/compat/suites/expected", s.name+".tsv"))
	if err != nil {
		return verdict{}, err
	}
	served, err := os.ReadFile(filepath.Join(broker.Root(), "docs/compatibility.md"))
	if err != nil {
		return verdict{}, err
	}
	dir, err := os.MkdirTemp("", "moldau-suites-")
	if err != nil {
		return verdict{}, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Minute)
	defer cancel()
	t := &session{name: s.name, dir: dir, results: results{}}
	defer t.stop()
	err = s.run(ctx, t)
	v := judge(t.results, expected, string(served))
	v.again = t.again
	if *out != "" {
		if err := os.WriteFile(filepath.Join(*out, s.name+".txt"), t.said.Bytes(), 0o644); err != nil {
			return v, err
		}
	}
	if err != nil || len(v.wrong) > 0 {
		os.Stdout.Write(t.said.Bytes())
	}
	return v, err
}

// cache is a folder that is kept between runs, for what a suite fetches and builds.
func cache(name string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "moldau-compat", "suites", name)
	return dir, os.MkdirAll(dir, 0o755)
}

// command runs a command of the preparations in a folder and returns what it prints.
func command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, text)
	}
	return string(text), nil
}
