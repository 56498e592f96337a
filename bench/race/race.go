package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// race is a comparison and its settings.
type race struct {
	root, tmp, loadgen, rdkafka string
	port                        int
	reps, starts                int
	length, budget, warm, idled time.Duration
	acks, durability            string
	compression, driver, table  string
	seed                        uint64
	replication                 int
	touch                       int // MiB of memory that a run finds ready for each replica
	fill                        int64
	smoke                       bool
	cluster                     bool   // three nodes of each broker
	kafkaProperties             string // of the Kafka that is being started

	brokers []*broker
	out     io.Writer
	results results
	failed  []string
}

// usualTouch is what a replica needs that takes runBytes, and some.
const usualTouch = 2048

func runCommand(ctx context.Context, root string, args []string) error {
	r := &race{root: root, port: 19490, replication: 1, touch: usualTouch, fill: 1_000_000_000, starts: 5}
	if text := os.Getenv("PORT"); text != "" {
		var err error
		if r.port, err = strconv.Atoi(text); err != nil {
			return err
		}
	}
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	name := fs.String("table", "", "")
	fs.StringVar(&r.driver, "driver", "franz", "")
	fs.IntVar(&r.reps, "reps", 5, "")
	fs.DurationVar(&r.length, "time", 2*time.Second, "")
	fs.DurationVar(&r.budget, "budget", 0, "")
	fs.DurationVar(&r.warm, "warm", 20*time.Second, "")
	fs.DurationVar(&r.idled, "idle", 30*time.Second, "")
	fs.StringVar(&r.acks, "acks", "1", "")
	fs.StringVar(&r.durability, "durability", "memory", "")
	synced := fs.Bool("kafka-synced", false, "")
	fs.StringVar(&r.compression, "compression", "none", "")
	fs.Uint64Var(&r.seed, "seed", 0, "")
	nulls := fs.String("nulls", "", "")
	path := fs.String("out", "bench.jsonl", "")
	without := fs.Bool("without-kafka", false, "")
	fs.BoolVar(&r.smoke, "smoke", false, "")
	names, err := parse(fs, args)
	if err != nil {
		return fmt.Errorf("%w (bench/run --help prints the options)", err)
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if *name == "cluster" && given["durability"] && r.durability == "memory" {
		*name = "cluster-memory"
	}
	t, isTable := findTable(*name)
	if *name != "" && !isTable {
		return fmt.Errorf("no table %q; there are memory, disk and cluster", *name)
	}
	if r.table = t.name; isTable {
		if given["durability"] && r.durability != t.durability {
			return fmt.Errorf("table %s is of --durability %s", t.name, t.durability)
		}
		if r.cluster = t.cluster; r.cluster {
			r.replication = clusterNodes
		}
		r.acks, r.durability, *synced = t.acks, t.durability, t.synced
		if len(names) == 0 && r.driver == "franz" {
			names = t.scenarios
		}
	}
	if !isTable && !given["idle"] {
		r.idled = 5 * time.Second
	}
	if r.smoke {
		r.reps, r.length, r.touch, r.fill, r.warm, r.idled, r.starts = 1, 200*time.Millisecond, 0, 20_000_000, 0, 100*time.Millisecond, 1
		if r.cluster { // the first request of a topic waits for more
			r.length = time.Second
		}
	}
	if r.seed == 0 {
		r.seed = rand.Uint64() >> 32
	}
	chosen, err := choose(names, r.driver)
	if err != nil {
		return err
	}

	if r.tmp, err = os.MkdirTemp("", "moldau-race-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.tmp)
	defer func() {
		for _, b := range r.brokers {
			b.stop()
		}
	}()
	if err := r.build(ctx, true); err != nil {
		return err
	}
	file, err := os.Create(*path)
	if err != nil {
		return err
	}
	defer file.Close()
	r.out = file
	if err := r.keep(r.header(ctx, args, *synced)); err != nil {
		return err
	}
	began := time.Now()
	if err := r.startAll(ctx, !*without, *synced); err != nil {
		return err
	}
	opponents := func(s scenario) (labels []string) {
		if list, ok := t.nulls[s.name]; ok {
			return list
		}
		if isTable {
			return s.nulls
		}
		return strings.FieldsFunc(*nulls, func(c rune) bool { return c == ',' })
	}
	if err := r.startNulls(chosen, opponents); err != nil {
		return err
	}
	err = r.rounds(ctx, chosen, began, func(s scenario, b *broker) bool {
		switch b.label {
		case "moldau", "kafka":
			return true
		case "kafka-synced":
			return s.name != "group-commit-1" && s.name != "group-commit-64"
		}
		return slices.Contains(opponents(s), b.label)
	})
	return errors.Join(err, r.finish(*path))
}

// choose finds the scenarios by name: all of the driver's when none is named.
func choose(names []string, driver string) (chosen []scenario, err error) {
	for _, s := range scenarios {
		if len(names) == 0 && s.driver == driver {
			chosen = append(chosen, s)
		}
	}
	for _, name := range names {
		s, err := find(name)
		if err != nil {
			return nil, err
		}
		if s.driver != driver {
			return nil, fmt.Errorf("%s is a scenario of --driver %s", name, s.driver)
		}
		chosen = append(chosen, s)
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no driver %q; there are franz, rdkafka and java", driver)
	}
	return chosen, nil
}

// keep writes a line of the results file, and takes it as a result.
func (r *race) keep(line any) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(r.out, "%s\n", text); err != nil {
		return err
	}
	return r.results.add(text)
}

func (r *race) header(ctx context.Context, args []string, synced bool) header {
	h := header{Kind: "race", Date: time.Now().UTC().Format("2006-01-02 15:04"), Command: strings.Join(append([]string{"bench/run"}, withoutOut(args)...), " "), Machine: machine(), Table: r.table, Driver: r.driver, Seed: r.seed}
	commit, err := output(ctx, "git", "-C", r.root, "rev-parse", "--short", "HEAD")
	if err != nil {
		commit = "unknown"
	}
	if _, err := output(ctx, "git", "-C", r.root, "diff", "--quiet", "HEAD", "--", "cmd", "internal", "bench/limits", "go.mod", "*.go"); err != nil {
		commit += "+"
	}
	h.Commit = commit
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	release, _, _ := strings.Cut(string(kernel), "-")
	h.Versions = map[string]string{"Kafka": envOr("KAFKA_VERSION", "4.4.0"), "Go": strings.TrimPrefix(runtime.Version(), "go"), "Linux": strings.TrimSpace(release)}
	if congestion, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil { // BBR paces what is sent on loopback too
		h.Versions["TCP"] = strings.TrimSpace(string(congestion))
	}
	if java, err := output(ctx, "java", "--version"); err == nil {
		h.Versions["Java"], _, _ = strings.Cut(java, "\n")
	}
	h.Settings = map[string]string{"acks": r.acks, "log.durability": r.durability, "compression": r.compression, "time": r.length.String(), "warm": r.warm.String(), "of both": deleteDelay}
	if r.cluster {
		h.Settings["of both"] = strings.Join(append([]string{fmt.Sprintf("%d nodes", clusterNodes)}, replicated...), " ")
	}
	if synced {
		h.Settings["kafka-synced"] = "log.flush.interval.messages=1"
	}
	switch r.driver {
	case "rdkafka":
		h.Versions["librdkafka"], _ = librdkafkaVersion(r.rdkafka)
	case "java":
		h.Versions["Kafka's tools"] = envOr("KAFKA_TOOLS_VERSION", "4.3.1")
	default:
		if v, err := output(ctx, "go", "-C", filepath.Join(r.root, "bench/limits"), "list", "-m", "-f", "{{.Version}}", "github.com/twmb/franz-go"); err == nil {
			h.Versions["franz-go"] = v
		}
	}
	return h
}

// withoutOut leaves out where the results went, which is nothing to repeat.
func withoutOut(args []string) (out []string) {
	for i := 0; i < len(args); i++ {
		if args[i] == "--out" || args[i] == "-out" {
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// librdkafkaVersion reads the first line of the change log beside the tool's source.
func librdkafkaVersion(tool string) (string, error) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(tool), "../CHANGELOG.md"))
	if err != nil {
		return "unknown", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(strings.TrimPrefix(line, "# librdkafka")), nil
}

// startAll starts the brokers that are compared, and measures their starts and what they take when idle.
func (r *race) startAll(ctx context.Context, kafka, synced bool) error {
	var starts []start
	add := func(b *broker, s start, err error) error {
		if err == nil {
			r.brokers, starts = append(r.brokers, b), append(starts, s)
		}
		return err
	}
	startKafka, startMoldau := func(ctx context.Context) (*broker, start, error) { return r.startKafka(ctx, "kafka", r.port+2, "") }, r.startMoldau
	if r.cluster {
		startKafka, startMoldau = r.startKafkas, r.startMoldaus
	}
	if kafka {
		if err := add(startKafka(ctx)); err != nil {
			return err
		}
		if synced {
			if err := add(r.startKafka(ctx, "kafka-synced", r.port+4, "log.flush.interval.messages=1")); err != nil {
				return err
			}
		}
	}
	if err := add(startMoldau(ctx)); err != nil {
		return err
	}
	if err := r.idle(ctx, r.brokers, starts, r.idled); err != nil {
		return err
	}
	for _, s := range starts {
		if err := r.keep(s); err != nil {
			return err
		}
	}
	return nil
}

// startNulls starts those null brokers that some scenario wants.
func (r *race) startNulls(chosen []scenario, opponents func(scenario) []string) error {
	for i, label := range []string{"null", "file", "mem", "fsync"} {
		if slices.ContainsFunc(chosen, func(s scenario) bool { return slices.Contains(opponents(s), label) }) {
			b, err := r.startNull(label, r.port+10+i)
			if err != nil {
				return err
			}
			r.brokers = append(r.brokers, b)
		}
	}
	return nil
}

// rounds measures every scenario on every broker once a round: scenarios in an order that the seed shuffles anew each time,
// brokers in turn forwards and backwards. Before that it gives brokers of the race, but not the null brokers, the same load
// without measuring, as the JVM of Kafka compiles while it runs. It ends early, after whole scenarios, when the budget is
// used up.
func (r *race) rounds(ctx context.Context, chosen []scenario, began time.Time, runs func(scenario, *broker) bool) error {
	order := rand.New(rand.NewPCG(r.seed, 0))
	shuffled := func() []scenario {
		s := slices.Clone(chosen)
		order.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
		return s
	}
	say("seed %d; the summary follows when all is measured", r.seed)
	if err := r.warmUp(ctx, shuffled(), runs); err != nil {
		return err
	}
	for round := 1; round <= r.reps; round++ {
		roundBegan := time.Now()
		for _, s := range shuffled() {
			brokers := slices.Clone(r.brokers)
			if round%2 == 0 {
				slices.Reverse(brokers)
			}
			for _, b := range brokers {
				if !runs(s, b) {
					continue
				}
				x, err := r.one(ctx, s, b, round)
				for again := 0; r.smoke && b.label != "moldau" && err != nil && ctx.Err() == nil && again < 3; again++ {
					say("%s on %s, once more: %v", s.name, b.label, err) // a JVM that has just started may do nothing in so short a run
					x, err = r.one(ctx, s, b, round)
				}
				if ctx.Err() != nil {
					return fmt.Errorf("stopped in round %d: %w", round, ctx.Err())
				}
				if err != nil {
					say("%s on %s failed: %v", s.name, b.label, err)
					r.failed = append(r.failed, s.name+" on "+b.label)
					continue
				}
				if err := r.keep(x); err != nil {
					return err
				}
			}
		}
		if took := time.Since(roundBegan); r.budget > 0 && round < r.reps && time.Since(began)+took > r.budget {
			say("%d of %d rounds fit into %s", round, r.reps, r.budget)
			break
		}
	}
	return nil
}

// warmUp runs the scenarios one after another, each on all brokers, until each broker had its time.
func (r *race) warmUp(ctx context.Context, chosen []scenario, runs func(scenario, *broker) bool) error {
	if r.warm == 0 {
		return nil
	}
	short := *r
	short.length = min(r.length, time.Second)
	for had := time.Duration(0); ; {
		for _, s := range chosen {
			for _, b := range r.brokers {
				if b.stop != nil && b.label != "moldau" && b.label != "kafka" && b.label != "kafka-synced" || !runs(s, b) {
					continue
				}
				if _, err := short.one(ctx, s, b, 0); err != nil {
					return fmt.Errorf("warm up with %s on %s: %w", s.name, b.label, err)
				}
			}
			if had += short.length; had >= r.warm {
				return nil
			}
		}
	}
}

// finish prints the summary of what there is.
func (r *race) finish(path string) error {
	if len(r.results.runs) == 0 {
		return errors.New("nothing was measured")
	}
	if err := summarize(os.Stdout, &r.results); err != nil {
		return err
	}
	fmt.Printf("\nThe single results are in %s.\n", path)
	if len(r.failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(r.failed, ", "))
	}
	return nil
}

// clientsCommand compares brokers that run already. Its settings come from the environment.
func clientsCommand(ctx context.Context, root string, args []string) error {
	r := &race{root: root, driver: envOr("DRIVER", "franz"), acks: envOr("ACKS", "1"), durability: "as it is", compression: envOr("COMPRESSION", "none"), seed: rand.Uint64() >> 32}
	var err error
	number := func(name string, otherwise int64) int64 {
		n, bad := strconv.ParseInt(envOr(name, strconv.FormatInt(otherwise, 10)), 10, 64)
		err = errors.Join(err, bad)
		return n
	}
	r.reps, r.replication, r.touch, r.fill = int(number("REPS", 5)), int(number("REPLICATION", 1)), int(number("TOUCH", usualTouch)), number("FILL", 1_000_000_000)
	length, bad := time.ParseDuration(envOr("T", "3s"))
	warm, worse := time.ParseDuration(envOr("WARM", "0s"))
	chosen, wrong := choose(strings.Fields(os.Getenv("SCENARIOS")), r.driver)
	if err = errors.Join(err, bad, worse, wrong); err != nil {
		return err
	}
	r.length, r.warm = length, warm
	for _, arg := range args {
		label, address, named := strings.Cut(arg, "=")
		if !named {
			address = arg
		}
		address, pids, _ := strings.Cut(address, "/")
		if !named {
			label = address
		}
		r.brokers = append(r.brokers, &broker{label: label, address: address, pids: pids})
	}
	if len(r.brokers) == 0 {
		return errors.New("no broker named")
	}
	if r.tmp, err = os.MkdirTemp("", "moldau-race-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.tmp)
	if err := r.build(ctx, false); err != nil {
		return err
	}
	path := envOr("OUT", "bench.jsonl")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	r.out = file
	if err := r.keep(r.header(ctx, args, false)); err != nil {
		return err
	}
	return errors.Join(r.rounds(ctx, chosen, time.Now(), func(scenario, *broker) bool { return true }), r.finish(path))
}
