"""kafka-python's calls that concern groups, from inside one process."""

import unittest

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewPartitions, NewTopic
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata
from member import Member, share
from support import BOOTSTRAP, REPLICAS, eventually, unique

OLD = kafka.__version__.startswith("2.0.")


def at(offset, metadata=""):
    return OffsetAndMetadata(offset, metadata) if OLD else OffsetAndMetadata(offset, metadata, -1)


class Admin:
    """The calls that both versions have, under one name."""

    def __init__(self):
        self.client = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)

    def groups(self):
        if OLD:
            return dict(self.client.list_consumer_groups())
        return {g["group_id"]: g["protocol_type"] for g in self.client.list_groups()}

    def describe(self, group):
        """Returns the state, the assignor, and (client id, partitions) of each member."""
        if OLD:
            found = self.client.describe_consumer_groups([group])[0]
            members = [(m.client_id, [p for _, ps in m.member_assignment.assignment for p in ps]) for m in found.members]
            return found.state, found.protocol, members
        found = self.client.describe_groups([group])[group]
        members = [(m["client_id"], [p for t in m["member_assignment"]["assigned_partitions"] for p in t["partitions"]]) for m in found["members"]]
        return found["group_state"], found["protocol_data"], members

    def offsets(self, group):
        found = self.client.list_consumer_group_offsets(group) if OLD else self.client.list_group_offsets(group)[group]
        return {p.partition: o.offset for p, o in found.items()}

    def delete(self, group):
        """Returns the name of the error, "" without one."""
        if OLD:
            error = dict(self.client.delete_consumer_groups([group]))[group]
            return "" if error.errno == 0 else error.__name__
        result = self.client.delete_groups([group])[group]
        return "" if result == "OK" else result


class GroupsCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.admin = Admin()

    @classmethod
    def tearDownClass(cls):
        cls.admin.client.close()

    def setUp(self):
        self.group = unique("group")

    def create(self, partitions=2, records=0, name="groups"):
        """Makes a topic with so many records in each partition."""
        topic = unique(name)
        self.admin.client.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=REPLICAS)])
        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP)
        for partition in range(partitions):
            for number in range(records):
                producer.send(topic, b"record %d" % number, partition=partition)
        producer.flush()
        producer.close()
        return topic

    def simple(self, group=None, **options):
        consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=group or self.group, enable_auto_commit=False, **options)
        self.addCleanup(consumer.close)
        return consumer


class Groups(GroupsCase):
    def test_list_and_describe(self):
        topic = self.create(3)
        a = Member(self, self.group, topic, client_id="a")
        b = Member(self, self.group, topic, client_id="b")
        share(3, a, b)
        self.assertEqual(self.admin.groups()[self.group], "consumer")
        state, protocol, members = eventually("Stable", lambda: [d for d in [self.admin.describe(self.group)] if d[0] == "Stable"])[0]
        self.assertEqual((state, protocol), ("Stable", "range"))
        self.assertEqual({c: set(p) for c, p in members}, {"a": a.assigned, "b": b.assigned})
        a.close()
        b.close()
        self.assertEqual(self.admin.describe(self.group), ("Empty", "", []))
        self.assertIn(self.group, self.admin.groups())

    def test_describe_unknown(self):
        if OLD:
            self.assertEqual(self.admin.describe(self.group), ("Dead", "", []))
        else:
            found = self.admin.client.describe_groups([self.group])[self.group]
            self.assertIn("GroupIdNotFound", found["error"])
        self.assertNotIn(self.group, self.admin.groups())

    def test_delete(self):
        topic = self.create(1, records=3)
        member = Member(self, self.group, topic)
        member.read(3)
        member.do(lambda c: c.commit())
        self.assertEqual(self.admin.offsets(self.group), {0: 3})
        self.assertEqual(self.admin.delete(self.group), "NonEmptyGroupError")
        member.close()
        self.assertEqual(self.admin.delete(self.group), "")
        self.assertNotIn(self.group, self.admin.groups())
        self.assertEqual(self.admin.offsets(self.group), {})
        self.assertEqual(self.admin.delete(self.group), "GroupIdNotFoundError")

    def test_commit_sync_async_and_read(self):
        topic = self.create(2, records=10)
        zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
        member = Member(self, self.group, topic)
        member.read(20)
        self.assertIsNone(member.do(lambda c: c.committed(zero)))
        member.do(lambda c: c.commit({zero: at(4, "a note")}))
        self.assertEqual(member.do(lambda c: (c.committed(zero), c.committed(one))), (4, None))
        self.assertEqual(member.do(lambda c: c.committed(zero, metadata=True).metadata), "a note")
        answers = []
        member.do(lambda c: c.commit_async({one: at(7)}, callback=lambda offsets, answer: answers.append((offsets, answer))))
        eventually("the callback", lambda: answers)
        self.assertEqual(list(answers[0][0]), [one])
        self.assertNotIsInstance(answers[0][1], Exception)
        self.assertEqual(member.do(lambda c: c.committed(one)), 7)
        member.do(lambda c: c.commit())
        self.assertEqual(self.admin.offsets(self.group), {0: 10, 1: 10})
        member.do(lambda c: c.commit({zero: at(2)}))
        self.assertEqual(self.admin.offsets(self.group), {0: 2, 1: 10}, "a commit may go back")

    def test_commit_without_members(self):
        topic = self.create(1, records=5)
        partition = TopicPartition(topic, 0)
        for begin, end in ((0, 2), (2, 5)):
            consumer = self.simple(auto_offset_reset="earliest")
            consumer.assign([partition])
            self.assertEqual(consumer.position(partition), begin)
            consumer.commit({partition: at(end)})
            consumer.close()
        self.assertEqual(self.admin.offsets(self.group), {0: 5})
        self.assertEqual(self.admin.groups()[self.group], "")

    def test_commit_beside_members_is_refused(self):
        topic = self.create(1, records=5)
        partition = TopicPartition(topic, 0)
        member = Member(self, self.group, topic)
        member.read(5)
        member.do(lambda c: c.commit())
        stranger = self.simple()
        stranger.assign([partition])
        with self.assertRaises(KafkaError):
            stranger.commit({partition: at(1)})
        self.assertEqual(self.admin.offsets(self.group), {0: 5})

    def test_metadata_of_a_commit_has_a_limit(self):
        topic = self.create(1)
        consumer = self.simple()
        consumer.assign([TopicPartition(topic, 0)])
        consumer.commit({TopicPartition(topic, 0): at(0, "x" * 4096)})
        with self.assertRaises(KafkaError) as raised:
            consumer.commit({TopicPartition(topic, 0): at(1, "x" * 4097)})
        self.assertIn("OffsetMetadataTooLarge", repr(raised.exception) + type(raised.exception).__name__)
        self.assertEqual(self.admin.offsets(self.group), {0: 0})

    def test_seek_pause_resume(self):
        topic = self.create(2, records=10)
        zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
        member = Member(self, self.group, topic)
        member.read(20)
        member.do(lambda c: (member.records.clear(), c.seek(zero, 7)))
        self.assertEqual(member.read(3), [(0, 7), (0, 8), (0, 9)])
        member.do(lambda c: (member.records.clear(), c.pause(zero), c.seek_to_beginning(zero, one)))
        self.assertEqual(member.read(10), [(1, o) for o in range(10)])
        self.assertEqual(member.do(lambda c: c.paused()), {zero})
        member.do(lambda c: (member.records.clear(), c.resume(zero)))
        self.assertEqual(member.read(10), [(0, o) for o in range(10)])

    def test_listener_sees_join_and_leave(self):
        topic = self.create(4)
        a = Member(self, self.group, topic)
        share(4, a)
        b = Member(self, self.group, topic)
        share(4, a, b)
        self.assertIn(("revoked", {0, 1, 2, 3}), a.events, "an eager member gives up everything")
        self.assertEqual((a.events[-1], b.events[-1]), (("assigned", a.assigned), ("assigned", b.assigned)))
        begin = len(a.events)
        b.close()
        share(4, a)
        self.assertEqual(a.events[-1], ("assigned", {0, 1, 2, 3}))
        self.assertGreater(len(a.events), begin)

    def test_assignors(self):
        topic = self.create(5)
        strategies = {"roundrobin": RoundRobinPartitionAssignor}
        if not OLD:  # whose sticky assignor cannot join a second time
            strategies["sticky"] = StickyPartitionAssignor
        for name, assignor in strategies.items():
            with self.subTest(name):
                group = unique("assignor")
                members = [Member(self, group, topic, partition_assignment_strategy=[assignor]) for _ in range(3)]
                self.assertEqual(sorted(map(len, share(5, *members))), [1, 2, 2])
                self.assertEqual(self.admin.describe(group)[1], name)
                for member in members:
                    member.close()

    def test_assignor_that_all_members_know(self):
        topic = self.create(2)
        both = Member(self, self.group, topic, partition_assignment_strategy=[RangePartitionAssignor, RoundRobinPartitionAssignor])
        share(2, both)
        self.assertEqual(self.admin.describe(self.group)[1], "range")
        one = Member(self, self.group, topic, partition_assignment_strategy=[RoundRobinPartitionAssignor])
        share(2, both, one)
        self.assertEqual(self.admin.describe(self.group)[1], "roundrobin")
        stranger = Member(self, self.group, topic, partition_assignment_strategy=[RangePartitionAssignor])
        eventually("it is refused", lambda: stranger.error)
        self.assertIn("InconsistentGroupProtocol", type(stranger.error).__name__)

    def test_session_timeout_has_bounds(self):
        topic = self.create(1)
        member = Member(self, self.group, topic, session_timeout_ms=1000, heartbeat_interval_ms=300)
        eventually("it is refused", lambda: member.error)
        self.assertIn("InvalidSessionTimeout", type(member.error).__name__)

    def test_pattern_and_new_topics(self):
        name = unique("pattern")
        first = self.create(1, records=1, name=name)
        member = Member(self, self.group, pattern=f"^{name}.*", metadata_max_age_ms=1000, patient=True)
        member.read(1)
        second = self.create(1, records=1, name=name)
        member.read(2)
        self.assertEqual({r.topic for r in member.records}, {first, second})

    def test_new_partitions(self):
        topic = self.create(1)
        member = Member(self, self.group, topic, metadata_max_age_ms=1000, patient=True)
        share(1, member)
        self.admin.client.create_partitions({topic: NewPartitions(3)})
        share(3, member)

    def test_two_topics(self):
        topics = [self.create(2, records=2), self.create(2, records=2)]
        a, b = Member(self, self.group, *topics), Member(self, self.group, *topics)
        eventually("all records", lambda: len({(r.topic, r.partition, r.offset) for r in a.records + b.records}) == 8)
