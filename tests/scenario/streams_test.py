# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Seeded random instructions of ring 3, on the simulator and on QEMU: the same registers, flags, memory and faults, and
the next driver answers on both. MM_STREAMS=20000 runs that many; MM_STREAMS_SEED chooses others."""

import json
import os
import random
import re
import subprocess
import unittest

from support import FAILED, IMAGES, MMSIM, PASSED, TestCase, run

STREAMS = int(os.environ.get("MM_STREAMS", "120"))
SEED = int(os.environ.get("MM_STREAMS_SEED", "1"))
BATCH = 500
SLED_BYTES = 64
BEGIN, END = b"<stream of code>", b"<end of stream.>"
UD2 = b"\x0f\x0b"
HANDLER = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E00E8"
REPLY_BYTES = 192
SCENARIO = """schema = 1
name = "stream {number}: {code}"
images = [{{ path = "{number}.efi", guid = "9A3D0C11-52C0-4E6B-8B0E-6D5E000000E8" }}, {{ driver = "Hello" }}]
[machine]
fault_policy = "contain"
[[step]]
kind = "communicate"
to = "{handler}"
hex = "{message}"
[[step]]
kind = "communicate"
to = "Hello"
text = "abc"
"""

PREFIXES = [0x66, 0x67, 0xF2, 0xF3, 0xF0, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, *range(0x40, 0x50)]
STRINGS = [0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF, 0x6C, 0x6D, 0x6E, 0x6F, 0xD7]
ODD = [0x27, 0x2F, 0x37, 0x3F, 0xD4, 0xD5, 0xD6, 0x06, 0x0E, 0x16, 0x1E, 0x60, 0x61, 0x62, 0x82, 0x9A,
       0xEA, 0xCE, 0xC4, 0xC5]
PRIVILEGED = [0xF4, 0xFA, 0xFB, 0xE4, 0xE6, 0xEC, 0xEE, 0xED, 0xEF, 0xCB, 0xCF, 0xCA, 0x9D, 0x9C, 0x8E, 0x8C, 0xF1]
SYSTEM = [0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0D, 0x20, 0x21, 0x22, 0x23, 0x30, 0x32, 0x33, 0x34,
          0x35, 0xA0, 0xA1, 0xA2, 0xA8, 0xA9, 0xAE, 0xB2, 0xB4, 0xB5, 0xC7]
VECTOR = [*range(0x10, 0x18), *range(0x28, 0x30), *range(0x50, 0x80), *range(0xC2, 0x100)]
PREFIX = rb"[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf0\xf2\xf3]*"

# What the two machines need not agree in, as bytes at any place of a stream, each with its reason. A name is one of
# `mmsim doctor -v`.
EXCLUDED = {
    "RDTSC, RDTSCP, RDRAND and RDSEED: another value each time":
        rb"\x0f\x31|\x0f\x01\xf9|\x0f\xc7[\x30-\x3f\x70-\x7f\xb0-\xbf\xf0-\xff]",
    "int-n": rb"[\xcc\xcd]",
    "RSM: the host refuses such an image before there is a machine": rb"\x0f\xaa",
    "a jump back into the stream may never end":
        rb"[\xe0-\xe3\xeb\x70-\x7f][\xb0-\xff]|[\xe8\xe9].{2,3}\xff|\x0f[\x80-\x8f].{2,3}\xff",
    "lock-prefix, lock-bit-test: but for ALU operations that can have it":
        rb"\xf0(?!" + PREFIX
        + rb"[\x00\x01\x08\x09\x10\x11\x18\x19\x20\x21\x28\x29\x30\x31\x80-\x83\xf6\xf7\xfe\xff][\x00-\xbf])",
    "vex": rb"[\xc4\xc5]",
    "iret-vm86": rb"(?<![\x48-\x4f\x66])\xcf",
    "undefined-forms": rb"[\xc6\xc7](?![\x00-\x07\x40-\x47\x80-\x87\xc0-\xc7])|[\x66\xf2\xf3]" + PREFIX
                       + rb"\x0f\x77|\x0f\xe7[\xc0-\xff]",
    "operand-size-jump": rb"\x66" + PREFIX + rb"(?:[\xe0-\xe3\xe8\xe9\xeb\x70-\x7f]|\x0f[\x80-\x8f])",
    "sse-compare": rb"\x0f\xc2",
    "rex-lahf": rb"[\x40-\x4f][\x9e\x9f]",
    "BSF and BSR: flags that the manuals leave undefined": rb"\x0f[\xbc\xbd]",
    "rex-not-last": rb"[\x40-\x4f][\x26\x2e\x36\x3e\x64-\x67\xf0\xf2\xf3]",
    "exception-flags: what stores or unmasks them":
        rb"\x0f\xae[\x00-\xbf]|[\xd9\xdd][\x20-\x3f\x60-\x7f\xa0-\xbf]|\xdf\xe0",
}
PATTERNS = {reason: re.compile(pattern, re.DOTALL) for reason, pattern in EXCLUDED.items()}

# Where QEMU may fault and the simulator runs on: alignment-check.
SSE = re.compile(PREFIX + rb"\x0f[\x10-\x17\x28-\x2f\x38\x3a\x50-\x7f\xc2-\xc6\xd0-\xff]")
MISALIGNED = re.compile(r"Fault vector 13 error 0x0 at [0-9]+\+0x([0-9a-f]+) ")


def operand(rng):
    """ModRM with what follows; the memory forms are mostly those of the scratch registers RBX, RSI and RDI."""
    kind = rng.random()
    reg = rng.randrange(8) << 3
    if kind < 0.5:
        return bytes([0xC0 | reg | rng.randrange(8)])
    if kind < 0.85:
        base = rng.choice([3, 6, 7])
        return bytes([0x40 | reg | base, rng.randrange(256)]) if rng.random() < 0.5 else bytes([reg | base])
    return bytes([rng.randrange(256), *rng.randbytes(rng.choice([0, 1, 4]))])


def instruction(rng):
    """Bytes that are mostly one instruction."""
    prefixes = bytes(rng.choice(PREFIXES) for _ in range(rng.choice([0, 0, 0, 1, 1, 2])))
    immediate = rng.randbytes(rng.choice([0, 0, 1, 4]))
    kind = rng.randrange(16)
    if kind < 4:
        return prefixes + bytes([rng.randrange(256)]) + operand(rng) + immediate
    if kind < 8:
        return prefixes + bytes([0x0F, rng.randrange(256)]) + operand(rng) + immediate[:1]
    if kind < 10:
        sse = bytes([rng.choice([0x66, 0xF2, 0xF3])]) if rng.random() < 0.7 else b""
        opcode = rng.choice([[0x38, rng.randrange(256)], [0x3A, rng.randrange(256)], [rng.choice(VECTOR)]])
        return sse + bytes([0x0F, *opcode]) + operand(rng) + (immediate[:1] or b"\x05" if opcode[0] == 0x3A else b"")
    if kind < 12:
        return bytes([rng.randrange(0xD8, 0xE0)]) + operand(rng)
    if kind == 12:
        return prefixes + bytes([rng.choice(STRINGS)])
    if kind == 13:
        return prefixes + bytes([rng.choice(ODD)]) + operand(rng) + immediate
    if kind == 14:
        return prefixes + bytes([rng.choice(PRIVILEGED)]) + operand(rng)
    return prefixes + bytes([0x0F, rng.choice(SYSTEM)]) + operand(rng)


def stream(rng):
    """One to three instructions that no exclusion names."""
    while True:
        code = b"".join(instruction(rng) for _ in range(rng.randrange(1, 4)))
        if len(code) <= SLED_BYTES - 8 and not any(p.search(code + b"\xeb") for p in PATTERNS.values()):
            return code


def sled(code):
    """The code, a jump to the end, and UD2 between them."""
    jump = bytes([0xEB, SLED_BYTES - len(code) - 2])
    return (code + jump + UD2 * SLED_BYTES)[:SLED_BYTES]


def registers(rng):
    """A message: general registers, of which some are small, and XMM0 to XMM3 as numbers or as random bits."""
    words = [rng.choice([rng.getrandbits(64), rng.getrandbits(32), rng.randrange(256), 0]) for _ in range(10)] + [0, 0]
    numbers = [rng.choice([0x3FF0000000000000, 0x3F8000003F800000, rng.getrandbits(64), 0]) for _ in range(8)]
    message = b"".join(w.to_bytes(8, "little") for w in words + numbers)
    return message.ljust(REPLY_BYTES, b"\0")


class Streams(TestCase):
    def setUp(self):
        super().setUp()
        self.image = (IMAGES / "Stream.efi").read_bytes()
        self.at = self.image.index(BEGIN) + len(BEGIN)
        self.assertLess(self.at + SLED_BYTES, self.image.index(END))

    def write_stream(self, number):
        """The scenario of a stream, with its image."""
        rng = random.Random(f"{SEED} {number}")
        code = stream(rng)
        self.write(f"{number}.efi", self.image[:self.at] + sled(code) + self.image[self.at + SLED_BYTES:])
        text = SCENARIO.format(number=number, code=code.hex(), handler=HANDLER, message=registers(rng).hex())
        return self.write(f"{number}.toml", text)

    def is_misaligned(self, result):
        """Whether QEMU, run again, refuses the operand of an SSE instruction of the sled where the machines differ."""
        number, code = re.match(r"stream ([0-9]+): ([0-9a-f]+)", result["name"]).groups()
        command = [MMSIM, "run", self.folder / f"{number}.toml", "--target=qemu", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        fault = MISALIGNED.search(done.stdout)
        if fault is None:
            return False
        offset = int(fault[1], 16) - self.at  # sections lie in the file where they lie in memory
        return 0 <= offset < SLED_BYTES and SSE.match(sled(bytes.fromhex(code))[offset:]) is not None

    def results(self, numbers):
        files = [self.write_stream(number) for number in numbers]
        command = [MMSIM, "run", *files, "--target=both", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertIn(done.returncode, (PASSED, FAILED), done.stdout[-2000:] + done.stderr)
        return json.loads(done.stdout)["results"]

    def test_both_machines_agree(self):
        faulted = ran = 0
        different = []
        for first in range(0, STREAMS, BATCH):
            for result in self.results(range(first, min(first + BATCH, STREAMS))):
                agreed = result["outcome"] == "passed" or self.is_misaligned(result)
                statuses = [step.get("status") for step in result["story"]]
                if not agreed or statuses[1:] != ["Success"]:
                    different.append(f"{result['name']}: {statuses} {result['failures']} {result.get('difference')}")
                faulted += statuses[:1] == ["Aborted"]
                ran += statuses[:1] == ["Success"]
        print(f"{STREAMS} streams: {faulted} faulted, {ran} ran through, {len(different)} different")
        self.assertEqual(different, [], "\n".join(different))
        self.assertGreater(faulted, STREAMS // 3)
        self.assertGreater(ran, STREAMS // 10)


FLASH_BASE, FLASH_BYTES = 0xFFC00000, 0x10000
FLASH_COMMANDS = [0x10, 0x20, 0x40, 0x40, 0x50, 0x60, 0x70, 0x70, 0x90, 0x98, 0xD0, 0xE8, 0xFF, 0xFF, 0xFF, 0x01, 0x00]
LOAD, STORE = 21, 22
FLASH_SCENARIO = """schema = 1
images = [{ driver = "Probe" }]
[[device]]
kind = "flash"
at = "0xFFC00000"
bytes = 0x10000
hex = "00 11 22 33 44 55 66 77"
"""
FLASH_READ = """[[step]]
kind = "read"
address = "0xFFC00000"
bytes = 0x10000
"""


class FlashStreams(TestCase):
    """Random reads and writes of a driver to the flash, commands among them: every value that is read is the same on both
    machines, and so is what is in the flash in the end."""

    def setUp(self):
        super().setUp()
        version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True).stdout
        self.buffered = 0xE8 if "version 7." in version else 0x70  # later ones take another place for the buffer's

    def operation(self, dice):
        offset = dice.choice([0, 0x1000, 0xF000]) + dice.choice([0, 1, 0x10, 0x27, 0x55, 0x800, dice.randrange(0xFF0)])
        width = dice.choice([1, 1, 1, 2, 4, 8])
        address = FLASH_BASE + offset // width * width
        if dice.random() < 0.4:
            return LOAD, address, 0, width
        value = dice.choice([dice.choice(FLASH_COMMANDS), dice.choice(FLASH_COMMANDS), dice.randrange(1 << 8 * width)])
        value = value & ~0xFF | self.buffered if value & 0xFF == 0xE8 else value
        return STORE, address, value & ((1 << 8 * width) - 1), width

    def step(self, dice, operations):
        words = "".join(f"  {{ u64 = {what} }}, {{ u64 = {at} }}, {{ u64 = \"{value:#x}\" }}, {{ u64 = {width} }}, {{ u64 = 0 }},"
                        " { u64 = 0 },\n" for what, at, value, width in (self.operation(dice) for _ in range(operations)))
        return f'[[step]]\nkind = "communicate"\nto = "Probe"\nfields = [\n{words}]\nexpect = {{ status = "Success" }}\n'

    def test_every_value_is_the_same(self):
        folder = self.folder / "flash"
        folder.mkdir()
        for number in range(max(4, STREAMS // 10)):
            dice = random.Random(f"flash {SEED} {number}")
            text = FLASH_SCENARIO + "".join(self.step(dice, 60) for _ in range(8)) + FLASH_READ
            (folder / f"{number}.toml").write_text(text, encoding="utf-8")
        code, printed = run(folder, "--target=both", "-j", "2", "-q")
        self.assertEqual(code, PASSED, printed[-4000:])


if __name__ == "__main__":
    unittest.main()
