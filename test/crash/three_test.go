package crash

import (
	"math/rand"
	"testing"
	"time"
)

// TestThree ends all three nodes of a cluster in the same instant, under the load of TestKill, with three replicas of everything. What was
// acknowledged is there afterwards, and every partition is led again by itself.
//
// Brokers that are given with -bootstrap, all of them with commas between, should have the settings of eager, and three replicas.
func TestThree(t *testing.T) {
	t.Logf("seed %d", *seed)
	random := rand.New(rand.NewSource(*seed))
	f := newFleet(t, eager+"log.segment.bytes=1048576\n")
	f.start(t)
	f.led(t, time.Now())
	records, read, compacted := newLoad(t, f.addr, random.Int63(), "disk"), newVerifier(t, f.addr), newTable(t, f.addr, random)
	groups := newWorkers(t, f.addr, random)
	records.pace = pace
	groups.shrinkSegments(t)
	commits := newLedger(groups, random.Int63())
	kills, lossy := 0, 0
	var slowest struct{ answered, led, inSync time.Duration }
	defer func() { // also of a test that fails
		t.Logf("slowest: all nodes answered after %d ms, all partitions were led after %d ms, all replicas in sync after %d ms; "+
			"unsynced records of memory topics were missing after %d kills", slowest.answered.Milliseconds(), slowest.led.Milliseconds(),
			slowest.inSync.Milliseconds(), lossy)
	}()
	for round := 1; round <= *rounds; round++ {
		volatile := newLoad(t, f.addr, random.Int63(), "memory")
		volatile.pace = pace
		acks := 100 + random.Int63n(3000)
		if round%4 == 0 {
			groups.churn(random)
		}
		records.run(func() {
			compacted.run(func() {
				commits.run(func() {
					volatile.run(func() {
						records.awaitAcks(t, acks)
						if round%3 == 0 { // often enough kills come while groups rebalance
							groups.await(t, groups.produced.Load())
						}
						if round%2 == 0 { // a client's next step follows an acknowledgement: kill also at other moments
							<-time.After(time.Duration(random.Intn(20_000)) * time.Microsecond)
						}
						f.kill(t)
						volatile.close() // so that nothing of it is sent to the next brokers
					})
					kills++
					for random.Intn(4) == 0 { // while they recover and elect, too
						f.startAndKill(t, time.Duration(random.Intn(1000))*time.Millisecond)
						kills++
					}
					before := make([]map[string]int64, len(f.nodes))
					for i, p := range f.nodes {
						before[i] = p.compacted(t)
					}
					began := time.Now()
					f.start(t)
					answered := time.Since(began)
					led, inSync := f.led(t, began)
					slowest.answered, slowest.led, slowest.inSync = max(slowest.answered, answered), max(slowest.led, led), max(slowest.inSync, inSync)
					groups.checkCommitted(t)
					records.awaitAcks(t, 100) // the load goes on
					for i, p := range f.nodes {
						p.awaitCompaction(t, before[i])
					}
					t.Logf("round %d: ended after %d acknowledgements; answered %v, led %v, in sync %v after the start", round, acks,
						answered.Round(time.Millisecond), led.Round(time.Millisecond), inSync.Round(time.Millisecond))
				})
			})
		})
		records.flush(t)
		read.verify(t, records)
		compacted.check(t)
		commits.check(t)
		memory := newVerifier(t, f.addr)
		memory.mayMiss = *power
		memory.verify(t, volatile)
		memory.client.Close()
		if memory.missing > 0 {
			lossy++
		}
		f.remove(t, volatile.idempotent, volatile.plain)
		if t.Failed() {
			t.Fatalf("round %d failed; again with -seed %d", round, *seed)
		}
	}
	groups.finish(t)
	f.kill(t)
	began := time.Now()
	f.start(t)
	f.led(t, began)
	commits.check(t) // what the last load left, read again
	groups.checkRegisters(t)
	compacted.check(t)
	newVerifier(t, f.addr).verify(t, records) // all of it once more, from the first record on
	if *power && lossy == 0 {
		t.Error("no cut took an unsynced record of a memory topic: this test would not see a loss")
	}
	t.Logf("%d kills; %d records acknowledged, %d of the compacted topic, which holds %d; %d and %d commits, %d groups in the ledger",
		kills, records.acked.Load(), compacted.acks.Load(), compacted.kept, groups.commits.Load(), groups.writes.Load(), len(commits.want))
}
