// Package chaos runs three brokers under load and does to them what happens to brokers: they are killed, frozen, restarted, cut off from one
// another in both directions and in one, their disks fill up and sync slowly, operators move partitions and leaders and change settings; one of these, then another, then two at once. All the while clients that
// know nothing of it produce, consume and commit, and a checker compares what they are told: nothing that was acknowledged with acks=all is
// lost, doubled or out of order, readers agree on what lies where, committed offsets never go back, nobody is stuck, and after the last heal all
// replicas are soon in sync, and the same.
// It holds tests only. It speaks nothing but Kafka's protocol to the brokers, and at the end compares files of Kafka's format, so that it tests Apache Kafka as well.
//
//	go test ./test/chaos -v                                     a Moldau of this tree, for a short while
//	go test ./test/chaos -v -run TestChaos -length 3m -seed 7
//	go test ./test/chaos -v -run TestChaos -faults kill,freeze
//	go test ./test/chaos -v -run TestChaos -kafka               Apache Kafka, from its jars
//
// The seed gives the load and the faults with their moments again, as far as processes allow.
package chaos

import (
	"flag"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	length = flag.Duration("length", 10*time.Second, "how long faults go on")
	seed   = flag.Int64("seed", time.Now().UnixNano(), "seed of the load and of the faults")
	only   = flag.String("faults", "", "these faults only, by name, with commas between")
	kafka  = flag.Bool("kafka", false, "test Apache Kafka instead of Moldau")
)

// bound is how long anything may take once nothing is in the way: that clients go on, that replicas are in sync, that all is acknowledged.
const bound = 30 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// run builds the program before the tests are enclosed in a world without other networks.
func run(m *testing.M) int {
	if os.Getenv(program) == "" && !*kafka {
		dir, err := os.MkdirTemp("", "moldau-chaos-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		exe := filepath.Join(dir, "moldau")
		if out, err := exec.Command("go", "build", "-o", exe, "../../cmd/moldau").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build moldau: %v\n%s", err, out)
			return 1
		}
		os.Setenv(program, exe)
	}
	if status := enclose(); status >= 0 {
		return status
	}
	return m.Run()
}

// trial is a cluster under load.
type trial struct {
	*cluster
	check  *checker
	load   *load
	random *rand.Rand
	struck map[string]int           // how often, by fault
	pauses map[string]time.Duration // the longest without an acknowledgement in a partition, by fault
}

func newTrial(t *testing.T, seed int64, patient bool) *trial {
	t.Helper()
	check, random := newChecker(), rand.New(rand.NewSource(seed))
	t.Cleanup(func() { // after what the brokers said, just before the verdict
		if check.fail(t); t.Failed() {
			t.Logf("again with -seed %d", seed)
		}
	})
	c := newCluster(t, &check.findings)
	l, err := startLoad(check, c.addresses(), random, patient)
	t.Cleanup(l.close)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{cluster: c, check: check, load: l, random: random, struck: map[string]int{}, pauses: map[string]time.Duration{}}
	if !tr.check.alive(l.pulses, time.Now(), time.Minute) {
		t.FailNow()
	}
	return tr
}

// possible are the faults that this machine allows, of those that are asked for.
func possible(t *testing.T, c *cluster) (all []fault) {
	t.Helper()
	known := map[string]bool{}
	for _, f := range slices.Concat(faults, operations) {
		known[f.name] = true
		if *only != "" && !slices.Contains(strings.Split(*only, ","), f.name) {
			continue
		}
		if f.missing != nil {
			if why := f.missing(c); why != "" {
				fmt.Printf("NOT TESTED HERE: %s: %s\n", f.name, why)
				continue
			}
		}
		all = append(all, f)
	}
	if *only != "" {
		for _, name := range strings.Split(*only, ",") {
			if !known[name] {
				t.Fatalf("there is no fault %q", name)
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("no fault is possible here")
	}
	return all
}

// TestChaos is the whole of it.
func TestChaos(t *testing.T) {
	t.Logf("seed %d", *seed)
	tr := newTrial(t, *seed, false)
	all := possible(t, tr.cluster)
	var deck []fault // each fault once, in random order, then each once more
	draw := func() fault {
		if len(deck) == 0 {
			deck = slices.Clone(all)
			tr.random.Shuffle(len(deck), func(i, k int) { deck[i], deck[k] = deck[k], deck[i] })
		}
		f := deck[0]
		deck = deck[1:]
		return f
	}
	over := time.NewTimer(*length)
	end := make(chan struct{})
	go func() { <-over.C; close(end) }()
	for round := 1; ; round++ {
		select {
		case <-end:
			tr.conclude(t)
			return
		case <-time.After(time.Duration(200+tr.random.Intn(1500)) * time.Millisecond):
		}
		struck := []fault{draw()}
		if tr.random.Intn(3) == 0 {
			if f := draw(); f.name != struck[0].name {
				struck = append(struck, f)
			}
		}
		tr.strike(t, end, struck)
		if round%3 == 0 {
			if err := tr.load.churn(tr.random); err != nil {
				t.Fatal(err)
			}
		}
		if round%5 == 0 { // all goes on after a heal, not only after the last one
			tr.calm(t)
		}
		if len(tr.check.kinds()) > 0 {
			tr.conclude(t)
			return
		}
	}
}

// strike lets faults happen, the second one a little after the first.
func (tr *trial) strike(t *testing.T, over <-chan struct{}, struck []fault) {
	t.Helper()
	var names []string
	var running sync.WaitGroup
	tr.takePauses()
	began := time.Now()
	for i, f := range struck {
		names = append(names, f.name)
		who := tr.random.Perm(brokers)
		s := &strike{cluster: tr.cluster, load: tr.load, random: rand.New(rand.NewSource(tr.random.Int63())), target: tr.nodes[who[0]], others: [2]*node{tr.nodes[who[1]], tr.nodes[who[2]]},
			length: time.Duration(500+tr.random.Intn(6000)) * time.Millisecond, over: over}
		names[i] += fmt.Sprintf(" of broker %d", s.target.id)
		delay := time.Duration(i*tr.random.Intn(2000)) * time.Millisecond
		running.Go(func() {
			s.wait(delay)
			f.run(s)
		})
		tr.struck[f.name]++
	}
	running.Wait()
	// acknowledgements may be late by what a client waits for
	tr.check.alive(tr.load.pulses, time.Now(), bound)
	pause := tr.takePauses()
	if len(struck) == 1 {
		tr.pauses[struck[0].name] = max(tr.pauses[struck[0].name], pause)
	}
	t.Logf("%s: %.1f s, longest pause of acknowledgements %.2f s", strings.Join(names, " and "), time.Since(began).Seconds(), pause.Seconds())
}

// takePauses is the longest time in which no producer got an acknowledgement from some partition.
func (tr *trial) takePauses() (longest time.Duration) {
	now := time.Now()
	for _, p := range tr.load.pulses {
		if pause := p.pause(now); strings.HasPrefix(p.name, "acknowledgements") {
			longest = max(longest, pause)
		}
	}
	return longest
}

// calm waits until everything is in sync and everybody goes on.
func (tr *trial) calm(t *testing.T) {
	t.Helper()
	healed := time.Now()
	took, _ := tr.inSync(healed, bound)
	tr.check.alive(tr.load.pulses, time.Now(), bound)
	tr.load.checkCommitted(bound)
	t.Logf("all in sync %.1f s after the heal", took.Seconds())
}

// conclude checks everything, after the last heal.
func (tr *trial) conclude(t *testing.T) {
	t.Helper()
	healed := time.Now()
	took, _ := tr.inSync(healed, bound)
	l := tr.load
	tr.check.alive(l.pulses, healed, bound)
	l.checkCommitted(bound)
	l.finish(bound)
	tr.readAll()
	l.abort()
	l.running.Wait()
	l.checkCommitted(bound)
	ends, err := tr.committed(l.idempotent, l.plain)
	if err != nil {
		tr.check.add(stuck, "the ends of the topics cannot be had: %v", err)
	}
	var stopping sync.WaitGroup
	for _, n := range tr.nodes {
		stopping.Go(n.stop)
	}
	stopping.Wait()
	tr.compareReplicas(tr.check, ends)
	var struck []string
	for _, name := range slices.Sorted(maps.Keys(tr.struck)) {
		struck = append(struck, fmt.Sprintf("%s %d", name, tr.struck[name]))
		if pause := tr.pauses[name]; pause > 0 {
			struck[len(struck)-1] += fmt.Sprintf(" (%.2f s)", pause.Seconds())
		}
	}
	t.Logf("faults, with the longest pause of acknowledgements in a partition where one came alone: %s", list(struck))
	total := 0
	for _, n := range tr.struck {
		total += n
	}
	t.Logf("chaos: %d faults, %d records acknowledged, %d commits, in sync %.1f s after the last heal, found: %s", total, l.acked.Load(), l.commits.Load(), took.Seconds(), list(tr.check.kinds()))
}

// readAll has new readers read everything from the beginning, and waits until those of all the time and the groups have all of it as well.
func (tr *trial) readAll() {
	l := tr.load
	began := time.Now()
	for _, topic := range []string{l.idempotent, l.plain} {
		ends := tr.ends(topic)
		last := l.newReader("a new reader", topic, false)
		for _, r := range []*reader{last, l.readers[slices.Index([]string{l.idempotent, l.plain}, topic)]} {
			if r == last {
				if err := r.start(l.alive); err != nil {
					tr.check.add(refused, "a new reader: %v", err)
					continue
				}
			}
			tr.reach(r, ends, began.Add(2*bound))
			r.mu.Lock()
			for _, o := range r.orders {
				o.finish()
			}
			r.mu.Unlock()
		}
		if topic != l.idempotent {
			continue
		}
		for _, g := range l.groups {
			for holes := g.holes(ends); holes > 0; holes = g.holes(ends) {
				if time.Since(began) > 2*bound {
					tr.check.add(stuck, "group %s: %d records of %v have not come", g.name, holes, ends)
					break
				}
				<-time.After(50 * time.Millisecond)
			}
		}
	}
}

// ends are those of the partitions, past everything that was acknowledged or seen.
func (tr *trial) ends(topic string) (ends [partitions]int64) {
	tr.check.mu.Lock()
	defer tr.check.mu.Unlock()
	for part, log := range tr.check.logs[topic] {
		ends[part] = int64(len(log.at))
	}
	return ends
}

func (tr *trial) reach(r *reader, ends [partitions]int64, until time.Time) {
	for {
		at, behind := r.at(), 0
		for part := range ends {
			if at[part] < ends[part] {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		if time.Now().After(until) {
			tr.check.add(stuck, "%s is at %v of %v of %s", r.name, at, ends, r.topic)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}
