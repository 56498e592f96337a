package diff

// moveSequence is a sequence on the broker with two data directories.
func moveSequence(name string, run func(*Script)) Case {
	c := sequence("move-"+name, run)
	c.Broker, c.Alone = dirsBroker, true
	return c
}

// hold limits moves to next to nothing, so that copies stay unfinished; release takes that back.
func (s *Script) hold() {
	s.quiet(alterConfigs(1, resourceBroker, "1", alter(opSet, "replica.alter.log.dirs.io.max.bytes.per.second=1")))
	s.Settle()
}

func (s *Script) release() {
	s.quiet(alterConfigs(1, resourceBroker, "1", alter(opDelete, "replica.alter.log.dirs.io.max.bytes.per.second")))
	s.Settle()
}

// heavy writes some MiB to a partition.
func (s *Script) heavy(t Topic, partition int32) {
	value := make([]byte, 700_000)
	for i := range value {
		value[i] = byte('a' + i%25)
	}
	for range 6 {
		s.put(t, partition, string(value))
	}
}

func moveSequences() []Case {
	return []Case{
		moveSequence("copies", func(x *Script) {
			one, two := x.dirs()
			x.norm.copies = true
			t := x.topicIn(one, "a", 2)
			x.heavy(t, 0)
			x.hold()
			x.Do(alterReplicaLogDirs(2, moveTo(two, t.Name, 0)))
			for v := int16(1); v <= 5; v++ {
				x.Do(describeLogDirs(v, t.Name, 0, 1))
			}
			x.Do(alterReplicaLogDirs(2, moveTo(two, t.Name, 0))) // again
			x.put(t, 0, many(2)...)
			x.Do(describeLogDirs(5, t.Name, 0))
			x.Do(alterReplicaLogDirs(2, moveTo(one, t.Name, 0))) // cancelled
			x.awaitIn(one, t, 0)
			x.Do(describeLogDirs(5, t.Name, 0))
			x.Do(alterReplicaLogDirs(1, moveTo(two, t.Name, 0)))
			x.Do(describeLogDirs(5, t.Name, 0))
			x.release()
			x.awaitIn(two, t, 0)
			x.norm.copies = false
			x.Do(describeLogDirs(5, t.Name, 0))
			x.Do(listOffsets(7, t.Name, 0, -1))
			x.Do(fetch(13, from(t, 0, 6)))
		}),
		moveSequence("deleted-topic", func(x *Script) {
			one, two := x.dirs()
			x.norm.copies = true
			t := x.topicIn(one, "a", 1)
			x.heavy(t, 0)
			x.hold()
			x.Do(alterReplicaLogDirs(2, moveTo(two, t.Name, 0)))
			x.Do(deleteTopics(6, t.Name))
			x.Settle()
			x.Do(describeLogDirs(5, t.Name, 0))
			x.Do(alterReplicaLogDirs(2, moveTo(two, t.Name, 0)))
			x.release()
		}),
		moveSequence("preferred", func(x *Script) {
			one, two := x.dirs()
			name := x.Name("later")
			for _, dir := range []string{two, one, two} {
				x.Do(alterReplicaLogDirs(2, moveTo(dir, name, 0, 1, 2, 3)))
			}
			t := x.Topic("later", 4)
			x.Do(describeLogDirs(5, t.Name, 0, 1, 2, 3))
			x.quiet(deleteTopics(6, t.Name))
			x.Settle()
		}),
		moveSequence("restart", func(x *Script) {
			x.Restarts()
			one, two := x.dirs()
			x.norm.copies = true
			t := x.topicIn(one, "a", 1)
			x.heavy(t, 0)
			x.hold()
			x.Do(alterReplicaLogDirs(2, moveTo(two, t.Name, 0)))
			x.Do(describeLogDirs(5, t.Name, 0))
			x.Restart() // Kafka's limit begins anew with it, so that the copy may be complete by now or not
			x.await(t.Name, 1)
			x.put(t, 0, "after the restart")
			x.release()
			x.awaitIn(two, t, 0)
			x.norm.copies = false
			x.Do(describeLogDirs(5, t.Name, 0))
			x.Do(fetch(13, from(t, 0, 6)))
			x.Restart()
			x.await(t.Name, 1)
			x.Do(describeLogDirs(5, t.Name, 0))
			x.Do(fetch(13, from(t, 0, 6)))
		}),
	}
}
