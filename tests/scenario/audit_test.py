# SPDX-License-Identifier: BSD-2-Clause-Patent
"""`mmsim audit`: table, JSON, page and exit codes; and `mmsim run --audit`."""

import json
import subprocess
import unittest
import xml.etree.ElementTree as tree

from support import BAD_INPUT, FAILED, MMSIM, PASSED, SMOKE, TestCase, run

SKIPPED = 77
HELLO = SMOKE / "hello.toml"
SVG = "{http://www.w3.org/2000/svg}"
XHTML = "{http://www.w3.org/1999/xhtml}"


def audit(*arguments):
    """Exit code, standard output and standard error."""
    done = subprocess.run([MMSIM, "audit", *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout, done.stderr


class Audit(TestCase):
    def test_table(self):
        code, out, _ = audit(HELLO)
        self.assertEqual(code, PASSED, out)
        for word in ("MMI entry code of CPU 0", "firmware policy", "user communicate buffer", "write-xor-execute",
                     "17 of 17 rules hold, 3 MMIs audited"):
            self.assertIn(word, out)
        self.assertNotIn("BROKEN", out)
        self.assertNotIn("\x1b", out)

    def test_json(self):
        code, out, _ = audit(HELLO, SMOKE / "unblock.toml", "--json")
        self.assertEqual(code, PASSED)
        hello, unblock = json.loads(out)["results"]
        self.assertTrue(hello["passed"] and unblock["passed"])
        self.assertGreater(unblock["audits"], 15)
        self.assertIn("unblocked by request", [r["owner"] for r in unblock["regions"]])
        for rule in hello["rules"]:
            self.assertTrue(rule["holds"] and rule["text"] and rule["source"])
        for region in hello["regions"]:
            self.assertFalse(region["writable"] and region["executable"])
            self.assertTrue(region["owner"])

    def test_a_broken_rule(self):
        code, out, _ = audit(HELLO, "--json", "--defect", "PageAttributes")
        self.assertEqual(code, FAILED)
        result = json.loads(out)["results"][0]
        self.assertFalse(result["passed"])
        broken = {rule["name"]: rule["offences"] for rule in result["rules"] if not rule["holds"]}
        self.assertIn("supervisor-private", broken)
        self.assertEqual({o["mmi"] for o in broken["supervisor-private"]}, {1})
        self.assertTrue(all(o["bytes"] % 4096 == 0 for o in broken["supervisor-private"]))

    def page(self, *arguments, code=PASSED):
        path = self.folder / "page.html"
        got, out, err = audit(*arguments, "--html", path)
        self.assertEqual(got, code, out + err)
        return tree.parse(path).getroot()

    def test_page(self):
        root = self.page(HELLO, SMOKE / "four_cpus.toml")
        self.assertEqual(root.tag, XHTML + "html")
        maps = root.findall(f".//{SVG}svg")
        self.assertEqual(len(maps), 2)
        text = " ".join(root.itertext())
        for word in ("ring-0 stack of CPU 3", "write-xor-execute", "not present"):
            self.assertIn(word, text)
        # Self-contained: nothing is fetched.
        for element in root.iter():
            for name in ("src", "href"):
                self.assertNotIn(name, element.attrib)

    def test_page_is_to_scale(self):
        svg = self.page(HELLO).find(f".//{SVG}svg")
        heights = {}
        for box in svg.findall(f"{SVG}rect"):
            title = box.find(f"{SVG}title").text
            x = float(box.get("x"))
            if "pages" in title:
                heights[(title.split(":")[0], x)] = float(box.get("height"))
        last = max(x for _, x in heights)
        stack, exception = heights[("ring-0 stack of CPU 0", last)], heights[("exception stack of CPU 0", last)]
        self.assertAlmostEqual(stack / exception, 4, delta=0.05)

    def test_page_says_that_the_machine_halted(self):
        path = self.folder / "page.html"
        halted = "halted: UserFault, step 1 (communicate, a handler that dereferences null) was under way"
        code, out, err = audit(SMOKE / "fail_stop_four_cpus.toml", "--html", path)
        self.assertEqual(code, PASSED, out + err)
        self.assertIn(halted, out)
        notes = tree.parse(path).getroot().findall(f".//{XHTML}p[@class='ended']")
        self.assertEqual(len(notes), 1)
        self.assertIn(halted, notes[0].text)
        self.assertEqual(self.page(HELLO).findall(f".//{XHTML}p[@class='ended']"), [])

    def test_labels_stand_apart_and_inside(self):
        """What the titles of the boxes say is there without a pointer, each line in its own place."""
        svg = self.page(SMOKE / "four_cpus.toml").find(f".//{SVG}svg")
        height = float(svg.get("viewBox").split()[3])
        labels = svg.findall(f"{SVG}text[@class='label']")
        places = [float(label.get("y")) for label in labels]
        self.assertGreater(len(labels), 30)
        self.assertIn("ring-0 stack of CPU 3", [label.text for label in labels])
        self.assertTrue(all(b - a > 10.9 for a, b in zip(places, places[1:])), places)
        self.assertTrue(all(0 < y < height for y in places), places)

    def test_page_of_odd_names_and_broken_rules(self):
        path = self.write("odd.toml", 'schema = 1\nname = "<b>&\\"\\u0001"\n')
        root = self.page(path, "--defect", "PageAttributes", code=FAILED)
        self.assertIn('<b>&"?', " ".join(root.itertext()))
        self.assertTrue(any(e.get("class") == "broken" for e in root.iter(SVG + "rect")))

    def test_bad_input(self):
        bad = self.write("bad.toml", "schema = 2\n")
        cases = [([bad], "schema"), ([self.folder / "absent.toml"], "absent.toml"),
                 ([HELLO, "--html", self.folder / "no" / "page.html"], "page.html"),
                 ([HELLO, "--defect", "Nothing"], "Nothing"), ([], "PATH")]
        for arguments, word in cases:
            with self.subTest(arguments=arguments):
                code, out, err = audit(*arguments)
                self.assertEqual(code, BAD_INPUT, out + err)
                self.assertIn(word, out + err)

    def test_skipped(self):
        qemu = self.write("qemu.toml", 'schema = 1\ntargets = ["qemu"]\n')
        self.assertEqual(audit(qemu)[0], SKIPPED)
        self.assertEqual(audit(SMOKE / "rsm_refused.toml")[0], SKIPPED)
        self.assertEqual(audit(SMOKE / "mseg_misplaced.toml")[0], SKIPPED)

    def test_a_boot_that_fails_unasked(self):
        path = self.write("hob.toml", 'schema = 1\n[[hob]]\ntype = 4\nlength = 3\nhex = "00"\n')
        code, out, err = audit(path)
        self.assertEqual(code, FAILED, out + err)
        self.assertIn("a HOB has a bad length", out)

    def test_expectation_of_the_scenario(self):
        path = self.write("wrong.toml", 'schema = 1\n[expect]\nhalted = "RsmBreach"\n')
        code, out, _ = audit(path)
        self.assertEqual(code, FAILED)
        self.assertIn("17 of 17 rules hold", out)
        self.assertIn("did not halt", out)


class RunWithAudit(TestCase):
    def test_passes(self):
        self.assertEqual(run(HELLO, "--audit")[0], PASSED)

    def test_notices(self):
        code, text = run(HELLO, "--audit", "--defect", "PageAttributes")
        self.assertEqual(code, FAILED)
        self.assertIn("audit after MMI 1: supervisor-private", text)

    def test_qemu_cannot_be_audited(self):
        code, text = run(HELLO, "--audit", "--target", "qemu")
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("--audit", text)


if __name__ == "__main__":
    unittest.main()
