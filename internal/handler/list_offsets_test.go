package handler

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAskedFor lets requests name partitions in order, out of order, twice in a topic and in two topics of one name.
func TestAskedFor(t *testing.T) {
	topic := func(name string, partitions ...int32) kmsg.ListOffsetsRequestTopic {
		t := kmsg.ListOffsetsRequestTopic{Topic: name}
		for _, p := range partitions {
			t.Partitions = append(t.Partitions, kmsg.ListOffsetsRequestTopicPartition{Partition: p})
		}
		return t
	}
	for name, test := range map[string]struct {
		topics []kmsg.ListOffsetsRequestTopic
		want   []int8 // in the order of the request
	}{
		"in order":                       {[]kmsg.ListOffsetsRequestTopic{topic("a", -1, 0, 2), topic("b", 0, 2)}, []int8{1, 1, 1, 1, 1}},
		"out of order":                   {[]kmsg.ListOffsetsRequestTopic{topic("a", 2, 0), topic("b", 2)}, []int8{1, 1, 1}},
		"twice":                          {[]kmsg.ListOffsetsRequestTopic{topic("a", 1, 1, 3), topic("b", 1)}, []int8{2, answered, 1, 1}},
		"far apart":                      {[]kmsg.ListOffsetsRequestTopic{topic("a", 1, 3, 1, 1)}, []int8{2, 1, answered, answered}},
		"the topic twice":                {[]kmsg.ListOffsetsRequestTopic{topic("a", 1, 2), topic("b", 1), topic("a", 2, 3)}, []int8{1, 2, 1, answered, 1}},
		"below zero":                     {[]kmsg.ListOffsetsRequestTopic{topic("a", -1, 1), topic("b"), topic("b", -1, -1)}, []int8{1, 1, 2, answered}},
		"more often than an int8 counts": {[]kmsg.ListOffsetsRequestTopic{topic("a", make([]int32, 300)...)}, append([]int8{2}, slices.Repeat([]int8{answered}, 299)...)},
	} {
		asked := askedFor(test.topics, 0)
		var got []int8
		for i, topic := range test.topics {
			for _, p := range topic.Partitions {
				got = append(got, asked.times(i, p.Partition))
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
