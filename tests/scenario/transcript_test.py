# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the smoke scenarios make the supervisor report, and that it is a function of scenario and seed."""

import re
import unittest

from support import FAILED, ROOT, SMOKE, TestCase


def trace_kinds():
    """Names of hal::TraceKind."""
    text = (ROOT / "hal/roles/trace.hpp").read_text(encoding="utf-8")
    body = re.search(r"enum class TraceKind[^{]*\{(.*?)\};", text, re.S).group(1)
    return set(re.findall(r"^\s*(\w+) = \d+,", body, re.M))


def kinds_in(transcript):
    """Names of the events; a line is `mmi N cpu N Kind ...`."""
    return set(re.findall(r"^mmi \d+ cpu \d+ (\w+)", transcript, re.M))


# Function, file and line; where there is no symbolizer, the symbol of the linker's map.
PLACE = r"\(\w+( at scenarios/drivers/\w+\.cpp:\d+|\+0x[0-9a-f]+)[^)]*\)"


class Transcripts(TestCase):
    def test_every_kind_of_event_occurs(self):
        seen = kinds_in(self.transcript(SMOKE))
        # A supervisor without defects does not fault: with one that opens no user page it must.
        seen |= kinds_in(self.transcript(SMOKE / "smap.toml", "--defect", "UserAccessWindow", code=FAILED))
        self.assertGreater(len(trace_kinds()), 20)
        self.assertEqual(trace_kinds() - seen, set())

    def test_a_fault_names_its_function_and_registers(self):
        text = self.transcript(SMOKE / "fault_at_entry_fail_stop.toml")
        self.assertRegex(text, r"Fault vector 14 .* at FaultAtEntry\+0x[0-9a-f]+ " + PLACE)
        self.assertRegex(text, r"Registers R15=.* RIP=FaultAtEntry\+0x[0-9a-f]+ RFLAGS=")

    def test_a_record_names_what_was_refused_and_where(self):
        text = self.transcript(SMOKE / "ring3_read_contain.toml", SMOKE / "policy_msr_contain.toml")
        at = r"at Attacker\+0x[0-9a-f]+ " + PLACE + r", image at 0x[0-9a-f]+000$"
        self.assertRegex(text, r"(?m)Telemetry #PF, read of mmram\+0x8000, no right " + at)
        self.assertRegex(text, r"(?m)Telemetry system call RDMSR refused: ACCESS_DENIED " + at)

    def test_every_reason_to_halt_occurs(self):
        text = (ROOT / "hal/roles/reasons.hpp").read_text(encoding="utf-8")
        body = re.search(r"enum class HaltReason[^{]*\{(.*?)\};", text, re.S).group(1)
        reasons = set(re.findall(r"^\s*(\w+) = \d+,", body, re.M))
        self.assertGreater(len(reasons), 5)
        transcript = self.transcript(SMOKE, SMOKE.parent / "conformance")
        # A fault of ring 0 stops the machine there and then; the fault is the last event.
        halts = set(re.findall(r" Halt (\w+) ", transcript))
        halts |= {"SupervisorFault"} & kinds_in(self.transcript(SMOKE / "smap.toml", "--defect", "UserAccessWindow", code=FAILED))
        self.assertEqual(reasons - halts, set())

    def test_the_same_seed_gives_the_same_transcript(self):
        self.assertEqual(self.transcript(SMOKE, "--seed", 7), self.transcript(SMOKE, "--seed", 7))

    def test_other_seeds_pass_too(self):
        for seed in (2, 3, 1234567, 2**63):
            with self.subTest(seed=seed):
                self.transcript(SMOKE, "--seed", seed)


if __name__ == "__main__":
    unittest.main()
