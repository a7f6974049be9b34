# SPDX-License-Identifier: BSD-2-Clause-Patent
"""`mmsim run` over many scenarios: which of them, how many at once, when it stops, and what the last screen says."""

import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest
import xml.etree.ElementTree as tree

from support import BAD_INPUT, FAILED, IMAGES, MMSIM, PASSED, SMOKE, TestCase

HELLO = (SMOKE / "hello.toml").read_text()
HELLO_GUID = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"


def run(*arguments):
    """Exit code, standard output and standard error of `mmsim run`."""
    done = subprocess.run([MMSIM, "run", *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout, done.stderr


class Suite(TestCase):
    def suite(self, count: int, failing=()) -> pathlib.Path:
        """A folder of `count` scenarios of which some expect what does not happen."""
        folder = self.folder / "suite"
        folder.mkdir()
        for i in range(count):
            text = HELLO if i not in failing else HELLO + '\n[expect]\nhalted = "UserFault"\n'
            (folder / f"s{i:02}.toml").write_text(text)
        return folder

    def test_the_same_by_one_and_by_many(self):
        """Outcomes, their order and every event are those of one after the other."""
        transcripts = []
        for jobs in (1, 4):
            file = self.folder / f"transcript{jobs}"
            code, out, err = run(SMOKE, "-j", jobs, "--transcript", file)
            self.assertEqual(code, PASSED, out + err)
            transcripts.append(file.read_bytes())
        self.assertEqual(transcripts[0], transcripts[1])

    def test_chosen_by_a_part_of_the_path(self):
        code, out, _ = run(self.suite(12), "-k", "suite/s1")
        self.assertEqual(code, PASSED, out)
        self.assertEqual([line.split("/")[-1].split()[0] for line in out.splitlines() if "suite/" in line],
                         ["s10.toml", "s11.toml"])

    def test_a_part_that_no_path_has(self):
        code, out, err = run(SMOKE, "-k", "no such scenario")
        self.assertEqual((code, out), (BAD_INPUT, ""))
        self.assertIn("-k no such scenario: in none of the", err)

    def test_what_failed_is_the_last_that_is_said(self):
        code, out, _ = run(self.suite(9, failing=(2, 5)), "-j", 3)
        self.assertEqual(code, FAILED)
        for line, i in zip(out.splitlines()[-2:], (2, 5)):
            self.assertRegex(line, rf"^failed  \S*/s{i:02}\.toml:\d+ \[sim\]  the machine did not halt, expected UserFault$")

    def test_quiet_leaves_out_what_passed(self):
        code, out, _ = run(self.suite(5, failing=(3,)), "-q")
        self.assertEqual(code, FAILED)
        self.assertNotIn("s00.toml", out)
        self.assertIn("s03.toml", out)

    def test_fail_fast_starts_none_behind_the_first_failure(self):
        code, out, _ = run(self.suite(40, failing=(1,)), "--fail-fast")
        self.assertEqual(code, FAILED)
        self.assertNotIn("s02.toml", out)
        self.assertIn("38 not started: --fail-fast", out)

    def test_the_report_says_what_failed_and_what_happened(self):
        report = self.folder / "report.xml"
        self.assertEqual(run(self.suite(2, failing=(1,)), "--junit", report)[0], FAILED)
        suite = tree.parse(report).getroot()
        self.assertGreater(float(suite.get("time")), 0)
        sound, weak = suite
        self.assertIsNone(sound.find("failure"))
        failure = weak.find("failure")
        self.assertIn("did not halt, expected UserFault", failure.get("message"))
        self.assertTrue(failure.get("type"))
        self.assertIn("RequestDecoded user to Hello 5 bytes", failure.text)

    def test_other_toml_files_of_a_folder_are_no_scenarios(self):
        folder = self.suite(2)
        (folder / "settings.toml").write_text("a = 1\n")
        code, out, err = run(folder)
        self.assertEqual(code, PASSED, out)
        self.assertIn("1 .toml file(s) without `schema` are no scenarios", err)
        only = self.folder / "only"
        only.mkdir()
        (only / "settings.toml").write_text("a = 1\n")
        code, _, err = run(only)
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("no scenario in this folder", err)
        self.assertEqual(run(only / "settings.toml")[0], BAD_INPUT, "named alone it is looked at")

    def wait_for_handler(self, pid: int, number: int):
        """Until the process catches the signal; before, it is ignored or ends the process, as whoever started it had it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            caught = next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if "SigCgt" in line)
            if int(caught.split()[1], 16) >> (number - 1) & 1:
                return
            time.sleep(0.01)
        self.fail("the signal is not caught")

    def emulators(self) -> list[int]:
        """Processes of QEMU that run out of this test's temporary folder."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if b"qemu-system" in command and str(self.folder).encode() in command:
                found.append(int(process.name))
        return found

    @unittest.skipIf(shutil.which("qemu-system-x86_64") is None, "qemu-system-x86_64 is not installed")
    def test_a_signal_ends_emulators_and_tells_what_there_is(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            temporary = self.folder / f"tmp{number}"
            temporary.mkdir()
            report = self.folder / f"report{number}.xml"
            with subprocess.Popen([MMSIM, "run", SMOKE, "--target=qemu", "-j", "2", "--junit", report],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env=os.environ | {"TMPDIR": str(temporary)}) as program:
                deadline = time.monotonic() + 60
                while not self.emulators() and time.monotonic() < deadline:
                    time.sleep(0.02)
                program.send_signal(number)
                _, err = program.communicate(timeout=60)
            self.assertEqual(program.returncode, 128 + number, err)
            self.assertIn("interrupted;", err)
            self.assertEqual(self.emulators(), [])
            self.assertEqual(list(temporary.iterdir()), [])
            self.assertLess(int(tree.parse(report).getroot().get("tests")), 81)

    @unittest.skipIf(shutil.which("qemu-system-x86_64") is None, "qemu-system-x86_64 is not installed")
    def test_a_signal_ends_the_emulator_of_any_command(self):
        messages = self.folder / "messages.jsonl"
        messages.write_text(f'{{"to": "{HELLO_GUID}", "data_hex": "{"78" * 900}"}}\n' * 3000)
        temporary = self.folder / "tmp"
        temporary.mkdir()
        with subprocess.Popen([MMSIM, "send", "--image", IMAGES / "Hello.efi", "--messages", messages, "--target=qemu"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              env=os.environ | {"TMPDIR": str(temporary)}) as program:
            deadline = time.monotonic() + 60
            while not self.emulators() and time.monotonic() < deadline:
                time.sleep(0.02)
            program.send_signal(signal.SIGTERM)
            _, err = program.communicate(timeout=60)
        self.assertEqual(program.returncode, 128 + signal.SIGTERM, err)
        self.assertEqual(self.emulators(), [])
        self.assertEqual(list(temporary.iterdir()), [])

    def test_a_signal_ends_a_command_that_has_no_emulator_at_once(self):
        with subprocess.Popen([MMSIM, "bench"], stdout=subprocess.DEVNULL) as program:
            self.wait_for_handler(program.pid, signal.SIGINT)
            program.send_signal(signal.SIGINT)
            self.assertEqual(program.wait(timeout=60), 128 + signal.SIGINT)


if __name__ == "__main__":
    unittest.main()
