# SPDX-License-Identifier: BSD-2-Clause-Patent
"""`mmsim minimize`: what is left shows the same, is small, and lies beside what it was made of."""

import os
import pathlib
import pty
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import BAD_INPUT, FAILED, MMSIM, PASSED, TestCase, run

HELLO = '[[step]]\nkind = "communicate"\nto = "Hello"\ntext = "nothing to see"\nexpect = { status = "Success" }\n'
# It writes through a null pointer.
FAULT = '[[step]]\nkind = "communicate"\nto = "Victim"\nfields = [{ u64 = 2 }, { u64 = 0x10 }, { u64 = 7 }]\npad = 200\n'


def mmsim(*arguments):
    """Exit code, standard output, standard error."""
    done = subprocess.run([MMSIM, *map(str, arguments)], capture_output=True, text=True, timeout=900, check=False)
    return done.returncode, done.stdout, done.stderr


class Scenarios(TestCase):
    def scenario(self, *parts, images='{ driver = "Hello" }, { driver = "Second" }', name="s.toml"):
        return self.write(name, f'schema = 1\nname = "long"\nimages = [{images}]\n' + "".join(parts))

    def minimize(self, path, *arguments, code=PASSED):
        got, out, err = mmsim("minimize", path, "--no-qemu", *arguments)
        self.assertEqual(got, code, out + err)
        return out, err

    def test_a_failed_expectation(self):
        wrong = HELLO.replace("Success", "NotFound").replace("nothing to see", "what fails")
        path = self.scenario(HELLO * 4, wrong, HELLO * 3)
        out, _ = self.minimize(path)
        self.assertIn("kept: status is Success, expected NotFound", out)
        self.assertRegex(out, r"8 steps, 108 bytes, 2 images became 1 step, 0 bytes, 1 image, in \d+ runs")
        small = self.folder / "s.min.toml"
        code, text = run(small)
        self.assertEqual(code, FAILED, text)
        self.assertIn("expected  NotFound", text)
        self.assertIn("# s.toml, made smaller by `mmsim minimize`. What it shows:", small.read_text(encoding="utf-8"))
        out, _ = self.minimize(small)
        self.assertIn("became 1 step, 0 bytes, 1 image", out, "there is no more to take away")

    def test_bytes_that_matter_stay(self):
        wrong = '[[step]]\nkind = "communicate"\nto = "Hello"\nfields = [{ text = "aaaa" }, { u8 = 0x7A }, { text = "b" }]\n' \
                'expect = { text = "x" }\n'
        out, _ = self.minimize(self.scenario(HELLO, wrong))
        self.assertIn("bytes at 0 is 41, expected 78", out)
        self.assertIn("became 1 step, 1 byte", out)
        self.assertIn("hex = '61'", (self.folder / "s.min.toml").read_text(encoding="utf-8").replace('"', "'"))

    def test_a_machine_that_stops(self):
        path = self.scenario(HELLO * 2, FAULT, images='{ driver = "VictimWeak" }, { driver = "Hello" }')
        out, _ = self.minimize(path)
        self.assertRegex(out, r"kept: the machine is halted \(UserFault\), expected no halt at fault-VictimWeak-[0-9a-f]+")
        self.assertRegex(out, r"3 steps, 228 bytes, 2 images became 1 step, \d+ bytes, 1 image")
        self.assertEqual(run(self.folder / "s.min.toml")[0], FAILED)

    def test_what_a_driver_does_while_the_scenario_passes(self):
        contained = '[machine]\nfault_policy = "contain"\n'
        fault = FAULT + 'expect = { status = "Aborted" }\n'
        path = self.scenario(contained, HELLO * 2, fault, images='{ driver = "VictimWeak" }, { driver = "Hello" }')
        out, _ = self.minimize(path)
        self.assertRegex(out, r"kept: fault-VictimWeak-[0-9a-f]+, and the scenario passes")
        self.assertRegex(out, r"became 1 step, \d+ bytes, 1 image")
        self.assertEqual(run(self.folder / "s.min.toml")[0], PASSED)

    def test_there_must_be_something_to_keep(self):
        _, err = self.minimize(self.scenario(HELLO), code=BAD_INPUT)
        self.assertIn("there is nothing to keep", err)
        _, err = self.minimize(self.write("bad.toml", "schema = 1\nstep = 3\n"), code=BAD_INPUT)
        self.assertIn("bad.toml:2", err)
        other = self.write("q.toml", 'schema = 1\ntargets = ["qemu"]\n' + HELLO)
        _, err = self.minimize(other, code=BAD_INPUT)
        self.assertIn("q.toml: runs on QEMU alone", err)
        _, err = self.minimize(self.write("input", "x"), code=BAD_INPUT)
        self.assertIn("--kind", err)
        code, _, _ = mmsim("minimize", self.folder / "absent.toml")
        self.assertEqual(code, BAD_INPUT)

    def test_the_budget_is_kept(self):
        wrong = HELLO.replace("Success", "NotFound")
        path = self.scenario(HELLO * 4, wrong)
        out, _ = self.minimize(path, "--runs", 1)
        self.assertRegex(out, r"in 1 run, where the budget ended")
        self.assertEqual(run(self.folder / "s.min.toml")[0], FAILED, "what is left shows it, however large it is")

    def test_ctrl_c_keeps_what_there_is(self):
        """A terminal shows how far it is."""
        wrong = HELLO.replace("Success", "NotFound")
        path = self.scenario(HELLO * 400, wrong.replace("nothing to see", "z" * 2000).replace("NotFound", "Aborted"))
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        child = subprocess.Popen([MMSIM, "minimize", path, "--no-qemu"], stdout=subprocess.PIPE, stderr=theirs, text=True,
                                 env=os.environ | {"TERM": "xterm"})
        os.close(theirs)
        screen = os.read(ours, 4096).decode()
        while "of at most" not in screen:
            screen += os.read(ours, 4096).decode()
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=60)
        self.assertIn("kept: status is Success, expected Aborted", out)
        self.assertEqual(run(self.folder / "s.min.toml")[0], FAILED)


if __name__ == "__main__":
    unittest.main()
