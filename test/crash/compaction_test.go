package crash

import (
	"context"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// eager has what is to be compacted compacted all the time: few partitions, no pause, tombstones that go at once.
const eager = `offsets.topic.num.partitions=3
log.cleaner.threads=2
log.cleaner.dedupe.buffer.size=4000000
log.cleaner.backoff.ms=10
log.cleaner.min.cleanable.ratio=0
log.cleaner.delete.retention.ms=0
log.segment.delete.delay.ms=100
`

// TestKillUnderCompaction kills the broker while groups commit and the offsets they committed are compacted, over and over. After each
// start every offset must be the one that was committed last, and those of deleted groups must be gone, also where the broker has nothing
// but compacted segments to read them from.
//
// A broker that is given with -bootstrap should have the settings of eager.
func TestKillUnderCompaction(t *testing.T) {
	t.Logf("seed %d", *seed)
	random := rand.New(rand.NewSource(*seed))
	p := newProcess(t)
	p.configure(t, eager)
	p.start(t)
	w := newWorkers(t, p.addr, random)
	w.shrinkSegments(t)
	ledger := newLedger(w, random)
	passes := 0
	for round := 1; round <= *rounds; round++ {
		w.churn(random)
		ledger.write(t, 150)
		w.await(t, w.produced.Load()+200+random.Int63n(2000))
		p.kill(t)
		passes += p.compacted(t)
		p.start(t)
		ledger.check(t)
		w.checkCommitted(t)
		w.await(t, w.produced.Load()+200)
		if t.Failed() {
			t.Fatalf("round %d failed; again with -seed %d", round, *seed)
		}
	}
	w.finish(t)
	for range 2 { // what the load left, read twice
		p.kill(t)
		p.start(t)
		ledger.check(t)
		for _, r := range w.registers {
			if got, least, most := ledger.committed(t, r.group), r.acked.Load(), r.sent.Load(); got < least || got > most {
				t.Errorf("group %s: the committed offset is %d, want %d to %d", r.group, got, least, most)
			}
		}
	}
	if p.exe != "" && passes == 0 {
		t.Error("nothing was compacted")
	}
	t.Logf("%d records, %d and %d commits, %d groups in the ledger, %d partitions of offsets found compacted", w.produced.Load(), w.commits.Load(),
		w.writes.Load(), len(ledger.want), passes)
}

// shrinkSegments makes the segments of the topic of offsets small, so that most of it lies in segments that may be compacted.
func (w *workers) shrinkSegments(t *testing.T) {
	t.Helper()
	small := "20000"
	ctx, cancel := context.WithTimeout(w.alive, time.Minute)
	defer cancel()
	for {
		resp, err := w.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "internal.segment.bytes", Value: &small}}, "__consumer_offsets")
		if err == nil && len(resp) == 1 && resp[0].Err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("change the segments of the topic of offsets: %v %+v", err, resp)
		}
		<-time.After(20 * time.Millisecond) // until the first commit makes the topic
	}
}

// compacted counts the partitions of the topic of offsets that the checkpoint of the cleaner names or whose compacted segments have gaps
// in their names: compaction made one of many.
func (p *process) compacted(t *testing.T) (n int) {
	t.Helper()
	if p.exe == "" {
		return 0
	}
	b, err := os.ReadFile(filepath.Join(p.data, "cleaner-offset-checkpoint"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(p.data, "__consumer_offsets-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range logs {
		first, err := os.Stat(filepath.Join(dir, strings.Repeat("0", 20)+".log"))
		if err != nil {
			continue
		}
		if name := filepath.Base(dir); strings.Contains(string(b), strings.Replace(name, "offsets-", "offsets ", 1)+" ") || first.Size() < 15_000 {
			n++
		}
	}
	return n
}

// ledger are groups without members that are written by nobody else: each holds one offset, or none since it was deleted.
type ledger struct {
	w      *workers
	random *rand.Rand
	prefix string
	want   map[string]int64 // -1: deleted
	next   int64
}

func newLedger(w *workers, random *rand.Rand) *ledger {
	return &ledger{w: w, random: random, prefix: fmt.Sprintf("crash-ledger-%d", random.Int63()), want: map[string]int64{}}
}

// write makes n changes, each acknowledged before the next. Most groups are written often, some once and never again, which only
// compaction keeps.
func (l *ledger) write(t *testing.T, n int) {
	t.Helper()
	for range n {
		group := fmt.Sprintf("%s-%d", l.prefix, l.random.Intn(20))
		if l.random.Intn(4) == 0 {
			group = fmt.Sprintf("%s-once-%d", l.prefix, l.next)
		}
		l.next++
		if l.random.Intn(5) == 0 {
			l.remove(t, group)
			continue
		}
		r := &register{w: l.w, group: group}
		if !r.write(l.w.admin, l.next) {
			t.Fatalf("group %s: offset %d was not committed", group, l.next)
		}
		l.want[group] = l.next
	}
}

// remove deletes a group, if need be after a commit.
func (l *ledger) remove(t *testing.T, group string) {
	t.Helper()
	if at, ok := l.want[group]; !ok || at < 0 {
		if r := (&register{w: l.w, group: group}); !r.write(l.w.admin, l.next) {
			t.Fatalf("group %s: offset %d was not committed", group, l.next)
		}
	}
	ctx, cancel := context.WithTimeout(l.w.alive, time.Minute)
	defer cancel()
	if _, err := l.w.admin.DeleteGroup(ctx, group); err != nil {
		t.Fatalf("delete group %s: %v", group, err)
	}
	l.want[group] = -1
}

func (l *ledger) check(t *testing.T) {
	t.Helper()
	for group := range maps.Keys(l.want) {
		if got := l.committed(t, group); got != l.want[group] {
			t.Errorf("group %s: the committed offset is %d, want %d", group, got, l.want[group])
		}
	}
}

// committed is the offset of a group, -1 for none. It waits for a broker that still loads it.
func (l *ledger) committed(t *testing.T, group string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if at, ok := l.w.offsets(t, ctx, group).Lookup(l.w.topic, 0); ok {
		return at.At
	}
	return -1
}
