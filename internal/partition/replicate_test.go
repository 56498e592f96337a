package partition_test

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moldau/moldau/internal/commitlog"
	"github.com/moldau/moldau/internal/controller"
	"github.com/moldau/moldau/internal/partition"
	"github.com/moldau/moldau/internal/record"
	"github.com/moldau/moldau/internal/replica"
)

func lastOf(batches []byte) (last record.Batch) {
	for len(batches) > 0 {
		b, rest, err := record.Next(batches)
		if err != nil {
			return last
		}
		last, batches = b, rest
	}
	return last
}

func both(t *testing.T, f func(*testing.T, *cluster)) {
	for name, durable := range map[string]bool{"durable": true, "memory": false} {
		t.Run(name, func(t *testing.T) { f(t, newCluster(t, durable)) })
	}
}

// TestReplicate: a producer is answered once all who are in sync have synced, and the logs end up the same.
func TestReplicate(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		info, err := c.leader().p.Append(batch(5), true)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		if committed, err := c.leader().p.Await(&partition.Wait{End: info.Last + 1, Epoch: info.Epoch, Done: func(err error) { done <- err }}); committed || err != nil {
			t.Fatalf("committed %v, %v before anybody fetched", committed, err)
		}
		c.until("the producer's answer", func() bool { return len(done) > 0 })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for _, n := range c.nodes {
			if counted := n.p.Log().SyncedEnd(); c.durable && counted < info.Last+1 || n.p.Log().LogEnd() != info.Last+1 {
				t.Errorf("broker %d has %d, synced %d, when the producer is answered", n.id, n.p.Log().LogEnd(), counted)
			}
		}
		c.produce(20)
		c.until("all to be committed", c.allCommitted)
		c.same()
		if n := len(c.state().ISR); n != 3 || c.state().PartitionEpoch != 0 {
			t.Errorf("%+v", c.state())
		}
	})
}

// TestWatchersOfFollowers: a follower that waits is woken by what is appended, a reader by what is committed.
func TestWatchersOfFollowers(t *testing.T) {
	c := newCluster(t, true)
	var read, urgent, other atomic.Int64
	reader, follower := partition.NewWatcher(func() { read.Add(1) }), partition.NewFollowerWatcher(func(u bool) {
		if u {
			urgent.Add(1)
		} else {
			other.Add(1)
		}
	})
	c.leader().p.Watch(reader)
	c.leader().p.Watch(follower)
	c.produce(1)
	if read.Load() != 0 || urgent.Load() != 1 {
		t.Errorf("after an append %d wake-ups of a reader, %d of a follower", read.Load(), urgent.Load())
	}
	c.until("the wake-ups", func() bool { return read.Load() > 0 && other.Load() > 0 })
	if urgent.Load() != 1 {
		t.Errorf("after the commit %d urgent wake-ups of a follower", urgent.Load())
	}
	c.leader().p.Close(partition.ErrDeleted)
	if urgent.Load() != 2 {
		t.Errorf("after the end %d wake-ups of a follower", urgent.Load())
	}
}

// TestWaitingFetchRevivesNobody: that a dead follower's fetch still waits says nothing of it.
func TestWaitingFetchRevivesNobody(t *testing.T) {
	c := newCluster(t, true)
	c.produce(1)
	c.until("all to be committed", c.allCommitted)
	_, r, ok := c.nodes[2].p.NextFetch()
	if !ok {
		t.Fatal("it follows nobody")
	}
	c.nodes[2].mute = true
	c.leader().p.Died(2, r.BrokerEpoch)
	if res, err := c.leader().p.RereadFollower(r, 1000, true); err != nil || res.LogEnd != 3 || res.Slice.Bytes != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	c.until("the dead follower to leave", func() bool { return len(c.state().ISR) == 2 })
	c.produce(1)
	res, err := c.leader().p.RereadFollower(r, 1000, true)
	if err != nil || res.Slice.Bytes == 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	res.Slice.Release()
	c.until("the others to commit", c.allCommitted)
	if len(c.state().ISR) != 2 {
		t.Errorf("the dead follower is back: %+v", c.state())
	}
	if _, err := c.nodes[1].p.RereadFollower(r, 1000, true); !errors.Is(err, partition.ErrNotLeader) {
		t.Errorf("who does not lead answers %v", err)
	}
}

// TestFailover: the leader dies with records that nobody has. Another leads, and the old one, back again, cuts them off.
func TestFailover(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		c.produce(4)
		c.until("all to be committed", c.allCommitted)
		c.produce(3) // for nobody
		old := c.leader()
		old.kill()
		c.do(&controller.AlterBroker{ID: old.id, Epoch: c.img.Broker(old.id).Epoch, State: controller.Fenced})
		if p := c.state(); p.Leader != 1 || p.LeaderEpoch != 1 {
			t.Fatalf("%+v", p)
		}
		c.produce(5)
		c.until("the rest to commit", c.allCommitted)
		old.start()
		c.until("the old leader to be in sync", func() bool { return c.allCommitted() && len(c.state().ISR) == 3 })
		c.same()
		c.do(&controller.ElectLeaders{Election: controller.PreferredElection, All: true})
		if c.state().Leader != 0 {
			t.Fatalf("%+v", c.state())
		}
		c.produce(2)
		c.until("the first leader to commit again", c.allCommitted)
		c.same()
		if epochs := c.leader().p.Log().Epochs(); len(epochs) != 3 {
			t.Errorf("epochs %v", epochs)
		}
	})
}

// TestChanges: a fetcher is told when there is something new to ask.
func TestChanges(t *testing.T) {
	c := newCluster(t, true)
	f := c.nodes[2]
	if n := f.changes.Load(); n != 1 {
		t.Errorf("told %d times of the first leader", n)
	}
	c.produce(1)
	f.fetch()
	c.until("news of the sync", func() bool { return f.changes.Load() > 1 })
	if _, r, ok := f.p.NextFetch(); !ok || r.SyncedEnd != 3 {
		t.Errorf("it asks %+v", r)
	}
	before := f.changes.Load()
	if c.do(&controller.AlterBroker{ID: 0, Epoch: c.img.Broker(0).Epoch, State: controller.Fenced}); f.changes.Load() == before {
		t.Error("nothing is told of another leader")
	}
	before = f.changes.Load()
	if f.p.Close(partition.ErrDeleted); f.changes.Load() == before {
		t.Error("nothing is told of the end")
	}
	if _, _, ok := f.p.NextFetch(); ok {
		t.Error("it still follows")
	}
}

// TestOffsetsOfANewLeader: it tells no offset before it knows what is committed, and everything afterwards.
func TestOffsetsOfANewLeader(t *testing.T) {
	c := newCluster(t, true)
	c.produce(4)
	for _, n := range c.nodes[1:] {
		n.fetch() // and hears that nothing is committed yet
	}
	next := c.nodes[1]
	c.nodes[0].mute = true
	c.do(&controller.AlterBroker{ID: 0, Epoch: c.img.Broker(0).Epoch, State: controller.Fenced})
	for _, ts := range []int64{partition.Latest, partition.MaxTimestamp, 1 << 50} {
		if _, err := next.p.ListOffset(ts, partition.ReadUncommitted, partition.NoEpoch); !errors.Is(err, partition.ErrOffsetNotAvailable) {
			t.Errorf("timestamp %d with a high watermark of %d: %v", ts, next.p.HighWatermark(), err)
		}
	}
	if l, err := next.p.ListOffset(partition.Earliest, partition.ReadUncommitted, partition.NoEpoch); err != nil || l.Offset != 0 {
		t.Errorf("the earliest is %+v, %v", l, err)
	}
	if l, err := next.p.ListOffset(partition.Latest, partition.ReadAll, partition.NoEpoch); err != nil || l.Offset != 12 {
		t.Errorf("a replica is told %+v, %v", l, err)
	}
	c.until("the new leader to know", func() bool {
		l, err := next.p.ListOffset(partition.Latest, partition.ReadUncommitted, partition.NoEpoch)
		return err == nil && l.Offset == 12
	})
}

// TestUnknownProducersBeginAtTheBeginning: the first batches of a producer may be refused, or be on their way to another leader, when the next ones come; those do not go first.
func TestUnknownProducersBeginAtTheBeginning(t *testing.T) {
	c := newCluster(t, true)
	send := func(id int64, sequence int32) error {
		b := record.NewBuilder(record.Compression{})
		b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, 0, sequence
		b.Append(record.Record{Timestamp: 1, Value: []byte("value")})
		_, err := c.leader().p.Append(b.Build(), true)
		return err
	}
	expect := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	expect("first of producer 1", send(1, 0), nil)
	c.until("all to be committed", c.allCommitted)
	c.do(&controller.AlterBroker{ID: 0, Epoch: c.img.Broker(0).Epoch, State: controller.Fenced})
	expect("the next of a producer that the new leader knows", send(1, 1), nil)
	expect("the second of producer 2, whose first the old leader has", send(2, 1), partition.ErrNotItsTurn)
	expect("its first", send(2, 0), nil)
	expect("its second again", send(2, 1), nil)
	c.clock.passed.Add(int64(time.Minute))
	expect("of a producer that was forgotten", send(3, 7), nil)

	c.do(&controller.AlterBroker{ID: 2, Epoch: c.img.Broker(2).Epoch, State: controller.Fenced})
	expect("first of producer 4, with too few in sync", send(4, 0), partition.ErrNotEnoughReplicas)
	c.do(&controller.AlterBroker{ID: 2, Epoch: c.img.Broker(2).Epoch, State: controller.Unfenced})
	c.until("a second one to be in sync", func() bool { return len(c.state().ISR) == 2 })
	expect("its second", send(4, 1), partition.ErrNotItsTurn)
	expect("its first again", send(4, 0), nil)
	expect("its second again", send(4, 1), nil)
}

// TestCommittedInItsEpoch: what a leader appended and lost with its place is not committed because those that came in its place are.
func TestCommittedInItsEpoch(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		c.produce(1)
		c.until("all to be committed", c.allCommitted)
		old := c.leader().p
		info, err := old.Append(batch(1), true)
		if err != nil {
			t.Fatal(err)
		}
		end := info.Last + 1
		if old.Committed(end, info.Epoch) {
			t.Error("committed before anybody fetched")
		}
		c.do(&controller.AlterBroker{ID: 0, Epoch: c.img.Broker(0).Epoch, State: controller.Fenced})
		c.do(&controller.AlterBroker{ID: 0, Epoch: c.img.Broker(0).Epoch, State: controller.Unfenced})
		c.produce(2)
		c.until("the old leader to follow", func() bool { return old.HighWatermark() > end && c.allCommitted() })
		for _, n := range c.nodes {
			if n.p.Committed(end, info.Epoch) {
				t.Errorf("broker %d takes records of another epoch for what was appended in epoch %d", n.id, info.Epoch)
			}
		}
		if !c.leader().p.Committed(end, info.Epoch+1) {
			t.Error("the leader does not know what is committed in its epoch")
		}
	})
}

// TestEpochWithoutRecords: a consumer that began at the end asks for the leader epoch of that moment, of which there may be no record, when another broker leads. All that it
// has read is there: it is not to be told that the log was cut.
func TestEpochWithoutRecords(t *testing.T) {
	c := newCluster(t, true)
	c.produce(4)
	c.until("all to be committed", c.allCommitted)
	lead := func(id int32) *partition.Partition {
		t.Helper()
		c.do(&controller.Reassign{Partitions: []controller.Reassignment{{Topic: "orders", Replicas: []int32{id, (id + 1) % 3, (id + 2) % 3}}}})
		c.do(&controller.BalanceLeaders{Most: 1})
		c.until("the new leader to know what is committed", func() bool {
			_, err := c.nodes[id].p.ListOffset(partition.Latest, partition.ReadUncommitted, partition.NoEpoch)
			return err == nil
		})
		return c.nodes[id].p
	}
	began, err := lead(1).ListOffset(partition.Latest, partition.ReadUncommitted, partition.NoEpoch)
	if err != nil {
		t.Fatal(err)
	}
	next := lead(2)
	for range 2 {
		epoch, end, err := next.EndOffsetForEpoch(began.Epoch, partition.NoEpoch)
		if err != nil || epoch < 0 || epoch > began.Epoch || end != began.Offset {
			t.Errorf("a reader that is at %+v is told that the log left it at %d, in epoch %d, %v", began, end, epoch, err)
		}
		c.produce(1) // the same when there are records of the new epoch
	}
	if epoch, end, err := next.EndOffsetForEpoch(100, partition.NoEpoch); epoch != -1 || end != -1 || err != nil {
		t.Errorf("of an epoch to come: %d, %d, %v", epoch, end, err)
	}
}

// TestShrinkAndExpand: who lags or is dead leaves the ISR, below its minimum nothing is committed, and who is back joins again.
func TestShrinkAndExpand(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		c.produce(2)
		c.until("all to be committed", c.allCommitted)
		leader := c.leader().p
		c.nodes[2].mute = true
		c.produce(1)
		c.until("broker 1 to have all", func() bool {
			return (!c.durable || c.nodes[1].p.Log().SyncedEnd() == 9) && c.nodes[1].p.Log().LogEnd() == 9
		})
		c.nodes[1].fetch() // says so
		if hw := leader.HighWatermark(); hw != 6 {
			t.Errorf("high watermark %d while broker 2 is in the ISR", hw)
		}
		c.clock.passed.Add(int64(2 * lag))
		c.nodes[1].fetch()
		leader.Tick()
		c.until("broker 2 to leave", func() bool { return slices.Equal(c.state().ISR, []int32{0, 1}) && leader.HighWatermark() == 9 })

		leader.Died(1, c.img.Broker(1).Epoch)
		c.nodes[1].mute = true
		c.until("broker 1 to leave", func() bool { return slices.Equal(c.state().ISR, []int32{0}) })
		if elr := c.state().ELR; !slices.Equal(elr, []int32{1}) {
			t.Errorf("ELR %v", elr)
		}
		if _, err := leader.Append(batch(1), true); !errors.Is(err, partition.ErrNotEnoughReplicas) {
			t.Errorf("acks=all with an ISR of one: %v", err)
		}
		c.produce(1)
		c.until("the leader to have synced", func() bool { return !c.durable || leader.Log().SyncedEnd() == 12 })
		if hw := leader.HighWatermark(); hw != 9 {
			t.Errorf("high watermark %d with an ISR of one", hw)
		}
		c.nodes[1].mute = false
		c.until("broker 1 to join", func() bool { return slices.Equal(c.state().ISR, []int32{0, 1}) && leader.HighWatermark() == 12 })
		c.nodes[2].mute = false
		c.until("broker 2 to join", func() bool { return len(c.state().ISR) == 3 && c.allCommitted() })
		c.same()
	})
}

// TestFollowerBeginsAnew: what the follower would go on from is deleted at the leader.
func TestFollowerBeginsAnew(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		c.produce(2)
		c.until("all to be committed", c.allCommitted)
		c.nodes[2].kill()
		c.do(&controller.AlterBroker{ID: 2, Epoch: c.img.Broker(2).Epoch, State: controller.Fenced})
		c.produce(30)
		c.until("the rest to commit", c.allCommitted)
		if start, err := c.leader().p.DeleteRecords(64); err != nil || start != 64 { // within a batch
			t.Fatalf("log start %d, %v", start, err)
		}
		if low, err := c.leader().p.LowWatermark(); err != nil || low != 0 {
			t.Errorf("low watermark %d, %v before broker 1 has heard", low, err)
		}
		c.until("broker 1 to delete too", func() bool { low, err := c.leader().p.LowWatermark(); return err == nil && low == 64 })
		c.nodes[2].start()
		c.until("the third to be in sync", func() bool { return c.allCommitted() && len(c.state().ISR) == 3 })
		if start := c.nodes[2].p.Log().LogStart(); start != 64 {
			t.Errorf("it begins at %d", start)
		}
		c.same()
	})
}

// TestOutside: a follower that was taken for dead by mistake leaves the ISR, which is news that it has more to say, and one more fetch, without any
// new record, brings it back.
func TestOutside(t *testing.T) {
	c := newCluster(t, true)
	c.produce(1)
	c.until("the record on all", c.allCommitted)
	f := c.nodes[1]
	epoch := c.state().LeaderEpoch
	before := f.changes.Load()
	c.leader().p.Died(1, c.img.Broker(1).Epoch)
	c.alter()
	if isr := c.state().ISR; len(isr) != 2 || c.state().LeaderEpoch != epoch {
		t.Fatalf("the ISR is %v, in leader epoch %d after %d", isr, c.state().LeaderEpoch, epoch)
	}
	if _, r, _ := f.p.NextFetch(); !r.Outside || f.changes.Load() == before {
		t.Errorf("outside: %v, told of %d changes, %d before", r.Outside, f.changes.Load(), before)
	}
	f.fetch()
	c.alter()
	if _, r, _ := f.p.NextFetch(); r.Outside || len(c.state().ISR) != 3 {
		t.Errorf("outside: %v, the ISR is %v", r.Outside, c.state().ISR)
	}
}

// TestStaleAnswers: what does not answer the fetch of the moment, or of this leader epoch, changes nothing; damaged batches are refused.
func TestStaleAnswers(t *testing.T) {
	c := newCluster(t, true)
	c.produce(60)
	f := c.nodes[1]
	r, a, batches, ok := f.ask()
	if !ok || len(batches) == 0 {
		t.Fatalf("%+v, %d bytes", a, len(batches))
	}
	bad := bytes.Clone(batches)
	bad[len(bad)-1] ^= 1
	if err := f.p.AppendAsFollower(r, a, bad); !errors.Is(err, commitlog.ErrCorrupt) {
		t.Errorf("a damaged batch: %v", err)
	}
	whole := f.p.Log().LogEnd()
	if whole >= lastOf(batches).NextOffset() {
		t.Errorf("the log ends at %d", whole)
	}
	r, a, batches, _ = f.ask()
	if err := f.p.AppendAsFollower(r, a, batches[:len(batches)-1]); err != nil { // torn: the last batch is none
		t.Fatal(err)
	}
	if err := f.p.AppendAsFollower(r, a, batches); err != nil { // the same again
		t.Fatal(err)
	}
	r, a, batches, _ = f.ask()
	end := f.p.Log().LogEnd()
	if end >= c.leader().p.Log().LogEnd() || len(batches) == 0 {
		t.Fatalf("the follower has %d", end)
	}
	c.do(&controller.AlterBroker{ID: 0, Epoch: c.img.Broker(0).Epoch, State: controller.Fenced})
	c.do(&controller.AlterBroker{ID: 0, Epoch: c.img.Broker(0).Epoch, State: controller.Unfenced})
	late := c.nodes[2]
	_, fresh, _ := late.p.NextFetch()
	if err := f.p.AppendAsFollower(r, a, batches); err != nil || f.p.Log().LogEnd() != end { // it leads now
		t.Errorf("an answer of another leader epoch: %v, log end %d", err, f.p.Log().LogEnd())
	}
	stale := fresh
	stale.LeaderEpoch--
	for want, r := range map[error]replica.FetchRequest{partition.ErrFencedLeaderEpoch: stale, nil: fresh} {
		if got, err := f.p.ReadFollower(r, 1<<20, true); !errors.Is(err, want) {
			t.Errorf("a fetch in leader epoch %d: %v", r.LeaderEpoch, err)
		} else {
			got.Slice.Release()
		}
	}
	fresh.Replica = 9
	if _, err := f.p.ReadFollower(fresh, 1<<20, true); !errors.Is(err, partition.ErrUnknownReplica) {
		t.Errorf("a fetch of a broker without a replica: %v", err)
	}
}

// TestReplicateConcurrently: producers, followers, syncs, ticks and changes of the leader at once.
func TestReplicateConcurrently(t *testing.T) {
	c := newCluster(t, true)
	var wait sync.WaitGroup
	stop := make(chan struct{})
	for _, n := range c.nodes {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if r, a, batches, ok := n.ask(); ok {
					if err := n.p.AppendAsFollower(r, a, batches); err != nil {
						t.Error(err)
					}
				}
				n.p.Tick()
			}
		})
	}
	acked := make(chan int64, 1000)
	for range 2 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, n := range c.nodes {
					info, err := n.p.Append(batch(1), true)
					if err != nil {
						continue
					}
					w := &partition.Wait{End: info.Last + 1, Epoch: info.Epoch, Done: func(err error) {
						if err == nil {
							select {
							case acked <- info.Last:
							default:
							}
						}
					}}
					if _, err := n.p.Await(w); err != nil && !errors.Is(err, partition.ErrNotLeader) {
						t.Error(err)
					}
				}
			}
		})
	}
	for round := range 12 {
		n := len(acked)
		for deadline := c.deadline(); len(acked) < min(n+20, cap(acked)-1); {
			c.alter()
			deadline(t, "acknowledgements")
		}
		next := c.state().ISR[round%len(c.state().ISR)]
		out := c.state().Leader
		if next == out {
			continue
		}
		c.do(&controller.AlterBroker{ID: out, Epoch: c.img.Broker(out).Epoch, State: controller.Fenced})
		c.do(&controller.AlterBroker{ID: out, Epoch: c.img.Broker(out).Epoch, State: controller.Unfenced})
	}
	close(stop)
	wait.Wait()
	c.until("all to be in sync", func() bool { return c.allCommitted() && len(c.state().ISR) == 3 })
	c.same()
	if len(acked) < 200 {
		t.Errorf("%d acknowledged", len(acked))
	}
}

// TestFollowerThatCannot: a log that cannot be cut or appended to leaves the follower where it stands, for whatever comes next.
func TestFollowerThatCannot(t *testing.T) {
	for name, prepare := range map[string]func(*cluster){
		"begin anew": func(c *cluster) {
			if _, err := c.leader().p.DeleteRecords(-1); err != nil {
				t.Fatal(err)
			}
		},
		"append": func(*cluster) {},
		"truncate": func(c *cluster) { // broker 2 has what the next leader never had
			c.produce(1)
			c.nodes[2].mute = false
			c.nodes[2].fetch()
			c.nodes[2].mute = true
			c.nodes[1].mute = true
			c.do(&controller.AlterBroker{ID: 0, Epoch: c.img.Broker(0).Epoch, State: controller.Fenced})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, true)
			c.produce(2)
			c.until("all to be committed", c.allCommitted)
			f := c.nodes[2]
			if f.mute = true; name != "truncate" {
				c.produce(2)
				c.until("broker 1 to have all", func() bool { return c.nodes[1].p.Log().SyncedEnd() == 12 })
				c.clock.passed.Add(int64(2 * lag))
				c.nodes[1].fetch()
				c.leader().p.Tick()
				c.until("broker 2 to leave", func() bool { return len(c.state().ISR) == 2 && c.leader().p.HighWatermark() == 12 })
			}
			prepare(c)
			f.dir.Abort()
			end := f.p.Log().LogEnd()
			r, a, batches, ok := f.ask()
			if !ok {
				t.Fatal("it follows nobody")
			}
			if name == "truncate" != (a.Diverging != nil) || name == "begin anew" != errors.Is(a.Err, replica.ErrOffsetOutOfRange) || name == "append" != (len(batches) > 0) {
				t.Fatalf("answered %+v, %d bytes", a, len(batches))
			}
			if err := f.p.AppendAsFollower(r, a, batches); err == nil {
				t.Fatal("it could")
			}
			f.p.Synced(0)
			f.p.Apply(c.img, c.state())
			start, _, hw, now := f.p.Offsets()
			if now != end || hw > now || start > hw {
				t.Errorf("log %d to %d, high watermark %d; it ended at %d", start, now, hw, end)
			}
		})
	}
}
