"""aiokafka: a group's life."""

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from group_life import GroupLife as Life
from support import BOOTSTRAP, REPLICAS, report


async def create(topic, partitions):
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, REPLICAS)])
    finally:
        await admin.close()


async def produce(topic, partition, values):
    async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP) as producer:
        await asyncio.gather(*[await producer.send(topic, value, partition=partition) for value in values])


class Aiokafka(Life):
    member = "member.py"

    def create(self, topic, partitions):
        asyncio.run(create(topic, partitions))

    def produce(self, topic, partition, values):
        asyncio.run(produce(topic, partition, values))

    def test_sticky(self):
        self.pair(strategy="sticky")
        self.more()
        had = {name: set(self.stage.reads[name]) for name in "AB"}
        self.start("C", strategy="sticky")
        self.stage.wait("all three read", lambda: sorted(len(self.stage.reads[n]) for n in "ABC") == [1, 1, 2])
        for name in "AB":
            self.assertLessEqual(self.stage.reads[name], had[name], f"a member keeps what it had\n{self.stage}")
        self.more()
        report("sticky: what a member keeps of its partitions it had before")


del Life
