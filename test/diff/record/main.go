// Command record plays all cases of test/diff to a fresh Apache Kafka and keeps its answers as test data.
//
//	go run ./test/diff/record [-kafka bench/kafka.sh] [-port 29092] [-testdata test/diff/testdata] [-only TEXT,...] [-broker NAME] [-check | -print]
//
// It starts Kafka with the script, whose path may also stand in KAFKA, once for each of the brokers that the cases need, and stops it in the end. With -only the other cases keep the answers
// they have. With -check nothing is written: Kafka is compared with the recording, which shows whether the normalisation is sufficient
// and the recording still true. It never judges Moldau; go test ./test/diff does.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moldau/moldau/test/diff"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func run() error {
	script := flag.String("kafka", cmp.Or(os.Getenv("KAFKA"), "bench/kafka.sh"), "the script that starts and stops Kafka")
	port := flag.Int("port", 29092, "port Kafka listens on")
	dir := flag.String("testdata", "test/diff/testdata", "where the answers are kept")
	only := flag.String("only", "", "play only cases whose id contains one of these texts, which commas part")
	show := flag.Bool("print", false, "print the answers instead of keeping them")
	check := flag.Bool("check", false, "compare with the recording instead of writing it")
	use := flag.Bool("running", false, "use the Kafka that runs on the port, and leave it running; it takes one -broker")
	one := flag.String("broker", "", "play only cases of this broker: plain, groups, delay, timers, settings, quotas, dirs or strict")
	flag.Parse()

	cases, err := diff.Cases(diff.Table())
	if err != nil {
		return err
	}
	if *use && *one == "" {
		return fmt.Errorf("-running needs -broker")
	}
	recorded := diff.Recording{}
	for _, broker := range diff.Brokers() {
		var some []diff.Case
		for _, c := range broker.Of(cases) {
			if slices.ContainsFunc(strings.Split(*only, ","), func(text string) bool { return strings.Contains(c.ID(), text) }) {
				some = append(some, c)
			}
		}
		if len(some) == 0 || *one != "" && *one != broker.Title() {
			continue
		}
		if err := play(kafka{script: *script, port: *port}, *use, broker, some, recorded); err != nil {
			return err
		}
	}
	if *show {
		for _, id := range recorded.IDs() {
			fmt.Print(recorded.Text(id))
		}
		return nil
	}
	var kept diff.Recording
	if *check || *only != "" || *one != "" {
		if kept, err = diff.Read(*dir, cases); err != nil {
			return err
		}
	}
	if !*check {
		played := len(recorded)
		for id, answers := range kept {
			if _, ok := recorded[id]; !ok {
				recorded[id] = answers
			}
		}
		fmt.Printf("%d cases recorded\n", played)
		return diff.Write(*dir, cases, recorded)
	}
	differences := 0
	for _, id := range recorded.IDs() {
		for _, d := range diff.Compare(id, kept[id], recorded[id]) {
			fmt.Println(d)
			differences++
		}
	}
	if differences > 0 {
		return fmt.Errorf("%d differences between Kafka and its recording", differences)
	}
	fmt.Printf("%d cases, Kafka answers as recorded\n", len(recorded))
	return nil
}

// play starts Kafka as the cases need it, unless it runs already, and records its answers.
func play(kafka kafka, running bool, broker diff.Broker, cases []diff.Case, recorded diff.Recording) error {
	if !running {
		port := strconv.Itoa(kafka.port)
		dir, err := os.MkdirTemp("", "record")
		if err != nil {
			return fmt.Errorf("make a data directory: %w", err)
		}
		defer os.RemoveAll(dir) // after Kafka has stopped
		if err := os.Setenv("EXTRA_PROPERTIES", strings.Join(broker.PropertiesIn(dir), "\n")); err != nil {
			return fmt.Errorf("set properties: %w", err)
		}
		if err := kafka.do("start", port); err != nil {
			return err
		}
		defer func() {
			if err := kafka.do("stop", port); err != nil {
				fmt.Fprintln(os.Stderr, "record:", err)
			}
		}()
	}
	target := kafka.target(fmt.Sprint(time.Now().UnixNano()))
	if err := broker.Warm(target); err != nil {
		return err
	}
	broker.Play(target, cases, func(c diff.Case, answers []diff.Answer, took time.Duration) {
		recorded[c.ID()] = answers
		if took > 2*time.Second && c.API >= 0 {
			fmt.Printf("%s took %.1f s\n", c.ID(), took.Seconds())
		}
	})
	return nil
}

// kafka drives the script that runs Apache Kafka.
type kafka struct {
	script string
	port   int
}

// do runs one action of the script. Its output goes to standard error: started brokers inherit it, so it must not be a pipe.
func (k kafka) do(args ...string) error {
	cmd := exec.Command(k.script, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s %s: %w", k.script, strings.Join(args, " "), err)
	}
	return nil
}

// settle is how long Kafka may need to carry a change of metadata from its controller to its partitions.
const settle = 300 * time.Millisecond

// controllerPort is how far above the broker's port the script puts the listener for controllers.
const controllerPort = 51

func (k kafka) target(tag string) *diff.Target {
	port := strconv.Itoa(k.port)
	return &diff.Target{
		Addr:       "127.0.0.1:" + port,
		Controller: "127.0.0.1:" + strconv.Itoa(k.port+controllerPort),
		Tag:        tag,
		// Kafka tells nobody when its brokers have applied what its controller answered.
		Settle: func() { time.Sleep(settle) },
		Restart: func() error {
			if err := k.do("term", port, "1"); err != nil {
				return err
			}
			return k.do("run", port, "1")
		},
	}
}
