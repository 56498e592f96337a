"""Runs the programs of examples/python as a reader runs them."""

import os
import subprocess
import sys

from support import BOOTSTRAP, RECORD, REPLICAS

EXAMPLES = os.environ["EXAMPLES"]


def program(name, topic, *args):
    if name == "producer.py":
        args = ("--replicas", str(REPLICAS), *args)
    return [os.path.join(EXAMPLES, name), "--bootstrap", BOOTSTRAP, "--topic", topic, *args]


def records(output):
    """The records that a program printed, as (partition, offset, key, value)."""
    return [(int(m[1]), int(m[2]), m[3], m[4]) for m in map(RECORD.fullmatch, output.splitlines()) if m]


def run(name, topic, *args):
    """Runs a program to its end and returns its records."""
    done = subprocess.run([sys.executable, *program(name, topic, *args)], capture_output=True, text=True, timeout=90)
    if done.returncode:
        raise AssertionError(f"{name} {args} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return records(done.stdout)
