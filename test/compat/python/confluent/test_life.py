"""confluent-kafka: a group's life, eager and cooperative."""

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from group_life import GroupLife as Life
from support import BOOTSTRAP, REPLICAS, report

CLIENT = {"bootstrap.servers": BOOTSTRAP, "broker.address.family": "v4"}


class Confluent(Life):
    member = "member.py"

    def create(self, topic, partitions):
        admin = AdminClient(CLIENT)
        admin.create_topics([NewTopic(topic, partitions, REPLICAS)])[topic].result(30)

    def produce(self, topic, partition, values):
        producer = Producer({**CLIENT, "log_level": 0})
        for value in values:
            producer.produce(topic, value, partition=partition)
        self.assertEqual(producer.flush(30), 0)

    def test_cooperative_sticky(self):
        stage = self.stage
        self.pair(strategy="cooperative-sticky")
        self.more()
        given = [change for change in self.changes("A") if "gives up" in change]
        self.assertEqual([len(change.split(", ")) for change in given], [2], f"it gives up two of four\n{stage}")
        said = len(stage.lines)
        stage.kill("B")
        stage.share(A=4)
        self.more()
        self.assertFalse([c for c in self.changes("A", said) if "gives up" in c], f"it keeps what it has\n{stage}")
        self.start("B", strategy="cooperative-sticky")
        stage.share(A=2, B=2)
        self.start("C", strategy="cooperative-sticky")
        stage.wait("all three read", lambda: sorted(len(stage.reads[n]) for n in "ABC") == [1, 1, 2])
        self.more()
        report("cooperative-sticky: a consumer gives up only what goes to another")


del Life
