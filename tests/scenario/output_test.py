# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Output that cannot be written is never exit code 0, and says which and why."""

import subprocess
import unittest

from support import BAD_INPUT, ENVIRONMENT, IMAGES, MMSIM, ROOT, SMOKE, TestCase

FULL = "/dev/full"
HELLO = SMOKE / "hello.toml"
IMAGE = IMAGES / "PortAfter.efi"
POLICY = ROOT / "scenarios/policies/allow_list.xml"


def mmsim(*arguments, stdout=subprocess.PIPE):
    """Exit code and standard error of `mmsim ARGUMENTS`."""
    done = subprocess.run([MMSIM, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=600, check=False)
    return done.returncode, done.stderr


class Files(TestCase):
    def commands(self):
        yield "run", HELLO, "--junit"
        yield "run", HELLO, "--transcript"
        yield "audit", HELLO, "--html"
        yield "scan", IMAGE, "--sarif"
        yield "policy", "compile", POLICY, "-o"
        yield "policy", "learn", ROOT / "scenarios/policies/serial_log.toml", "-o"

    def test_full_disk(self):
        for command in self.commands():
            with self.subTest(command=command):
                code, errors = mmsim(*command, FULL)
                self.assertEqual(code, BAD_INPUT, errors)
                self.assertIn(f"{FULL}: cannot be written: No space left on device", errors)

    def test_no_folder(self):
        for command in self.commands():
            with self.subTest(command=command):
                path = self.folder / "none" / "file"
                code, errors = mmsim(*command, path)
                self.assertEqual(code, BAD_INPUT, errors)
                self.assertIn(f"{path}: cannot be written: No such file or directory", errors)


class StandardOutput(TestCase):
    def test_full_disk(self):
        lines = self.write("m.jsonl", '{"to": "Hello", "data_hex": "48"}\n')
        driver = ["--image", IMAGES / "Hello.efi"]
        for command in (["--help"], ["run", HELLO], ["run", HELLO, "--json"], ["audit", HELLO], ["images", IMAGE],
                        ["images", IMAGE, "--json"], ["scan", IMAGE], ["policy", "lint", POLICY], ["doctor", "-v"],
                        ["send", *driver, "--to", "Hello", "--text", "x"], ["send", *driver, "--messages", lines]):
            with self.subTest(command=command), open(FULL, "w", encoding="utf-8") as full:
                code, errors = mmsim(*command, stdout=full)
                self.assertEqual(code, ENVIRONMENT, errors)
                self.assertRegex(errors, "standard output cannot be written|cannot write to file: No space left")


if __name__ == "__main__":
    unittest.main()
