"""Three brokers, of which one is killed, frozen and stopped while records are produced and consumed: nothing is lost.

    python three_brokers.py                       runs "moldau dev --brokers 3" by itself, for about half a minute
    python three_brokers.py --moldau ./moldau     where the program is not in the PATH
    python three_brokers.py --kinds killed killed --seconds 10

A topic has three partitions with three replicas each, led by three brokers. A producer sends keyed records with acks=all, two consumers of
a group read them. Then the broker that leads partition 0 is killed (SIGKILL), frozen (SIGSTOP, later SIGCONT) and stopped (SIGTERM), each
time another one that leads it then; "moldau dev" starts again what has ended. It prints for how long partition 0 took no records and the
group saw none. At the end every record that was acknowledged must be where the acknowledgement said, must have been seen by the group, and
the files of the three replicas must be the same, byte for byte.

Needs: pip install kafka-python
"""

import argparse
import collections
import json
import logging
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

TOPIC, GROUP, PARTITIONS = "orders", "readers", 3
KEYS = [name.encode() for name in ("alice", "ben", "carol", "dave", "erin", "frank", "grace", "heidi")]
AWAY = 4  # seconds for which a broker is gone or frozen, twice the time after which silence counts as death


def say(line):
    print(line, flush=True)


def until(what, is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.1)


class Cluster:
    """Three brokers of "moldau dev", in a directory of their own."""

    def __init__(self, program, directory):
        self.program = program
        command = [program, "dev", "--brokers", "3", "--port", "0", "--data", str(directory), "--restart-after", f"{AWAY}s", "--format", "json",
                   "--until-input-ends"]  # so that it ends with this program, however that ends
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        document = ""
        for line in self.process.stdout:
            document += line
            if line == "}\n":
                break
        else:
            sys.exit(f"{' '.join(command)}: {self.process.stderr.read()}")
        seen = json.loads(document)
        self.bootstrap = seen["bootstrap"]
        self.pids = {broker["id"]: broker["pid"] for broker in seen["brokers"]}
        self.directories = {broker["id"]: pathlib.Path(broker["directory"]) for broker in seen["brokers"]}
        self.notes = threading.Thread(target=self._read_notes, daemon=True)
        self.notes.start()

    def _read_notes(self):
        for line in self.process.stderr:
            again = re.search(r"broker (\d+) is started again, pid (\d+)", line)
            if again:
                self.pids[int(again[1])] = int(again[2])

    def run(self, *args):
        done = subprocess.run([self.program, *args, "--bootstrap", self.bootstrap], capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else None

    def partitions(self):
        """What "moldau topic describe" says of them."""
        out = self.run("topic", "describe", TOPIC, "--format", "json")
        return json.loads(out)[0]["partitions"] if out else []

    def leader(self):
        """Of partition 0."""
        for partition in self.partitions():
            if partition["partition"] == 0:
                return partition["leader"]
        return -1

    def whole(self):
        partitions = self.partitions()
        return len(partitions) == PARTITIONS and all(len(partition["isr"] or []) == 3 for partition in partitions)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Gap:
    """The longest time in which nothing happened, since it was last asked for."""

    def __init__(self):
        self.lock, self.last, self.longest = threading.Lock(), time.monotonic(), 0

    def happened(self):
        with self.lock:
            now = time.monotonic()
            self.longest, self.last = max(self.longest, now - self.last), now

    def take(self):
        with self.lock:
            longest, self.longest = max(self.longest, time.monotonic() - self.last), 0
            return longest


class Producer(threading.Thread):
    """Sends a record to each key in turn and notes which were acknowledged, and where they are."""

    def __init__(self, bootstrap):
        super().__init__(daemon=True)
        if "enable_idempotence" in KafkaProducer.DEFAULT_CONFIG:  # in newer versions: no record twice, and none overtakes another
            settings = {"enable_idempotence": True}
        else:
            settings = {"max_in_flight_requests_per_connection": 1}  # so that no record overtakes one that is sent again
        self.client = KafkaProducer(
            bootstrap_servers=bootstrap.split(","),
            acks="all",
            retries=1_000_000,
            request_timeout_ms=3000,  # how long one waits for a broker that is frozen
            retry_backoff_ms=20,
            linger_ms=2,
            **settings,
        )
        self.done = threading.Event()
        self.acknowledged = {}  # by record: partition and offset
        self.given_up = 0
        self.gaps = collections.defaultdict(Gap)
        for partition in range(PARTITIONS):
            self.gaps[partition].happened()

    def run(self):
        number = 0
        while not self.done.is_set():
            for key in KEYS:
                number += 1
                try:
                    self._send(key, b"%d" % number)
                except KafkaError:  # no leader is known for a while
                    self.given_up += 1
            time.sleep(0.01)
        self.client.flush(60)

    def _send(self, key, value):
        sent = self.client.send(TOPIC, value, key)
        sent.add_callback(self._acknowledge, value)
        sent.add_errback(self._give_up)

    def _acknowledge(self, value, where):
        self.acknowledged[value] = (where.partition, where.offset)
        self.gaps[where.partition].happened()

    def _give_up(self, _):
        self.given_up += 1


class Reader(threading.Thread):
    """A member of the group."""

    def __init__(self, bootstrap, seen, gap):
        super().__init__(daemon=True)
        self.bootstrap, self.seen, self.gap, self.done = bootstrap, seen, gap, threading.Event()

    def run(self):
        client = KafkaConsumer(
            TOPIC,
            bootstrap_servers=self.bootstrap.split(","),
            group_id=GROUP,
            auto_offset_reset="earliest",
            auto_commit_interval_ms=500,
            session_timeout_ms=6000,
            heartbeat_interval_ms=1000,
            request_timeout_ms=7000,
            retry_backoff_ms=20,
        )
        while not self.done.is_set():
            for records in client.poll(timeout_ms=200).values():
                for record in records:
                    self.seen[record.value].add((record.partition, record.offset))
                self.gap.happened()
        client.close()


def read_all(bootstrap):
    """Every record of the topic: partition, offset, key and value, in the order of the logs."""
    client = KafkaConsumer(bootstrap_servers=bootstrap.split(","), enable_auto_commit=False)
    partitions = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
    ends = client.end_offsets(partitions)
    client.assign(partitions)
    client.seek_to_beginning(*partitions)
    found, end = [], time.monotonic() + 60
    while any(client.position(partition) < ends[partition] for partition in partitions):
        for records in client.poll(timeout_ms=500).values():
            found += [(record.partition, record.offset, record.key, record.value) for record in records]
        if time.monotonic() > end:
            sys.exit("the topic cannot be read to its end within 60 s")
    client.close()
    return sorted(found)


def disturb(kind, pid):
    """Does it, and returns once the worst is over."""
    os.kill(pid, {"killed": signal.SIGKILL, "frozen": signal.SIGSTOP, "stopped": signal.SIGTERM}[kind])
    time.sleep(AWAY)
    if kind == "frozen":
        os.kill(pid, signal.SIGCONT)


def check_records(bootstrap, producer, seen):
    """Compares what was acknowledged with what is there, and with what the group saw. Returns how many are missing."""
    log = read_all(bootstrap)
    there = {(partition, offset): value for partition, offset, _, value in log}
    lost = [value for value, where in producer.acknowledged.items() if there.get(where) != value]
    unseen = [value for value, where in producer.acknowledged.items() if where not in seen.get(value, ())]
    twice = len(log) - len({value for _, _, _, value in log})
    last, turned = collections.defaultdict(int), 0
    first = set()
    for partition, _, key, value in log:
        if value not in first:  # a record that was sent twice counts where it was first
            turned += int(value) < last[partition, key]
            last[partition, key] = int(value)
            first.add(value)
    say(f"{len(producer.acknowledged)} records acknowledged, {producer.given_up} given up; lost: {len(lost)}, not seen by the group: {len(unseen)}, "
        f"out of order: {turned}, there twice: {twice}")
    return len(lost) + len(unseen) + turned


def check_files(cluster):
    """Compares the replicas of each partition on the disks of the three brokers. Returns how many differ."""
    differ = 0
    for partition in range(PARTITIONS):
        replicas = []
        for directory in cluster.directories.values():
            segments = sorted((directory / "data" / f"{TOPIC}-{partition}").glob("*.log"))
            replicas.append(b"".join(segment.read_bytes() for segment in segments))
        same = len(set(replicas)) == 1
        differ += not same
        sizes = f"{len(replicas[0])} bytes" if same else ", ".join(f"{len(replica)} bytes" for replica in replicas)
        say(f"partition {partition}: the three replicas {'are the same' if same else 'differ'}, {sizes}")
    return differ


def experiment(cluster, kinds, seconds):
    cluster.run("topic", "create", TOPIC, "--partitions", str(PARTITIONS), "--replication-factor", "3", "--config", "min.insync.replicas=2")
    until("every partition has three replicas in sync", cluster.whole)
    for partition in cluster.partitions():
        say(f"partition {partition['partition']}: leader {partition['leader']}, replicas {partition['replicas']}, in sync {partition['isr']}")

    seen, gap = collections.defaultdict(set), Gap()
    producer = Producer(cluster.bootstrap)
    readers = [Reader(cluster.bootstrap, seen, gap) for _ in range(2)]
    for thread in (producer, *readers):
        thread.start()
    until("the group reads what is produced", lambda: len(seen) > 100)
    time.sleep(seconds)

    for kind in kinds:
        leader = cluster.leader()
        for one in (gap, producer.gaps[0]):
            one.take()
        disturb(kind, cluster.pids[leader])
        until("all replicas are in sync again", cluster.whole)
        time.sleep(seconds)
        say(f"{kind}: broker {leader}, which led partition 0; now {cluster.leader()} leads it. Nothing acknowledged in partition 0 for {producer.gaps[0].take():.2f} s, "
            f"nothing seen by the group for {gap.take():.2f} s")

    producer.done.set()
    producer.join(90)
    until("the group has seen all that was acknowledged", lambda: all(value in seen for value in list(producer.acknowledged)))
    for reader in readers:
        reader.done.set()
    for reader in readers:
        reader.join(30)
    missing = check_records(cluster.bootstrap, producer, seen)
    producer.client.close(10)
    cluster.stop()
    return missing + check_files(cluster)


def main():
    parser = argparse.ArgumentParser(description="Kills, freezes and stops one of three brokers while records are produced and consumed.")
    parser.add_argument("--moldau", default="moldau", metavar="PROGRAM", help="the program (%(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=("killed", "frozen", "stopped"), default=["killed", "frozen", "stopped"], help="what happens, in turn")
    parser.add_argument("--seconds", type=float, default=2, help="of calm before and after each (%(default)s)")
    args = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # which tells of every connection that is lost

    directory = tempfile.mkdtemp(prefix="three-brokers-")
    cluster = None
    try:
        cluster = Cluster(args.moldau, directory)
        bad = experiment(cluster, args.kinds, args.seconds)
    finally:
        if cluster:
            cluster.stop()
        shutil.rmtree(directory, ignore_errors=True)
    if bad:
        sys.exit("something was lost, out of order, or differs")
    say("nothing was lost")


if __name__ == "__main__":
    main()
