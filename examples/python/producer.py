"""Sends records to a topic and prints where each one went.

    python producer.py                          ten records without a key: they spread over the partitions
    python producer.py --key alice ben carol    each key always goes to the same partition
    python producer.py --count 100 --every 0.1

The topic is created with three partitions when it is not there. Needs: pip install kafka-python
"""

import argparse
import itertools
import time

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError


def create_topic(bootstrap, topic, partitions, replicas):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=replicas)])
    except TopicAlreadyExistsError:
        pass
    finally:
        admin.close()


def main():
    parser = argparse.ArgumentParser(description="Sends records to a topic and prints where each one went.")
    parser.add_argument("--bootstrap", default="127.0.0.1:9092", metavar="HOST:PORT", help="a broker (%(default)s)")
    parser.add_argument("--topic", default="hello", help="the topic (%(default)s)")
    parser.add_argument("--partitions", type=int, default=3, metavar="N", help="partitions of a new topic (%(default)s)")
    parser.add_argument("--replicas", type=int, default=1, metavar="N", help="brokers that keep each partition of a new topic (%(default)s)")
    parser.add_argument("--key", nargs="+", default=[None], help="the keys, in turn; without them records have none")
    parser.add_argument("--count", type=int, default=10, metavar="N", help="how many records (%(default)s)")
    parser.add_argument("--every", type=float, default=0, metavar="SECONDS", help="the pause between two (%(default)s)")
    args = parser.parse_args()

    create_topic(args.bootstrap, args.topic, args.partitions, args.replicas)
    producer = KafkaProducer(bootstrap_servers=args.bootstrap, acks="all")
    for number, key in zip(range(args.count), itertools.cycle(args.key)):
        value = f"record {number}"
        sent = producer.send(args.topic, value.encode(), key.encode() if key is not None else None)
        where = sent.get(timeout=30)  # waits until the broker has the record
        print(f"partition {where.partition} offset {where.offset} key {key} value {value}", flush=True)
        time.sleep(args.every)
    producer.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
