# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The driver SDK as somebody outside this tree uses it: the template, and the C++ driver of the page, built and run."""

import re
import shutil
import subprocess
import unittest

from support import BAD_INPUT, MMSIM, PASSED, ROOT, TestCase, run

SDK = ROOT / "scenarios" / "drivers" / "sdk"


class Sdk(TestCase):
    def setUp(self):
        super().setUp()
        self.project = self.folder / "my driver"
        shutil.copytree(SDK / "template", self.project)

    def cmake(self, *arguments, good=True):
        done = subprocess.run(["cmake", *map(str, arguments)], cwd=self.project, capture_output=True, text=True, timeout=300,
                              check=False)
        self.assertEqual(done.returncode == 0, good, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def build(self):
        self.cmake("-B", "build", f"-DMM_SUPERVISOR={ROOT}")
        self.cmake("--build", "build")

    def passes(self):
        code, text = run(self.project / "build" / "my_driver.toml", "--target=both")
        self.assertEqual(code, PASSED, text)
        self.assertIn("2a 00 00 00 00 00 00 00", text)

    def edit(self, name, old, new):
        path = self.project / name
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new), encoding="utf-8")

    def test_the_template_builds_and_runs_on_both_machines(self):
        self.build()
        self.passes()

    def test_the_supervised_flavour_of_it(self):
        self.edit("CMakeLists.txt", "FLAVOUR standard", "FLAVOUR supervised")
        self.build()
        self.passes()

    def test_the_driver_of_the_page(self):
        page = (ROOT / "scenarios" / "drivers" / "README.md").read_text(encoding="utf-8")
        code = re.search(r"```cpp\n(.*?)```", page, re.DOTALL).group(1)
        (self.project / "my_driver.cpp").write_text(code, encoding="utf-8")
        self.edit("CMakeLists.txt", "SOURCES my_driver.c", "SOURCES my_driver.cpp")
        self.build()
        self.passes()

    def test_what_it_uses_to_start_is_listed(self):
        self.edit("CMakeLists.txt", "FLAVOUR standard", "FLAVOUR supervised")
        self.edit("my_driver.c", "  (void)ImageHandle;\n  return", "  (void)ImageHandle;\n  IoRead8(0x71);\n  IoRead8(0x71);\n"
                  "  AsmReadMsr64(0x1B);\n  return")
        self.build()
        done = subprocess.run([MMSIM, "send", "--image", self.project / "build/images/MyDriver.efi", "--list"],
                              capture_output=True, text=True, check=False)
        self.assertEqual([line for line in done.stdout.splitlines() if "uses" in line],
                         ["  uses      IO 0x71 read, 1 byte", "  uses      MSR 0x1B read"], done.stdout + done.stderr)

    def test_what_is_missing_is_said(self):
        self.assertIn("-DMM_SUPERVISOR", self.cmake("-B", "build", "-DMM_SUPERVISOR=/nonexistent", good=False))
        self.edit("CMakeLists.txt", "FLAVOUR standard", "FLAVOUR strange")
        self.assertIn("FLAVOUR is standard or supervised", self.cmake("-B", "build", f"-DMM_SUPERVISOR={ROOT}", good=False))
        self.edit("CMakeLists.txt", "FLAVOUR strange", "FLAVOUR standard SORUCES x.c")
        self.assertIn("SORUCES", self.cmake("-B", "build", f"-DMM_SUPERVISOR={ROOT}", good=False))
        code, text = run(self.project / "my_driver.toml.in")
        self.assertEqual(code, BAD_INPUT, text)
        self.assertIn("images/MyDriver.efi", text)


if __name__ == "__main__":
    unittest.main()
