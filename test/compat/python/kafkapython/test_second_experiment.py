"""Two consumers of one group on a topic of two partitions: one leaves, one is killed, one is frozen."""

import subprocess
import sys
import tempfile
import unittest

from kafka import KafkaConsumer, TopicPartition
from programs import program, records, run
from support import BOOTSTRAP, SESSION, Stage, eventually, report, unique


class SecondExperiment(unittest.TestCase):
    def setUp(self):
        self.topic, self.group = unique("second"), unique("second")
        run("producer.py", self.topic, "--partitions", "2", "--key", "alice", "carol", "--count", "2")
        self.stage = Stage(self)

    def produce(self):
        """Starts a producer that goes on until the test stops it."""
        self.printed = tempfile.TemporaryFile("w+")
        self.addCleanup(self.printed.close)
        command = program("producer.py", self.topic, "--key", "alice", "carol", "--count", "1000000", "--every", "0.05")
        self.producer = subprocess.Popen([sys.executable, *command], stdout=self.printed)
        self.addCleanup(self.stop_producing)

    def stop_producing(self):
        """Ends the producer and returns (partition, offset) of all that was acknowledged."""
        self.producer.terminate()
        self.producer.wait()
        self.printed.seek(0)
        return {(p, o) for p, o, _, _ in records(self.printed.read())} | {(0, 0), (1, 0)}

    def start(self, name, *args):
        self.stage.start(name, *program("group_consumer.py", self.topic, "--group", self.group, "--session", str(SESSION), "--name", name, *args))

    def committed(self, partition):
        consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=self.group, enable_auto_commit=False)
        try:
            return consumer.committed(TopicPartition(self.topic, partition))
        finally:
            consumer.close()

    def test_failover(self):
        stage = self.stage
        self.produce()

        self.start("A", "--commit", "each")
        stage.share(A=2)
        stage.flows("A")
        report("one consumer reads both partitions")

        self.start("B", "--commit", "each")
        stage.share(A=1, B=1)
        stage.flows("A"), stage.flows("B")
        report("a second one joins: each reads one partition")

        stage.leave("B")
        took = stage.share(A=2)
        stage.flows("A")
        report(f"the second leaves: the first reads both {took:.1f} s later")
        self.assertLess(took, SESSION, "a consumer that leaves is not waited for")

        self.start("B", "--commit", "each")
        stage.share(A=1, B=1)
        stage.flows("B")
        stage.kill("B")
        took = stage.share(A=2)
        stage.flows("A")
        report(f"the second is killed: the first reads both {took:.1f} s later")

        # It works on each record for a while, so that it is frozen after it showed one and before it commits that.
        self.start("B", "--commit", "each", "--work", "2")  # long enough to be frozen in, on a busy machine too
        stage.share(A=1, B=1)
        stage.flows("B")
        stage.freeze("B")
        mine = next(iter(stage.reads["B"]))
        took = stage.share(A=2)
        stage.flows("A")
        report(f"the second is frozen: the first reads both {took:.1f} s later")
        before, said = self.committed(mine), len(stage.lines)
        stage.wake("B")
        stage.says("B", "commit refused", since=said)
        self.assertGreaterEqual(self.committed(mine), before, "a refused commit has no effect")
        stage.says("B", "reads partition", since=said)
        stage.share(A=1, B=1)
        report(f"it wakes: it shows {len(stage.stale)} records that it had fetched, its commit is refused, it joins again")

        sent = self.stop_producing()
        stage.leave("B")
        stage.share(A=2)
        stage.wait("every record is shown", lambda: sent <= {(s.partition, s.offset) for s in stage.shown})
        self.assertLessEqual(stage.repeats(), 4, "one for each consumer that went without its last commit")
        report(f"{len(sent)} records: each was shown, {stage.repeats()} twice, each partition had one reader at a time")
        stage.leave("A")

    def test_freeze_with_automatic_commits(self):
        stage = self.stage
        self.produce()
        self.start("A", "--commit", "auto")
        self.start("B", "--commit", "auto")
        stage.share(A=1, B=1)
        stage.flows("A"), stage.flows("B")
        stage.freeze("B")
        mine = next(iter(stage.reads["B"]))
        stage.share(A=2)
        stage.flows("A", 5)
        before = eventually("a commit for the partition that was taken over", lambda: self.committed(mine))
        said = len(stage.lines)
        stage.wake("B")
        stage.says("B", "reads partition", since=said)
        self.assertGreaterEqual(self.committed(mine), before, "what it had not committed before has no effect")
        stage.share(A=1, B=1)
        sent = self.stop_producing()
        stage.wait("every record is shown", lambda: sent <= {(s.partition, s.offset) for s in stage.shown})
        report(f"{len(sent)} records: each was shown, {stage.repeats()} more than once, {len(stage.stale)} by the one that woke")
        stage.leave("A")
        stage.leave("B")

    def test_both_start_at_once(self):
        self.start("A")
        self.start("B")
        self.stage.share(A=1, B=1)
        self.start("C")
        self.stage.says("C", "reads no partition")
        self.stage.wait("two of three read", lambda: sorted(len(self.stage.reads[name]) for name in "ABC") == [0, 1, 1])
        report("of three consumers one reads nothing, as there are two partitions")
        for name in "ABC":
            self.stage.leave(name)

    def test_consumer_needs_a_topic(self):
        command = program("group_consumer.py", "no-such-topic-" + self.topic, "--group", self.group)
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("start producer.py first", done.stderr)
