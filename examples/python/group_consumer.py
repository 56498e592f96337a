"""Reads a topic together with the other consumers of its group, and shows who reads what.

    python group_consumer.py                    run it twice: each consumer reads a part of the partitions
    python group_consumer.py --commit each      commits after each record: a restarted consumer goes on there
    python group_consumer.py --commit none      commits nothing: a restarted consumer starts again
    python group_consumer.py --count 5          ends after five records

Ctrl-C leaves the group, kill -9 dies in it, Ctrl-Z freezes (fg wakes): every time the others take over.
Needs: pip install kafka-python
"""

import argparse
import signal
import sys
import threading
import time

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.errors import CommitFailedError

COMMITS = {"none": "commits nothing", "each": "commits after each record", "auto": "commits automatically once a second"}


def numbers(partitions):
    return ", ".join(str(p.partition) for p in sorted(partitions))


class Show(ConsumerRebalanceListener):
    """Says which partitions this consumer reads. A partition goes to another consumer only after this one gave it up."""

    def __init__(self, say):
        self.say = say

    def on_partitions_assigned(self, assigned):
        self.say(f"reads partition {numbers(assigned)}" if assigned else "reads no partition")

    def on_partitions_revoked(self, revoked):
        if revoked:
            self.say(f"gives up partition {numbers(revoked)}")


def until_interrupted(consumer):
    """Yields records until Ctrl-C, which is noted between two polls, as a consumer does not bear it inside of one."""
    interrupted = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    while not interrupted.is_set():
        for records in consumer.poll(timeout_ms=500).values():
            yield from records


def main():
    parser = argparse.ArgumentParser(description="Reads a topic together with the other consumers of its group.")
    parser.add_argument("--bootstrap", default="127.0.0.1:9092", metavar="HOST:PORT", help="a broker (%(default)s)")
    parser.add_argument("--topic", default="hello", help="the topic (%(default)s)")
    parser.add_argument("--group", default="readers", help="the group (%(default)s)")
    parser.add_argument("--commit", choices=COMMITS, default="each", help="when the group's offsets are committed (%(default)s)")
    parser.add_argument("--session", type=float, default=10, metavar="SECONDS", help="silence after which the group goes on without this consumer (%(default)s)")
    parser.add_argument("--work", type=float, default=0, metavar="SECONDS", help="the time this consumer needs for a record (%(default)s)")
    parser.add_argument("--count", type=int, metavar="N", help="end after so many records")
    parser.add_argument("--name", help="a name to put before each line, and for the broker's tools to show")
    args = parser.parse_args()

    def say(line):
        # One write a line, so that lines of consumers that share a terminal do not mix.
        sys.stdout.write(f"{args.name}: {line}\n" if args.name else f"{line}\n")
        sys.stdout.flush()

    consumer = KafkaConsumer(
        bootstrap_servers=args.bootstrap,
        client_id=args.name or "group_consumer.py",
        group_id=args.group,
        auto_offset_reset="earliest",  # where a group starts that has committed nothing
        enable_auto_commit=args.commit == "auto",
        auto_commit_interval_ms=1000,
        max_poll_records=1,
        session_timeout_ms=int(args.session * 1000),
        heartbeat_interval_ms=1000,
    )
    consumer.subscribe([args.topic], listener=Show(say))
    if not consumer.partitions_for_topic(args.topic):
        sys.exit(f"there is no topic {args.topic}: start producer.py first")
    say(f"joins group {args.group} and {COMMITS[args.commit]}")

    for number, record in enumerate(until_interrupted(consumer), 1):
        key = record.key.decode() if record.key is not None else None
        say(f"partition {record.partition} offset {record.offset} key {key} value {record.value.decode()}")
        time.sleep(args.work)
        if args.commit == "each":
            try:
                consumer.commit()
            except CommitFailedError:
                say("commit refused: the group went on without this consumer, it joins again")
        if number == args.count:
            break
    consumer.close()  # leaves the group, so that the others take over at once
    say("left the group")


if __name__ == "__main__":
    main()
