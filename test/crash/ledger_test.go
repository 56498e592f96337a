package crash

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// eager has what is to be compacted compacted all the time: few partitions, no pause, tombstones that go at once. Members that
// a kill took must not hold up their groups for long.
const eager = `offsets.topic.num.partitions=3
log.cleaner.threads=2
log.cleaner.dedupe.buffer.size=4000000
log.cleaner.backoff.ms=10
log.cleaner.min.cleanable.ratio=0
log.cleaner.delete.retention.ms=0
log.segment.delete.delay.ms=100
group.min.session.timeout.ms=1000
`

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

// compacted is up to where compaction has taken records out of each partition of the topic of offsets. Nothing else does: a log that was not compacted has
// every offset, whatever marks say.
func (p *process) compacted(t *testing.T) map[string]int64 {
	t.Helper()
	ends := map[string]int64{}
	for _, data := range p.dirs {
		logs, err := filepath.Glob(filepath.Join(data, "__consumer_offsets-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range logs {
			ends[dir] = lastGap(t, dir)
		}
	}
	return ends
}

// lastGap is the offset behind the last that is missing between those that a log has, 0 where none is.
func lastGap(t *testing.T, dir string) (end int64) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "*.log")) // in the order of their offsets
	if err != nil {
		t.Fatal(err)
	}
	next := int64(0)
	for _, name := range segments {
		b, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // since compaction has just put another in its place
			t.Fatal(err)
		}
		for len(b) > 0 {
			var batch kmsg.RecordBatch
			if batch.ReadFrom(b) != nil || batch.Magic != 2 { // what was being written
				break
			}
			if batch.FirstOffset > next {
				end = batch.FirstOffset
			}
			next = batch.FirstOffset + int64(batch.LastOffsetDelta) + 1
			if batch.NumRecords <= batch.LastOffsetDelta {
				end = next
			}
			b = b[12+batch.Length:] // offset and length come before what it counts
		}
	}
	return end
}

// awaitCompaction returns when compaction has come further in some partition than it was before the broker was killed. Registers are written all the
// time, so there is more and more that can go.
func (p *process) awaitCompaction(t *testing.T, before map[string]int64) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); p.exe != ""; <-time.After(20 * time.Millisecond) {
		now := p.compacted(t)
		for dir, end := range now {
			if end > before[dir] {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no committed offsets were compacted for two minutes after a kill: up to %v before, and %v now", before, now)
		}
	}
}

// ledger are groups without members that are written by nobody else: each holds one offset, or none since it was deleted.
type ledger struct {
	w      *workers
	random *rand.Rand
	prefix string
	want   map[string]int64 // -1: deleted; the goroutine's while it runs
	next   int64
}

func newLedger(w *workers, seed int64) *ledger {
	return &ledger{w: w, random: rand.New(rand.NewSource(seed)), prefix: fmt.Sprintf("crash-ledger-%d", seed), want: map[string]int64{}}
}

// run makes changes as long as during takes, each acknowledged before the next.
func (l *ledger) run(during func()) {
	ctx, cancel := context.WithCancel(l.w.alive)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			l.change()
		}
	}()
	finished := false
	defer func() {
		if !finished {
			l.w.stop()
		}
		cancel()
		<-done
	}()
	during()
	finished = true
}

// change commits an offset or deletes a group. Most groups are written often, some once and never again, which only compaction keeps.
func (l *ledger) change() {
	group := fmt.Sprintf("%s-%d", l.prefix, l.random.Intn(20))
	if l.random.Intn(4) == 0 {
		group = fmt.Sprintf("%s-once-%d", l.prefix, l.next)
	}
	l.next++
	at, known := l.want[group]
	remove := l.random.Intn(5) == 0
	if r := (&register{w: l.w, group: group}); !remove || !known || at < 0 {
		if !r.write(l.w.admin, l.next) {
			return
		}
		l.want[group] = l.next
	}
	for deadline := time.Now().Add(2 * time.Minute); remove && l.w.alive.Err() == nil; {
		if time.Now().After(deadline) {
			l.w.fail("group %s cannot be deleted", group)
			return
		}
		ctx, cancel := context.WithTimeout(l.w.alive, 30*time.Second)
		_, err := l.w.admin.DeleteGroup(ctx, group)
		cancel()
		if err == nil || errors.Is(err, kerr.GroupIDNotFound) { // since an answer was lost
			l.want[group] = -1
			return
		}
		if refused := (*kerr.Error)(nil); errors.As(err, &refused) && !refused.Retriable {
			l.w.fail("delete group %s: %w", group, err)
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// check compares all of it with what the broker has, while nothing is changed.
func (l *ledger) check(t *testing.T) {
	t.Helper()
	if err := l.w.failed.Load(); err != nil {
		t.Fatal(*err)
	}
	for groups := range slices.Chunk(slices.Collect(maps.Keys(l.want)), 500) {
		for group, got := range l.w.committed(t, groups...) {
			if got != l.want[group] {
				t.Errorf("group %s: the committed offset is %d, want %d", group, got, l.want[group])
			}
		}
	}
}

// checkRegisters compares the registers, whose writers have ended, with what the broker has.
func (w *workers) checkRegisters(t *testing.T) {
	t.Helper()
	for _, r := range w.registers {
		if got, least, most := w.committed(t, r.group)[r.group], r.acked.Load(), r.sent.Load(); got < least || got > most {
			t.Errorf("group %s: the committed offset is %d, want %d to %d", r.group, got, least, most)
		}
	}
}

// committed are the offsets of groups, -1 for none. It waits for a broker that still loads them.
func (w *workers) committed(t *testing.T, groups ...string) map[string]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		answers, got := w.admin.FetchManyOffsets(ctx, groups...), map[string]int64{}
		for group, answer := range answers {
			if got[group] = -1; answer.Err != nil {
				if refused := (*kerr.Error)(nil); ctx.Err() != nil || errors.As(answer.Err, &refused) && !refused.Retriable {
					t.Fatalf("fetch the offset of %s: %v", group, answer.Err)
				}
				delete(got, group)
			} else if at, ok := answer.Fetched.Lookup(w.topic, 0); ok {
				got[group] = at.At
			}
		}
		if len(got) == len(groups) {
			return got
		}
		if ctx.Err() != nil {
			t.Fatalf("the offsets of %d groups, of %d only", len(groups), len(got))
		}
		<-time.After(20 * time.Millisecond)
	}
}
