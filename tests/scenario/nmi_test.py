# SPDX-License-Identifier: BSD-2-Clause-Patent
"""An NMI at each instruction behind a single step of ring 3, on QEMU with one instruction a tick: it may come in the stub
of #DB. The driver is removed for its step, with an address of its own in the record, and the rest goes on."""

import os
import re
import shutil
import unittest

from support import MMSIM, TestCase

TICKS = [*range(1, 61), 75, 100, 150, 300]
SCENARIO = """schema = 1
name = "an NMI behind a single step of ring 3"
images = [{{ driver = "Attacker", copies = 2 }}, {{ driver = "Hello" }}]
[machine]
fault_policy = "contain"
[[step]]
title = "the page of the local APIC, which has the timer"
kind = "unblock"
address = "0xFEE00000"
identifier = "Hello"
[[step]]
kind = "communicate"
to = "Attacker"
fields = [{{ u8 = 21 }}, {{ u8 = 60 }}, {{ u16 = 0 }}, {{ u32 = 0 }}, {{ u64 = "0xFEE00000" }}, {{ u64 = {ticks} }}]
expect = {{ status = "Aborted" }}
[[step]]
kind = "communicate"
to = "Hello"
text = "abc"
expect = {{ status = "Success", text = "ABC" }}
[expect]
events = [{{ kind = "Fault", a = 1 }}, {{ kind = "Contained" }}]
no_events = ["Halt", "SupervisorFault"]
"""


class NmiBehindStep(TestCase):
    def test_every_tick(self):
        qemu = shutil.which("qemu-system-x86_64")
        self.assertIsNotNone(qemu)
        shim = self.write("qemu-system-x86_64", f'#!/bin/sh\nexec {qemu} "$@" -icount shift=0,sleep=off\n')
        shim.chmod(0o755)
        os.environ["PATH"] = f"{self.folder}:{os.environ['PATH']}"
        files = [self.write(f"{ticks:03}.toml", SCENARIO.format(ticks=ticks)) for ticks in TICKS]
        text = self.transcript(*files, "--target=qemu")
        faults = re.findall(r"Fault vector 1 .* at (\S+)", text)
        self.assertEqual(len(faults), len(TICKS), text[-2000:])
        for at in faults:
            self.assertTrue(at.startswith("Attacker+"), at)


if __name__ == "__main__":
    unittest.main()
