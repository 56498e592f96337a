"""A consumer that committed goes on where it stopped, one that did not starts again."""

import unittest

from kafka import KafkaConsumer, TopicPartition
from programs import program, run
from support import BOOTSTRAP, SESSION, Stage, eventually, report, unique


class ThirdExperiment(unittest.TestCase):
    def setUp(self):
        self.topic, self.group = unique("third"), unique("third")
        self.sent = run("producer.py", self.topic, "--partitions", "1", "--count", "40")

    def consume(self, *args):
        return run("group_consumer.py", self.topic, "--group", self.group, *args)

    def consumer_to_kill(self, *args):
        stage = Stage(self)
        stage.start("A", *program("group_consumer.py", self.topic, "--group", self.group, "--session", str(SESSION), "--name", "A", *args))
        return stage

    def committed(self):
        consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=self.group, enable_auto_commit=False)
        try:
            return consumer.committed(TopicPartition(self.topic, 0))
        finally:
            consumer.close()

    def test_without_commits_it_starts_again(self):
        for _ in range(3):
            self.assertEqual(self.consume("--commit", "none", "--count", "5"), self.sent[:5])
        self.assertIsNone(self.committed())
        report("without commits, a restarted consumer starts at the same offset")

    def test_with_a_commit_after_each_record_it_goes_on(self):
        for begin in (0, 7, 14):
            self.assertEqual(self.consume("--commit", "each", "--count", "7"), self.sent[begin:begin + 7])
        self.assertEqual(self.committed(), 21)
        self.assertEqual(self.consume("--commit", "none", "--count", "3"), self.sent[21:24])
        self.assertEqual(self.consume("--commit", "none", "--count", "3"), self.sent[21:24])
        report("with a commit after each record, it goes on where it stopped")

    def test_with_automatic_commits_it_goes_on(self):
        for begin in (0, 7, 14):
            self.assertEqual(self.consume("--commit", "auto", "--count", "7"), self.sent[begin:begin + 7])
        self.assertEqual(self.committed(), 21)
        report("with automatic commits, it goes on where it stopped")

    def test_killed_with_a_commit_after_each_record(self):
        stage = self.consumer_to_kill("--commit", "each", "--work", "0.2")
        stage.wait("five records", lambda: len(stage.shown) == 5)
        stage.kill("A")
        got = self.consume("--commit", "each", "--count", "5")
        self.assertIn(got[0][1], (4, 5), "it goes on at the last record shown or after it")
        self.assertEqual(got, self.sent[got[0][1]:got[0][1] + 5])
        report(f"killed after it showed offset 4, it goes on at offset {got[0][1]}")

    def test_killed_with_automatic_commits(self):
        stage = self.consumer_to_kill("--commit", "auto", "--work", "0.2")
        eventually("a commit", self.committed)
        stage.kill("A")
        committed = self.committed()
        self.assertLessEqual(committed, stage.shown[-1].offset + 1, "only what was shown is committed")
        self.assertEqual(self.consume("--commit", "auto", "--count", "5"), self.sent[committed:committed + 5])
        report(f"killed after it showed offset {stage.shown[-1].offset}, it goes on at its last automatic commit, offset {committed}")
