# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The pictures of the pages: the session is what the program says now, all are well-formed and in a page."""

import json
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree as tree

from support import MMSIM, ROOT, TestCase

PICTURES = ROOT / "tools/pictures"
SVG = "{http://www.w3.org/2000/svg}"


class Pictures(TestCase):
    def words(self, path):
        """What the picture says, a line each, without times of runs."""
        lines = ["".join(e.itertext()) for e in tree.parse(path).getroot().iter(SVG + "text")]
        return [re.sub(r"[\d.]+\sms", "ms", line) for line in lines]

    def test_the_session_is_that_of_this_program(self):
        done = subprocess.run([sys.executable, "-B", PICTURES / "make.py", MMSIM, self.folder], capture_output=True, text=True,
                              timeout=600, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.words(self.folder / "session.svg"), self.words(PICTURES / "session.svg"),
                         "tools/pictures/make.py makes it anew")
        head, *events = [json.loads(line) for line in (self.folder / "session.cast").read_text().splitlines()]
        self.assertEqual(head["version"], 2)
        self.assertEqual([e[0] for e in events], sorted(e[0] for e in events))
        self.assertIn("SupervisorCore", self.words(self.folder / "map.svg"))

    def test_each_is_shown_on_a_page(self):
        pages = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "README.md", ROOT / "tools/lab/audit/README.md"))
        for picture in PICTURES.glob("*.svg"):
            tree.parse(picture)
            self.assertIn(f"tools/pictures/{picture.name}".removeprefix("tools/"), pages)


if __name__ == "__main__":
    unittest.main()
