package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const mostTopics = 15

// topics come and go, get partitions and settings, and hold records that say which of all topics of that name they were written to.
// What was acknowledged stays, and what became of a change whose answer was lost stays as it was first seen.
type topics struct {
	p      *process
	admin  *kadm.Client
	random *rand.Rand
	prefix string
	live   map[string]*topicState
	gone   map[string]bool
	failed error

	doubtful string                // the topic that was changed last, if nobody knows with what outcome
	doubt    func(now *topicState) // takes what it is then; nil if it is not there

	made, deleted, unknown int
}

type topicState struct {
	id         kadm.TopicID
	partitions int
	retention  int64
	records    int // of partition 0; each says the topic's id
}

func newTopics(t *testing.T, p *process, seed int64) *topics {
	t.Helper()
	cl, err := kgo.NewClient((&workers{addr: p.addr}).options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &topics{p: p, admin: kadm.NewClient(cl), random: rand.New(rand.NewSource(seed)), prefix: fmt.Sprintf("crash-topic-%d-", seed),
		live: map[string]*topicState{}, gone: map[string]bool{}}
}

// run changes topics until stop is called or an outcome is not known, which the broker's end sees to.
func (tp *topics) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		cl, err := kgo.NewClient(kgo.SeedBrokers(tp.p.addr), kgo.RequestRetries(0))
		if err != nil {
			tp.failed = err
			return
		}
		defer cl.Close()
		for ctx.Err() == nil && tp.doubt == nil && tp.failed == nil {
			tp.change(ctx, kadm.NewClient(cl))
			<-time.After(time.Duration(tp.random.Intn(5000)) * time.Microsecond)
		}
	}()
	return func() {
		cancel()
		select {
		case <-done:
		case <-time.After(time.Minute):
			panic("a change of topics does not end")
		}
	}
}

// change makes one.
func (tp *topics) change(ctx context.Context, admin *kadm.Client) {
	names := slices.Sorted(maps.Keys(tp.live))
	if len(names) == 0 || len(names) < mostTopics && tp.random.Intn(3) == 0 {
		tp.create(ctx, admin)
		return
	}
	name := names[tp.random.Intn(len(names))]
	topic := tp.live[name]
	switch tp.random.Intn(5) {
	case 0, 1:
		_, err := admin.DeleteTopic(ctx, name)
		if tp.settle(err, name, func(now *topicState) {
			if now == nil {
				delete(tp.live, name)
				tp.gone[name] = true
			}
		}) {
			delete(tp.live, name)
			tp.gone[name] = true
			tp.deleted++
		}
	case 2:
		more := topic.partitions + 1
		resp, err := admin.UpdatePartitions(ctx, more, name)
		if err == nil {
			err = resp.Error()
		}
		if tp.settle(err, name, func(now *topicState) {
			if now != nil && now.partitions == more {
				topic.partitions = more
			}
		}) {
			topic.partitions = more
		}
	case 3:
		retention := 1_000_000_000 + tp.random.Int63n(1000)
		value := strconv.FormatInt(retention, 10)
		resp, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &value}}, name)
		if err == nil {
			for _, r := range resp {
				err = r.Err
			}
		}
		if tp.settle(err, name, func(now *topicState) {
			if now != nil && now.retention == retention {
				topic.retention = retention
			}
		}) {
			topic.retention = retention
		}
	default:
		tp.write(ctx, name, topic)
	}
}

func (tp *topics) create(ctx context.Context, admin *kadm.Client) {
	name := tp.prefix + strconv.Itoa(len(tp.live)+len(tp.gone))
	if gone := slices.Sorted(maps.Keys(tp.gone)); len(gone) > 0 && tp.random.Intn(2) == 0 {
		name = gone[tp.random.Intn(len(gone))] // another one of that name
	}
	want := &topicState{partitions: 1 + tp.random.Intn(3), retention: 1_000_000_000 + tp.random.Int63n(1000)}
	retention := strconv.FormatInt(want.retention, 10)
	resp, err := admin.CreateTopic(ctx, int32(want.partitions), 1, map[string]*string{"retention.ms": &retention}, name)
	if tp.settle(err, name, func(now *topicState) {
		if now != nil {
			want.id = now.id
			tp.live[name] = want
			delete(tp.gone, name)
		}
	}) {
		want.id = resp.ID
		tp.live[name] = want
		delete(tp.gone, name)
		tp.made++
	}
}

// write writes some records to a topic, with a client of its own: others remember the last topic of that name.
func (tp *topics) write(ctx context.Context, name string, topic *topicState) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(tp.p.addr), kgo.RequestRetries(0), kgo.RecordRetries(0), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1)) // an idempotent one tries again in spite of all
	if err != nil {
		tp.failed = err
		return
	}
	defer cl.Close()
	records := make([]*kgo.Record, 1+tp.random.Intn(30))
	for i := range records {
		records[i] = &kgo.Record{Topic: name, Value: []byte(topic.id.String())}
	}
	acked := 0
	for _, result := range cl.ProduceSync(ctx, records...) {
		if result.Err == nil {
			acked++
		} else {
			err = result.Err
		}
	}
	before := topic.records
	if tp.settle(err, name, func(now *topicState) {
		if now != nil && now.records >= before+acked && now.records <= before+len(records) {
			topic.records = now.records
		}
	}) {
		topic.records += len(records)
	}
}

// settle says whether a change was acknowledged. If nobody knows, doubt is asked when the broker is back. A refusal is a failure: there
// is nothing to refuse, except for a broker whose disks lose their power one after the other.
func (tp *topics) settle(err error, name string, doubt func(now *topicState)) bool {
	if err == nil {
		return true
	}
	if refused := (*kerr.Error)(nil); errors.As(err, &refused) && !tp.p.cut {
		tp.failed = fmt.Errorf("topic %s: %w", name, err)
		return false
	}
	tp.unknown++
	tp.doubtful, tp.doubt = name, doubt
	return false
}

// check compares what the broker has with what was acknowledged.
func (tp *topics) check(t *testing.T) {
	t.Helper()
	if tp.failed != nil {
		t.Fatal(tp.failed)
	}
	now := tp.read(t)
	if tp.doubt != nil {
		tp.doubt(now[tp.doubtful])
		tp.doubt = nil
	}
	for name, want := range tp.live {
		if got := now[name]; got == nil {
			t.Errorf("topic %s is not there", name)
		} else if *got != *want {
			t.Errorf("topic %s is %+v, want %+v", name, *got, *want)
		}
		delete(now, name)
	}
	for name, got := range now {
		t.Errorf("topic %s is there, %+v, and was deleted or never made", name, *got)
	}
}

// read asks the broker for all of our topics.
func (tp *topics) read(t *testing.T) map[string]*topicState {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	all, err := tp.admin.ListTopics(ctx)
	if err != nil {
		t.Fatalf("list topics: %v", err)
	}
	now, names := map[string]*topicState{}, []string{}
	for name, detail := range all {
		if strings.HasPrefix(name, tp.prefix) {
			now[name] = &topicState{id: detail.ID, partitions: len(detail.Partitions)}
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return now
	}
	configs, err := tp.admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		t.Fatalf("describe topics: %v", err)
	}
	for _, of := range configs {
		for _, c := range of.Configs {
			if c.Key == "retention.ms" {
				now[of.Name].retention, _ = strconv.ParseInt(c.MaybeValue(), 10, 64)
			}
		}
	}
	ends, err := tp.admin.ListEndOffsets(ctx, names...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("list ends: %v", err)
	}
	from, left := map[string]map[int32]kgo.Offset{}, 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Partition != 0 && o.Offset != 0 {
			t.Errorf("%s-%d ends at offset %d", o.Topic, o.Partition, o.Offset)
		}
		if o.Partition == 0 && o.Offset > 0 {
			from[o.Topic] = map[int32]kgo.Offset{o.Partition: kgo.NewOffset().AtStart()}
			left += int(o.Offset)
		}
	})
	cl, err := kgo.NewClient(append((&workers{addr: tp.p.addr}).options(), kgo.ConsumePartitions(from))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d records of topics cannot be read: %v", left, fetches.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			topic := now[r.Topic]
			if string(r.Value) != topic.id.String() || r.Offset != int64(topic.records) {
				t.Errorf("%s has record %q at offset %d after %d records", r.Topic, r.Value, r.Offset, topic.records)
			}
			topic.records++
			left--
		})
	}
	return now
}

// remove deletes topics that are not among those that are checked.
func (tp *topics) remove(names ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	resp, err := tp.admin.DeleteTopics(ctx, names...)
	if err == nil {
		err = resp.Error()
	}
	return err
}

// checkFolders waits until deleted topics have no folder any more, but for what a start set aside: it found a folder and no topic. Of the
// topics of records others are there.
func (tp *topics) checkFolders(t *testing.T, others ...string) {
	t.Helper()
	want := map[string]bool{}
	for name, topic := range tp.live {
		for part := range topic.partitions {
			want[fmt.Sprintf("%s-%d", name, part)] = true
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(50 * time.Millisecond) {
		var left []string
		for _, dir := range tp.p.dirs {
			for _, mine := range []string{tp.prefix, "crash-idempotent-", "crash-plain-"} {
				folders, err := filepath.Glob(filepath.Join(dir, mine+"*"))
				if err != nil {
					t.Fatal(err)
				}
				for _, folder := range folders {
					if name := filepath.Base(folder); !want[name] && !strings.HasSuffix(name, "-stray") && !slices.Contains(others, name[:strings.LastIndexByte(name, '-')]) {
						left = append(left, name)
					}
				}
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("folders of deleted topics are left: %v", left)
			return
		}
	}
}
