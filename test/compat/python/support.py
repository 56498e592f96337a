"""What the suites share: names, deadlines, and processes that form a consumer group."""

import collections
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid

BOOTSTRAP = os.environ["BOOTSTRAP"]
REPLICAS = int(os.environ["REPLICAS"])  # of the partitions of the suites' topics
SESSION = 6  # seconds, the shortest session time-out that a broker grants unless told otherwise
RECORD = re.compile(r"partition (\d+) offset (\d+) key (\S+) value (.*)")


def unique(name):
    return f"{name}-{uuid.uuid4()}"


def eventually(what, found, seconds=60):
    """Waits until found() returns something, and returns it."""
    end = time.monotonic() + seconds
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


Shown = collections.namedtuple("Shown", "name partition offset value")


class Stage:
    """Consumers of one group, each a process, and what they say.

    All write to one pipe, so the order of the lines is the order in which things happened. As lines arrive the stage
    keeps who reads which partition, and notes as a fault when two consumers read one or a consumer shows a record of
    a partition it does not read. Only a consumer that was killed or frozen loses its partitions without giving them
    up; after a freeze it may show records that it had fetched before, these are counted as stale.
    """

    LINE = re.compile(r"(\S+): (.*)")

    def __init__(self, test):
        self.processes = {}
        self.changed = threading.Condition()
        self.lines, self.shown, self.stale, self.faults = [], [], [], []
        self.owner, self.reads, self.gone = {}, collections.defaultdict(set), set()
        source, self.sink = os.pipe()
        self.reader = threading.Thread(target=self._read, args=(open(source, encoding="utf-8"),), daemon=True)
        self.reader.start()
        test.addCleanup(self._close)

    def _close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        os.close(self.sink)
        self.reader.join(10)

    def _read(self, source):
        with source:
            for line in source:
                with self.changed:
                    self._line(line.rstrip("\n"))
                    self.changed.notify_all()

    def _line(self, line):
        self.lines.append(f"{time.strftime('%H:%M:%S')} {line}")
        match = self.LINE.fullmatch(line)
        if not match:
            return
        name, said = match.groups()
        record = RECORD.fullmatch(said)
        if record:
            partition = int(record[1])
            self.shown.append(Shown(name, partition, int(record[2]), record[4]))
            if partition not in self.reads[name]:
                self.faults.append(f"shows a record of a partition it does not read: {line}")
            elif self.owner.get(partition) != name:
                self.stale.append(self.shown[-1])
        elif said.startswith("reads partition "):
            for partition in self._partitions(said):
                other = self.owner.get(partition, name)
                if other != name and other not in self.gone:
                    self.faults.append(f"{other} still reads partition {partition}: {line}")
                self.owner[partition] = name
                self.reads[name].add(partition)
            self.gone.discard(name)
        elif said.startswith("gives up partition "):
            self._release(name, self._partitions(said))
        elif said == "left the group":
            self._release(name, list(self.reads[name]))

    def _release(self, name, partitions):
        for partition in partitions:
            self.reads[name].discard(partition)
            if self.owner.get(partition) == name:
                del self.owner[partition]

    @staticmethod
    def _partitions(said):
        return [int(number) for number in re.findall(r"\d+", said)]

    def start(self, name, *command):
        with self.changed:
            self.reads[name].clear()  # what one of this name read that was killed
        self.processes[name] = subprocess.Popen([sys.executable, "-u", "-X", "faulthandler", *command], stdout=self.sink, stderr=self.sink)

    def leave(self, name):
        """Ctrl-C: the consumer closes, and must end by itself. One that does not says where it is."""
        process = self.processes[name]
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
        if process.returncode != 0:
            time.sleep(0.5)  # for what it said last
            raise AssertionError(f"{name} ended with {process.returncode}\n{self}")

    def kill(self, name):
        with self.changed:
            self.gone.add(name)
        self.processes[name].kill()
        self.processes[name].wait()

    def freeze(self, name):
        with self.changed:
            self.gone.add(name)
        self.processes[name].send_signal(signal.SIGSTOP)

    def wake(self, name):
        self.processes[name].send_signal(signal.SIGCONT)

    def wait(self, what, true, seconds=60):
        """Waits until true(), which may look at the fields, and returns how long that took."""
        began = time.monotonic()
        with self.changed:
            if not self.changed.wait_for(lambda: self.faults or true(), seconds) or self.faults:
                raise AssertionError(f"{self.faults or 'not within %d s: %s' % (seconds, what)}\n{self}")
        return time.monotonic() - began

    def share(self, seconds=60, **wanted):
        """Waits until the consumers read exactly so many partitions each: share(A=1, B=1)."""
        return self.wait(f"share {wanted}", lambda: {n: len(p) for n, p in self.reads.items() if p and n not in self.gone} == wanted, seconds)

    def flows(self, name, count=1, seconds=60):
        """Waits until the consumer has shown so many further records of each partition it reads."""
        with self.changed:
            begin, partitions = len(self.shown), set(self.reads[name])

        def enough():
            seen = collections.Counter(s.partition for s in self.shown[begin:] if s.name == name)
            return all(seen[p] >= count for p in partitions)

        return self.wait(f"{name} shows records of {partitions}", enough, seconds)

    def says(self, name, text, since=0, seconds=60):
        """Waits for a line of the consumer that contains the text."""
        return self.wait(f"{name} says {text!r}", lambda: any(f" {name}: " in line and text in line for line in self.lines[since:]), seconds)

    def repeats(self):
        """How many records were shown more than once."""
        return sum(n - 1 for n in collections.Counter((s.partition, s.offset) for s in self.shown).values())

    def __str__(self):
        return "\n".join(self.lines[-200:])


def report(text):
    """Says what was seen, for the log of the suite."""
    print(f"    {text}", file=sys.stderr, flush=True)
