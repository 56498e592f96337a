package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// moving is one directory of an AlterReplicaLogDirs request, with partitions of one topic.
type moving struct {
	dir        string
	topic      string
	partitions []int32
}

func moveTo(dir, topic string, partitions ...int32) moving { return moving{dir, topic, partitions} }

func alterReplicaLogDirs(v int16, moves ...moving) *kmsg.AlterReplicaLogDirsRequest {
	req := kmsg.NewPtrAlterReplicaLogDirsRequest()
	req.Version = v
	for _, m := range moves {
		i := slices.IndexFunc(req.Dirs, func(d kmsg.AlterReplicaLogDirsRequestDir) bool { return d.Dir == m.dir })
		if i < 0 {
			i = len(req.Dirs)
			req.Dirs = append(req.Dirs, kmsg.AlterReplicaLogDirsRequestDir{Dir: m.dir})
		}
		req.Dirs[i].Topics = append(req.Dirs[i].Topics, kmsg.AlterReplicaLogDirsRequestDirTopic{Topic: m.topic, Partitions: m.partitions})
	}
	return req
}

// dirs learns the two data directories of the broker, in the order of their names.
func (s *Script) dirs() (one, two string) {
	resp := s.quiet(describeLogDirs(4, "")).(*kmsg.DescribeLogDirsResponse)
	var all []string
	for _, d := range resp.Dirs {
		all = append(all, d.Dir)
	}
	if len(all) != 2 {
		panic(fmt.Sprintf("the broker has the directories %v", all))
	}
	slices.Sort(all)
	s.norm.dirs = map[string]string{all[0]: "<one>", all[1]: "<two>", all[0] + "/": "<one>/", strings.TrimPrefix(all[0], "/"): "<one without a slash>"}
	return all[0], all[1]
}

// awaitIn waits until a replica lies in a directory and no copy of it is made.
func (s *Script) awaitIn(dir string, t Topic, partition int32) {
	for {
		resp := s.quiet(describeLogDirs(4, t.Name, partition)).(*kmsg.DescribeLogDirsResponse)
		at, copies := "", false
		for _, d := range resp.Dirs {
			for _, dt := range d.Topics {
				for _, p := range dt.Partitions {
					if copies = copies || p.IsFuture; !p.IsFuture {
						at = d.Dir
					}
				}
			}
		}
		if at == dir && !copies {
			return
		}
		s.later(fmt.Sprintf("%s-%d in %s", t.Name, partition, dir))
	}
}

// topicIn makes a topic whose partitions lie in a directory.
func (s *Script) topicIn(dir, name string, partitions int32) Topic {
	t := s.Topic(name, partitions)
	for p := range partitions {
		s.quiet(alterReplicaLogDirs(2, moveTo(dir, t.Name, p)))
		s.awaitIn(dir, t, p)
	}
	return t
}

func alterReplicaLogDirsCases(v int16) *suite {
	s := newSuite(keyAlterReplicaLogDirs, v)
	s.add(Ordinary, "", func(x *Script) {
		one, two := x.dirs()
		t := x.topicIn(one, "a", 2)
		x.put(t, 0, many(3)...)
		x.put(t, 1, "x")
		x.Do(describeLogDirs(5, t.Name, 0, 1))
		x.Do(alterReplicaLogDirs(v, moveTo(two, t.Name, 0)))
		x.awaitIn(two, t, 0)
		x.Do(describeLogDirs(5, t.Name, 0, 1))
		x.put(t, 0, many(2)...)
		x.Do(alterReplicaLogDirs(v, moveTo(two, t.Name, 0))) // it is there
		x.Do(fetch(13, from(t, 0, 0)))
		x.Do(alterReplicaLogDirs(v, moveTo(one, t.Name, 0), moveTo(two, t.Name, 1)))
		x.awaitIn(one, t, 0)
		x.awaitIn(two, t, 1)
		x.Do(describeLogDirs(5, t.Name, 0, 1))
		x.Do(fetch(13, from(t, 0, 2), from(t, 1, 0)))
		x.Do(listOffsets(7, t.Name, 0, -1))
	})
	s.add(Boundary, "", func(x *Script) {
		one, two := x.dirs()
		a, b := x.topicIn(one, "a", 3), x.topicIn(one, "b", 1)
		x.Do(alterReplicaLogDirs(v))
		x.Do(alterReplicaLogDirs(v, moveTo(two, a.Name)))
		none := alterReplicaLogDirs(v)
		none.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: two}}
		x.Do(none)
		x.Do(alterReplicaLogDirs(v, moveTo(two, a.Name, 0, 0, 1), moveTo(two, b.Name, 0), moveTo(two, a.Name, 1, 2)))
		for p := range int32(3) {
			x.awaitIn(two, a, p)
		}
		x.awaitIn(two, b, 0)
		x.Do(describeLogDirs(5, a.Name, 0, 1, 2))
		x.Do(alterReplicaLogDirs(v, moveTo(one, a.Name, 0), moveTo(two, a.Name, 0))) // the last counts
		x.awaitIn(two, a, 0)
		x.put(a, 1, many(4)...)
		x.quiet(deleteRecords(2, a.Name, 1, 2))
		x.Do(alterReplicaLogDirs(v, moveTo(one, a.Name, 1)))
		x.awaitIn(one, a, 1)
		x.Do(listOffsets(7, a.Name, 1, -2))
		x.Do(fetch(13, from(a, 1, 1)))
		x.Do(fetch(13, from(a, 1, 3)))
	})
	s.add(Wrong, "", func(x *Script) {
		one, two := x.dirs()
		t := x.topicIn(one, "a", 1)
		for about, dir := range inOrder("unknown", "/no/such/directory", "empty", "", "relative", "one", "with a slash behind", one+"/", "without one before", strings.TrimPrefix(one, "/")) {
			x.Note(about)
			x.Do(alterReplicaLogDirs(v, moveTo(dir, t.Name, 0)))
			x.Note(about + ", unknown topic")
			x.Do(alterReplicaLogDirs(v, moveTo(dir, x.missing().Name, 0)))
		}
		x.Note("unknown topic")
		x.Do(alterReplicaLogDirs(v, moveTo(two, x.missing().Name, 0)))
		x.Note("unknown partitions")
		x.Do(alterReplicaLogDirs(v, moveTo(two, t.Name, 1, -1, 1<<30)))
		x.Note("no name")
		x.Do(alterReplicaLogDirs(v, moveTo(two, "", 0)))
		x.Note("an illegal name")
		x.Do(alterReplicaLogDirs(v, moveTo(two, "a b", 0)))
		for _, n := range []int{212, 213, 249, 300} {
			x.Note(fmt.Sprintf("a name of %d characters", n))
			x.Do(alterReplicaLogDirs(v, moveTo(two, strings.Repeat("x", n), 0), moveTo(two, t.Name, 0)))
			x.awaitIn(two, t, 0)
			x.quiet(alterReplicaLogDirs(v, moveTo(one, t.Name, 0)))
			x.awaitIn(one, t, 0)
		}
		x.Note("a long name and no directory")
		x.Do(alterReplicaLogDirs(v, moveTo("/no/such/directory", strings.Repeat("x", 249), 0)))
	})
	s.malformed(func(*Script) kmsg.Request {
		return alterReplicaLogDirs(v, moveTo("/no/such/directory", absentTopic.Name, 0))
	})
	return s
}

// inOrder yields pairs of strings.
func inOrder(pairs ...string) func(yield func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if !yield(pairs[i], pairs[i+1]) {
				return
			}
		}
	}
}
