# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Expectations that are about what must not be: each notices when it is."""

import unittest

from support import FAILED, PASSED, TestCase, run

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
