# SPDX-License-Identifier: BSD-2-Clause-Patent
"""`mmsim linux`: the ROM enters a kernel by the 64-bit boot protocol. The kernel is a small one of ours that says how."""

import os
import pathlib
import re
import subprocess
import unittest

from support import BAD_INPUT, FAILED, MMSIM, PASSED, SMOKE, TestCase

KERNEL = pathlib.Path(os.environ.get("MM_TEST_KERNEL", "test_kernel.bz"))
HELLO = SMOKE / "hello.toml"
MIB = 1 << 20


class Linux(TestCase):
    def boot(self, *arguments, scenario=HELLO, kernel=KERNEL):
        done = subprocess.run([MMSIM, "linux", scenario, "--kernel", kernel, *map(str, arguments)], capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=120, check=False)
        return done.returncode, done.stdout.replace("\r", ""), done.stderr

    def test_the_kernel_is_entered_as_the_protocol_says(self):
        disk = self.write("disk", b"RAMDISK!" + bytes(5000))
        code, said, errors = self.boot("--initrd", disk, "--append", "one two=3", "--cpus", "2")
        self.assertEqual(code, PASSED, errors)
        self.assertIn("cs 0000000000000010 ds 0000000000000018 if 0000000000000000", said)
        self.assertIn("command line: one two=3 mm_comm.user=0x04000000,0x00000010,0x04020000 "
                      "mm_comm.supervisor=0x04010000,0x00000010,0x04021000\n", said)
        self.assertIn("ramdisk " + b"RAMDISK!"[::-1].hex(), said)
        self.assertIn("rsdp " + b"RSD PTR "[::-1].hex() + " sum 0000000000000000", said)
        self.assertIn("rsdt 00000000" + b"RSDT"[::-1].hex() + " sum 0000000000000000", said)

    def test_the_memory_map_keeps_mm_and_the_communicate_buffers_out(self):
        code, said, errors = self.boot("--ram", 512)
        self.assertEqual(code, PASSED, errors)
        entries = [tuple(int(n, 16) for n in found)
                   for found in re.findall(r"memory (\w+) bytes (\w+) type (\w+)", said)]
        entries.sort()
        for (base, size, _), (following, _, _) in zip(entries, entries[1:]):
            self.assertLessEqual(base + size, following)

        def type_at(address):
            return [kind for base, size, kind in entries if base <= address < base + size]

        self.assertEqual(type_at(16 * MIB), [1])
        for reserved in (0x04000000, 0x0402FFFF, 0x06000000, 496 * MIB, 512 * MIB - 1, 0xB0000000):
            self.assertEqual(type_at(reserved), [2], hex(reserved))
        self.assertEqual(type_at(496 * MIB - 1), [3])
        self.assertEqual(type_at(512 * MIB), [])

    def test_the_time_limit(self):
        """A kernel that jumps to itself."""
        header = bytearray(KERNEL.read_bytes()[:0x400])
        setup = (header[0x1F1] or 4) + 1
        code = bytes(0x200) + b"\xeb\xfe"  # the 64-bit entry point is at 0x200
        kernel = self.write("forever.bz", KERNEL.read_bytes()[:setup * 512] + code + bytes(4096))
        code, _, errors = self.boot("--time", 3, kernel=kernel)
        self.assertEqual(code, FAILED, errors)
        self.assertIn("killed after 3 seconds, behind the last step", errors)
        self.assertIn("the time of --time is over", errors)

    def test_what_mm_did_is_told_on_demand(self):
        code, said, errors = self.boot("-v")
        self.assertEqual(code, PASSED, errors)
        self.assertIn("RequestDecoded user to Hello", said)

    def test_what_cannot_be_booted(self):
        no_header = self.write("kernel", bytes(4096))
        short = self.write("short", b"MZ")
        old = bytearray(KERNEL.read_bytes())
        old[0x236] = 0  # no 64-bit entry
        huge = bytearray(KERNEL.read_bytes())
        huge[0x260:0x264] = (0x7F000000).to_bytes(4, "little")
        for kernel, code, word in ((no_header, BAD_INPUT, "HdrS"), (short, BAD_INPUT, "HdrS"),
                                   (self.folder / "none", BAD_INPUT, "none"),
                                   (self.write("old", bytes(old)), FAILED, "64-bit entry"),
                                   (self.write("huge", bytes(huge)), FAILED, "larger than the memory")):
            with self.subTest(kernel=kernel.name):
                got, _, errors = self.boot(kernel=kernel)
                self.assertEqual(got, code, errors)
                self.assertIn(word, errors)
        code, _, errors = self.boot("--initrd", self.folder / "none")
        self.assertEqual(code, BAD_INPUT, errors)
        code, _, errors = self.boot("--append", "x" * 4090)
        self.assertEqual(code, FAILED, errors)
        self.assertIn("command line is too long", errors)
        code, _, errors = self.boot(scenario=self.write("bad.toml", "schema = 1\nx = 1\n"))
        self.assertEqual(code, BAD_INPUT, errors)


if __name__ == "__main__":
    unittest.main()
