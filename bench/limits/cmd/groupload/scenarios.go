package main

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// beat is the heartbeat interval of a group whose rebalances are timed.
const beat = 100 * time.Millisecond

// rebalance times a large group's rebalances. The start includes the broker's initial delay.
func rebalance(r *result) {
	c := dial()
	awaitCoordinator(c)
	createTopic(c, "groupload", *partitions)
	group := fmt.Sprintf("groupload-%d-%d", os.Getpid(), time.Now().UnixNano())
	var all []*member
	add := func() {
		m := &member{conn: dial(), group: group, topic: "groupload", partitions: *partitions, session: sessionTimeout, generation: -1}
		all = append(all, m)
		go m.live(beat)
	}
	began := time.Now()
	for range *members {
		add()
	}
	r.add("start, ms", awaitStable(all, -1, began))

	before := all[0].stable()
	began = time.Now()
	add()
	r.add("join, ms", awaitStable(all, before, began))

	before = all[0].stable()
	leaver := all[len(all)-1]
	all = all[:len(all)-1]
	leaver.quit()
	began = time.Now()
	leaver.leave()
	r.add("leave, ms", awaitStable(all, before, began))

	before = all[0].stable()
	killed := all[0]
	all = all[1:]
	killed.quit()
	began = time.Now()
	killed.conn.c.Close()
	r.add("kill (session 6 s), ms", awaitStable(all, before, began))
	for _, m := range all {
		m.quit()
	}
}

// awaitStable waits until all members are in the same generation, a later one than before, and returns the milliseconds since began.
func awaitStable(all []*member, before int32, began time.Time) float64 {
	for {
		generation := all[0].stable()
		if generation > before && !slices.ContainsFunc(all, func(m *member) bool { return m.stable() != generation }) {
			return float64(time.Since(began).Microseconds()) / 1000
		}
		if time.Since(began) > 2*time.Minute {
			die("the group does not become stable")
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// heartbeats measures what members cost that do nothing but live.
func heartbeats(r *result) {
	c := dial()
	awaitCoordinator(c)
	createTopic(c, "groupload", *partitions)
	_, before := usage()
	all := make([]*member, *groups)
	var joining sync.WaitGroup
	for i := range *conns {
		conn := dial()
		joining.Go(func() {
			for g := i; g < *groups; g += *conns {
				all[g] = &member{conn: conn, group: fmt.Sprintf("groupload-%d-%d", os.Getpid(), g), topic: "groupload", partitions: *partitions, session: calmTimeout}
				all[g].join()
			}
		})
	}
	joining.Wait()
	var beating sync.WaitGroup
	lives := make(chan struct{})
	var sent, late int64
	var mu sync.Mutex // guards sent and late
	for i := range *conns {
		beating.Go(func() {
			mine := (*groups - i + *conns - 1) / *conns
			tick := time.NewTicker(*interval / time.Duration(max(mine, 1)))
			defer tick.Stop()
			for g := i; ; g += *conns {
				if g >= *groups {
					g = i
				}
				select {
				case <-lives:
					return
				case <-tick.C:
				}
				ok := all[g].heartbeat()
				mu.Lock()
				sent++
				if !ok {
					late++
				}
				mu.Unlock()
				if !ok {
					all[g].join()
				}
			}
		})
	}
	time.Sleep(*interval) // each member has sent one
	cpu0, _ := usage()
	mu.Lock()
	sent0 := sent
	mu.Unlock()
	time.Sleep(*secs)
	cpu1, rss := usage()
	mu.Lock()
	n := sent - sent0
	if late > 0 {
		die(late, "members were thrown out")
	}
	mu.Unlock()
	close(lives)
	beating.Wait()
	r.add("CPU, % of a core", 100*(cpu1-cpu0)/secs.Seconds())
	r.add("CPU a heartbeat, us", 1e6*(cpu1-cpu0)/float64(n))
	r.add("RSS, MB", rss)
	r.add("RSS for the groups, MB", max(rss-before, 0))
}

// commit sends a commit until it is taken: a broker that has just made the topic of offsets may need a moment.
func commit(lane *conn, req *kmsg.OffsetCommitRequest) {
	for {
		resp, err := lane.ask(req)
		check("commit", err)
		err = kerr.ErrorForCode(resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
		if !kerr.IsRetriable(err) {
			check("commit", err)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// commits measures the latency of commits at a fixed rate.
func commits(r *result) {
	c := dial()
	awaitCoordinator(c)
	createTopic(c, "groupload", *partitions)
	lanes := make([]*conn, *conns)
	for i := range lanes {
		lanes[i] = dial()
	}
	var mu sync.Mutex // guards the latencies
	var latencies []float64
	gap := time.Duration(float64(time.Second) / *rate * float64(*conns))
	warm := time.Now().Add(2 * time.Second)
	end := warm.Add(*secs)
	cpu0 := 0.0
	time.AfterFunc(time.Until(warm), func() { cpu0, _ = usage() })
	var running sync.WaitGroup
	for i, lane := range lanes {
		due := time.Now().Add(gap * time.Duration(i) / time.Duration(*conns))
		running.Go(func() {
			req := kmsg.NewPtrOffsetCommitRequest()
			req.Version, req.Generation = 7, -1
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic, topic.Partitions = "groupload", []kmsg.OffsetCommitRequestTopicPartition{kmsg.NewOffsetCommitRequestTopicPartition()}
			req.Topics = append(req.Topics, topic)
			for n := 0; due.Before(end); n++ {
				time.Sleep(time.Until(due))
				req.Group = fmt.Sprintf("groupload-commit-%d", (n**conns+i)%*groups)
				req.Topics[0].Partitions[0].Partition, req.Topics[0].Partitions[0].Offset = int32(n%*partitions), int64(n)
				commit(lane, req)
				if due.After(warm) {
					mu.Lock()
					latencies = append(latencies, float64(time.Since(due).Microseconds())/1000)
					mu.Unlock()
				}
				due = due.Add(gap)
			}
		})
	}
	running.Wait()
	cpu1, rss := usage()
	slices.Sort(latencies)
	at := func(q float64) float64 { return latencies[int(q*float64(len(latencies)-1))] }
	r.add("p50, ms", at(0.5))
	r.add("p99, ms", at(0.99))
	r.add("p99.9, ms", at(0.999))
	r.add("CPU a commit, us", 1e6*(cpu1-cpu0)/float64(len(latencies)))
	r.add("RSS, MB", rss)
}
