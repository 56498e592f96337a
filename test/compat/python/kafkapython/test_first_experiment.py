"""The programs of examples/python, run as a reader runs them: the first experiment."""

import collections
import subprocess
import sys
import unittest

from programs import program, run
from support import unique


class FirstExperiment(unittest.TestCase):
    def setUp(self):
        self.topic = unique("first")

    def test_keyed_records_stay_in_one_partition(self):
        where = collections.defaultdict(set)
        for _ in range(2):
            for partition, _, key, _ in run("producer.py", self.topic, "--key", "alice", "ben", "carol", "--count", "9"):
                where[key].add(partition)
        self.assertEqual(where, {"alice": {0}, "ben": {1}, "carol": {2}})

    def test_unkeyed_records_spread(self):
        sent = run("producer.py", self.topic, "--count", "60")
        self.assertEqual({partition for partition, _, _, _ in sent}, {0, 1, 2})

    def test_offsets_count_up_in_each_partition(self):
        next_offset = collections.Counter()
        for partition, offset, _, _ in run("producer.py", self.topic, "--count", "30"):
            self.assertEqual(offset, next_offset[partition])
            next_offset[partition] += 1

    def test_consumer_reads_what_was_produced(self):
        sent = run("producer.py", self.topic, "--key", "alice", "ben", "--count", "20")
        got = run("consumer.py", self.topic, "--count", "20")
        self.assertEqual(sorted(got), sorted(sent))

    def test_consumer_starts_at_any_offset(self):
        sent = run("producer.py", self.topic, "--key", "ben", "--count", "10")
        for offset in range(10):
            got = run("consumer.py", self.topic, "--partition", "1", "--offset", str(offset), "--count", str(10 - offset))
            self.assertEqual(got, sent[offset:])

    def test_consumer_waits_for_new_records(self):
        run("producer.py", self.topic, "--count", "5")
        consumer = subprocess.Popen([sys.executable, *program("consumer.py", self.topic, "--offset", "latest", "--count", "3")], stdout=subprocess.PIPE, text=True)
        with consumer:
            self.assertRegex(consumer.stdout.readline(), "^reading partition 0 from offset")
            sent = run("producer.py", self.topic, "--count", "3", "--key", "carol")
            got = [consumer.stdout.readline().strip() for _ in range(3)]
            self.assertEqual(got, [f"partition {p} offset {o} key {k} value {v}" for p, o, k, v in sent])
        self.assertEqual(consumer.returncode, 0)

    def test_consumer_needs_a_topic(self):
        done = subprocess.run([sys.executable, *program("consumer.py", "no-such-topic-" + self.topic, "--count", "1")], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("start producer.py first", done.stderr)
