// Command mix runs the hostile mix against a broker: an honest producer and consumer alone, then with everything at once that no honest
// client sends, then alone again. It owns the attackers and the verdict; the broker is a process, and the command never looks inside it.
//
//	go run ./test/hostile/mix -seconds 600
//	go run ./test/hostile/mix -seconds 60 -broker 127.0.0.1:9092 -pid 4711      any Kafka, to compare
//
// What the attackers send is listed by attacks(), each with what it costs them, so that the mix hurts by what it is and not by the
// processor time that it takes from the broker beside it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

var (
	quiet   = flag.Int("quiet", 20, "seconds of measuring the honest clients alone, before and after")
	seconds = flag.Int("seconds", 60, "seconds of the mix")
	address = flag.String("broker", "", "HOST:PORT of a running broker to send it to, instead of a Moldau of this tree")
	pid     = flag.Int("pid", 0, "process of that broker")
	budget  = flag.Int("budget", 512, "MiB of memory that the broker may take")
	share   = flag.Float64("share", 0.70, "share of the undisturbed rate that must be left")
	only    = flag.String("only", "", "names of attacks, separated by commas; all without it")
	verbose = flag.Bool("v", false, "print the figures of every second")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mix:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	p, err := startBroker()
	if err != nil {
		return err
	}
	defer p.stop()
	attacks, err := chosen(*only)
	if err != nil {
		return err
	}
	h, err := newHonest(ctx, p.addr)
	if err != nil {
		return err
	}
	defer h.close()
	if err := prepare(ctx, p.addr); err != nil {
		return fmt.Errorf("prepare the mix: %w", err)
	}
	watch := p.watch()
	defer watch.end()

	const settle = 10 * time.Second // until clients and caches are warm
	if err := pause(ctx, settle); err != nil {
		return err
	}
	alone, err := h.measure(ctx, time.Duration(*quiet)*time.Second)
	if err != nil {
		return err
	}
	before := p.holds()
	fmt.Printf("alone:   %s; %s\n", alone, before)

	mixed, end := context.WithCancel(ctx)
	var hostile sync.WaitGroup
	for _, a := range attacks {
		a.start(mixed, &hostile, p.addr)
	}
	watch.reset()
	among, err := h.measure(ctx, time.Duration(*seconds)*time.Second)
	most, during := watch.most(), p.holds()
	end()
	hostile.Wait()
	if err != nil {
		return err
	}
	fmt.Printf("mix:     %s; %s, RSS at most %d MiB\n", among, during, most>>20)
	for _, a := range attacks {
		fmt.Printf("         %s\n", a)
	}

	// What was cut off is noticed within the stall time-out; buffers are collected a little later.
	var left holding
	for range 60 {
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		if left = p.holds(); left.within(before) {
			break
		}
	}
	after, err := h.measure(ctx, time.Duration(*quiet)*time.Second)
	if err != nil {
		return err
	}
	left = p.holds()
	fmt.Printf("after:   %s; %s\n", after, left)

	lost, err := h.finish(ctx)
	if err != nil {
		return err
	}
	produce, consume := ratio(among.produced, alone.produced), ratio(among.consumed, alone.consumed)
	fmt.Printf("result: producer %.2f, consumer %.2f of %.0f records/s; p99 %s, alone %s; %d of %d records lost; RSS %d MiB of %d; descriptors %d, before %d; goroutines %d, before %d\n",
		produce, consume, alone.produced, millis(among.p99), millis(alone.p99), lost, h.acknowledged(), most>>20, *budget, left.files, before.files, left.goroutines, before.goroutines)
	var wrong []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	check(produce >= *share, "the producer keeps %.2f of its rate", produce)
	check(consume >= *share, "the consumer keeps %.2f of its rate", consume)
	check(lost == 0, "%d records are lost", lost)
	check(most <= int64(*budget)<<20, "the broker took %d MiB", most>>20)
	check(left.within(before), "the broker holds %s, before the mix %s", left, before)
	return errors.Join(wrong...)
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// pause waits, unless the program is to end.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
