# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs the console blocks of guides and compares what they print with what the page says.

A block is fenced with ```console. A line `$ command` is run by the shell, from a folder in which `scenarios` and the built
images are those of the tree and `mmsim` is on the path, also as `tools/mmsim`; the lines after it, up to the next command, are its output, both streams. A line
`...` stands for any number of lines, ` ...` at the end of a line for the rest of it. Durations and the numbers of a summary may
be others. The blocks of a page share one folder."""

import os
import pathlib
import re
import shutil
import subprocess
import unittest

from support import IMAGES, MMSIM, ROOT, TestCase

PAGES = ("README.md", "scenarios/drivers/port/README.md", "scenarios/policies/README.md", "tools/GUIDE.md", "tools/README.md",
         "tools/lab/audit/README.md")


def commands(page):
    """(line number, command, expected lines) of each command of a page."""
    out, inside = [], False
    for number, line in enumerate(page.splitlines(), 1):
        if line.startswith("```"):
            inside = line.strip() == "```console"
        elif inside and line.startswith("$ "):
            out.append((number, line[2:], []))
        elif inside and out:
            out[-1][2].append(line)
    return out


DURATION = re.compile(r"\d+\.\d+ (m?s)\b")
SUMMARY = re.compile(r"[\d\s]+\d+\.\d+ s")


def literal(text):
    """Matches `text` with any durations in it."""
    return r"\d+\.\d+ m?s".join(re.escape(part) for part in DURATION.split(text)[::2])


def pattern_of(line):
    if line == "...":
        return r"(?:.*\n)*?"
    if line.endswith(" ..."):
        return literal(line[:-3]) + ".*\n"
    if SUMMARY.fullmatch(line):
        return SUMMARY.pattern + "\n"
    return literal(line.rstrip()) + "\n"


def matches(expected, got):
    while expected and not expected[-1]:
        expected = expected[:-1]  # the page's space before the next command
    pattern = "".join(map(pattern_of, expected))
    text = "".join(line.rstrip() + "\n" for line in got.rstrip().splitlines())
    return re.fullmatch(pattern, text) is not None


class Guides(TestCase):
    def run_page(self, page):
        folder = self.folder / page.replace("/", "-")
        images = pathlib.Path(IMAGES).resolve()
        shims = folder / "tools"
        shims.mkdir(parents=True)
        (shims / "mmsim").symlink_to(MMSIM.resolve())
        (folder / "scenarios").symlink_to(ROOT / "scenarios")
        (folder / "build/host-release").mkdir(parents=True)
        (folder / "build/host-release/images").symlink_to(images)
        for image in images.iterdir():
            (folder / image.name).symlink_to(image)
        environment = dict(os.environ, PATH=f"{shims}:{os.environ['PATH']}", MM_IMAGES=str(images), NO_COLOR="1")
        found = commands((ROOT / page).read_text(encoding="utf-8"))
        self.assertGreater(len(found), 0, page)
        for line, command, expected in found:
            done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=600, check=False)
            self.assertTrue(matches(expected, done.stdout),
                            f"{page}:{line}: $ {command}\nexpected:\n" + "\n".join(expected) + "\ngot:\n" + done.stdout)

    def test_what_the_pages_say_is_what_is_printed(self):
        self.assertIsNotNone(shutil.which("bash"))
        for page in PAGES:
            with self.subTest(page=page):
                self.run_page(page)


class Matching(unittest.TestCase):
    def test_dots_stand_for_lines(self):
        self.assertTrue(matches(["a", "...", "d"], "a\nb\nc\nd\n"))
        self.assertTrue(matches(["a", "...", "d"], "a\nd\n"))
        self.assertFalse(matches(["a", "...", "d"], "a\nb\n"))
        self.assertFalse(matches(["a"], "a\nb\n"))
        self.assertFalse(matches(["a*"], "aa\n"))
        self.assertTrue(matches(["in ...", "b"], "in 3 ms\nb\n"))

    def test_time_passes_differently(self):
        self.assertTrue(matches(["a [sim] 1.5 ms", "  69   0   15.5 s"], "a [sim] 24.6 ms\n  70   1   9.0 s\n"))
        self.assertFalse(matches(["a [sim] 1.5 ms"], "b [sim] 1.5 ms\n"))
        self.assertFalse(matches(["  69   0   15.5 s"], "  69   x   15.5 s\n"))

    def test_space_between_commands_is_no_output(self):
        self.assertTrue(matches(["a", "", "b", ""], "a\n\nb\n\n"))
        self.assertFalse(matches(["a", "b"], "a\n\nb\n"))


if __name__ == "__main__":
    unittest.main()
