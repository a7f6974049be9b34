# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Expectations that are about what must not be: each notices when it is."""

import json
import unittest

from support import BAD_INPUT, FAILED, PASSED, ROOT, TestCase, run

HELLO = 'schema = 1\nimages = [{ driver = "Hello" }]\n'
SAYS = '[[step]]\nkind = "communicate"\nto = "Hello"\ntext = "abc"\n'


class Expectations(TestCase):
    def ends(self, text, code, *words):
        got, out = run(self.write("s.toml", text))
        self.assertEqual(got, code, out)
        for word in words:
            self.assertIn(word, out)

    def test_secrets(self):
        self.ends(HELLO + SAYS + '[expect]\nsecrets = [{ text = "ABC" }]\n', FAILED, "secret 41 42 43")
        self.ends(HELLO + SAYS + '[expect]\nsecrets = [{ text = "xyz" }]\n', PASSED)

    def test_caught(self):
        wrong = SAYS + 'expect = { status = "NotFound" }\n'
        self.ends(HELLO + wrong, FAILED, "expected  NotFound", "actual    Success")
        self.ends(HELLO + wrong + '[expect]\ncaught = ["status is Success"]\n', PASSED)
        self.ends(HELLO + SAYS + '[expect]\ncaught = ["status is Success"]\n', FAILED, "was to be caught")
        self.ends(HELLO + wrong + '[expect]\ncaught = ["status is Success", "Fault"]\n', FAILED, "'Fault' was to be caught")
        self.ends(HELLO + wrong + '[expect]\nhalted = "RsmBreach"\ncaught = ["status is Success"]\n', FAILED, "did not halt")

    def test_serial(self):
        policy = ROOT / "scenarios" / "policies" / "deny_list.xml"
        says = f'schema = 1\nimages = [{{ driver = "SerialLog" }}]\n[policy]\nxml = "{policy}"\n'
        for message in ("a first\\r\\n", "a second\\u001b[2J\\n"):
            says += f'[[step]]\nkind = "communicate"\nto = "SerialLog"\ntext = "{message}"\n'
        for good in ('["second"]', '["first", "second"]', '["first\\r\\na second"]'):
            self.ends(says + f"[expect]\nserial = {good}\n", PASSED)
            self.assertEqual(run(self.folder / "s.toml", "--target=both")[0], PASSED)
        self.ends(says + '[expect]\nserial = ["third"]\n', FAILED, "serial port", 'expected  "third"',
                  "a first?\\na second?[2J\\n", "s.toml:14")
        self.ends(says + '[expect]\nserial = ["second", "first"]\n', FAILED, 'expected  "first"')
        self.ends(HELLO + SAYS + '[expect]\nserial = ["x"]\n', FAILED, "actual    nothing")
        for bad in ('[""]', '"a"', "3", '["a", 3]'):
            self.ends(HELLO + f"[expect]\nserial = {bad}\n", BAD_INPUT, "s.toml:4", "serial")
        code, out = run(self.write("s.toml", says), "-v")
        self.assertEqual(code, PASSED, out)
        self.assertIn("serial port\n       a first\n       a second?[2J\n", out)
        code, out = run(self.folder / "s.toml", "--json")
        self.assertEqual(json.loads(out)["results"][0]["serial"], "a first\r\na second\x1b[2J\n")

    def test_boot_error(self):
        hob = "[[hob]]\ntype = 4\nlength = 9\npad = 8\n"
        self.ends(HELLO + hob + '[expect]\nboot_error = "bad length"\n', PASSED)
        self.ends(HELLO + hob + '[expect]\nboot_error = "truncated"\n', FAILED, "the reason is")
        self.ends(HELLO + '[expect]\nboot_error = "bad length"\n', FAILED, "was not")
        self.ends(HELLO + hob, FAILED, "the boot failed")

    def test_audit(self):
        broken = '[machine]\ndefects = ["PageAttributes"]\n'
        self.ends(HELLO + broken, PASSED)
        self.ends(HELLO + broken + "[expect]\naudit = true\n", FAILED, "supervisor-private")

    def test_defects_are_for_the_simulator(self):
        path = self.write("s.toml", HELLO + '[machine]\ndefects = ["MsrPolicy"]\n')
        self.assertEqual(run(path, "--target", "qemu")[0], 77)
        code, out = run(path, "--target", "both")
        self.assertEqual(code, PASSED)
        self.assertIn("[sim]", out)


if __name__ == "__main__":
    unittest.main()
