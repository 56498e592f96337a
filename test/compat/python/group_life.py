"""The life of a consumer group, the same for each client: join, leave, kill, freeze, restart, static members."""

import os
import unittest

from support import SESSION, Stage, report, unique

PARTITIONS = 4


class GroupLife(unittest.TestCase):
    """A suite's class derives from it and gives the program of a member and two calls of its client.

    A member says what examples/python/group_consumer.py says, and commits after each record.
    """

    member = None  # path of the program

    def create(self, topic, partitions):
        raise NotImplementedError

    def produce(self, topic, partition, values):
        raise NotImplementedError

    def setUp(self):
        self.topic, self.group, self.sent = unique("life"), unique("life"), {}
        self.create(self.topic, PARTITIONS)
        self.stage = Stage(self)

    def start(self, name, **options):
        options = {"topic": self.topic, "group": self.group, "name": name, "session": SESSION, **options}
        self.stage.start(name, os.path.join(os.getcwd(), self.member), *(f"--{k}={v}" for k, v in options.items()))

    def more(self, count=5):
        """Sends so many records to each partition and waits until every record sent so far was shown."""
        for partition in range(PARTITIONS):
            begin = self.sent.get(partition, 0)
            self.produce(self.topic, partition, [b"record %d" % n for n in range(begin, begin + count)])
            self.sent[partition] = begin + count
        wanted = {(p, o) for p, end in self.sent.items() for o in range(end)}
        self.stage.wait("every record is shown", lambda: wanted <= {(s.partition, s.offset) for s in self.stage.shown})

    def changes(self, name, since=0):
        """What the consumer said about its partitions."""
        return [line for line in self.stage.lines[since:] if f" {name}: reads" in line or f" {name}: gives up" in line]

    def pair(self, **options):
        self.start("A", **options)
        self.stage.share(A=PARTITIONS)
        self.start("B", **options)
        self.stage.share(A=2, B=2)

    def test_join_leave_kill(self):
        stage = self.stage
        self.pair()
        self.more()
        report("a second consumer joins: each reads two of four partitions")
        stage.leave("B")
        took = stage.share(A=4)
        self.assertLess(took, SESSION)
        self.more()
        report(f"it leaves: the first reads all {took:.1f} s later")
        self.start("B")
        stage.share(A=2, B=2)
        self.more()
        stage.kill("B")
        took = stage.share(A=4)
        self.more()
        report(f"it is killed: the first reads all {took:.1f} s later")
        self.assertLessEqual(stage.repeats(), 2, "one for each partition of the consumer that was killed")
        stage.leave("A")

    def test_freeze(self):
        stage = self.stage
        self.start("A")
        stage.share(A=4)
        self.start("B", work=3)  # long enough to be frozen in, on a busy machine too
        stage.share(A=2, B=2)
        begin = len(stage.shown)
        for partition in range(PARTITIONS):
            self.produce(self.topic, partition, [b"record"])
        stage.wait("B shows a record", lambda: any(s.name == "B" for s in stage.shown[begin:]))
        stage.freeze("B")  # before it commits that
        took = stage.share(A=4)
        self.sent = {p: 1 for p in range(PARTITIONS)}
        self.more()
        said = len(stage.lines)
        stage.wake("B")
        stage.says("B", "commit refused", since=said)
        stage.says("B", "reads partition", since=said)
        stage.share(A=2, B=2)
        self.more(2)
        report(f"it is frozen: the first reads all {took:.1f} s later; it wakes: its commit is refused, it joins again")

    def test_restart_goes_on_at_the_commit(self):
        for _ in range(3):
            self.start("A")
            self.stage.share(A=4)
            self.more()
            self.stage.leave("A")
        self.assertEqual(self.stage.repeats(), 0)
        report("three times restarted, it goes on at its commit")

    def test_static_member_restarts_without_a_rebalance(self):
        stage = self.stage
        self.start("A", instance="a", session=30)
        stage.share(A=4)
        self.start("B", instance="b", session=30)
        stage.share(A=2, B=2)
        self.more()
        said, mine = len(stage.lines), set(stage.reads["B"])
        stage.leave("B")
        self.start("B", instance="b", session=30)
        stage.share(A=2, B=2)
        self.more()
        stage.kill("B")
        self.start("B", instance="b", session=30)
        stage.share(A=2, B=2)
        self.more()
        self.assertEqual(stage.reads["B"], mine)
        self.assertEqual(self.changes("A", said), [], f"the other does not notice\n{stage}")
        report("a static member is closed, started, killed and started: it has its partitions again, the other does not notice")
