# SPDX-License-Identifier: BSD-2-Clause-Patent
"""`mmsim scan`: exit codes, JSON, and a SARIF file with what version 2.1.0 requires."""

import json
import re
import shutil
import subprocess
import unittest

from support import BAD_INPUT, FAILED, IMAGES, MMSIM, PASSED, ROOT, TestCase

CLEAN = IMAGES / "PortAfter.efi"
DIRTY = IMAGES / "PortBefore.efi"
LEVELS = ("error", "warning", "note")
URI_REFERENCE = re.compile(r"(?:file://)?(?:[A-Za-z0-9._~/!$&'()*+,;=@-]|%[0-9A-F]{2})*(?:#(?:[A-Za-z0-9._~/!$&'()*+,;=:@?-]|%[0-9A-F]{2})*)?")


def scan(*arguments, cwd=None):
    """Exit code, standard output and standard error of `mmsim scan ARGUMENTS`."""
    command = [MMSIM, "scan", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


class ScanTest(TestCase):
    def refused(self, *arguments, words=()):
        code, _, err = scan(*arguments)
        self.assertEqual(code, BAD_INPUT, err)
        for word in words:
            self.assertIn(word, err)


class ExitCodes(ScanTest):
    def test_clean(self):
        code, out, err = scan(CLEAN)
        self.assertEqual((code, err), (PASSED, ""))
        self.assertIn("nothing that stands against a try", out)

    def test_findings(self):
        code, out, err = scan(DIRTY)
        self.assertEqual((code, err), (FAILED, ""))
        for word in ("error [boot-services]", "error [policy-instruction]", "does not run as it is: it is loaded, but never dispatched"):
            self.assertIn(word, out)

    def test_one_of_several(self):
        self.assertEqual(scan(CLEAN, DIRTY)[0], FAILED)

    def test_dependency_expression(self):
        image = shutil.copy(CLEAN, self.folder / "alone.efi")
        self.assertEqual(scan(image)[0], PASSED)
        code, out, _ = scan(f"{image}:{IMAGES / 'PortBefore.depex'}")
        self.assertEqual(code, FAILED, out)
        self.assertIn("[depex]", out)
        code, out, _ = scan(f"{image}:{self.write('bad.depex', bytes([0x77]))}")
        self.assertEqual(code, FAILED, out)
        self.assertIn("unknown opcode 0x77", out)

    def test_bad_files(self):
        whole = CLEAN.read_bytes()
        self.refused(words=["IMAGE"])
        self.refused(self.folder / "none.efi", words=["none.efi"])
        self.refused(self.folder, words=[str(self.folder)])
        self.refused(self.write("empty.efi", b""), words=["empty.efi"])
        self.refused(self.write("text.efi", "MZ, but no more\n"), words=["text.efi"])
        self.refused(self.write("cut.efi", whole[:0x60]), words=["cut.efi", "cut off"])
        self.refused(f"{CLEAN}:{self.folder / 'none.depex'}", words=["none.depex"])
        self.refused(self.write("noise.fd", bytes(range(256)) * 64), words=["noise.fd", "firmware volume"])
        self.refused(CLEAN, "--sarif", self.folder / "no" / "folder.sarif", words=["folder.sarif"])

    def test_an_image_that_the_loader_refuses_is_a_finding(self):
        whole = CLEAN.read_bytes()
        other = whole.replace(b"PE\0\0\x64\x86", b"PE\0\0\x4c\x01", 1)
        for content, problem in ((whole[:0x180], "beyond the file"), (other, "not x86-64")):
            code, out, _ = scan(self.write("refused.efi", content))
            self.assertEqual(code, FAILED, out)
            self.assertIn("[image-format]", out)
            self.assertIn(problem, out)

    def test_a_bad_file_does_not_hide_the_others(self):
        code, out, err = scan(self.folder / "none.efi", DIRTY, "--json")
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("none.efi", err)
        self.assertEqual([r["image"] for r in json.loads(out)["results"]], [str(DIRTY)])


class Json(ScanTest):
    def test_shape(self):
        code, out, _ = scan(CLEAN, DIRTY, "--json")
        self.assertEqual(code, FAILED)
        report = json.loads(out)
        self.assertEqual(report["schema"], 1)
        clean, dirty = report["results"]
        self.assertEqual((clean["image"], clean["module_type"], clean["findings"]), (str(CLEAN), "MM_STANDALONE", []))
        size = DIRTY.stat().st_size
        self.assertTrue(dirty["findings"])
        for finding in dirty["findings"]:
            self.assertIn(finding["level"], LEVELS)
            self.assertTrue(finding["rule"] and finding["text"] and finding["advice"])
            if finding["offset"] is not None:
                self.assertLess(finding["offset"] + finding["bytes"], size)

    def test_says_what_the_text_says(self):
        findings = json.loads(scan(DIRTY, "--json")[1])["results"][0]["findings"]
        text = scan(DIRTY)[1]
        for finding in findings:
            self.assertIn(finding["text"], text)


class Sarif(ScanTest):
    def sarif(self, *images, code, cwd=None):
        path = self.folder / "scan.sarif"
        got, _, err = scan(*images, "--sarif", path, cwd=cwd)
        self.assertEqual(got, code, err)
        return json.loads(path.read_text(encoding="utf-8"))

    def check_result(self, result, rules):
        """Properties of SARIF 2.1.0, 3.27 result: a message, a known level and rule, places that exist."""
        self.assertTrue(result["message"]["text"])
        self.assertIn(result["level"], LEVELS)
        self.assertEqual(rules[result["ruleIndex"]]["id"], result["ruleId"])
        for location in result["locations"]:
            place = location["physicalLocation"]
            self.assertTrue(URI_REFERENCE.fullmatch(place["artifactLocation"]["uri"]), place)
            self.assertGreaterEqual(place["region"]["startLine"], 1)
            self.assertGreaterEqual(place["region"].get("byteOffset", 0), 0)

    def check(self, log):
        """Properties of 3.13 sarifLog, 3.14 run, 3.18 tool and 3.49 reportingDescriptor; the results."""
        self.assertEqual(log["version"], "2.1.0")
        self.assertIn("sarif-2.1.0", log["$schema"])
        self.assertEqual(len(log["runs"]), 1)
        driver = log["runs"][0]["tool"]["driver"]
        self.assertTrue(driver["name"])
        version = subprocess.run([MMSIM, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
        self.assertIn(f"mmsim {driver['version']} ", version)
        ids = [rule["id"] for rule in driver["rules"]]
        self.assertEqual(len(ids), len(set(ids)))
        for rule in driver["rules"]:
            self.assertTrue(rule["id"] and rule["shortDescription"]["text"] and rule["help"]["text"])
        results = log["runs"][0]["results"]
        for result in results:
            self.check_result(result, driver["rules"])
        prints = [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]
        self.assertEqual(len(prints), len(set(prints)))
        return results

    def test_findings(self):
        results = self.check(self.sarif(DIRTY, code=FAILED))
        self.assertEqual(len(results), len(json.loads(scan(DIRTY, "--json")[1])["results"][0]["findings"]))

    def test_clean(self):
        self.assertEqual(self.check(self.sarif(CLEAN, code=PASSED)), [])

    def test_written_though_a_file_is_bad(self):
        self.assertTrue(self.check(self.sarif(self.folder / "none.efi", DIRTY, code=BAD_INPUT)))

    def test_a_finding_in_code_is_at_its_line_and_the_image_beside_it(self):
        results = self.check(self.sarif(DIRTY, code=FAILED, cwd=ROOT))
        in_code = [r for r in results if "relatedLocations" in r]
        self.assertTrue(in_code, results)
        for result in in_code:
            source = result["locations"][0]["physicalLocation"]
            self.assertTrue((ROOT / source["artifactLocation"]["uri"]).is_file(), source)
            self.assertNotIn("byteOffset", source["region"])
            self.assertTrue(result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"])
            image = result["relatedLocations"][0]["physicalLocation"]
            self.assertTrue(image["artifactLocation"]["uri"].endswith("PortBefore.efi"), image)
            self.assertGreater(image["region"]["byteOffset"], 0)

    def test_fingerprints_hold_and_paths_are_relative(self):
        (self.folder / "there").mkdir()
        for folder in self.folder, self.folder / "there":
            shutil.copy(DIRTY, folder / "Port.efi")
        near = self.check(self.sarif("Port.efi", code=FAILED, cwd=self.folder))
        again = self.check(self.sarif("Port.efi", code=FAILED, cwd=self.folder / "there"))
        self.assertEqual([r["partialFingerprints"] for r in near], [r["partialFingerprints"] for r in again])
        uris = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in near}
        self.assertIn("Port.efi", uris)

    def test_names_become_uris(self):
        image = shutil.copy(DIRTY, self.folder / "a driver: 100% µ.efi")
        results = self.check(self.sarif(image, code=FAILED))
        uris = [r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in results]
        self.assertTrue(any(uri.endswith("/a%20driver%3A%20100%25%20%C2%B5.efi") for uri in uris), uris)


if __name__ == "__main__":
    unittest.main()
