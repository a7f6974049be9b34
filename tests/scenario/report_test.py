# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What `mmsim run` tells a person and a program about scenarios that pass, fail, and differ between the machines."""

import json
import os
import re
import subprocess
import unittest

from support import BAD_INPUT, FAILED, IMAGES, MMSIM, PASSED, SMOKE, TestCase, run

SKIPPED = 77
GOOD = """schema = 1
name = "two greetings"
images = [{ driver = "Hello" }]

[[step]]
title = "the first"
kind = "communicate"
to = "Hello"
text = "Hello"

[[step]]
kind = "io"
port = 0xB3
"""

BAD = GOOD + """
[[step]]
title = "wrong on purpose"
kind = "communicate"
to = "Hello"
text = "abc"
expect = { status = "NotFound", text = "abc" }

[expect]
events = [{ kind = "MmiEntry" },
          { kind = "Fault", a = 14 }]
"""


def run_json(*arguments):
    done = subprocess.run([MMSIM, "run", "--json", *map(str, arguments)], capture_output=True, text=True, timeout=600,
                          check=False)
    return done.returncode, json.loads(done.stdout)["results"]


REFUSED = """schema = 1
images = [{ driver = "Attacker" }, { driver = "Hello" }]

[[step]]
kind = "communicate"
to = "Attacker"
fields = [{ u64 = 11 }, { u64 = 0x61 }, { u64 = 0x55 }]
"""


class RefusedSystemCall(TestCase):
    def test_it_is_told_by_image_function_and_width(self):
        code, text = run(self.write("refused.toml", REFUSED))
        self.assertEqual(code, FAILED, text)
        self.assertRegex(text, r"try +IO_WRITE, called from by_syscall at \S*attacker.cpp:\d+.*\(Attacker\+0x[0-9a-f]+\).*: "
                               r"the policy refuses IO 0x61 write, 1 byte")
        self.assertIn("PolicyRefusal IO 0x61 write, 1 byte\n", text)
        self.assertIn("Syscall IO_WRITE (0x61, 1 byte, 0x55) = 0x0 AccessDenied", text)

    def test_a_halt_without_a_line_has_none(self):
        report = self.folder / "report.xml"
        run(self.write("refused.toml", REFUSED), "--junit", report)
        text = report.read_text(encoding="utf-8")
        self.assertIn("refused.toml)", text)
        self.assertNotIn("refused.toml:0", text)

    def test_a_row_of_the_memory_map_names_each_image(self):
        _, text = run(self.write("refused.toml", REFUSED), "-v")
        rows = [line for line in text.splitlines() if "MemoryMap" in line and "Hello+0x0 " in line]
        self.assertEqual(len(rows), 1, text)
        self.assertRegex(rows[0], r"MemoryMap (Attacker\+0x\w+ 0x\w+ bytes, )?Hello\+0x0 0x1000 bytes user R")


class OtherQemu(TestCase):
    """A scenario that says on which versions of QEMU it does not hold."""

    def on(self, version, *arguments, rows='{ from = 8, below = 10, because = "it is odd there" }'):
        """Runs with a QEMU of which only the version is asked."""
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        (programs / "qemu-system-x86_64").write_text(f'#!/bin/sh\necho "QEMU emulator version {version} (Debian 1:7)"\n')
        (programs / "qemu-system-x86_64").chmod(0o755)
        path = self.write("odd.toml", GOOD.replace("images", f"qemu_except = [{rows}]\nimages", 1))
        done = subprocess.run([MMSIM, "run", path, *arguments], capture_output=True, text=True, timeout=60, check=False,
                              env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"})
        return done.returncode, done.stdout + done.stderr

    def test_the_simulator_runs_it_alone_and_it_is_said_why(self):
        code, text = self.on("8.2.2", "--target=both")
        self.assertEqual(code, PASSED, text)
        self.assertIn("odd.toml [sim]", text)
        self.assertIn("not on QEMU 8: it is odd there", text)
        code, text = self.on("9.0", "--target=qemu")
        self.assertEqual(code, SKIPPED, text)
        self.assertIn("not on QEMU 9: it is odd there", text)

    def test_other_versions_are_used(self):
        for version in "7.2.1", "10.0":
            self.assertIn("[both]", self.on(version, "--target=both")[1])
        self.assertNotIn("not on QEMU", self.on("8.2")[1], "the simulator alone was asked for")

    def test_malformed(self):
        for rows in '{ from = 8 }', '{ because = "x" }', '{ from = 8, below = 8, because = "x" }', '{ from = 0, because = "x" }', '1':
            code, text = self.on("8", rows=rows)
            self.assertEqual(code, BAD_INPUT, text)
            self.assertRegex(text, r"odd.toml:\d+: ")


class People(TestCase):
    def test_one_file_is_told_step_by_step(self):
        code, text = run(self.write("good.toml", GOOD))
        self.assertEqual(code, PASSED, text)
        self.assertRegex(text, r"^passed +\S*good\.toml \[sim\] [\d.]+ ms")
        self.assertIn("two greetings", text)
        self.assertRegex(text, r"\n +# +step +sent +status +reply\n")
        self.assertIn("the first", text)
        self.assertRegex(text, r"\n +1 +communicate +to Hello, 5 bytes: 48 65 6c 6c 6f +Success +5 bytes: 68 45 4c 4c 4f\n")
        self.assertRegex(text, r"\n +2 +io +IN 8 bits from port 0xb3 +0x0\n")
        self.assertNotIn("CopyIn", text)
        self.assertNotIn("\x1b", text)

    def test_columns_are_aligned(self):
        _, text = run(self.write("good.toml", GOOD))
        rows = [line for line in text.splitlines() if re.match(r" +(#|\d+)  ", line)]
        self.assertEqual(len(rows), 3)
        self.assertEqual(len({row.index(word) for row, word in zip(rows, ("sent", "to Hello", "IN 8"))}), 1, text)
        self.assertEqual(len({row.index(word) for row, word in zip(rows, ("reply", "5 bytes: 68", "0x0"))}), 1, text)

    def test_verbose_has_the_events_of_each_step(self):
        _, text = run(self.write("good.toml", GOOD), "-v")
        boot, rest = text.split("# ", 1)
        first, second = rest.split(" io ", 1)
        self.assertIn("DriverEntered Hello", boot)
        self.assertIn("CopyIn user 29 bytes", first)
        self.assertNotIn("CopyIn", second)

    def test_a_failure_is_explained(self):
        path = self.write("bad.toml", BAD)
        code, text = run(path)
        self.assertEqual(code, FAILED)
        line = BAD[:BAD.index("expect = {")].count("\n") + 1
        self.assertRegex(text, r"\n ! +3 +communicate")
        self.assertIn("step 3, wrong on purpose: status", text)
        self.assertIn("    expected  NotFound\n    actual    Success\n    machine   sim\n", text)
        self.assertIn(f"    at        {path}:{line}\n", text)
        self.assertIn("    expected  61 62 63\n    actual    41 42 43\n", text)
        line = BAD[:BAD.index('{ kind = "Fault"')].count("\n") + 1
        self.assertIn(f"    at        {path}:{line}\n", text)
        self.assertIn("    try       ", text)
        self.assertIn("what happened in step 3\n", text)
        self.assertIn("RequestDecoded user to Hello 3 bytes", text)
        self.assertNotIn("RequestDecoded user to Hello 5 bytes", text)

    def test_a_halt_says_where_to_look(self):
        scenario = (SMOKE / "policy_msr.toml").read_text(encoding="utf-8").split("[expect]")[0]
        code, text = run(self.write("halt.toml", scenario.replace("halts = true", 'status = "Success"')))
        self.assertEqual(code, FAILED)
        self.assertIn("no answer: the machine stopped", text)
        self.assertIn("    expected  no halt\n    actual    halted (SyscallRefused)", text)
        self.assertIn("PolicyRefusal", text)

    def test_a_message_that_nobody_takes_says_what_to_look_for(self):
        lost = GOOD.split("[[step]]\nkind")[0].replace('to = "Hello"', 'to = "11111111-2222-3333-4444-555555555555"')
        code, text = run(self.write("lost.toml", lost + 'expect = { status = "Success" }\n'))
        self.assertEqual(code, FAILED)
        self.assertIn("    actual    NotFound\n", text)
        self.assertIn("    try       no handler took the message", text)

    def test_a_driver_that_failed_is_named(self):
        code, text = run(self.write("bad.toml", BAD.replace('{ driver = "Hello" }', '{ driver = "Hello" }, '
                                                            '{ driver = "ErrorAtEntry" }')))
        self.assertEqual(code, FAILED)
        self.assertIn("ErrorAtEntry: error DEVICE_ERROR\n", text)

    def test_a_folder_is_one_line_each_and_a_summary(self):
        self.write("good.toml", GOOD)
        self.write("bad.toml", BAD)
        code, text = run(self.folder)
        self.assertEqual(code, FAILED)
        self.assertEqual(len(re.findall(r"^(?:passed|failed) ", text, re.M)), 3, "each, and behind the summary the one that failed")
        self.assertRegex(text, r"\n +passed +failed +error +skipped +total +time\n +1 +1 +0 +0 +2 +[\d.]+ s\n"
                               r"failed +\S+bad.toml:20 \[sim\]  step 3 \(wrong on purpose, line 15\): status is Success, expected NotFound\n$")
        self.assertEqual(text.count("two greetings"), 1, "only the failure is told")


class Programs(TestCase):
    def test_json_is_complete(self):
        path = self.write("bad.toml", BAD)
        code, (result,) = run_json(path)
        self.assertEqual(code, FAILED)
        self.assertEqual(result["outcome"], "failed")
        self.assertEqual(len(result["steps"]), 3)
        first = result["story"][0]
        self.assertEqual((first["number"], first["kind"], first["status"], first["status_value"]),
                         (1, "communicate", "Success", 0))
        self.assertEqual(bytes.fromhex(first["data_hex"])[-5:], b"hELLO")
        self.assertEqual([f["what"] for f in result["failures"]], ["status", "bytes at 0", "event 2"])
        self.assertTrue(all(f["file"] == str(path) and f["line"] > 0 for f in result["failures"]))
        self.assertEqual(result["failures"][0]["step"], 3)


class Machines(TestCase):
    def test_what_differs_nowhere_has_none(self):
        for name in "cpuid", "rdpmc", "icebp":
            _, (result,) = run_json(SMOKE / f"{name}.toml", "--target=both")
            self.assertEqual((result["outcome"], result["declared_differences"]), ("passed", []), name)

    def test_doctor_lists_the_gaps(self):
        done = subprocess.run([MMSIM, "doctor", "--json"], capture_output=True, text=True, timeout=60, check=False,
                              env={"MM_IMAGES": str(IMAGES), "PATH": "/usr/bin:/bin"})
        gaps = {gap["id"]: gap for gap in json.loads(done.stdout)["fidelity"]}
        self.assertIn("bus-hole", gaps)
        self.assertTrue(all(gap["text"] and isinstance(gap["transcript"], list) for gap in gaps.values()), gaps)
        for mended in "umip", "monitor", "syscall-msrs":
            self.assertNotIn(mended, gaps)


if __name__ == "__main__":
    unittest.main()
