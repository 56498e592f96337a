package crash

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestKillMoves kills the broker while replicas move between its data directories all the time, under the load of TestKill. All that was
// acknowledged is there afterwards, and every replica is in one directory.
func TestKillMoves(t *testing.T) {
	if *bootstrap != "" {
		t.Log("another broker may have one data directory: nothing to do")
		return
	}
	t.Logf("seed %d", *seed)
	random := rand.New(rand.NewSource(*seed))
	p := newProcess(t, 2)
	p.configure(t, "log.segment.bytes=1048576\nlog.segment.delete.delay.ms=0\n")
	p.start(t)
	l := newLoad(t, p.addr, random.Int63(), "disk")
	v := newVerifier(t, p.addr)
	m := newMover(t, p, l, random.Int63())
	l.run(func() { l.awaitAcks(t, 500) }) // so that every replica has a place to move from
	l.flush(t)
	v.verify(t, l)
	m.settle(t)
	for round := 1; round <= *rounds; round++ {
		acks := 2000 + random.Int63n(15_000)
		before := m.asked.Load()
		l.run(func() {
			stop := m.run()
			defer stop()
			l.awaitAcks(t, acks)
			p.kill(t)
			took := p.start(t)
			l.awaitAcks(t, 2000) // the load goes on, and so do the moves
			t.Logf("round %d: killed after %d acknowledgements, answered %v after its start, %d moves asked for", round, acks, took.Round(time.Millisecond), m.asked.Load()-before)
		})
		l.flush(t)
		v.verify(t, l)
		m.settle(t)
		if t.Failed() {
			t.Fatalf("round %d failed; again with -seed %d", round, *seed)
		}
	}
	newVerifier(t, p.addr).verify(t, l)
	if m.done < *rounds {
		t.Error("the replica that moves once a round did not")
	}
	t.Logf("%d records acknowledged, %d kills, %d moves asked for, at least %d done", l.acked.Load(), *rounds, m.asked.Load(), m.done)
}

// mover moves replicas of the load's topics.
type mover struct {
	p      *process
	l      *load
	client *kgo.Client
	random *rand.Rand
	asked  atomic.Int64
	at     map[string]string // where each replica was when it was last looked
	done   int
}

func newMover(t *testing.T, p *process, l *load, seed int64) *mover {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.addr), kgo.RetryTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &mover{p: p, l: l, client: cl, random: rand.New(rand.NewSource(seed)), at: map[string]string{}}
}

// run moves one replica to the other directory and then others at random, until the returned function is called. A broker that is not
// there is asked again.
func (m *mover) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for first := true; ctx.Err() == nil; {
			topic, part, to := m.l.idempotent, 0, m.p.dirs[0]
			if first && m.at[fmt.Sprintf("%s-%d", topic, part)] == to {
				to = m.p.dirs[1]
			}
			if !first {
				topic, part, to = []string{m.l.idempotent, m.l.plain}[m.random.Intn(2)], 1+m.random.Intn(partitions-1), m.p.dirs[m.random.Intn(2)]
			}
			req := kmsg.NewPtrAlterReplicaLogDirsRequest()
			req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: to,
				Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: topic, Partitions: []int32{int32(part)}}}}}
			asking, cancel := context.WithTimeout(ctx, 2*time.Second)
			if _, err := req.RequestWith(asking, m.client.SeedBrokers()[0]); err == nil {
				m.asked.Add(1)
				first = false
			}
			cancel()
			<-time.After(time.Duration(m.random.Intn(20)) * time.Millisecond)
		}
	}()
	return func() { cancel(); <-done }
}

// settle waits until no replica moves any more, and expects each of them to have one folder.
func (m *mover) settle(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		wrong := ""
		for _, topic := range []string{m.l.idempotent, m.l.plain} {
			for part := range partitions {
				name, dirs := fmt.Sprintf("%s-%d", topic, part), ""
				for _, dir := range m.p.dirs {
					copies, err := filepath.Glob(filepath.Join(dir, name+".*-future"))
					if err != nil {
						t.Fatal(err)
					}
					if len(copies) > 0 {
						wrong = fmt.Sprintf("%s is being copied: %v", name, copies)
					}
					if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
						dirs += dir
					}
				}
				if dirs != m.p.dirs[0] && dirs != m.p.dirs[1] {
					wrong = fmt.Sprintf("%s lies in %q", name, strings.ReplaceAll(dirs, m.p.home, " "))
				}
				if was, known := m.at[name]; wrong == "" && (!known || was != dirs) {
					if m.at[name] = dirs; known {
						m.done++
					}
				}
			}
		}
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(wrong)
		}
		<-time.After(20 * time.Millisecond)
	}
}
