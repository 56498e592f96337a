// Package crash kills a broker under load, or cuts its power, starts it again and checks that it kept its promises: what was acknowledged
// with acks=all on a `disk` topic is there, at its offset, in order, and once if its producer was idempotent; committed offsets do not go
// back; a compacted topic has the newest value of every key; topics that were made are there and deleted ones stay away.
// It holds tests only. A killed process leaves what it wrote to the kernel. With -power its disks lose all that was not synced, too: each
// data directory is a file system of its own, which is shut down under the broker (power_linux_test.go says how). What power loss may do
// to every single write is tested with the crashing file system of internal/vfs.
//
//	go test ./test/crash -v                          a Moldau of this tree
//	go test ./test/crash -v -rounds 50 -seed 7
//	go test ./test/crash -v -rounds 50 -power        as root, on Linux with loop devices
//	go test ./test/crash -v -bootstrap HOST:PORT -start 'COMMAND' -kill 'COMMAND'     any broker
package crash

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"testing"
	"time"
)

var (
	rounds = flag.Int("rounds", 2, "how often the broker is killed")
	seed   = flag.Int64("seed", time.Now().UnixNano(), "seed of the load and of the moments of the kills")
	bound  = flag.Duration("start-bound", 0, "fail if a start takes longer until the first answer; 0: no bound")
	power  = flag.Bool("power", false, "cut the power of the broker's disks with each kill")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *power {
		enclose()
	}
	os.Exit(m.Run())
}

// TestKill kills the broker under everything at once: producers, a compacted topic, groups, offsets that are compacted, topics that come
// and go. Half the kills are of a broker with one data directory, half of one with two.
//
// A broker that is given with -bootstrap should have the settings of eager.
func TestKill(t *testing.T) {
	if *bootstrap != "" {
		killMixed(t, 1, *rounds)
		return
	}
	for dirs, kills := range map[int]int{1: (*rounds + 1) / 2, 2: *rounds / 2} {
		if kills > 0 {
			t.Run(fmt.Sprintf("directories=%d", dirs), func(t *testing.T) { killMixed(t, dirs, kills) })
		}
	}
}

// mixed is the load of everything at once.
type mixed struct {
	p       *process
	random  *rand.Rand
	records *load
	read    *verifier
	table   *table
	workers *workers
	ledger  *ledger
	topics  *topics

	lossy            int // kills after which records of a memory topic were missing
	kills            int
	answered, served time.Duration // the slowest
}

const pace = 4 * time.Millisecond // of producers, so that all the others get something done

func killMixed(t *testing.T, dirs, kills int) {
	t.Logf("seed %d", *seed)
	random := rand.New(rand.NewSource(*seed))
	p := newProcess(t, dirs)
	p.configure(t, eager+"log.segment.bytes=1048576\n")
	p.start(t)
	m := &mixed{p: p, random: random, records: newLoad(t, p.addr, random.Int63(), "disk"), read: newVerifier(t, p.addr), table: newTable(t, p.addr, random),
		workers: newWorkers(t, p.addr, random), topics: newTopics(t, p, random.Int63())}
	defer func() { // also of a test that fails
		t.Logf("slowest start: answered after %d ms, first record acknowledged after %d ms; unsynced records of memory topics were missing after %d kills",
			m.answered.Milliseconds(), m.served.Milliseconds(), m.lossy)
	}()
	m.records.pace = pace
	m.workers.shrinkSegments(t)
	m.ledger = newLedger(m.workers, random.Int63())
	for round := 1; round <= kills; round++ {
		m.round(t, round)
		if t.Failed() {
			t.Fatalf("round %d failed; again with -seed %d", round, *seed)
		}
	}
	m.workers.finish(t)
	p.kill(t)
	m.start(t)
	m.ledger.check(t) // what the last load left, read again
	m.workers.checkRegisters(t)
	m.topics.check(t)
	m.topics.checkFolders(t, m.records.idempotent, m.records.plain)
	m.table.check(t)
	newVerifier(t, p.addr).verify(t, m.records) // all of it once more, from the first record on
	if p.cut && m.lossy == 0 {
		t.Error("no cut took an unsynced record of a memory topic: this test would not see a loss")
	}
	t.Logf("%d kills; %d records acknowledged, %d of the compacted topic, which holds %d; %d and %d commits, %d groups in the ledger; %d topics made, %d deleted, %d outcomes unknown",
		m.kills, m.records.acked.Load(), m.table.acks.Load(), m.table.kept, m.workers.commits.Load(), m.workers.writes.Load(), len(m.ledger.want), m.topics.made, m.topics.deleted, m.topics.unknown)
}

// round is one kill under load, and what has to be true after it.
func (m *mixed) round(t *testing.T, round int) {
	t.Helper()
	volatile := newLoad(t, m.p.addr, m.random.Int63(), "memory")
	defer volatile.close()
	volatile.pace = pace
	acks := 100 + m.random.Int63n(3000)
	if round%4 == 0 {
		m.workers.churn(m.random)
	}
	m.records.run(func() {
		m.table.run(func() {
			m.ledger.run(func() {
				stop := m.topics.run()
				volatile.run(func() {
					m.records.awaitAcks(t, acks)
					if round%3 == 0 { // often enough kills come while groups rebalance
						m.workers.await(t, m.workers.produced.Load())
					}
					if round%2 == 0 { // a client's next step follows an acknowledgement: kill also at other moments
						<-time.After(time.Duration(m.random.Intn(20_000)) * time.Microsecond)
					}
					m.p.kill(t)
					volatile.close() // so that nothing of it is sent to the next broker
				})
				stop()
				for m.random.Intn(4) == 0 { // while it recovers, too
					m.p.startAndKill(t, time.Duration(m.random.Intn(60_000))*time.Microsecond)
					m.kills++
				}
				compacted, began := m.p.compacted(t), time.Now()
				took := m.start(t)
				m.records.awaitAcks(t, 1)
				m.served = max(m.served, time.Since(began))
				m.workers.checkCommitted(t)
				m.topics.check(t)
				m.checkVolatile(t, volatile)
				m.records.awaitAcks(t, 100) // the load goes on
				m.p.awaitCompaction(t, compacted)
				t.Logf("round %d: killed after %d acknowledgements, answered %v after its start", round, acks, took.Round(time.Millisecond))
			})
		})
	})
	m.kills++
	m.records.flush(t)
	m.read.verify(t, m.records)
	m.table.check(t)
	m.ledger.check(t)
}

// start starts the broker and notes how long it takes.
func (m *mixed) start(t *testing.T) time.Duration {
	t.Helper()
	took := m.p.start(t)
	m.answered = max(m.answered, took)
	return took
}

// checkVolatile reads what a kill left of topics that promise to lose nothing to the death of the process alone. When the power was cut
// their records may be missing at the end, and are: that the verifier sees it shows that it would see the same of a `disk` topic.
func (m *mixed) checkVolatile(t *testing.T, l *load) {
	t.Helper()
	v := newVerifier(t, m.p.addr)
	defer v.client.Close()
	v.mayMiss = m.p.cut
	v.verify(t, l)
	if v.missing > 0 {
		m.lossy++
	}
	if err := m.topics.remove(l.idempotent, l.plain); err != nil {
		t.Errorf("delete the topics of this round: %v", err)
	}
}
