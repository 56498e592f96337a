package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeProducers(v int16, topics ...topicPartitions) *kmsg.DescribeProducersRequest {
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Version = v
	for _, t := range topics {
		rt := kmsg.NewDescribeProducersRequestTopic()
		rt.Topic, rt.Partitions = t.topic, t.partitions
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func describeProducersCases(v int16) *suite {
	s := newSuite(keyDescribeProducers, v)
	s.add(Ordinary, "", func(x *Script) {
		a := x.Topic("a", 2)
		x.Do(describeProducers(v, these(a.Name, 0, 1)))
		x.send("first", a, 2, 7000, 0, 0)
		x.send("first of another", a, 1, 7001, 3, 0)
		x.send("second", a, 3, 7000, 0, 2)
		x.Do(describeProducers(v, these(a.Name, 0, 1)))
		x.send("another epoch", a, 1, 7000, 1, 0)
		x.Do(describeProducers(v, these(a.Name, 0)))
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 1), x.Topic("b", 1)
		x.Do(describeProducers(v))
		x.Do(describeProducers(v, these(a.Name)))
		x.Do(describeProducers(v, these(b.Name, 0), these(a.Name, 0, 0)))
		x.Do(produce(9, -1, on(a, 0, x.recent("no producer"))))
		x.send("the end of the numbers", a, 1, 7000, 0, 1<<31-1)
		x.send("and around", a, 2, 7000, 0, 0)
		x.Do(describeProducers(v, these(a.Name, 0)))
		x.Note("a batch that says it is old")
		x.Do(produce(9, -1, on(b, 0, of("old").by(7001, 0, 0))))
	})
	s.add(Wrong, "", func(x *Script) {
		a := x.Topic("a", 1)
		x.Do(describeProducers(v, these(a.Name, 1, -1)))
		x.Do(describeProducers(v, these(x.missing().Name, 0, 1)))
		x.Do(describeProducers(v, these(x.missing().Name)))
		for _, name := range []string{"", ".", "..", "bad name"} {
			x.Do(describeProducers(v, these(name, 0)))
		}
	})
	s.malformed(func(*Script) kmsg.Request { return describeProducers(v, these(absentTopic.Name, 0)) })
	return s
}

func describePartitions(v int16, limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, names ...string) *kmsg.DescribeTopicPartitionsRequest {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.Version, req.ResponsePartitionLimit, req.Cursor = v, limit, cursor
	for _, name := range names {
		t := kmsg.NewDescribeTopicPartitionsRequestTopic()
		t.Topic = name
		req.Topics = append(req.Topics, t)
	}
	return req
}

func cursor(topic string, partition int32) *kmsg.DescribeTopicPartitionsRequestCursor {
	c := kmsg.NewDescribeTopicPartitionsRequestCursor()
	c.Topic, c.Partition = topic, partition
	return &c
}

func describePartitionsCases(v int16) *suite {
	s := newSuite(keyDescribeTopicPartitions, v)
	s.add(Ordinary, "", func(x *Script) {
		a, b := x.Topic("a", 3), x.Topic("b", 1)
		x.Do(describePartitions(v, 2000, nil, a.Name))
		x.Do(describePartitions(v, 2000, nil, b.Name, a.Name))
	})
	s.add(Boundary, "pages", func(x *Script) {
		a, b, c := x.Topic("a", 3), x.Topic("b", 2), x.Topic("c", 1)
		names := []string{c.Name, b.Name, a.Name}
		for limit := range int32(8) {
			x.Do(describePartitions(v, limit-1, nil, names...))
		}
		x.Do(describePartitions(v, 2, cursor(a.Name, 2), names...))
		x.Do(describePartitions(v, 2, cursor(b.Name, 1), names...))
		x.Do(describePartitions(v, 1, cursor(c.Name, 0), names...))
		x.Do(describePartitions(v, 5, cursor(a.Name, 3), names...))
		x.Do(describePartitions(v, 5, cursor(b.Name, 9), names...))
		x.Do(describePartitions(v, 5000, nil, names...))
		x.Do(describePartitions(v, -1<<31, nil, names...))
	})
	s.add(Boundary, "all", func(x *Script) {
		a, b := x.Topic("a", 3), x.Topic("b", 2)
		x.Topic("c", 1) // whoever comes after it is of another case
		x.Do(describePartitions(v, 5, cursor(a.Name, 0)))
		x.Do(describePartitions(v, 4, cursor(a.Name, 1)))
		x.Do(describePartitions(v, 1, cursor(b.Name, 0)))
		x.Do(describePartitions(v, 2, cursor(x.Name("aa"), 1)))
	})
	s.add(Boundary, "", func(x *Script) {
		a := x.Topic("a", 2)
		x.Do(describePartitions(v, 2000, nil, a.Name, a.Name))
		x.Do(describePartitions(v, 2000, nil, a.Name, x.missing().Name))
		x.Do(describePartitions(v, 2, nil, a.Name, x.missing().Name))
		x.Do(describePartitions(v, 2000, cursor(x.missing().Name, 1), a.Name, x.missing().Name))
	})
	s.add(Wrong, "", func(x *Script) {
		a, b := x.Topic("a", 1), x.Topic("b", 1)
		for _, name := range []string{x.missing().Name, "", ".", "..", "bad name", "bad/name"} {
			if name == "" {
				x.Note("no name")
			}
			x.Do(describePartitions(v, 2000, nil, name))
		}
		x.Do(describePartitions(v, 2000, cursor(b.Name, 0), a.Name))
		x.Do(describePartitions(v, 2000, cursor(a.Name, -1), a.Name))
		x.Do(describePartitions(v, 2000, cursor(a.Name, -1)))
		x.Do(describePartitions(v, 2000, cursor(b.Name, -1), a.Name))
		x.Do(describePartitions(v, 2000, cursor("", 0), a.Name))
	})
	s.malformed(func(*Script) kmsg.Request {
		return describePartitions(v, 2000, cursor(absentTopic.Name, 0), absentTopic.Name)
	})
	return s
}
