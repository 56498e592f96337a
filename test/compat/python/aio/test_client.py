"""aiokafka: codecs, administration of groups, and consumers inside one process."""

import asyncio
import unittest

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from support import BOOTSTRAP, REPLICAS, SESSION, unique


class Client(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.admin, self.topic, self.group = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP), unique("aio"), unique("aio")
        await self.admin.start()
        self.addAsyncCleanup(self.admin.close)
        await self.admin.create_topics([NewTopic(self.topic, 2, REPLICAS)])

    async def produce(self, count, **options):
        async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **options) as producer:
            await asyncio.gather(*[await producer.send(self.topic, b"record %d" % n, partition=n % 2) for n in range(count)])

    async def consumer(self, *topics, **options):
        options = {"group_id": self.group, "enable_auto_commit": False, **options}
        consumer = AIOKafkaConsumer(
            *topics, bootstrap_servers=BOOTSTRAP, session_timeout_ms=SESSION * 1000, heartbeat_interval_ms=500, auto_offset_reset="earliest", **options)
        await consumer.start()
        self.addAsyncCleanup(consumer.stop)
        return consumer

    async def read(self, consumer, count):
        """Reads so many records and returns (partition, offset) of each."""
        async with asyncio.timeout(60):
            return [(r.partition, r.offset) for r in [await consumer.getone() for _ in range(count)]]

    async def offsets(self):
        return {p.partition: o.offset for p, o in (await self.admin.list_consumer_group_offsets(self.group)).items()}

    async def describe(self):
        """Returns error, state, assignor and members."""
        response = (await self.admin.describe_consumer_groups([self.group]))[0]
        error, _, state, _, protocol, members = response.groups[0][:6]
        return error, state, protocol, members

    async def test_codecs(self):
        for number, codec in enumerate((None, "gzip", "snappy", "lz4", "zstd"), 1):
            with self.subTest(codec):
                await self.produce(20, compression_type=codec, enable_idempotence=True)
                consumer = await self.consumer(self.topic, group_id=None)
                self.assertEqual(len(set(await self.read(consumer, 20 * number))), 20 * number)

    async def test_list_and_describe(self):
        await self.produce(4)
        consumer = await self.consumer(self.topic, client_id="one", group_instance_id="first")
        await self.read(consumer, 4)
        self.assertEqual(dict(g[:2] for g in await self.admin.list_consumer_groups())[self.group], "consumer")
        error, state, protocol, members = await self.describe()
        self.assertEqual((error, state, protocol, len(members)), (0, "Stable", "roundrobin", 1))
        member_id, client_id = members[0][:2]
        self.assertEqual((member_id[:6], client_id), ("first-", "one"), "the id of a static member begins with its instance")

    async def test_empty_and_unknown(self):
        self.assertEqual((await self.describe())[1], "Dead")
        await self.produce(4)
        consumer = await self.consumer(self.topic)
        await self.read(consumer, 4)
        await consumer.stop()
        self.assertEqual((await self.describe())[:2], (0, "Empty"))

    async def test_commit_and_committed(self):
        await self.produce(20)
        zero, one = TopicPartition(self.topic, 0), TopicPartition(self.topic, 1)
        consumer = await self.consumer(self.topic)
        await self.read(consumer, 20)
        self.assertIsNone(await consumer.committed(zero))
        await consumer.commit({zero: OffsetAndMetadata(4, "a note")})
        self.assertEqual((await consumer.committed(zero), await consumer.committed(one)), (4, None))
        found = await self.admin.list_consumer_group_offsets(self.group, partitions=[zero])
        self.assertEqual(found[zero], OffsetAndMetadata(4, "a note"))
        await consumer.commit()
        self.assertEqual(await self.offsets(), {0: 10, 1: 10})

    async def test_commit_without_members(self):
        await self.produce(20)
        zero = TopicPartition(self.topic, 0)
        for begin, end in ((0, 4), (4, 9)):
            consumer = await self.consumer()
            consumer.assign([zero])
            self.assertEqual(await consumer.position(zero), begin)
            await consumer.commit({zero: end})
            await consumer.stop()
        self.assertEqual(await self.offsets(), {0: 9})

    async def test_commit_beside_members_is_refused(self):
        await self.produce(4)
        member, stranger = await self.consumer(self.topic), await self.consumer()
        await self.read(member, 4)
        await member.commit()
        zero = TopicPartition(self.topic, 0)
        stranger.assign([zero])
        with self.assertRaises(KafkaError):
            await stranger.commit({zero: 0})
        self.assertEqual(await self.offsets(), {0: 2, 1: 2})

    async def test_automatic_commits(self):
        await self.produce(20)
        consumer = await self.consumer(self.topic, enable_auto_commit=True, auto_commit_interval_ms=200)
        await self.read(consumer, 20)
        async with asyncio.timeout(30):
            while await self.offsets() != {0: 10, 1: 10}:
                await asyncio.sleep(0.05)
        await consumer.stop()
        again = await self.consumer(self.topic)
        self.assertEqual(await again.getmany(timeout_ms=2000), {})

    async def test_seek_pause_resume(self):
        await self.produce(20)
        zero, one = TopicPartition(self.topic, 0), TopicPartition(self.topic, 1)
        consumer = await self.consumer(self.topic)
        await self.read(consumer, 20)
        consumer.pause(zero)
        await consumer.seek_to_beginning(zero, one)
        self.assertEqual(await self.read(consumer, 10), [(1, o) for o in range(10)])
        consumer.resume(zero)
        consumer.seek(zero, 7)
        self.assertEqual(await self.read(consumer, 3), [(0, 7), (0, 8), (0, 9)])

    async def test_members_in_one_loop(self):
        await self.produce(20)
        members = await asyncio.gather(*[self.consumer(self.topic) for _ in range(2)])
        async with asyncio.timeout(60):
            while sorted(p.partition for m in members for p in m.assignment()) != [0, 1]:
                await asyncio.gather(*[m.getmany(timeout_ms=100) for m in members])
        self.assertEqual([len(m.assignment()) for m in members], [1, 1])
