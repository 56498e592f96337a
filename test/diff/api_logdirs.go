package diff

import "github.com/twmb/franz-go/pkg/kmsg"

// describeLogDirs asks for partitions of a topic, or for everything where none is named.
func describeLogDirs(v int16, topic string, partitions ...int32) *kmsg.DescribeLogDirsRequest {
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version = v
	if topic != "" {
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: topic, Partitions: partitions}}
	}
	return req
}

func describeLogDirsCases(v int16) *suite {
	s := newSuite(keyDescribeLogDirs, v)
	s.add(Ordinary, "", func(x *Script) {
		t := x.Topic("a", 3)
		x.Do(describeLogDirs(v, t.Name, 0, 1, 2)) // nothing written yet
		x.quiet(produce(9, -1, on(t, 1, of(many(3)...))))
		x.Do(describeLogDirs(v, t.Name, 0, 1, 2))
		x.quiet(produce(9, -1, on(t, 1, of(many(3)...))))
		x.quiet(produce(9, -1, on(t, 2, of("x"))))
		x.Do(describeLogDirs(v, t.Name, 1, 2))
	})
	s.add(Boundary, "", func(x *Script) {
		a, b := x.Topic("a", 2), x.Topic("b", 1)
		x.quiet(produce(9, -1, on(a, 0, of(many(3)...))))
		x.Do(describeLogDirs(v, "")) // all
		none := describeLogDirs(v, "")
		none.Topics = []kmsg.DescribeLogDirsRequestTopic{}
		x.Do(none)
		x.Do(describeLogDirs(v, a.Name)) // no partition of it
		x.Do(describeLogDirs(v, a.Name, 0, 0, 1))
		twice := describeLogDirs(v, b.Name, 0)
		twice.Topics = append(twice.Topics, kmsg.DescribeLogDirsRequestTopic{Topic: a.Name, Partitions: []int32{0}},
			kmsg.DescribeLogDirsRequestTopic{Topic: a.Name, Partitions: []int32{1, 0}})
		x.Do(twice)
		x.quiet(deleteRecords(2, a.Name, 0, -1))
		x.Do(describeLogDirs(v, a.Name, 0))
	})
	s.add(Wrong, "", func(x *Script) {
		t := x.Topic("a", 1)
		x.Do(describeLogDirs(v, x.missing().Name, 0))
		x.Do(describeLogDirs(v, t.Name, 1, -1, 1<<30))
		x.Do(describeLogDirs(v, t.Name, -1, 0))
		unnamed := describeLogDirs(v, t.Name, 0)
		unnamed.Topics[0].Topic = ""
		x.Do(unnamed)
	})
	s.malformed(func(*Script) kmsg.Request { return describeLogDirs(v, absentTopic.Name, 0) })
	return s
}
