# SPDX-License-Identifier: BSD-2-Clause-Patent
"""`mmsim debug`: gdb stops in a driver at a line, sees its variables, and lets the scenario end."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import BAD_INPUT, FAILED, MMSIM, PASSED, ROOT, TestCase

HELLO = ROOT / "scenarios" / "smoke" / "hello.toml"


@unittest.skipUnless(shutil.which("gdb") and shutil.which("qemu-system-x86_64"), "gdb and QEMU are needed")
class Debug(TestCase):
    def start(self, scenario):
        """The process, and the file that it tells gdb to read."""
        child = subprocess.Popen([MMSIM, "debug", scenario], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                 env=os.environ | {"TMPDIR": str(self.folder)})
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.kill)
        while (line := child.stdout.readline()) and "gdb -q -x " not in line:
            pass
        return child, pathlib.Path(line.split("-x ")[1].strip())

    def gdb(self, script, *commands):
        arguments = ["gdb", "-q", "-nx", "-batch", "-x", script] + [word for c in commands for word in ("-ex", c)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
        return done.stdout + done.stderr

    def test_a_line_a_variable_and_the_end(self):
        source = (ROOT / "scenarios/drivers/hello.cpp").read_text(encoding="utf-8").splitlines()
        line = next(i for i, text in enumerate(source, 1) if "++i" in text)
        child, script = self.start(HELLO)
        said = self.gdb(script, f"hbreak hello.cpp:{line}", "continue", "info args", "print i", "print *size", "backtrace",
                        "print/x $pc - $Hello", "delete", "continue")
        self.assertRegex(said, rf"Breakpoint 1, .*on_message \(.*\) at \S*hello\.cpp:{line}")
        self.assertRegex(said, r"\$1 = 0\n\$2 = 5\n", "the message is five letters long")
        self.assertIn("mm::user::", said, "who called is in the user core")
        self.assertLess(int(re.search(r"\$3 = (0x[0-9a-f]+)", said)[1], 16), 0x10000)
        text, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, PASSED, text)
        self.assertIn("the scenario passed", text)
        self.assertFalse(script.exists(), "nothing is left")

    def test_the_supervisor_too(self):
        child, script = self.start(HELLO)
        said = self.gdb(script, "info symbol $SupervisorCore + 0x1800", "kill")
        self.assertRegex(said, r"in section \.text of \S*MmSupervisorCore")
        text, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, FAILED, text)
        self.assertIn("was reset", text)

    def test_ctrl_c_ends_everything(self):
        child, script = self.start(HELLO)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
        self.assertEqual(child.returncode, 128 + signal.SIGINT)
        self.assertFalse(script.exists())
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_folder_with_a_comma(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="a,b", dir=self.folder))
        child, script = self.start(HELLO)
        self.assertIn("on_message", self.gdb(script, "hbreak on_message", "continue", "delete", "continue"))
        text, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, PASSED, text)

    def test_bad_input_is_a_sentence(self):
        for content, sentence in (('schema = 1\ntargets = ["sim"]\n', "simulator alone"), ("schema = 2\n", "s.toml:1")):
            done = subprocess.run([MMSIM, "debug", self.write("s.toml", content)], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, BAD_INPUT)
            self.assertIn(sentence, done.stderr)


if __name__ == "__main__":
    unittest.main()
