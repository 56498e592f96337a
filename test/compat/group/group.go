// Package group takes a client library through the life of a consumer group: members join, leave, are killed and start
// again, with and without commits, under their own name or not. A suite says how its library does each of these things;
// what must come of it is said here once, and asked of the broker by another client. It holds no tests of its own.
package group

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/moldau/moldau/test/compat/broker"
)

// Members send a heartbeat every Heartbeat, and have the time Rebalance to join again.
const (
	Heartbeat = 500 * time.Millisecond
	Rebalance = 30 * time.Second
)

// A member that says nothing is given up after the session's time-out: a short one where a test waits for that, though
// long enough for a busy machine, and a long one where a member must come back before it.
const (
	short = 10 * time.Second
	long  = 40 * time.Second
)

// Commits says how a member commits what it read.
type Commits int

const (
	None Commits = iota // never
	Each                // each record before the next
	Auto                // as the library does it by itself
)

// Settings is what a member is told.
type Settings struct {
	Addr, Group, Topic string
	Instance           string // of a static member, empty for others
	Commits            Commits
	Session            time.Duration // its time-out
	Cable              *Cable        // all its connections go through it

	Seen   func(partition int32, value string) // to be called for each record, before its commit
	Lost   func(partitions int)                // to be called with how many partitions a rebalance took away, where the library says it
	Failed func(error)                         // to be called with what the library reports as an error
}

// Client is a library.
type Client interface {
	// Join starts a member and returns without waiting for its assignment.
	Join(testing.TB, Settings) Member
}

// Member is one member of a group.
type Member interface {
	// Close ends the member as users of the library do, so that it leaves the group, unless it is static.
	Close()
}

// Parallel lets tests wait for time-outs side by side, however few the cores. It comes before flag.Parse.
func Parallel() {
	testing.Init()
	_ = flag.Set("test.parallel", "24")
}

const partitions = 4

// scene is a topic, a group, and what its members have read.
type scene struct {
	testing.TB
	client       Client
	admin        *kadm.Client
	producer     *kgo.Client
	topic, group string
	session      time.Duration
	rounds       int

	mu     sync.Mutex
	seen   map[string]int           // by value, how often
	reads  map[string]map[int32]int // by member and partition
	lost   map[string]int           // by member, how many partitions
	errors map[string][]error       // by member
}

func newScene(t testing.TB, c Client, session time.Duration) *scene {
	topic := broker.Topic(t, partitions)
	s := &scene{TB: t, client: c, topic: topic, group: "group-of-" + topic, session: session, admin: broker.Admin(t),
		producer: broker.Client(t, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerBatchCompression(kgo.NoCompression())), // KafkaJS knows gzip alone
		seen: map[string]int{}, reads: map[string]map[int32]int{}, lost: map[string]int{}, errors: map[string][]error{}}
	t.Cleanup(func() {
		if t.Failed() {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Logf("%s: read from %v, errors %v", s.group, s.reads, s.errors)
		}
	})
	return s
}

type member struct {
	Member
	name  string
	cable *Cable
	scene *scene
	once  sync.Once
}

// Close ends the member once, however often it is called.
func (m *member) Close() { m.once.Do(m.Member.Close) }

// kill cuts the member off. Its library is closed in the background, where it may try to reach the broker in vain.
func (m *member) kill() {
	m.cable.Cut()
	m.once.Do(func() { go m.Member.Close() })
}

// join starts a member.
func (s *scene) join(name string, commits Commits, instance string) *member {
	s.Helper()
	m := &member{name: name, cable: &Cable{}, scene: s}
	m.Member = s.client.Join(s, Settings{
		Addr: broker.Addr(), Group: s.group, Topic: s.topic, Instance: instance, Commits: commits, Session: s.session, Cable: m.cable,
		Seen: func(partition int32, value string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seen[value]++
			if s.reads[name] == nil {
				s.reads[name] = map[int32]int{}
			}
			s.reads[name][partition]++
		},
		Lost: func(partitions int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lost[name] += partitions
		},
		Failed: func(err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.errors[name] = append(s.errors[name], err)
		},
	})
	s.Cleanup(func() {
		m.cable.Cut()
		m.once.Do(func() { go m.Member.Close() }) // a test that failed does not wait for it
	})
	return m
}

// wait waits for what the group does. It is patient: some members are Java machines, several at a time.
func (s *scene) wait(what string, done func() bool) {
	s.Helper()
	end := time.After(90 * time.Second)
	for !done() {
		select {
		case <-end:
			s.Fatalf("not so: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// produce writes five records to each partition and returns their values.
func (s *scene) produce() (values []string) {
	s.Helper()
	s.rounds++
	var rs []*kgo.Record
	for p := range int32(partitions) {
		for i := range 5 {
			value := fmt.Sprintf("round %d, partition %d, record %d", s.rounds, p, i)
			values = append(values, value)
			rs = append(rs, &kgo.Record{Partition: p, Value: []byte(value)})
		}
	}
	if err := s.producer.ProduceSync(broker.Context(s), rs...).FirstErr(); err != nil {
		s.Fatal(err)
	}
	return values
}

// read waits until each value was read so often, and fails if one was read more often.
func (s *scene) read(values []string, times int) {
	s.Helper()
	count := func() (least, most int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		least = times
		for _, v := range values {
			least, most = min(least, s.seen[v]), max(most, s.seen[v])
		}
		return least, most
	}
	s.wait(fmt.Sprintf("each of %d records was read %d times", len(values), times), func() bool {
		least, _ := count()
		return least == times
	})
	if _, most := count(); most != times {
		s.Errorf("a record was read %d times, not %d", most, times)
	}
}

// committed waits until the group has committed what all partitions hold.
func (s *scene) committed() {
	s.Helper()
	s.wait("all that was read is committed", func() bool {
		os, err := s.admin.FetchOffsets(broker.Context(s), s.group)
		if err != nil || os.Error() != nil || len(os[s.topic]) != partitions {
			return false
		}
		for _, o := range os[s.topic] {
			if o.At != int64(5*s.rounds) {
				return false
			}
		}
		return true
	})
}

// round produces, and expects each record to be read once and committed.
func (s *scene) round() {
	s.Helper()
	s.read(s.produce(), 1)
	s.committed()
}

// describe asks the broker for the group, again while the group's coordinator is not there: on a new broker the topic
// that keeps groups may be in the making.
func (s *scene) describe() (d kadm.DescribedGroup) {
	s.Helper()
	s.wait("the group is described", func() bool {
		gs, err := s.admin.DescribeGroups(broker.Context(s), s.group)
		if errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.CoordinatorLoadInProgress) || errors.Is(err, kerr.NotCoordinator) {
			return false
		}
		if err != nil {
			s.Fatalf("describe %s: %v", s.group, err)
		}
		d = gs[s.group]
		return true
	})
	return d
}

// stable waits until the group is stable with so many members, to each of which about as many partitions are assigned,
// and every partition to one of them.
func (s *scene) stable(members int) kadm.DescribedGroup {
	s.Helper()
	var d kadm.DescribedGroup
	var has []int
	defer func() {
		if s.Failed() {
			s.Logf("the group is %s, its members have %v partitions", d.State, has)
		}
	}()
	s.wait(fmt.Sprintf("the group is stable with %d members", members), func() bool {
		d, has = s.describe(), nil
		all := map[int32]bool{}
		for _, m := range d.Members {
			n := 0
			if a, ok := m.Assigned.AsConsumer(); ok {
				for _, t := range a.Topics {
					for _, p := range t.Partitions {
						all[p] = true
						n++
					}
				}
			}
			has = append(has, n)
		}
		slices.Sort(has)
		return d.Err == nil && d.State == "Stable" && len(d.Members) == members && len(all) == partitions && has[0] == partitions/members &&
			has[0]+has[len(has)-1] == 2*partitions/members
	})
	return d
}

// members expects so many members, whatever they do.
func (s *scene) members(want int) {
	s.Helper()
	if d := s.describe(); len(d.Members) != want {
		s.Errorf("the group has %d members, not %d: %s", len(d.Members), want, d.State)
	}
}

// healthy fails the test if a library reported an error to one of these members.
func (s *scene) healthy(names ...string) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		for _, err := range s.errors[name] {
			s.Errorf("member %s: %v", name, err)
		}
	}
}

// partitionsOf counts the partitions that a member has read from so far.
func (s *scene) partitionsOf(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.reads[name])
}
