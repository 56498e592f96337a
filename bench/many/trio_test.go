package main

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/moldau/moldau/bench/node"
)

// TestJudgesSeeOnePartition lets one partition of three differ from what is waited for.
func TestJudgesSeeOnePartition(t *testing.T) {
	three := &trio{options: options{replicated: 3}, conns: make([]*node.Conn, 3)}
	answer := func(last kmsg.MetadataResponseTopicPartition) *kmsg.MetadataResponse {
		good := kmsg.MetadataResponseTopicPartition{Leader: 2, Replicas: []int32{2, 3, 1}, ISR: []int32{2, 3, 1}}
		return &kmsg.MetadataResponse{Topics: []kmsg.MetadataResponseTopic{{Partitions: []kmsg.MetadataResponseTopicPartition{good, good, last}}}}
	}
	all := []int32{2, 3, 1}
	for _, c := range []struct {
		what                   string
		last                   kmsg.MetadataResponseTopicPartition
		inSync, preferred, led bool // the last without broker 1, which is index 0
	}{
		{"all as it should be", kmsg.MetadataResponseTopicPartition{Leader: 2, Replicas: all, ISR: all}, true, true, true},
		{"one replica out of sync", kmsg.MetadataResponseTopicPartition{Leader: 2, Replicas: all, ISR: all[:2]}, false, true, true},
		{"led by another", kmsg.MetadataResponseTopicPartition{Leader: 3, Replicas: all, ISR: all}, true, false, true},
		{"led by the dead one", kmsg.MetadataResponseTopicPartition{Leader: 1, Replicas: all, ISR: all}, true, false, false},
		{"led by nobody", kmsg.MetadataResponseTopicPartition{ErrorCode: kerr.LeaderNotAvailable.Code, Leader: -1, Replicas: all, ISR: all}, false, false, false},
	} {
		m := answer(c.last)
		if got := three.inSync(m); got != c.inSync {
			t.Errorf("%s: in sync: %v, want %v", c.what, got, c.inSync)
		}
		if got := three.preferredLead(m); got != c.preferred {
			t.Errorf("%s: the preferred lead: %v, want %v", c.what, got, c.preferred)
		}
		if got := three.ledWithout(0)(m); got != c.led {
			t.Errorf("%s: led by the living: %v, want %v", c.what, got, c.led)
		}
	}
	m := answer(kmsg.MetadataResponseTopicPartition{Leader: 2, Replicas: all, ISR: all})
	m.Topics[0].Partitions = m.Topics[0].Partitions[:2]
	if three.inSync(m) || three.preferredLead(m) || three.ledWithout(0)(m) {
		t.Error("a partition is missing, and nobody minds")
	}
}
