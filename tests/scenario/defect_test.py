# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Each check of the supervisor has a scenario that fails when the check is removed, and passes otherwise."""

import re
import unittest

from support import BAD_INPUT, FAILED, PASSED, ROOT, SMOKE, TestCase, run

SCENARIO_OF = {
    "MessageSize": "buffer_edges",
    "HeaderOnce": "hello",
    "MsrPolicy": "policy_msr_contain",
    "IoPolicy": "policy_port_contain",
    "Foundation": "foundation",
    "InstructionPolicy": "policy_instruction_contain",
    "UserPointer": "error_report_foreign",
    "FreePageOwner": "free_lent_page",
    "CommBufferQuery": "comm_buffer_query",
    "RuntimeGate": "locks",
    "LockedUnblock": "unblock",
    "UnblockMmram": "unblock",
    "ContainCleanUp": "contain_at_entry",
    "Rendezvous": "four_cpus",
    "PageAttributes": "ring3_read_contain",
    "MmramLock": "locked_mmram",
    "UserAccessWindow": "smap",
    "RsmPrecheck": "rsm_refused",
    "Smrr": "../attacks/09_smrr_sound",
    "NmiResume": "../attacks/07_nmi_sound",
}


def checks():
    """Names of supervisor::Check."""
    text = (ROOT / "core/supervisor/checks.hpp").read_text(encoding="utf-8")
    body = re.search(r"enum class Check[^{]*\{(.*?)\};", text, re.S).group(1)
    return set(re.findall(r"^\s*(\w+),", body, re.M))


class Defects(TestCase):
    def test_every_check_has_a_scenario(self):
        self.assertEqual(checks(), set(SCENARIO_OF))

    def test_the_scenario_notices(self):
        for check, name in SCENARIO_OF.items():
            with self.subTest(check=check):
                scenario = SMOKE / f"{name}.toml"
                code, text = run(scenario)
                self.assertEqual(code, PASSED, text)
                code, text = run(scenario, "--defect", check)
                self.assertEqual(code, FAILED, text)

    def test_smrr_closes_mmram_without_the_chipset(self):
        code, text = run(SMOKE / "../attacks/09_smrr_sound.toml", "--defect", "MmramLock")
        self.assertEqual(code, PASSED, text)

    def test_an_unknown_check_is_bad_usage(self):
        code, text = run(SMOKE / "hello.toml", "--defect", "Nothing")
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("Nothing", text)

    def test_qemu_has_no_defects(self):
        code, _ = run(SMOKE / "hello.toml", "--target", "qemu", "--defect", "MsrPolicy")
        self.assertEqual(code, BAD_INPUT)


if __name__ == "__main__":
    unittest.main()
