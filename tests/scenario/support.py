# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs mmsim for the tests of this folder. MMSIM names the program; its images are those beside it."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMOKE = ROOT / "scenarios" / "smoke"
MMSIM = pathlib.Path(os.environ.get("MMSIM", "mmsim"))
IMAGES = pathlib.Path(os.environ.get("MM_IMAGES", MMSIM.parent / "../../images"))
PASSED, FAILED, BAD_INPUT, ENVIRONMENT = 0, 1, 2, 3


def run(*arguments):
    """Exit code and all that was printed by `mmsim run ARGUMENTS`."""
    done = subprocess.run([MMSIM, "run", *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout + done.stderr


class TestCase(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def transcript(self, *arguments, code=PASSED):
        """The transcript of a run that ends with `code`."""
        path = self.folder / "transcript.txt"
        got, text = run(*arguments, "--transcript", path)
        self.assertEqual(got, code, text)
        return path.read_text(encoding="utf-8")
