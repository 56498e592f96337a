package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// inSync waits until every broker says of every partition that all its replicas are in sync, and returns how long that took since a moment.
func (c *cluster) inSync(since time.Time, bound time.Duration) (time.Duration, bool) {
	for {
		var wrong []string
		for _, n := range c.nodes {
			wrong = append(wrong, n.outOfSync(since.Add(bound))...)
		}
		if len(wrong) == 0 {
			return time.Since(since), true
		}
		if time.Since(since) > bound {
			for _, line := range wrong {
				c.found.add(unsynced, "%v after the last heal %s", time.Since(since).Round(time.Millisecond), line)
			}
			return time.Since(since), false
		}
		<-time.After(50 * time.Millisecond)
	}
}

// outOfSync is what is wrong with partitions, as one broker sees it.
func (n *node) outOfSync(end time.Time) (wrong []string) {
	say := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("broker %d says: %s", n.id, fmt.Sprintf(format, args...)))
	}
	ctx, cancel := context.WithDeadline(context.Background(), latest(end, time.Now().Add(2*time.Second)))
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.addr), kgo.RequestRetries(0), kgo.DialTimeout(time.Second))
	if err != nil {
		say("%v", err)
		return wrong
	}
	defer cl.Close()
	metadata, err := ask(ctx, cl, kmsg.NewPtrMetadataRequest()) // without topics: of all
	if err != nil {
		say("nothing of its metadata: %v", err)
		return wrong
	}
	if len(metadata.(*kmsg.MetadataResponse).Brokers) != brokers {
		say("%d brokers", len(metadata.(*kmsg.MetadataResponse).Brokers))
	}
	describe := kmsg.NewPtrDescribeTopicPartitionsRequest()
	for _, topic := range metadata.(*kmsg.MetadataResponse).Topics {
		t := kmsg.NewDescribeTopicPartitionsRequestTopic()
		t.Topic = *topic.Topic
		describe.Topics = append(describe.Topics, t)
		for _, p := range topic.Partitions {
			if p.ErrorCode != 0 || p.Leader < 0 || len(p.Replicas) != brokers || len(p.ISR) != brokers || len(p.OfflineReplicas) != 0 {
				say("%s-%d has leader %d, replicas %v, in sync %v, offline %v, error %v", *topic.Topic, p.Partition, p.Leader, p.Replicas, p.ISR, p.OfflineReplicas, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	}
	if len(describe.Topics) == 0 {
		say("no topics")
		return wrong
	}
	described, err := ask(ctx, cl, describe)
	if err != nil {
		say("nothing of the partitions: %v", err)
		return wrong
	}
	for _, topic := range described.(*kmsg.DescribeTopicPartitionsResponse).Topics {
		for _, p := range topic.Partitions {
			if p.ErrorCode != 0 || len(p.ISR) != brokers || len(p.EligibleLeaderReplicas) != 0 {
				say("%s-%d has in sync %v, eligible %v, error %v", *topic.Topic, p.Partition, p.ISR, p.EligibleLeaderReplicas, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	}
	return wrong
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ask sends a request to the one broker that a client knows of.
func ask(ctx context.Context, cl *kgo.Client, req kmsg.Request) (kmsg.Response, error) {
	return cl.SeedBrokers()[0].Request(ctx, req)
}

// committed are the high watermarks of the topics, while nothing is produced.
func (c *cluster) committed(topics ...string) (kadm.ListedOffsets, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.addresses()...))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	return ends, err
}

// compareReplicas compares what the brokers, which are stopped, have on their disks of the topics below the high watermarks. It is
// the one thing here that no client can see: consumers are led to one replica. The files have Apache Kafka's format.
func (c *cluster) compareReplicas(check *checker, ends kadm.ListedOffsets) {
	ends.Each(func(end kadm.ListedOffset) {
		name := fmt.Sprintf("%s-%d", end.Topic, end.Partition)
		var all []replica
		for _, n := range c.nodes {
			r, err := n.readReplica(name)
			if err != nil {
				check.add(different, "%s of broker %d: %v", name, n.id, err)
				return
			}
			all = append(all, r)
		}
		check.same(name, end.Offset, all)
	})
}

// readReplica reads the files of a partition, batch by batch.
func (n *node) readReplica(name string) (replica, error) {
	r := replica{broker: n.id}
	segments, err := filepath.Glob(filepath.Join(n.data, name, "*.log")) // sorted by first offset
	if err != nil {
		return r, err
	}
	for _, segment := range segments {
		b, err := os.ReadFile(segment)
		if err != nil {
			return r, err
		}
		for at := 0; at < len(b); {
			if len(b)-at < 61 {
				return r, fmt.Errorf("%s ends within a batch", segment)
			}
			size := 12 + int(binary.BigEndian.Uint32(b[at+8:]))
			if size < 61 || size > len(b)-at {
				return r, fmt.Errorf("%s has a batch of %d bytes at byte %d of %d", segment, size, at, len(b))
			}
			r.sums = append(r.sums, sum{int64(binary.BigEndian.Uint64(b[at:])), sha256.Sum256(b[at : at+size])})
			at += size
		}
	}
	return r, nil
}

// list is words with commas between.
func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
