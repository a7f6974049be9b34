# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A malformed scenario, policy, image or volume: exit code 2, and a message with the file and what is wrong with it."""

import os
import subprocess
import unittest

from support import BAD_INPUT, IMAGES, MMSIM, TestCase, run

STEP = 'schema = 1\nimages = [{ driver = "Hello" }]\n[[step]]\n'
TWO_CPUS = 'schema = 1\n[machine]\ncpus = 2\n\n[[step]]\n'


class BadInput(TestCase):
    def refused(self, scenario, *words, name="bad.toml"):
        """`scenario` (text) is refused with a message that has all the words."""
        path = self.write(name, scenario)
        code, text = run(path)
        self.assertEqual(code, BAD_INPUT, text)
        for word in words:
            self.assertIn(word, text)

    def refused_lines(self, cases):
        for scenario, line, word in cases:
            with self.subTest(scenario=scenario):
                self.refused(scenario, f"bad.toml:{line}:", word)


class Scenarios(BadInput):
    def test_not_toml(self):
        self.refused_lines([("schema = 1\n[[step\n", 2, ""), ("schema = \n", 1, ""), ("schema = 1\nschema = 1\n", 2, "")])
        self.refused(b"\xff\xfe\x00\x00", "bad.toml")
        self.refused("", "bad.toml", "schema")

    def test_files_of_other_kinds(self):
        for content, kind in (((IMAGES / "Hello.efi").read_bytes(), "an image, which"), ("\n<Policy/>", "XML; policies"),
                              (bytes(40) + b"_FVH" + bytes(20), "a firmware volume, which"), (b"a\0b", "binary data")):
            self.refused(content, "bad.toml: not a scenario (TOML) but " + kind)

    def test_schema(self):
        self.refused("images = []\n", "bad.toml", "schema")
        self.refused_lines([("schema = 2\n", 1, "schema"), ('schema = "one"\n', 1, "schema")])

    def test_unknown_keys_and_values(self):
        self.refused_lines([
            ("schema = 1\nstep_s = []\n", 2, "step_s"),
            ("schema = 1\n[machine]\ncpu = 2\n", 3, "did you mean 'cpus'"),
            ("schema = 1\n[machine]\ncpus = 9\n", 3, "out of range"),
            ("schema = 1\n[machine]\ncpus = -1\n", 3, "negative"),
            ("schema = 1\n[machine]\nram = 100\n", 3, "out of range"),
            ('schema = 1\n[machine]\nfault_policy = "contained"\n', 3, "contain"),
            ('schema = 1\n[machine]\nsmap = "yes"\n', 3, "true or false"),
            ('schema = 1\n[machine]\nsave_state = "intel"\n', 3, "reference"),
            ('schema = 1\ntargets = ["bochs"]\n', 2, "targets"),
            ("schema = 1\nmachine = 3\n", 2, "machine"),
            ('schema = 1\nimages = [3]\n', 2, "images"),
            ('schema = 1\n[expect]\nhalted = "Never"\n', 3, "Never"),
            ('schema = 1\n[expect]\nno_events = ["Nothing"]\n', 3, "Nothing"),
            ('schema = 1\n[expect]\nevents = [{ a = 1 }]\n', 3, "kind"),
        ])

    def test_steps(self):
        self.refused_lines([
            (STEP + 'title = "x"\n', 3, "kind"),
            (STEP + 'kind = "comunicate"\n', 4, "did you mean"),
            (STEP + 'kind = "communicate"\n', 3, "to ="),
            (STEP + 'kind = "communicate"\nto = "Helo"\n', 5, "did you mean 'Hello'"),
            (STEP + 'kind = "communicate"\nto = "Hello"\nhex = "0"\n', 6, "odd number"),
            (STEP + 'kind = "communicate"\nto = "Hello"\nhex = "0g"\n', 6, "hexadecimal digit"),
            (STEP + 'kind = "communicate"\nto = "Hello"\nfile = "none.bin"\n', 6, "none.bin"),
            (STEP + 'kind = "communicate"\nto = "Hello"\npad = 65513\n', 3, "buffer"),
            (STEP + 'kind = "communicate"\nto = "Hello"\nfields = [{ u8 = 256 }]\n', 6, "out of range"),
            (STEP + 'kind = "communicate"\nto = "Hello"\nfields = [{ }]\n', 6, "a field has one of"),
            (STEP + 'kind = "communicate"\nto = "Hello"\nexpect = { status = "Sucess" }\n', 6, "did you mean"),
            (STEP + 'kind = "mmi"\ncpu = 1\n', 5, "out of range"),
            (STEP + 'kind = "io"\n', 3, "port is missing"),
            (STEP + 'kind = "io"\nport = 0x100\ntrap = true\nimmediate = true\n', 5, "immediate port"),
            (STEP + 'kind = "registers"\nrxx = 1\n', 5, "did you mean"),
            (STEP + 'kind = "registers"\nrax = -1\n', 5, "negative"),
            (STEP + 'kind = "mmi"\nexpect = { registers = { rax = 1 } }\n', 5, "registers step"),
            (STEP + 'kind = "registers"\nbehind = { rsp = 1 }\n', 5, "not rsp"),
            (STEP + 'kind = "registers"\nbehind = { cr3 = 1 }\n', 5, "general registers"),
            (STEP + 'kind = "registers"\nbehind = { rax = 1, rbx = 1, rcx = 1, rdx = 1, rsi = 1 }\n', 5, "at most 4"),
            (STEP + 'kind = "registers"\nbehind = { rxx = 1 }\n', 5, "did you mean"),
            (STEP + 'kind = "park"\ncpu = 1\nport = 1\n', 3, "second CPU"),
            (TWO_CPUS + 'kind = "park"\nport = 1\n', 5, "cpu is missing"),
            (TWO_CPUS + 'kind = "park"\ncpu = 0\nport = 1\n', 7, "out of range"),
            (TWO_CPUS + 'kind = "park"\ncpu = 1\n', 5, "port is missing"),
            (TWO_CPUS + 'kind = "park"\ncpu = 1\nport = 1\nwidth = 3\n', 5, "width"),
            (STEP + 'kind = "ipi"\nmode = "smi"\n', 3, "either to or cpu"),
            (STEP + 'kind = "ipi"\nmode = "init"\nto = "all"\n', 3, "cannot be sent"),
            (STEP + 'kind = "ipi"\nmode = "nmi"\nto = "self"\n', 5, "nmi"),
            (STEP + 'kind = "io"\nport = 0x10000\n', 5, "out of range"),
            (STEP + 'kind = "io"\nport = 1\nwidth = 3\n', 3, "width"),
            (STEP + 'kind = "read"\naddress = "somewhere"\nbytes = 1\n', 5, "somewhere"),
            (STEP + 'kind = "read"\naddress = "0x100000000"\nbytes = 1\n', 5, "out of range"),
            (STEP + 'kind = "read"\naddress = "mmram+zz"\nbytes = 1\n', 5, "mmram+zz"),
            (STEP + 'kind = "unblock"\n', 3, "address is missing"),
            (STEP + 'kind = "unblock"\naddress = 0\nidentifier = "x"\n', 3, "GUID"),
        ])

    def test_lengths_of_hobs(self):
        self.refused_lines([("schema = 1\n[[hob]]\ntype = 4\nlength = -1\n", 4, "negative"),
                            ("schema = 1\n[[hob]]\ntype = 4\nlength = 65536\n", 4, "out of range")])

    def test_extended_keys(self):
        self.refused_lines([
            ('schema = 1\n[machine]\ndefects = ["MsrPolcy"]\n', 3, "did you mean"),
            ('schema = 1\n[machine]\ndefects = [3]\n', 3, "string"),
            ('schema = 1\ntargets = ["qemu"]\n[machine]\ndefects = ["MsrPolicy"]\n', 4, "only the simulator"),
            ('schema = 1\nimages = [{ driver = "Hello", copies = 0 }]\n', 2, "out of range"),
            ('schema = 1\nimages = [{ driver = "Hello", copies = 65 }]\n', 2, "out of range"),
            (STEP + 'kind = "mmi"\nrepeat = 0\n', 5, "out of range"),
            (STEP + 'kind = "mmi"\nrepeat = 2\nstride = 8\n', 6, "stride"),
            (STEP + 'kind = "unblock"\naddress = 0\nstride = "far"\n', 6, "far"),
            ('schema = 1\n[expect]\nsecrets = [{ }]\n', 3, "a field has one of"),
            ('schema = 1\n[expect]\naudit = 1\n', 3, "true or false"),
            ('schema = 1\n[expect]\ncaught = [""]\n', 3, "empty"),
            ('schema = 1\n[expect]\ncaught = "Fault"\n', 3, "array"),
            ('schema = 1\n[expect]\nboot_error = 1\n', 3, "string"),
            ('schema = 1\n[policy]\nhex = "00"\npreset = "none"\n', 2, "takes one of"),
            ('schema = 1\n[policy]\nfields = [{ u8 = 300 }]\n', 3, "out of range"),
        ])

    def test_paths(self):
        code, text = run(self.folder / "absent.toml")
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("absent.toml", text)
        code, text = run(self.folder)
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("no scenario", text)

    def test_usage(self):
        for arguments in ([], ["--bogus"], ["x.toml", "--cpus", "9"], ["x.toml", "--seed", "-1"], ["x.toml", "--target", "bochs"]):
            with self.subTest(arguments=arguments):
                self.assertEqual(run(*arguments)[0], BAD_INPUT)

    def test_unknown_commands(self):
        for word, advice in (("rum", "did you mean 'run'"), ("xxxxxxxx", "there is no command 'xxxxxxxx'")):
            done = subprocess.run([MMSIM, word], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, BAD_INPUT)
            self.assertIn(advice, done.stderr)

    def test_files_that_are_too_large_to_be_meant(self):
        huge = self.write("huge.efi", b"")
        os.truncate(huge, 1 << 33)
        for command in (["images"], ["scan"], ["policy", "lint"], ["repro", "--kind", "image"], ["run"],
                        ["send", "--to", "Hello", "--image"]):
            with self.subTest(command=command):
                done = subprocess.run([MMSIM, *command, huge], capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, BAD_INPUT)
                self.assertIn("a file may have 256 MiB", done.stdout + done.stderr)


class Policies(BadInput):
    def policy(self, xml, *words):
        self.write("p.xml", xml)
        self.refused('schema = 1\n[policy]\nxml = "p.xml"\n', "bad.toml:", *words)

    def test_xml(self):
        head, tail = "<SmmIslolationPolicy>", "</SmmIslolationPolicy>"
        self.policy("", "policy")
        self.policy("<a", "policy")
        self.policy("<Other/>", "Other")
        self.policy(f'{head}<SmmCategory name="XYZ"/>{tail}', "XYZ")
        entry = '<PolicyEntry><StartAddress Value="{}"/><Size Value="{}"/><SecurityAttributes Value="{}"/></PolicyEntry>'
        category = head + '<SmmCategory name="IO"><PolicyAccessAttribute Value="Deny"/>{}</SmmCategory>' + tail
        self.policy(category.format(entry.format("zz", 1, "Read")), "zz")
        self.policy(category.format(entry.format("0x80", 0, "Read")), "Size")
        self.policy(category.format(entry.format("0x10000", 1, "Read")), "StartAddress")

    def test_files(self):
        self.refused('schema = 1\n[policy]\nxml = "absent.xml"\n', "bad.toml:3:", "absent.xml")
        self.refused('schema = 1\n[policy]\nblob = "absent.bin"\n', "bad.toml:3:", "absent.bin")
        self.refused('schema = 1\n[policy]\npreset = "non"\n', "bad.toml:3:", "none")
        self.refused('schema = 1\n[policy]\nxml = "a"\nblob = "b"\n', "bad.toml:", "one of")


class Images(BadInput):
    def image(self, content, *words):
        self.write("x.efi", content)
        self.refused('schema = 1\nimages = [{ path = "x.efi" }]\n', "x.efi", *words)

    def test_malformed_pe(self):
        good = (IMAGES / "Hello.efi").read_bytes()
        pe = int.from_bytes(good[0x3C:0x40], "little")
        self.image(b"")
        self.image(b"MZ")
        self.image(good[:pe + 10])
        self.image(b"XX" + good[2:])
        self.image(good[:0x3C] + b"\xff\xff\xff\xff" + good[0x40:])
        self.image(good[:pe] + b"NE" + good[pe + 2:])
        self.image(good[:pe + 4] + b"\x4c\x01" + good[pe + 6:])  # i386
        self.image(good[:pe + 6] + b"\xff\xff" + good[pe + 8:])  # sections
        self.image(good[:len(good) // 2])

    def test_absent_files(self):
        self.refused('schema = 1\nimages = [{ path = "absent.efi" }]\n', "bad.toml:2:", "absent.efi")
        self.refused('schema = 1\nimages = [{ driver = "Absent" }]\n', "bad.toml:2:", "Absent")
        self.refused('schema = 1\nimages = [{ driver = "Hello", path = "x" }]\n', "bad.toml:2:", "exactly one")
        self.refused('schema = 1\nimages = [{ driver = "Hello", depex = "none.depex" }]\n', "none.depex")
        self.refused('schema = 1\nimages = [{ driver = "Hello", guid = "12" }]\n', "bad.toml:2:", "12")

    def test_malformed_volumes(self):
        for content in (b"", b"_FVH", bytes(72), bytes(40) + b"_FVH" + bytes(100)):
            with self.subTest(content=content):
                self.write("x.fv", content)
                self.refused('schema = 1\nimages = [{ fv = "x.fv" }]\n', "x.fv")
        self.refused('schema = 1\nimages = [{ fv = "absent.fv" }]\n', "absent.fv")


if __name__ == "__main__":
    unittest.main()
