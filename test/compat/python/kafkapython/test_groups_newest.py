"""What kafka-python gained since 2.0.2: static members, cooperative rebalances, more of the administration of groups."""

from kafka import TopicPartition
from kafka.admin import GroupState, MemberToRemove, OffsetSpec
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import FencedInstanceIdError, GroupSubscribedToTopicError, NoError, UnknownMemberIdError
from kafka.structs import OffsetAndMetadata
from member import Member, share
from support import eventually, report, unique
from test_groups import GroupsCase


class Newest(GroupsCase):
    def generation(self, member):
        return member.do(lambda c: c.group_metadata().generation_id)

    def test_static_member_restarts_without_a_rebalance(self):
        topic = self.create(2, records=3)
        a = Member(self, self.group, topic, group_instance_id="a", session_timeout_ms=20000)
        b = Member(self, self.group, topic, group_instance_id="b", session_timeout_ms=20000)
        share(2, a, b)
        begin, generation, had = len(a.events), self.generation(a), b.assigned
        b.close()
        again = Member(self, self.group, topic, group_instance_id="b", session_timeout_ms=20000)
        again.read(3)
        self.assertEqual(again.assigned, had)
        self.assertEqual(a.events[begin:], [])
        self.assertEqual((self.generation(a), self.generation(again)), (generation, generation))
        report(f"static member b left and came back, generation {generation} stayed")

    def test_static_member_is_fenced_by_its_successor(self):
        topic = self.create(1, records=3)
        first = Member(self, self.group, topic, group_instance_id="a")
        first.read(3)
        second = Member(self, self.group, topic, group_instance_id="a")
        second.read(3)
        with self.assertRaises(FencedInstanceIdError):
            first.do(lambda c: c.commit())
        second.do(lambda c: c.commit())
        self.assertEqual(self.admin.offsets(self.group), {0: 3})

    def test_remove_static_member(self):
        topic = self.create(2)
        a = Member(self, self.group, topic, group_instance_id="a", session_timeout_ms=60000)
        b = Member(self, self.group, topic, group_instance_id="b", session_timeout_ms=60000)
        share(2, a, b)
        b.close()
        result = self.admin.client.remove_group_members(self.group, [MemberToRemove(group_instance_id="b"), MemberToRemove(group_instance_id="c")])
        self.assertEqual(sorted(error.__name__ for error in result.values()), ["NoError", "UnknownMemberIdError"])
        share(2, a)

    def test_cooperative_rebalance(self):
        topic = self.create(4)
        a = Member(self, self.group, topic, partition_assignment_strategy=[CooperativeStickyAssignor])
        share(4, a)
        b = Member(self, self.group, topic, partition_assignment_strategy=[CooperativeStickyAssignor])
        share(4, a, b)
        self.assertEqual(self.admin.describe(self.group)[1], "cooperative-sticky")
        given = set().union(*(p for what, p in a.events if what == "revoked"))
        self.assertEqual(given, b.assigned, "a cooperative member gives up what goes to another, nothing else")
        begin = len(a.events)
        b.close()
        share(4, a)
        self.assertEqual([p for what, p in a.events[begin:] if what == "revoked" and p], [])
        report(f"a kept {{0, 1, 2, 3}} but {given} when b came, and all of it when b went")

    def test_list_filters(self):
        topic = self.create(1)
        member = Member(self, self.group, topic)
        share(1, member)

        def listed(**filters):
            return {g["group_id"]: g for g in self.admin.client.list_groups(**filters)}

        group = eventually("Stable", lambda: listed(states_filter=[GroupState.STABLE]).get(self.group))
        self.assertEqual((group["protocol_type"], group["group_state"], group["group_type"]), ("consumer", "Stable", "classic"))
        self.assertIn(self.group, listed(types_filter=["classic"]))
        self.assertNotIn(self.group, listed(states_filter=[GroupState.EMPTY]))
        self.assertNotIn(self.group, listed(types_filter=["consumer"]))
        member.close()
        self.assertIn(self.group, listed(states_filter=["Empty"], types_filter=["classic"]))

    def test_alter_reset_and_delete_offsets(self):
        topic = self.create(2, records=10)
        zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
        client = self.admin.client
        self.assertEqual(client.alter_group_offsets(self.group, {zero: OffsetAndMetadata(3, "by hand", None)}), {zero: NoError})
        self.assertEqual(client.list_group_offsets(self.group)[self.group][zero].metadata, "by hand")
        client.reset_group_offsets(self.group, {zero: 5, one: OffsetSpec.LATEST})
        self.assertEqual(self.admin.offsets(self.group), {0: 5, 1: 10})
        member = Member(self, self.group, topic)
        self.assertEqual(member.read(5), [(0, o) for o in range(5, 10)])
        self.assertEqual(client.alter_group_offsets(self.group, {zero: OffsetAndMetadata(0, "", None)}), {zero: UnknownMemberIdError})
        self.assertEqual(client.delete_group_offsets(self.group, [zero]), {zero: GroupSubscribedToTopicError})
        member.close()
        self.assertEqual(client.delete_group_offsets(self.group, [zero]), {zero: NoError})
        self.assertEqual(self.admin.offsets(self.group), {1: 10})

    def test_offsets_of_two_groups_at_once(self):
        topic, other = self.create(1), unique("group")
        partition = TopicPartition(topic, 0)
        for number, group in enumerate((self.group, other)):
            self.admin.client.alter_group_offsets(group, {partition: OffsetAndMetadata(number, "", None)})
        found = self.admin.client.list_group_offsets({self.group: None, other: [partition]})
        self.assertEqual({g: o[partition].offset for g, o in found.items()}, {self.group: 0, other: 1})
