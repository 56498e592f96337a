"""A member of a consumer group in a thread of the test."""

import concurrent.futures
import queue
import threading
import time

from kafka import ConsumerRebalanceListener, KafkaConsumer
from support import BOOTSTRAP, SESSION, eventually


class Member(ConsumerRebalanceListener):
    """Polls until it is closed. What a test wants from the consumer it asks with do(), since one thread must use it."""

    def __init__(self, test, group, *topics, pattern=None, patient=False, **options):
        # The newest kafka-python may lose its assignment when a poll ends while it joins because its metadata changed.
        # So it asks for the metadata of its topics before it joins; where a test changes them its polls are long.
        self.patient = patient
        self.assigned, self.events, self.records, self.error = set(), [], [], None
        self.topics, self.pattern, self.stopping, self.calls = topics, pattern, False, queue.Queue()
        self.options = {
            "bootstrap_servers": BOOTSTRAP, "group_id": group, "auto_offset_reset": "earliest", "enable_auto_commit": False,
            "session_timeout_ms": SESSION * 1000, "heartbeat_interval_ms": 500, **options,
        }
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        test.addCleanup(self.close)

    def on_partitions_assigned(self, assigned):
        self.events.append(("assigned", {p.partition for p in assigned}))

    def on_partitions_revoked(self, revoked):
        self.events.append(("revoked", {p.partition for p in revoked}))

    def _run(self):
        consumer = KafkaConsumer(**self.options)
        try:
            consumer.subscribe(self.topics, pattern=self.pattern, listener=self)
            for topic in self.topics:
                consumer.partitions_for_topic(topic)
            while not self.stopping:
                for records in consumer.poll(timeout_ms=2000 if self.patient else 100).values():
                    self.records.extend(records)
                self.assigned = {p.partition for p in consumer.assignment()}
                while not self.calls.empty():
                    call, answer = self.calls.get()
                    try:
                        answer.set_result(call(consumer))
                    except Exception as error:
                        answer.set_exception(error)
        except Exception as error:
            self.error = error
        finally:
            consumer.close()

    def do(self, call):
        answer = concurrent.futures.Future()
        self.calls.put((call, answer))
        return answer.result(30)

    def close(self):
        self.stopping = True
        self.thread.join(60)
        assert not self.thread.is_alive(), "a consumer does not close"

    def read(self, count):
        """Waits for so many records and returns them as (partition, offset)."""
        end = time.monotonic() + 60
        while len(self.records) < count:
            if self.error:
                raise self.error
            if time.monotonic() > end:
                raise AssertionError(f"{len(self.records)} of {count} records came, from partitions {self.assigned} after {self.events}")
            time.sleep(0.02)
        return [(r.partition, r.offset) for r in self.records]


def share(partitions, *members):
    """Waits until the members share exactly these partitions."""

    def shared():
        for member in members:
            if member.error:
                raise member.error
        parts = [set(member.assigned) for member in members]
        return all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == partitions and parts

    return eventually(f"{len(members)} members share {partitions} partitions", shared)
