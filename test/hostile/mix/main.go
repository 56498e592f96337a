// Command mix runs the hostile mix against a broker: an honest producer and consumer alone, then with everything at once that no honest
// client sends, then alone again. It owns the attackers and the verdict; the broker is a process, and the command never looks inside it.
//
//	go run ./test/hostile/mix -seconds 600
//	go run ./test/hostile/mix -seconds 60 -broker 127.0.0.1:9092 -pid 4711      any Kafka, to compare
//
// The honest clients go as fast as acknowledgements (of acks=all) and fetches let them, with little records, so that what the disk takes is not what bounds them: its
// write-back slows down with every minute, mix or not. They are measured alone before and after, and the better of the two is what a share of
// must be left. The attackers are a process of their own (others.go), and what it took of the processors that all share is told.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

var (
	quiet    = flag.Int("quiet", 40, "seconds of measuring the honest clients alone, before and after")
	seconds  = flag.Int("seconds", 60, "seconds of the mix")
	address  = flag.String("broker", "", "HOST:PORT of a running broker to send it to, instead of a Moldau of this tree")
	pid      = flag.Int("pid", 0, "process of that broker")
	budget   = flag.Int("budget", budgetMiB, "MiB of memory that the broker may take")
	share    = flag.Float64("share", 0.70, "share of the undisturbed rate that must be left")
	each     = flag.Int("each", 0, "seconds of each attack alone, one after the other, in place of the mix")
	keep     = flag.String("profiles", "", "folder for profiles of the broker under the mix, or under each attack, and for what its memory is made of all the time")
	hostiles = flag.Bool("attack", false, "be the attackers (used by the command itself)")
	only     = flag.String("only", "", "names of attacks, separated by commas; all without it")
	verbose  = flag.Bool("v", false, "print the figures of every second")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it, however it hangs
	do := run
	if *hostiles {
		do = attackAll
	}
	if err := do(ctx); err != nil {
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
	if _, err := chosen(*only); err != nil {
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
	defer p.record()()

	const settle = 10 * time.Second // until clients and caches are warm
	if err := pause(ctx, settle); err != nil {
		return err
	}
	if *each > 0 {
		return oneByOne(ctx, p, h, watch)
	}
	hostile, err := summon(ctx, p.addr, *only)
	if err != nil {
		return err
	}
	defer hostile.cmd.Process.Kill()
	alone, err := measure(ctx, p, h, nil, time.Duration(*quiet)*time.Second)
	if err != nil {
		return err
	}
	before := p.holds()
	fmt.Printf("alone:   %s; %s\n", alone, before)

	watch.reset()
	if err := hostile.begin(); err != nil {
		return err
	}
	among, err := measure(ctx, p, h, hostile, time.Duration(*seconds)*time.Second)
	most, during := watch.most(), p.holds()
	if err := errors.Join(err, hostile.end()); err != nil {
		return err
	}
	fmt.Printf("mix:     %s; %s, RSS at most %d MiB\n", among, during, most>>20)
	for _, line := range hostile.report {
		fmt.Printf("         %s\n", line)
	}

	// What was cut off is noticed within the idle time-out; buffers are collected a little later.
	var left holding
	for range 90 {
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		if left = p.holds(); left.within(before) {
			break
		}
	}
	after, err := measure(ctx, p, h, nil, time.Duration(*quiet)*time.Second)
	if err != nil {
		return err
	}
	left = p.holds()
	fmt.Printf("after:   %s; %s\n", after, left)

	lost, err := h.finish(ctx)
	if err != nil {
		return err
	}
	// The bar is the better of the two times that they were undisturbed.
	produce, consume := ratio(among.produced, max(alone.produced, after.produced)), ratio(among.consumed, max(alone.consumed, after.consumed))
	fmt.Printf("result: producer %.2f, consumer %.2f of %.0f records/s (%.0f before, %.0f after); p99 %s, alone %s; %d of %d records lost; RSS %d MiB of %d; descriptors %d, before %d; goroutines %d, before %d; attackers took %.2f of a core, the broker %.2f, alone %.2f\n",
		produce, consume, max(alone.produced, after.produced), alone.produced, after.produced, millis(among.p99), millis(alone.p99), lost, h.acknowledged(), most>>20, *budget,
		left.files, before.files, left.goroutines, before.goroutines, among.others, among.broker, alone.broker)
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

// oneByOne runs each attack alone, so that what it costs can be seen.
func oneByOne(ctx context.Context, p *process, h *honest, watch *watcher) error {
	all, err := chosen(*only)
	if err != nil {
		return err
	}
	d := time.Duration(*each) * time.Second
	alone, err := measure(ctx, p, h, nil, 2*d)
	if err != nil {
		return err
	}
	fmt.Printf("%-14s %s\n", "alone", alone)
	for _, a := range all {
		hostile, err := summon(ctx, p.addr, a.name)
		if err != nil {
			return err
		}
		watch.reset()
		err = hostile.begin()
		f, failed := measure(ctx, p, h, hostile, d)
		held := p.holds()
		if err := errors.Join(err, failed, hostile.end()); err != nil {
			return err
		}
		fmt.Printf("%-14s %.2f: %s; RSS at most %d MiB; %s\n%s\n", a.name, ratio(f.produced, alone.produced), f, watch.most()>>20, held, hostile.report[0])
		if err := pause(ctx, 3*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// measure is what the honest clients do in a while, and what processor time all take. It fetches profiles, if they are wanted.
func measure(ctx context.Context, p *process, h *honest, hostile *attackers, d time.Duration) (figures, error) {
	broker, own, others := used(p.pid), used(os.Getpid()), time.Duration(0)
	if hostile != nil {
		others = used(hostile.pid())
	}
	name := "alone"
	if hostile != nil {
		if name = hostile.names; name == "" {
			name = "mix"
		}
	}
	p.phase.Store(name)
	defer p.phase.Store("after " + name)
	wait := p.profile(name, d)
	f, err := h.measure(ctx, d)
	if err != nil {
		return f, err
	}
	f.broker, f.own = (used(p.pid)-broker).Seconds()/d.Seconds(), (used(os.Getpid())-own).Seconds()/d.Seconds()
	if hostile != nil {
		f.others = (used(hostile.pid()) - others).Seconds() / d.Seconds()
	}
	return f, wait()
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
