package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/bench/node"
)

// fault is what happens to a broker.
type fault string

const (
	kill   fault = "killed"
	stop   fault = "stopped"
	freeze fault = "frozen"
	cut    fault = "cut off"
)

// stays says that connections to the broker stand as if nothing had happened, so that those who have one wait.
func (f fault) stays() bool { return f == freeze || f == cut }

const (
	moldau = "Moldau"
	kafka  = "Kafka"

	topic    = "failover"
	readyMax = 2 * time.Minute       // for a cluster to be in order
	lookEach = 20 * time.Millisecond // while something is waited for
)

// round is one cluster and the faults that happen to it.
type round struct {
	options
	system  string
	cluster *node.Cluster
	net     *net // nil: loopback
	out     *os.File
	random  *rand.Rand
	load    *load
	fresh   []placed // what new clients had acknowledged
	longest map[fault]time.Duration
}

// placed is a record that was acknowledged, and where.
type placed struct {
	partition int32
	offset    int64
	value     string
}

// all lets the faults happen, one after the other, and reads what is there at the end.
func (r *round) all(ctx context.Context, faults []fault) (err error) {
	if err := r.create(ctx); err != nil {
		return err
	}
	if r.load, err = newLoad(topic, r.cluster.Addrs, r.partitions, r.options); err != nil {
		return err
	}
	if err := r.inOrder(ctx, -1, readyMax); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: all is in order after %.1f s\n", r.system, time.Since(r.began).Seconds())
	writing, end := context.WithCancel(context.Background())
	defer end()
	r.load.start(writing)
	err = r.strikes(ctx, faults)
	end()
	r.load.running.Wait()
	if err == nil {
		err = r.load.trouble()
	}
	r.sayErrors()
	if errors.Is(err, context.Canceled) {
		return err
	}
	return errors.Join(err, r.verify(context.WithoutCancel(ctx)))
}

func (r *round) strikes(ctx context.Context, faults []fault) error {
	r.longest = map[fault]time.Duration{}
	if err := r.acknowledged(ctx, r.every(), time.Now().Add(time.Second)); err != nil {
		return err
	}
	for i, f := range faults {
		if r.budget > 0 && time.Since(r.began)+r.longest[f]*5/4 > r.budget {
			fmt.Fprintf(os.Stderr, "%s: the time is up after %d of %d faults\n", r.system, i, len(faults))
			return nil
		}
		began := time.Now()
		h, err := r.strike(ctx, f)
		if err != nil {
			return fmt.Errorf("fault %d, broker %d %s: %w", i+1, h.Victim, f, err)
		}
		r.longest[f] = max(r.longest[f], time.Since(began))
		if err := write(r.out, h); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %d: %s\n", r.system, i+1, h)
	}
	return nil
}

// create makes the topic, once all brokers are there: who is fenced when it is made would lead nothing.
func (r *round) create(ctx context.Context) (err error) {
	for end := time.Now().Add(readyMax); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		m, askErr := r.metadata(-1)
		if err = askErr; err != nil {
			continue
		}
		if len(m.Brokers) < len(r.cluster.Addrs) {
			err = fmt.Errorf("there are %d of %d brokers", len(m.Brokers), len(r.cluster.Addrs))
			continue
		}
		settings := map[string]string{"min.insync.replicas": "2"}
		if err = node.CreateTopic(ctx, r.cluster.Addrs[0], topic, int32(r.partitions), 3, settings); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// strike lets one fault happen, waits until it is over, and returns what it did.
func (r *round) strike(ctx context.Context, f fault) (h hit, err error) {
	h = hit{Kind: "hit", System: r.system, Commit: r.commit, When: time.Now().UTC().Truncate(time.Second), Fault: f, Victim: r.random.IntN(len(r.cluster.Addrs)) + 1}
	victim := h.Victim - 1
	r.load.gaps.take()
	if err := wait(ctx, r.settle); err != nil {
		return h, err
	}
	h.BeforeMS = longest(r.load.gaps.take(), r.every())
	led, followed, err := r.roles(victim)
	if err != nil {
		return h, err
	}
	quorum, err := r.quorumLeader(victim)
	if err != nil {
		return h, err
	}
	h.Quorum = quorum == victim
	began := time.Now()
	if err := r.begin(f, victim); err != nil {
		return h, err
	}
	var fresh *fresh
	if f.stays() {
		fresh = r.newClients(began, victim, led)
		defer fresh.stop()
	} else if err := r.cluster.AwaitEnd(victim); err != nil {
		return h, err
	}
	h.GoneMS = ms(time.Since(began))
	await := r.every()
	if f.stays() {
		await = followed
		if err := fresh.wait(ctx); err != nil {
			return h, err
		}
		h.NewMS, r.fresh = fresh.took, append(r.fresh, fresh.placed...)
	}
	if err := r.acknowledged(ctx, await, time.Now().Add(r.watch)); err != nil {
		return h, err
	}
	during := r.load.gaps.take()
	if err := r.end(f, victim); err != nil {
		return h, err
	}
	healed := time.Now()
	if err := r.inOrder(ctx, victim, readyMax); err != nil {
		return h, err
	}
	h.InOrderMS = ms(time.Since(healed))
	if err := r.acknowledged(ctx, r.every(), time.Now()); err != nil {
		return h, err
	}
	after := r.load.gaps.take()
	for _, p := range led {
		if f.stays() { // those wait for the broker, or for their own time-out
			h.LedMS = append(h.LedMS, ms(max(during[p].took, after[p].took)))
		} else {
			h.LedMS = append(h.LedMS, ms(during[p].took))
		}
	}
	for _, p := range followed {
		h.FollowedMS = append(h.FollowedMS, ms(during[p].took))
	}
	h.Worst, h.Back = worstOf(during, await, began), worstOf(after, await, healed)
	return h, nil
}

// begin lets a fault begin.
func (r *round) begin(f fault, victim int) error {
	switch f {
	case kill:
		return r.cluster.Signal(victim, syscall.SIGKILL)
	case stop:
		return r.cluster.Signal(victim, syscall.SIGTERM)
	case freeze:
		return r.cluster.Signal(victim, syscall.SIGSTOP)
	}
	return r.net.link(victim, false)
}

// end ends a fault.
func (r *round) end(f fault, victim int) error {
	switch f {
	case freeze:
		return r.cluster.Signal(victim, syscall.SIGCONT)
	case cut:
		return r.net.link(victim, true)
	}
	return r.cluster.Again(victim)
}

func (r *round) every() (all []int32) {
	for p := range int32(r.partitions) {
		all = append(all, p)
	}
	return all
}

// acknowledged waits until each of these partitions is acknowledged after a moment.
func (r *round) acknowledged(ctx context.Context, partitions []int32, after time.Time) error {
	for end := after.Add(readyMax); ; {
		p := r.load.gaps.silent(partitions, after)
		if p < 0 {
			return nil
		}
		if err := errors.Join(r.load.trouble(), wait(ctx, lookEach)); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("partition %d was not acknowledged within %v", p, readyMax)
		}
	}
}

// inOrder waits until all replicas are in sync and each preferred broker leads, asking for that; the brokers are asked which have not just been away.
func (r *round) inOrder(ctx context.Context, away int, limit time.Duration) error {
	var asked time.Time
	for end := time.Now().Add(limit); ; {
		m, err := r.metadata(away)
		what := "the metadata"
		if err == nil {
			inSync, preferred := shape(m, r.partitions)
			if inSync && preferred {
				return nil
			}
			if what = "all replicas to be in sync"; inSync {
				what = "the preferred brokers to lead"
				if time.Since(asked) > 200*time.Millisecond {
					asked = time.Now()
					err = r.elect(away)
				}
			}
		}
		if err := errors.Join(r.trouble(), wait(ctx, lookEach)); err != nil {
			return err
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("waited for %s for %v", what, limit), err)
		}
	}
}

func (r *round) trouble() error {
	if r.load == nil {
		return nil
	}
	return r.load.trouble()
}

// shape says whether all replicas of the topic are in sync, and whether the preferred brokers lead.
func shape(m *kmsg.MetadataResponse, partitions int) (inSync, preferred bool) {
	if len(m.Topics) != 1 || len(m.Topics[0].Partitions) != partitions {
		return false, false
	}
	inSync, preferred = true, true
	for _, p := range m.Topics[0].Partitions {
		inSync = inSync && p.ErrorCode == 0 && len(p.ISR) == len(p.Replicas)
		preferred = preferred && len(p.Replicas) > 0 && p.Leader == p.Replicas[0]
	}
	return inSync, preferred
}

// ask asks a broker, but not one that may be away.
func (r *round) ask(away int, request func(*node.Conn) error) error {
	c, err := node.DialWithin(r.cluster.Addrs[(away+1)%len(r.cluster.Addrs)], askMax)
	if err != nil {
		return err
	}
	defer c.Close()
	c.Within = 5 * time.Second
	return request(c)
}

func (r *round) metadata(away int) (m *kmsg.MetadataResponse, err error) {
	err = r.ask(away, func(c *node.Conn) error {
		m, err = c.Metadata(topic)
		return err
	})
	return m, err
}

// roles returns the partitions that a broker leads, and the others, all of which it follows.
func (r *round) roles(broker int) (led, followed []int32, err error) {
	m, err := r.metadata(broker)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range r.every() {
		switch leader := leaderOf(m, p); leader {
		case -1:
			return nil, nil, fmt.Errorf("partition %d has no leader", p)
		case broker:
			led = append(led, p)
		default:
			followed = append(followed, p)
		}
	}
	if len(led) == 0 || len(followed) == 0 {
		return nil, nil, fmt.Errorf("broker %d leads %d of %d partitions", broker+1, len(led), r.partitions)
	}
	return led, followed, nil
}

// elect asks for the preferred leaders of all partitions; what is wrong with that shows in the metadata.
func (r *round) elect(away int) error {
	return r.ask(away, func(c *node.Conn) error { return c.ElectPreferred(topic, r.every()) })
}

// quorumLeader returns the broker that leads the quorum.
func (r *round) quorumLeader(away int) (leader int, err error) {
	err = r.ask(away, func(c *node.Conn) error {
		id, err := c.QuorumLeader()
		if err == nil && id <= 0 {
			err = errors.New("the quorum has no leader")
		}
		leader = int(id) - 1
		return err
	})
	return leader, err
}

// sayErrors tells what the clients met.
func (r *round) sayErrors() {
	met := map[string]int{}
	for _, c := range r.load.clients {
		c.mu.Lock()
		for name, n := range c.errors {
			met[name] += n
		}
		c.mu.Unlock()
	}
	fmt.Fprintf(os.Stderr, "%s: clients tried again after:", r.system)
	for _, name := range slices.Sorted(maps.Keys(met)) {
		fmt.Fprintf(os.Stderr, " %s (%d)", name, met[name])
	}
	fmt.Fprintln(os.Stderr)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// worstOf returns the longest gap of these partitions, by the time since a moment.
func worstOf(all []gap, partitions []int32, since time.Time) *worst {
	w := new(worst)
	for _, p := range partitions {
		if g := all[p]; ms(g.took) > w.MS {
			*w = worst{p, ms(g.from.Sub(since)), ms(g.took)}
		}
	}
	return w
}

// longest returns the longest gap of these partitions in milliseconds.
func longest(all []gap, partitions []int32) (most float64) {
	for _, p := range partitions {
		most = max(most, ms(all[p].took))
	}
	return most
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
