# SPDX-License-Identifier: BSD-2-Clause-Patent
"""--coverage: the blocks of drivers that ran, in each format, and their sum."""

import json
import re
import struct
import subprocess
import unittest
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import BAD_INPUT, IMAGES, MMSIM, PASSED, ROOT, TestCase

HELLO = ROOT / "scenarios/smoke/hello.toml"


def mmsim(*arguments):
    done = subprocess.run([MMSIM, *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


class Coverage(TestCase):
    def covered(self, name="cov", scenario=HELLO):
        folder = self.folder / name
        code, out, errors = mmsim("run", scenario, "--coverage", folder)
        self.assertEqual(code, PASSED, out + errors)
        self.assertRegex(out, r"coverage: \d+ of \d+ instructions of 1 driver ran: ")
        return folder

    def image(self, folder, name="Hello"):
        images = json.loads((folder / "coverage.json").read_text())["images"]
        return next(i for i in images if i["name"] == name)

    def scenario(self, messages):
        step = '\n[[step]]\nkind = "communicate"\nto = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"\ntext = "Hello"\n'
        return self.write(f"s{messages}.toml", 'schema = 1\nimages = [{ driver = "Hello" }]\n' + step * messages)

    def lcov(self, folder):
        """The lines of hello.cpp and the calls of its functions."""
        record = next(r for r in (folder / "coverage.info").read_text().split("end_of_record\n") if "drivers/hello.cpp\n" in r)
        lines = {int(n): int(c) for n, c in re.findall(r"^DA:(\d+),(\d+)$", record, re.MULTILINE)}
        calls = {f: int(c) for c, f in re.findall(r"^FNDA:(\d+),(\S+)$", record, re.MULTILINE)}
        self.assertIn(f"LF:{len(lines)}\nLH:{sum(c != 0 for c in lines.values())}\n", record)
        self.assertIn(f"FNF:{len(calls)}\n", record)
        return lines, calls

    def test_counts_are_those_of_what_was_executed(self):
        one, three = self.covered("one", self.scenario(1)), self.covered("three", self.scenario(3))
        self.assertEqual(self.lcov(one)[1], {"on_message": 1, "mm_driver_main": 1})
        self.assertEqual(self.lcov(three)[1], {"on_message": 3, "mm_driver_main": 1})
        text = (ROOT / "scenarios/drivers/hello.cpp").read_text().splitlines()
        loop = next(i for i, line in enumerate(text, 1) if line.strip().startswith("for ("))
        self.assertEqual(self.lcov(one)[0][loop], 5)
        self.assertEqual(self.lcov(three)[0][loop], 15)

    def test_what_did_not_run_is_there_with_zero(self):
        folder = self.covered("none", self.scenario(0))
        lines, calls = self.lcov(folder)
        self.assertEqual(calls, {"on_message": 0, "mm_driver_main": 1})
        self.assertIn(0, lines.values())

    def test_drcov_is_version_2(self):
        folder = self.covered()
        data = (folder / "coverage.drcov").read_bytes()
        head, blocks = re.split(rb"BB Table: \d+ bbs\n", data, maxsplit=1)
        count = int(re.search(rb"BB Table: (\d+) bbs\n", data).group(1))
        lines = head.decode().splitlines()
        self.assertEqual(lines[0], "DRCOV VERSION: 2")
        self.assertEqual(lines[2], f"Module Table: version 2, count {len(lines) - 4}")
        self.assertEqual(lines[3], "Columns: id, base, end, entry, path")
        modules = [line.split(", ") for line in lines[4:]]
        self.assertTrue(modules[0][4].endswith("/Hello.efi"))
        self.assertEqual(len(blocks), 8 * count)
        image = self.image(folder)
        mine = {(s, b) for s, b, m in struct.iter_unpack("<IHH", blocks) if m == 0}
        self.assertEqual(mine, {(offset, size) for offset, size, _ in image["blocks"]})
        self.assertEqual(int(modules[0][2], 16) - int(modules[0][1], 16), image["bytes"])

    def test_page_shows_functions_and_source(self):
        page = (self.covered() / "index.html").read_text()
        self.assertIn("<td>on_message</td>", page)
        self.assertIn("scenarios/drivers/hello.cpp</summary>", page)
        self.assertRegex(page, r'class="ran"><b>5 +\d+</b>')
        self.assertNotIn("<script", page)
        self.assertNotIn("http", page)

    def test_merge_adds(self):
        one, three = self.covered("one", self.scenario(1)), self.covered("three", self.scenario(3))
        code, out, errors = mmsim("coverage", "merge", self.folder / "sum", one, three / "coverage.json")
        self.assertEqual(code, PASSED, errors)
        self.assertEqual(self.lcov(self.folder / "sum")[1], {"on_message": 4, "mm_driver_main": 2})
        self.assertIn("of 1 driver ran", out)

    def test_many_scenarios_at_once_are_one_sum(self):
        self.scenario(1)
        self.scenario(3)
        code, out, errors = mmsim("run", self.folder, "-j", 2, "--coverage", self.folder / "cov")
        self.assertEqual(code, PASSED, out + errors)
        self.assertEqual(self.lcov(self.folder / "cov")[1]["on_message"], 4)

    def test_malformed_counts_are_refused(self):
        good = json.loads((self.covered() / "coverage.json").read_text())
        image = good["images"][0]
        for bad in ("", "[]", "{}", '{"schema":1,"images":[{}]}',
                    json.dumps({"schema": 1, "images": [image | {"blocks": [[1 << 40, 1, 1]]}]}),
                    json.dumps({"schema": 1, "images": [image | {"blocks": [["a", 1, 1]]}]}),
                    json.dumps({"schema": 1, "images": [image | {"bytes": -1}]})):
            path = self.write("bad.json", bad)
            code, _, errors = mmsim("coverage", "merge", self.folder / "sum", path)
            self.assertEqual(code, BAD_INPUT, bad)
            self.assertIn("bad.json: ", errors)
        self.assertEqual(mmsim("coverage", "merge", self.folder / "sum", self.folder / "no")[0], BAD_INPUT)

    def test_send_counts_too(self):
        folder = self.folder / "sent"
        code, _, errors = mmsim("send", "--image", IMAGES / "Hello.efi", "--to", "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001",
                                "--text", "Hello", "--coverage", folder)
        self.assertEqual(code, PASSED, errors)
        self.assertIn("of 1 driver ran", errors)
        self.assertEqual(self.lcov(folder)[1], {"on_message": 1, "mm_driver_main": 1})

    def test_only_the_simulator_counts(self):
        code, _, errors = mmsim("run", HELLO, "--target=qemu", "--coverage", self.folder / "cov")
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("--coverage looks into the simulator", errors)


if __name__ == "__main__":
    unittest.main()
