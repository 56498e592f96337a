"""A consumer of a group with librdkafka; says what examples/python/group_consumer.py says."""

import argparse
import os
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException

parser = argparse.ArgumentParser()
for option in ("topic", "group", "name", "instance"):
    parser.add_argument(f"--{option}")
parser.add_argument("--session", type=float)
parser.add_argument("--work", type=float, default=0)
parser.add_argument("--strategy", default="range")
args = parser.parse_args()
running = True


def stop(*_):
    global running
    running = False


def say(line):
    sys.stdout.write(f"{args.name}: {line}\n")  # in one piece, as other members write to the same pipe
    sys.stdout.flush()


def numbers(partitions):
    return ", ".join(str(p.partition) for p in partitions)


def assigned(_, partitions):
    say(f"reads partition {numbers(partitions)}" if partitions else "reads no further partition")


def revoked(_, partitions):
    if partitions:
        say(f"gives up partition {numbers(partitions)}")


signal.signal(signal.SIGINT, stop)
options = {"group.instance.id": args.instance} if args.instance else {}
consumer = Consumer({
    "bootstrap.servers": os.environ["BOOTSTRAP"], "broker.address.family": "v4", "client.id": args.name, "group.id": args.group,
    "session.timeout.ms": int(args.session * 1000), "heartbeat.interval.ms": 500, "auto.offset.reset": "earliest",
    "enable.auto.commit": False, "partition.assignment.strategy": args.strategy, **options,
})
consumer.subscribe([args.topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
while running:
    message = consumer.poll(0.2)
    if message is None:
        continue
    if message.error():
        say(f"error {message.error()}")
        continue
    say(f"partition {message.partition()} offset {message.offset()} key None value {message.value().decode()}")
    time.sleep(args.work)
    try:
        consumer.commit(message, asynchronous=False)
    except KafkaException as error:
        say(f"commit refused: {error.args[0].name()}")
consumer.close()
say("left the group")
