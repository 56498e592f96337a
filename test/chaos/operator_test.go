package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What operators do, under load like everything else. Each leaves the topics as it found them: three replicas, no setting of their own.
var operations = []fault{
	{"reassign", nil, func(s *strike) { s.reassign(false) }},
	{"reassign and kill", nil, func(s *strike) { s.reassign(true) }},
	{"elect", nil, (*strike).elect},
	{"min isr", nil, (*strike).minISR},
}

// operator is who asks for it, of whichever broker answers.
type operator struct {
	s     *strike
	admin *kadm.Client
}

func (s *strike) operator() (o *operator, leave func()) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.addresses()...), kgo.RequestRetries(5), kgo.AlwaysRetryEOF(), kgo.Dialer(dial), kgo.RetryTimeout(2*time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	s.must(err)
	return &operator{s, kadm.NewClient(cl)}, cl.Close
}

// place is a partition.
type place struct {
	topic string
	part  int32
}

// places are some partitions of the load, and of the committed offsets.
func (s *strike) places(n int) (some []place) {
	for _, topic := range []string{s.load.idempotent, s.load.plain, "__consumer_offsets"} {
		for part := range int32(partitions) {
			some = append(some, place{topic, part})
		}
	}
	s.random.Shuffle(len(some), func(i, k int) { some[i], some[k] = some[k], some[i] })
	return some[:n]
}

// anyBrokers are so many, in random order.
func (s *strike) anyBrokers(n int) (ids []int32) {
	for _, i := range s.random.Perm(brokers)[:n] {
		ids = append(ids, s.id(i))
	}
	return ids
}

func (s *strike) id(i int) int32 { return int32(s.nodes[i].id) }

// assign asks for replicas; without any it cancels what is under way.
func (o *operator) assign(p place, to []int32) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var req kadm.AlterPartitionAssignmentsReq
	if to == nil {
		req.CancelAssign(p.topic, p.part)
	} else {
		req.Assign(p.topic, p.part, to)
	}
	resp, err := o.admin.AlterPartitionAssignments(ctx, req)
	if err == nil {
		err = resp.Error()
	}
	return err
}

// insist asks until it is done: other faults may be in the way.
func (o *operator) insist(what string, ask func(context.Context) error) {
	for end := time.Now().Add(bound); ; <-time.After(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err := ask(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			o.s.found.add(stuck, "%s: %v", what, err)
			return
		}
	}
}

// reassign moves partitions to one, two or three brokers, changes its mind while that is under way, and brings them back to all, in another order. What is refused meanwhile,
// because a broker or the controller is away, is refused.
func (s *strike) reassign(kill bool) {
	o, leave := s.operator()
	defer leave()
	moved := s.places(5)
	for range 1 + s.random.Intn(3) {
		for _, p := range moved {
			_ = o.assign(p, s.anyBrokers(1+s.random.Intn(brokers)))
			if s.random.Intn(4) == 0 {
				_ = o.assign(p, nil)
			}
			if s.random.Intn(4) == 0 {
				_ = o.assign(p, s.anyBrokers(1+s.random.Intn(brokers)))
			}
		}
		if kill {
			s.wait(time.Duration(s.random.Intn(100)) * time.Millisecond)
			s.target.kill()
			_ = o.assign(moved[0], s.anyBrokers(1+s.random.Intn(brokers)))
			s.wait(s.length / 8)
			s.must(s.target.start())
		}
		s.wait(time.Duration(s.random.Intn(1000)) * time.Millisecond)
	}
	for _, p := range moved {
		to := s.anyBrokers(brokers)
		o.insist(fmt.Sprintf("reassign %v to %v", p, to), func(context.Context) error { return o.assign(p, to) })
	}
	o.insist("the end of all reassignments", func(ctx context.Context) error {
		under, err := o.admin.ListPartitionReassignments(ctx, nil)
		if err == nil && len(under.Sorted()) > 0 {
			err = fmt.Errorf("under way: %+v", under.Sorted())
		}
		return err
	})
}

// elect has one broker after another lead partitions.
func (s *strike) elect() {
	o, leave := s.operator()
	defer leave()
	for end := time.Now().Add(s.length); time.Now().Before(end); {
		set := kadm.TopicsSet{}
		for _, p := range s.places(4) {
			_ = o.assign(p, s.anyBrokers(brokers))
			set.Add(p.topic, p.part)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, _ = o.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
		cancel()
		s.wait(time.Duration(s.random.Intn(200)) * time.Millisecond)
	}
}

// minISR changes how many have to be in sync, time and again, while a broker is there and while it is not.
func (s *strike) minISR() {
	o, leave := s.operator()
	defer leave()
	set := func(c kadm.AlterConfig) {
		c.Name = "min.insync.replicas"
		o.insist("alter min.insync.replicas", func(ctx context.Context) error {
			resp, err := o.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{c}, s.load.idempotent, s.load.plain)
			for _, r := range resp {
				if err == nil {
					err = r.Err
				}
			}
			return err
		})
	}
	some := func() kadm.AlterConfig {
		return kadm.AlterConfig{Op: kadm.SetConfig, Value: new(fmt.Sprint(1 + s.random.Intn(brokers)))}
	}
	for range 1 + s.random.Intn(4) {
		set(some())
		s.wait(time.Duration(s.random.Intn(500)) * time.Millisecond)
		if s.random.Intn(2) == 0 {
			s.target.kill()
			s.wait(time.Duration(s.random.Intn(1500)) * time.Millisecond)
			set(some())
			s.must(s.target.start())
		}
	}
	set(kadm.AlterConfig{Op: kadm.DeleteConfig})
}
