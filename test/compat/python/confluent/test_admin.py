"""confluent-kafka: the administration of groups, and consumers inside one process."""

import unittest

from confluent_kafka import Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support import BOOTSTRAP, REPLICAS, SESSION, eventually, unique

CLIENT = {"bootstrap.servers": BOOTSTRAP, "broker.address.family": "v4"}


class Admin(unittest.TestCase):
    def setUp(self):
        self.admin, self.topic, self.group = AdminClient(CLIENT), unique("admin"), unique("admin")
        self.admin.create_topics([NewTopic(self.topic, 2, REPLICAS)])[self.topic].result(30)
        producer = Producer(CLIENT)
        for number in range(20):
            producer.produce(self.topic, b"record %d" % number, partition=number % 2)
        self.assertEqual(producer.flush(30), 0)

    def consumer(self, **options):
        options = {name.replace("_", "."): value for name, value in options.items()}
        consumer = Consumer({
            **CLIENT, "group.id": self.group, "session.timeout.ms": SESSION * 1000, "heartbeat.interval.ms": 500,
            "auto.offset.reset": "earliest", "enable.auto.commit": False, **options,
        })
        self.addCleanup(consumer.close)
        return consumer

    def read(self, consumer, count):
        """Reads so many records and returns (partition, offset) of each."""
        got = []

        def enough():
            message = consumer.poll(0.1)
            if message is not None:
                self.assertIsNone(message.error())
                got.append((message.partition(), message.offset()))
            return len(got) == count and got

        return eventually(f"{count} records", enough)

    def member(self):
        consumer = self.consumer()
        consumer.subscribe([self.topic])
        self.read(consumer, 20)
        return consumer

    def offsets(self, *partitions):
        request = ConsumerGroupTopicPartitions(self.group, [TopicPartition(self.topic, p) for p in partitions] or None)
        found = self.admin.list_consumer_group_offsets([request])[self.group].result(30)
        return {p.partition: p.offset for p in found.topic_partitions}

    def alter(self, **offsets):
        partitions = [TopicPartition(self.topic, int(p[1:]), offset) for p, offset in offsets.items()]
        result = self.admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self.group, partitions)])[self.group].result(30)
        return [p.error.code() if p.error else 0 for p in result.topic_partitions]

    def refused(self, future):
        with self.assertRaises(KafkaException) as raised:
            future.result(30)
        return raised.exception.args[0].code()

    def listed(self, **filters):
        result = self.admin.list_consumer_groups(**filters).result(30)
        self.assertEqual(result.errors, [])
        return {g.group_id: g for g in result.valid}

    def test_list(self):
        consumer = self.member()
        group = eventually("it is stable", lambda: self.listed(states={ConsumerGroupState.STABLE}).get(self.group))
        self.assertEqual((group.state, group.type, group.is_simple_consumer_group), (ConsumerGroupState.STABLE, ConsumerGroupType.CLASSIC, False))
        self.assertNotIn(self.group, self.listed(states={ConsumerGroupState.EMPTY}))
        self.assertIn(self.group, self.listed(types={ConsumerGroupType.CLASSIC}))
        self.assertNotIn(self.group, self.listed(types={ConsumerGroupType.CONSUMER}))
        consumer.close()
        self.assertIn(self.group, self.listed(states={ConsumerGroupState.EMPTY}))

    def describe(self):
        return self.admin.describe_consumer_groups([self.group])[self.group].result(30)

    def test_describe(self):
        consumer = self.consumer(client_id="one", group_instance_id="first")
        consumer.subscribe([self.topic])
        self.read(consumer, 20)
        group = self.describe()
        self.assertEqual((group.state, group.partition_assignor, group.type), (ConsumerGroupState.STABLE, "range", ConsumerGroupType.CLASSIC))
        member = group.members[0]
        self.assertEqual((len(group.members), member.client_id, member.group_instance_id), (1, "one", "first"))
        self.assertEqual({p.partition for p in member.assignment.topic_partitions}, {0, 1})
        self.assertTrue(member.host and member.member_id)
        self.assertIn(group.coordinator.id, self.admin.list_topics(timeout=30).brokers)

    def test_describe_unknown(self):
        self.assertEqual(self.describe().state, ConsumerGroupState.DEAD)

    def test_list_and_alter_offsets(self):
        self.assertEqual(self.alter(p0=4, p1=10), [0, 0])
        self.assertEqual(self.offsets(), {0: 4, 1: 10})
        self.assertEqual(self.offsets(0), {0: 4})
        consumer = self.consumer()
        consumer.subscribe([self.topic])
        self.assertEqual(self.read(consumer, 6), [(0, o) for o in range(4, 10)])
        self.assertEqual(self.alter_refused(), KafkaError.UNKNOWN_MEMBER_ID)
        self.assertEqual(self.offsets(), {0: 4, 1: 10})

    def alter_refused(self):
        """The code that a member's presence brings; some versions raise it, some put it beside the partition."""
        try:
            return self.alter(p0=0)[0]
        except KafkaException as error:
            return error.args[0].code()

    def test_delete(self):
        consumer = self.member()
        consumer.commit(asynchronous=False)
        self.assertEqual(self.offsets(), {0: 10, 1: 10})
        self.assertEqual(self.refused(self.admin.delete_consumer_groups([self.group])[self.group]), KafkaError.NON_EMPTY_GROUP)
        consumer.close()
        self.admin.delete_consumer_groups([self.group])[self.group].result(30)
        self.assertNotIn(self.group, self.listed())
        self.assertEqual(self.refused(self.admin.delete_consumer_groups([self.group])[self.group]), KafkaError.GROUP_ID_NOT_FOUND)

    def test_commit_and_committed(self):
        consumer = self.member()
        zero = TopicPartition(self.topic, 0)
        self.assertLess(consumer.committed([zero], 30)[0].offset, 0)
        answer = consumer.commit(offsets=[TopicPartition(self.topic, 0, 3, "a note", 0)], asynchronous=False)
        self.assertIsNone(answer[0].error)
        found = consumer.committed([zero], 30)[0]
        self.assertEqual((found.offset, found.metadata, found.leader_epoch), (3, "a note", 0))
        consumer.commit(asynchronous=True)
        eventually("the asynchronous commit", lambda: self.offsets() == {0: 10, 1: 10})
        self.assertEqual(consumer.consumer_group_metadata() is None, False)

    def test_automatic_commits(self):
        for _ in range(2):
            consumer = self.consumer(enable_auto_commit=True, auto_commit_interval_ms=200)
            consumer.subscribe([self.topic])
            if not self.offsets():
                self.read(consumer, 20)
                eventually("an automatic commit", lambda: consumer.poll(0.1) or self.offsets() == {0: 10, 1: 10})
            else:
                self.assertIsNone(consumer.poll(2), "all was committed")
            consumer.close()

    def test_pause_seek_resume(self):
        consumer = self.member()
        zero, one = TopicPartition(self.topic, 0), TopicPartition(self.topic, 1)
        consumer.pause([zero])
        consumer.seek(TopicPartition(self.topic, 1, 7))
        self.assertEqual(self.read(consumer, 3), [(1, 7), (1, 8), (1, 9)])
        consumer.resume([zero])
        consumer.seek(TopicPartition(self.topic, 0, 8))
        self.assertEqual(self.read(consumer, 2), [(0, 8), (0, 9)])
        self.assertEqual([p.offset for p in consumer.position([zero, one])], [10, 10])

    def test_fencing_of_a_static_member(self):
        first, second = self.consumer(group_instance_id="a"), self.consumer(group_instance_id="a")
        first.subscribe([self.topic])
        self.read(first, 20)
        second.subscribe([self.topic])
        self.read(second, 20)

        def fenced():
            message = first.poll(0.1)
            return message is not None and message.error() and message.error().code()

        try:
            code = eventually("the first is fenced", fenced)
        except KafkaException as error:
            code = error.args[0].code()
        self.assertIn(code, (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID))

    def test_session_timeout_has_bounds(self):
        consumer = self.consumer(session_timeout_ms=1000)
        consumer.subscribe([self.topic])

        def refused():
            message = consumer.poll(0.1)
            return message is not None and message.error() and message.error().code()

        self.assertEqual(eventually("it is refused", refused), KafkaError.INVALID_SESSION_TIMEOUT)
