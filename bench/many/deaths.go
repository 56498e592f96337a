package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// deaths is what was seen of the deaths of one kind of broker, a time each.
type deaths struct {
	what                      string
	led, acknowledged, synced []time.Duration
	cpuLed, cpuSynced         []time.Duration // of the brokers meanwhile, all together
	partitions                []int           // that it led
}

// strike kills a broker that leads a third of the partitions, and starts it again when all has been seen.
func (t *trio) strike(ctx context.Context, d *deaths, controller bool) error {
	if err := t.elect(ctx); err != nil {
		return err
	}
	victim, err := t.quorumLeader(ctx)
	if err != nil {
		return err
	}
	if !controller {
		victim = (victim + 1 + len(d.led)%2) % len(t.conns)
	}
	if err := errors.Join(t.count(d, victim), wait(ctx, calm)); err != nil {
		return err
	}
	if err := t.kill(ctx, d, victim); err != nil {
		return err
	}
	if err := errors.Join(t.brokers.AwaitEnd(victim), wait(ctx, calm)); err != nil {
		return err
	}
	return t.revive(ctx, d, victim)
}

// count notes how many partitions a broker leads.
func (t *trio) count(d *deaths, broker int) error {
	m, err := t.metadata(broker)
	if err != nil {
		return err
	}
	led := 0
	for _, p := range m.Topics[0].Partitions {
		if int(p.Leader) == broker+1 {
			led++
		}
	}
	d.partitions = append(d.partitions, led)
	return nil
}

func (t *trio) kill(ctx context.Context, d *deaths, victim int) error {
	t.drop(victim)
	before, err := t.cpu(t.others(victim))
	if err != nil {
		return err
	}
	began := time.Now()
	if err := t.brokers.Signal(victim, syscall.SIGKILL); err != nil {
		return err
	}
	led, err := t.await(ctx, t.others(victim), "every partition to have a leader that lives", t.ledWithout(victim))
	if err != nil {
		return err
	}
	after, err := t.cpu(t.others(victim))
	if err != nil {
		return err
	}
	if err := t.write(ctx, victim); err != nil {
		return err
	}
	d.led, d.acknowledged, d.cpuLed = append(d.led, led.Sub(began)), append(d.acknowledged, time.Since(began)), append(d.cpuLed, after-before)
	fmt.Fprintf(os.Stderr, "%s: %s: %d; all are led after %s, and have acknowledged after %s\n", t.name, d.what, victim+1, ms(led.Sub(began)), ms(time.Since(began)))
	return nil
}

func (t *trio) revive(ctx context.Context, d *deaths, victim int) error {
	before, err := t.cpu(t.others(victim))
	if err != nil {
		return err
	}
	began := time.Now()
	if err := t.brokers.Again(victim); err != nil {
		return err
	}
	synced, err := t.await(ctx, t.others(-1), "all replicas to be in sync", t.inSync)
	if err != nil {
		return err
	}
	after, err := t.cpu(t.others(-1))
	if err != nil {
		return err
	}
	d.synced, d.cpuSynced = append(d.synced, synced.Sub(began)), append(d.cpuSynced, after-before)
	fmt.Fprintf(os.Stderr, "%s: broker %d started again; all are in sync after %s\n", t.name, victim+1, ms(synced.Sub(began)))
	return nil
}

// cpu is what brokers have had of the processors so far, together.
func (t *trio) cpu(brokers []int) (all time.Duration, err error) {
	for _, i := range brokers {
		u, err := t.brokers.Use(i)
		if err != nil {
			return 0, err
		}
		all += u.CPU
	}
	return all, nil
}

// tell notes the medians of the deaths, and what of them is not as it has to be.
func (t *trio) tell(d *deaths) {
	if len(d.led) == 0 {
		return
	}
	figure := func(all []time.Duration) string {
		sorted := slices.Sorted(slices.Values(all))
		return ms((sorted[len(sorted)/2]+sorted[(len(sorted)-1)/2])/2) + " / " + ms(sorted[len(sorted)-1])
	}
	verdict := ""
	if t.bar {
		verdict = ", met"
		if longest := slices.Max(d.led); longest > ledMax {
			verdict = ", **NOT met**"
			t.missed = append(t.missed, fmt.Sprintf("%s: every partition has a leader after %s", d.what, ms(longest)))
		}
	}
	t.note(d.what+": times, partitions that it led", "%d, %d to %d", len(d.led), slices.Min(d.partitions), slices.Max(d.partitions))
	t.note(d.what+": all led, median / longest; at most "+ms(ledMax), "%s%s", figure(d.led), verdict)
	t.note(d.what+": CPU of the two others until then", "%s", figure(d.cpuLed))
	t.note(d.what+": and a record into each, acks=all", "%s", figure(d.acknowledged))
	t.note(d.what+": from its start until all are in sync", "%s", figure(d.synced))
	t.note(d.what+": CPU of the three until then", "%s", figure(d.cpuSynced))
}
