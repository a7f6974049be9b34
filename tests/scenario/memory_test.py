# SPDX-License-Identifier: BSD-2-Clause-Patent
"""No input makes mmsim take more than the memory that README.md states."""

import json
import resource
import subprocess

import support
from support import FAILED, MMSIM, PASSED

STATED = 1 << 30  # beside the RAM of the machine
RAM = 256 << 20


class Memory(support.TestCase):
    def run_within(self, text, *arguments):
        path = self.write("s.toml", text)
        done = subprocess.run([MMSIM, "run", str(path), "--json", *arguments], capture_output=True, text=True, timeout=600, check=False)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
        self.assertLess(peak, STATED + RAM, f"{peak >> 20} MiB")
        return done.returncode, json.loads(done.stdout)["results"][0]

    def test_a_driver_that_polls_for_ever(self):
        code, result = self.run_within((support.SMOKE / "polling_budget.toml").read_text(encoding="utf-8"), "--target=both")
        self.assertEqual((code, result["ended"]), (PASSED, "UserBudget"), result["failures"])

    def test_messages_without_end(self):
        one = ('[[step]]\nkind = "communicate"\nto = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0095"\nrepeat = 64\n'
               'fields = [{ u64 = 0xB3 }, { u64 = 0xFF }, { u64 = 0xFF }, { u64 = 8000 }, { u64 = 0 }]\n')
        _, result = self.run_within('schema = 1\nimages = [{ driver = "Poller" }]\n' + one)
        self.assertTrue(any("events were not kept" in line for line in result["messages"]), result["messages"])

    def test_results_without_end(self):
        read = '[[step]]\nkind = "read"\naddress = "scratch"\nbytes = 65536\nrepeat = 4096\n'
        code, result = self.run_within('schema = 1\nimages = [{ driver = "Hello" }]\n' + read * 12)
        self.assertEqual(code, FAILED)
        self.assertIn("split the scenario", " ".join(f["text"] for f in result["failures"]))


if __name__ == "__main__":
    support.unittest.main()
