"""A consumer of a group with aiokafka; says what examples/python/group_consumer.py says."""

import argparse
import asyncio
import os
import signal
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

STRATEGIES = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor, "sticky": StickyPartitionAssignor}


def numbers(partitions):
    return ", ".join(str(p.partition) for p in sorted(partitions))


class Member(ConsumerRebalanceListener):
    def __init__(self, args):
        self.args = args

    def say(self, line):
        sys.stdout.write(f"{self.args.name}: {line}\n")  # in one piece, as other members write to the same pipe
        sys.stdout.flush()

    async def on_partitions_assigned(self, assigned):
        self.say(f"reads partition {numbers(assigned)}" if assigned else "reads no partition")

    async def on_partitions_revoked(self, revoked):
        if revoked:
            self.say(f"gives up partition {numbers(revoked)}")

    async def run(self):
        args = self.args
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=os.environ["BOOTSTRAP"], client_id=args.name, group_id=args.group, group_instance_id=args.instance,
            session_timeout_ms=int(args.session * 1000), heartbeat_interval_ms=500, auto_offset_reset="earliest",
            enable_auto_commit=False, partition_assignment_strategy=[STRATEGIES[args.strategy]], rebalance_timeout_ms=60000,
        )
        consumer.subscribe([args.topic], listener=self)
        await consumer.start()
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=200, max_records=1)).values():
                for record in records:
                    self.say(f"partition {record.partition} offset {record.offset} key None value {record.value.decode()}")
                    await asyncio.sleep(args.work)
                    try:
                        await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})
                    except KafkaError as error:
                        self.say(f"commit refused: {type(error).__name__}")
        await consumer.stop()
        self.say("left the group")


parser = argparse.ArgumentParser()
for option in ("topic", "group", "name", "instance"):
    parser.add_argument(f"--{option}")
parser.add_argument("--session", type=float)
parser.add_argument("--work", type=float, default=0)
parser.add_argument("--strategy", choices=STRATEGIES, default="roundrobin")
asyncio.run(Member(parser.parse_args()).run())
