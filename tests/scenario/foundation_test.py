# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Each row of what ring 0 stands on (core/policy/foundation.hpp) is tried by ring 3 under a policy that refuses nothing,
and read by the normal world before and after, on both machines."""

import json
import os
import random
import subprocess
import unittest

from support import MMSIM, ROOT, TestCase

SEED = 20261129
ATTEMPTS = 60  # of one scenario: each costs a copy of the driver
WRMSR, OUT_BYTE, BY_NUMBER = 9, 11, 12
HLT = 6


def rows():
    done = subprocess.run([MMSIM, "policy", "core", "--json"], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)["rows"]


def members(row):
    """The first, the last and two others of a row."""
    pick = random.Random(SEED ^ row["first"])
    return sorted({row["first"], row["last"], *(pick.randint(row["first"], row["last"]) for _ in range(2))})


def attack(command, argument, value):
    return f"""
[[step]]
kind = "communicate"
to = "Attacker"
fields = [{{ u64 = {command} }}, {{ u64 = "{argument:#x}" }}, {{ u64 = "{value:#x}" }}]
expect = {{ status = "Aborted" }}
"""


def msr(number):
    return f'\n[[step]]\nkind = "msr"\nmsr = {number:#x}\n'


def port(number, width, value=None):
    write = "" if value is None else f"write = {value:#x}\n"
    return f'\n[[step]]\nkind = "io"\nport = {number:#x}\nwidth = {width}\n{write}'


class Attempt:
    """One access of ring 3, with what the normal world reads on either side of it."""

    def __init__(self, row, number, value):
        self.row, self.number, self.value = row, number, value

    def steps(self):
        kind, n = self.row["kind"], self.number
        if kind == "MSR":
            return msr(n) + attack(WRMSR, n, self.value) + msr(n)
        if kind == "PCI":
            data = 0xCFC + (n & 3)
            address = port(0xCF8, 4, 0x80000000 | (n & ~3))
            return address + port(data, 1) + attack(OUT_BYTE, data, self.value & 0xFF) + port(data, 1)
        if kind == "IO":
            # Reading the ports of the testbed does nothing; 0x92 and 0xB2 show what they hold.
            return port(n, 1) + attack(OUT_BYTE, n, self.value & 0xFF) + port(n, 1)
        return port(0x80, 1) + attack(BY_NUMBER, HLT, 0) + port(0x80, 1)

    def reads(self, story):
        """What the normal world read before and after, and how many steps this attempt took."""
        taken = 4 if self.row["kind"] == "PCI" else 3
        values = [(s.get("status"), s.get("value")) for s in story[:taken] if s["kind"] != "communicate"]
        return values[-2], values[-1], taken


def scenario(attempts):
    head = f"""schema = 1
name = "what ring 0 stands on"
images = [{{ driver = "Attacker", copies = {len(attempts) + 1} }}, {{ driver = "Hello" }}]
[machine]
fault_policy = "contain"
[policy]
xml = "{ROOT}/scenarios/policies/open.xml"
"""
    hello = '\n[[step]]\nkind = "communicate"\nto = "Hello"\ntext = "abc"\nexpect = { text = "ABC" }\n'
    return head + "".join(a.steps() for a in attempts) + hello


class Foundation(TestCase):
    def run_on(self, target, attempts):
        path = self.write("foundation.toml", scenario(attempts))
        done = subprocess.run([MMSIM, "run", path, f"--target={target}", "--json"], capture_output=True, text=True,
                              timeout=600, check=False, env=dict(os.environ))
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-1000:])
        return json.loads(done.stdout)["results"][0]["story"]

    def test_each_row_on_both_machines(self):
        pick = random.Random(SEED)
        attempts = [Attempt(row, n, pick.getrandbits(64)) for row in rows() for n in members(row)]
        self.assertGreater(len(attempts), 100)
        for target in ("sim", "qemu"):
            there = set()
            for first in range(0, len(attempts), ATTEMPTS):
                chunk = attempts[first:first + ATTEMPTS]
                story = self.run_on(target, chunk)
                for one in chunk:
                    before, after, taken = one.reads(story)
                    refusals = [e for s in story[:taken] for e in s.get("events", []) if "PolicyRefusal" in e]
                    if one.row["name"] == "IA32_TIME_STAMP_COUNTER":
                        self.assertLess(after[1] - before[1], 1 << 40, "it goes on as it was")
                    else:
                        self.assertEqual(before, after, f"{target}: {one.row} {one.number:#x}")
                    self.assertEqual(len(refusals), 1, f"{target}: {one.row} {one.number:#x}: {refusals}")
                    if before[1] not in (None, 0, 0xFF):
                        there.add(one.row["name"])
                    story = story[taken:]
            print(f"{target}: {len(attempts)} attempts on {len(rows())} rows refused; "
                  f"{len(rows()) - len(there)} rows read as nothing there (no such register, or zero)")


if __name__ == "__main__":
    unittest.main()
