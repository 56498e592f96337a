// Command race measures Moldau, Apache Kafka and the null brokers on one machine in alternating runs, judges what it measured,
// and writes the tables and charts of docs/performance.md from the results. It owns the scenarios, their order, the bars and
// the formats of the results (results.go) and of the history (history.go). It makes no load itself: that is loadgen's, or
// another driver's, and it never changes a broker's settings between runs.
//
//	race run [OPTION...] [SCENARIO...]     starts the brokers and compares them: see bench/run
//	race clients LABEL=ADDRESS[/PID,...]   compares brokers that run already: see bench/bench-client.sh
//	race summary FILE...                   prints the tables of results files
//	race docs                              writes tables and charts into docs/ from bench/results
//	race history TABLE FILE...             adds the results to a history and fails where a ratio got a tenth worse
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "race:", err)
		stop()
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"help"}
	}
	root, err := findRoot()
	if err != nil {
		return err
	}
	switch name, rest := args[0], args[1:]; name {
	case "run":
		return runCommand(ctx, root, rest)
	case "clients":
		return clientsCommand(ctx, root, rest)
	case "summary":
		r, err := readAll(rest)
		if err != nil {
			return err
		}
		return summarize(os.Stdout, r)
	case "docs":
		return writeDocs(root)
	case "history":
		if len(rest) < 2 {
			return errors.New("history wants a TABLE and results files")
		}
		r, err := readAll(rest[1:])
		if err != nil {
			return err
		}
		return historyCommand(os.Stdout, rest[0], r)
	}
	return errors.New("run, clients, summary, docs or history")
}

// findRoot is the root of the tree: RACE_ROOT, or that which the command is started in.
func findRoot() (string, error) {
	if root := os.Getenv("RACE_ROOT"); root != "" {
		return root, nil
	}
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, missing := os.Stat(filepath.Join(dir, "bench/kafka.sh")); missing == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("started outside of the tree")
		}
	}
	return "", err
}

// readAll reads results files one after another.
func readAll(paths []string) (*results, error) {
	all := &results{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		sc := bufio.NewScanner(f)
		for sc.Buffer(nil, 1<<20); sc.Scan() && err == nil; {
			err = all.add(sc.Bytes())
		}
		if err = errors.Join(err, sc.Err(), f.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	if len(all.headers) == 0 {
		return nil, errors.New("no results of a race in " + strings.Join(paths, ", "))
	}
	return all, nil
}

// parse reads options that may stand before and after other arguments.
func parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	fs.SetOutput(io.Discard)
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if args = fs.Args(); len(args) == 0 {
			return rest, nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

// build builds what a race needs into its own folder.
func (r *race) build(ctx context.Context, moldau bool) error {
	type of struct{ dir, name, pkg string }
	what := []of{{"bench/limits", "loadgen.exe", "./cmd/loadgen"}}
	if moldau {
		what = append(what, of{".", "moldau.exe", "./cmd/moldau"}, of{"bench/limits", "nullbroker.exe", "./cmd/nullbroker"})
	}
	for _, w := range what {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(r.tmp, w.name), w.pkg)
		cmd.Dir = filepath.Join(r.root, w.dir)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", w.pkg, err, text)
		}
	}
	r.loadgen = filepath.Join(r.tmp, "loadgen.exe")
	if r.driver == "rdkafka" {
		path, err := output(ctx, "go", "-C", filepath.Join(r.root, "test/compat"), "run", "./suites", "-rdkafka-performance")
		if err != nil {
			return err
		}
		r.rdkafka = path
	}
	return nil
}
