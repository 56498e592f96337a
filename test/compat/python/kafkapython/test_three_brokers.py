"""Of three brokers the one that leads is killed, frozen and stopped: nothing is lost. The program starts brokers of its own."""

import os
import re
import subprocess
import sys
import unittest

from programs import EXAMPLES
from support import report


class ThreeBrokers(unittest.TestCase):
    def test_nothing_is_lost(self):
        done = subprocess.run([sys.executable, os.path.join(EXAMPLES, "three_brokers.py"), "--moldau", os.environ["MOLDAU"]],
                              capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")
        lines = done.stdout.splitlines()
        for line in lines:
            report(line)
        self.assertEqual(len({line.split("leader ")[1][0] for line in lines[:3]}), 3, "the leaders are on three brokers")
        for kind in ("killed", "frozen", "stopped"):
            self.assertTrue(any(re.match(kind + r": broker \d, which led partition 0; now \d leads it", line) for line in lines), kind)
        acknowledged = int(re.search(r"(?m)^(\d+) records acknowledged", done.stdout)[1])
        self.assertGreater(acknowledged, 1000)
        self.assertIn("lost: 0, not seen by the group: 0, out of order: 0", done.stdout)
        self.assertEqual(done.stdout.count("the three replicas are the same"), 3)
        self.assertEqual(lines[-1], "nothing was lost")
