"""Reads a topic from any offset on and prints each record.

    python consumer.py                          all partitions, from the first record on, then waits for more
    python consumer.py --offset latest          only what comes from now on
    python consumer.py --partition 1 --offset 5
    python consumer.py --count 10               ends after ten records

Needs: pip install kafka-python
"""

import argparse
import sys

from kafka import KafkaConsumer, TopicPartition


def offset(text):
    return text if text in ("earliest", "latest") else int(text)


def main():
    parser = argparse.ArgumentParser(description="Reads a topic from any offset on and prints each record.")
    parser.add_argument("--bootstrap", default="127.0.0.1:9092", metavar="HOST:PORT", help="a broker (%(default)s)")
    parser.add_argument("--topic", default="hello", help="the topic (%(default)s)")
    parser.add_argument("--partition", type=int, nargs="+", metavar="P", help="only these partitions")
    parser.add_argument("--offset", type=offset, default="earliest", metavar="N", help="where to start: earliest, latest or an offset (%(default)s)")
    parser.add_argument("--count", type=int, metavar="N", help="end after so many records")
    args = parser.parse_args()

    consumer = KafkaConsumer(bootstrap_servers=args.bootstrap)
    known = consumer.partitions_for_topic(args.topic)
    if not known:
        sys.exit(f"there is no topic {args.topic}: start producer.py first")
    partitions = [TopicPartition(args.topic, p) for p in args.partition or sorted(known)]
    consumer.assign(partitions)
    if args.offset == "earliest":
        consumer.seek_to_beginning(*partitions)
    elif args.offset == "latest":
        consumer.seek_to_end(*partitions)
    else:
        for partition in partitions:
            consumer.seek(partition, args.offset)
    starts = ", ".join(f"partition {p.partition} from offset {consumer.position(p)}" for p in partitions)
    print(f"reading {starts}", flush=True)

    for number, record in enumerate(consumer, 1):
        key = record.key.decode() if record.key is not None else None
        print(f"partition {record.partition} offset {record.offset} key {key} value {record.value.decode()}", flush=True)
        if number == args.count:
            break
    consumer.close()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
