"""kafka-python itself: codecs, acks, where to start, and administration."""

import time
import unittest

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError
from support import BOOTSTRAP, REPLICAS, unique

OLD = kafka.__version__.startswith("2.0.")
HOUR = 3600 * 1000


def value(number):
    return f"value {number}, long enough to be worth compressing, worth compressing".encode()


class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)

    @classmethod
    def tearDownClass(cls):
        cls.admin.close()

    def create(self, partitions=1):
        topic = unique("client")
        self.admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=REPLICAS)])
        return topic

    def consumer(self, *partitions, **options):
        consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, consumer_timeout_ms=30000, **options)
        self.addCleanup(consumer.close)
        consumer.assign(partitions)
        return consumer

    def read(self, consumer, count):
        records = []
        for record in consumer:
            records.append(record)
            if len(records) == count:
                return records
        self.fail(f"{len(records)} records of {count} came")

    def round_trip(self, **options):
        topic = self.create()
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, linger_ms=50, **options)
        for i in range(100):
            producer.send(topic, value(i), key=b"k", headers=[("n", str(i).encode())])
        producer.flush()
        producer.close()
        consumer = self.consumer(TopicPartition(topic, 0))
        consumer.seek(TopicPartition(topic, 0), 0)
        got = self.read(consumer, 100)
        self.assertEqual([(r.offset, r.key, r.value, list(r.headers)) for r in got], [(i, b"k", value(i), [("n", str(i).encode())]) for i in range(100)])

    def test_codecs_and_acks(self):
        for codec in (None, "gzip", "snappy", "lz4", "zstd"):
            for acks in (0, 1, "all"):
                with self.subTest(codec=codec, acks=acks):
                    self.round_trip(compression_type=codec, acks=acks)

    def test_idempotent(self):
        if OLD:  # has no idempotent producer, and must say so
            self.assertNotIn("enable_idempotence", KafkaProducer.DEFAULT_CONFIG)
        else:
            self.round_trip(enable_idempotence=True, compression_type="zstd")

    def test_start_end_offset_time(self):
        topic = self.create()
        partition = TopicPartition(topic, 0)
        start = int(time.time() * 1000) - HOUR
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
        for i in range(50):
            producer.send(topic, value(i), timestamp_ms=start + i * 1000)
            if i % 10 == 9:
                producer.flush()
        producer.close()
        consumer = self.consumer(partition)
        self.assertEqual(consumer.beginning_offsets([partition]), {partition: 0})
        self.assertEqual(consumer.end_offsets([partition]), {partition: 50})
        found = consumer.offsets_for_times({partition: start + 23_500})[partition]
        self.assertEqual((found.offset, found.timestamp), (24, start + 24_000))
        self.assertIsNone(consumer.offsets_for_times({partition: start + HOUR // 2})[partition])
        for offset in (0, 17, found.offset, 49):
            consumer.seek(partition, offset)
            self.assertEqual([r.offset for r in self.read(consumer, 50 - offset)], list(range(offset, 50)))
        consumer.seek_to_beginning(partition)
        self.assertEqual(consumer.position(partition), 0)
        consumer.seek_to_end(partition)
        self.assertEqual(consumer.position(partition), 50)

    def test_offset_out_of_range_resets(self):
        topic = self.create()
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
        for i in range(3):
            producer.send(topic, value(i)).get(30)
        producer.close()
        consumer = self.consumer(TopicPartition(topic, 0), auto_offset_reset="earliest")
        consumer.seek(TopicPartition(topic, 0), 1000)
        self.assertEqual([r.offset for r in self.read(consumer, 3)], [0, 1, 2])

    def test_topics(self):
        topic = self.create(2)
        self.assertIn(topic, self.admin.list_topics())
        with self.assertRaises(TopicAlreadyExistsError):
            self.admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=REPLICAS)])
        self.admin.create_partitions({topic: NewPartitions(4)})
        described = self.admin.describe_topics([topic])[0]
        self.assertEqual(len(described["partitions"]), 4)
        self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        self.assertTrue(self.admin.describe_cluster()["brokers"])
        self.admin.delete_topics([topic])
        for _ in range(100):  # a broker's metadata may follow a moment later
            if topic not in self.admin.list_topics():
                break
            time.sleep(0.05)
        else:
            self.fail("the deleted topic is listed")
        with self.assertRaises(UnknownTopicOrPartitionError):
            self.admin.delete_topics([topic])

    def test_auto_create(self):
        topic = unique("auto")
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
        self.assertEqual(producer.send(topic, b"x").get(30).offset, 0)
        producer.close()
