# SPDX-License-Identifier: BSD-2-Clause-Patent
"""`mmsim send` with images, dependency expressions and HOBs of the shapes that edk2 builds leave."""

import json
import os
import pty
import struct
import subprocess
import unittest
import uuid

from support import BAD_INPUT, FAILED, IMAGES, MMSIM, PASSED, TestCase, run

HELLO = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"
RSC_HANDLER = "2FF29FA7-5E80-4ED9-B380-017D3C554FF4"
USE_SERIAL = "BB55AA97-C7F2-4F60-ACC3-16F6E8B50779"
RAW_IN = struct.pack("<QQQ", 3, 0x80, 0).hex()
WILD_JUMP = struct.pack("<QQQ", 2, 0xF008000, 0).hex()
LOOP = struct.pack("<QQQ", 13, 0, 0).hex()
DENIED_PORT = struct.pack("<QQQ", 11, 0xCFC, 0x55).hex()


def send(*arguments):
    """Exit code, standard output and standard error of `mmsim send ARGUMENTS`."""
    done = subprocess.run([MMSIM, "send", *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout, done.stderr


def align(value, to):
    return (value + to - 1) // to * to


class Pe:
    """A PE32+ image, its header fields at their offsets."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.nt = self.get(60, "I")
        self.optional = self.nt + 24
        self.table = self.optional + self.get(self.nt + 20, "H")

    def get(self, at, kind):
        return struct.unpack_from("<" + kind, self.data, at)[0]

    def put(self, at, kind, value):
        struct.pack_into("<" + kind, self.data, at, value)

    def sections(self):
        return [self.table + 40 * i for i in range(self.get(self.nt + 6, "H"))]

    def repacked(self, file_alignment):
        """The same image with raw data cut to what is used and packed at `file_alignment`, so that raw is not RVA."""
        headers = align(self.table + 40 * len(self.sections()), file_alignment)
        out = Pe(self.data[:headers].ljust(headers, b"\0"))
        out.put(out.optional + 36, "I", file_alignment)
        out.put(out.optional + 60, "I", headers)
        for at in self.sections():
            raw, size = self.get(at + 20, "I"), self.get(at + 16, "I")
            used = bytes(self.data[raw:raw + size])
            if not self.get(at + 36, "I") & 0x2000_0000:
                used = used.rstrip(b"\0")
            used = used.ljust(align(len(used), file_alignment), b"\0")
            out.put(at + 16, "I", len(used))
            out.put(at + 20, "I", len(out.data) if used else 0)
            out.data += used
        return out


class Send(TestCase):
    def image(self, name="Hello"):
        return Pe((IMAGES / f"{name}.efi").read_bytes())

    def hello(self, data, *options):
        """Sends to Hello, made of `data`."""
        return send("--image", self.write("Driver.efi", bytes(data)), "--to", HELLO, "--text", "Hello", *options)

    def refused(self, arguments, *words):
        code, _, errors = arguments
        self.assertEqual(code, BAD_INPUT, errors)
        for word in words:
            self.assertIn(word, errors)


class Images(Send):
    def test_raw_offsets_are_not_rvas(self):
        image = self.image().repacked(0x20)
        text = image.sections()[0]
        self.assertNotEqual(image.get(text + 20, "I"), image.get(text + 12, "I"))
        code, out, errors = self.hello(image.data)
        self.assertEqual(code, PASSED, errors)
        self.assertIn("Driver: started\n", errors)
        self.assertIn("hELLO", out)

    def test_debug_exception_and_security_directories_are_not_looked_at(self):
        image = self.image()
        for directory in (3, 4, 6):
            image.put(image.optional + 112 + 8 * directory, "I", 0xFFFF_F000)
            image.put(image.optional + 116 + 8 * directory, "I", 0x1000)
        code, _, errors = self.hello(image.data)
        self.assertEqual(code, PASSED, errors)
        self.assertIn("Driver: started\n", errors)

    def test_section_alignment_names_value_and_remedy(self):
        image = self.image()
        image.put(image.optional + 32, "I", 0x40)
        self.refused(self.hello(image.data), "Driver.efi: refused", "it is 0x40", "-z common-page-size=0x1000",
                     "/ALIGN:4096")

    def test_writable_code_names_the_section(self):
        image = self.image()
        text = image.sections()[0]
        image.put(text + 36, "I", 0xE000_0020)
        self.refused(self.hello(image.data), "writable and executable: section 0 '.text'")

    def test_elf(self):
        self.refused(self.hello(b"\x7fELF" + bytes(100)), "no MZ signature: it is an ELF file, of which GenFw makes the .efi")

    def test_other_machine(self):
        image = self.image()
        image.put(image.nt + 4, "H", 0xAA64)
        self.refused(self.hello(image.data), "not x86-64: it is AArch64")

    def test_relocations_stripped(self):
        image = self.image()
        image.put(image.nt + 22, "H", image.get(image.nt + 22, "H") | 1)
        image.put(image.optional + 112 + 44, "I", 0)
        self.refused(self.hello(image.data), "the relocations are stripped", "keep .reloc")


class Depex(Send):
    def waiting(self, depex):
        code, out, errors = send("--image", f"{IMAGES / 'Hello.efi'}:{self.write('Driver.depex', depex)}", "--to", HELLO,
                                 "--text", "x")
        self.assertEqual(code, FAILED, errors)
        self.assertIn("NOT_FOUND", out)
        return errors

    def test_missing_protocol_by_name(self):
        push = b"\2" + uuid.UUID(RSC_HANDLER).bytes_le + b"\x08"
        text = f"waiting for gEfiMmRscHandlerProtocolGuid ({RSC_HANDLER})"
        self.assertIn(text, self.waiting(push))
        for kind in (0x13, 0x1B, 0x1C):
            section = struct.pack("<I", len(push) + 4 | kind << 24) + push
            self.assertIn(text, self.waiting(section))

    def test_not_an_expression(self):
        self.refused(send("--image", f"{IMAGES / 'Hello.efi'}:{self.write('Driver.depex', 'TRUE')}", "--to", HELLO),
                     "Driver.depex", "neither a dependency expression", "0x54")


class List(Send):
    """What drivers answer to, and messages by the name of a driver."""

    DRIVERS = ("--image", IMAGES / "Hello.efi", "--image", IMAGES / "VariableStore.efi", "--image",
               f"{IMAGES / 'DepexB.efi'}:{IMAGES / 'DepexB.depex'}")

    def test_handlers_and_what_is_missing(self):
        code, out, errors = send(*self.DRIVERS, "--list")
        self.assertEqual(code, PASSED, errors)
        for line in (f"  answers   Hello ({HELLO})",
                     "  answers   gEfiSmmVariableProtocolGuid (ED32D533-99E6-4209-9CC0-2D72CDD998A7)",
                     "  waits for 5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4EA001"):
            self.assertIn(line, out.splitlines())
        self.assertEqual(send(*self.DRIVERS)[1], out, "nothing was asked for: the same")
        done = subprocess.run([MMSIM, "images", "--handlers", IMAGES / "Hello.efi", IMAGES / "VariableStore.efi",
                               f"{IMAGES / 'DepexB.efi'}:{IMAGES / 'DepexB.depex'}"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (PASSED, out))

    def test_as_json(self):
        code, out, errors = send(*self.DRIVERS, "--list", "--json")
        self.assertEqual(code, PASSED, errors)
        drivers = {d["name"]: d for d in json.loads(out)["drivers"]}
        self.assertEqual(drivers["Hello"]["handlers"], [{"guid": HELLO, "name": "Hello"}])
        self.assertEqual(len(drivers["VariableStore"]["handlers"]), 2)
        self.assertEqual(drivers["DepexB"]["state"], "waiting")

    def test_a_driver_that_faults_answers_nothing(self):
        code, out, _ = send("--image", IMAGES / "FaultAtEntry.efi", "--list")
        self.assertEqual(code, FAILED)
        self.assertIn("faulted", out)
        self.assertNotIn("answers", out)

    def test_a_message_by_the_name_of_a_driver(self):
        code, out, errors = send("--image", IMAGES / "WeakMagic.efi", "--to", "weakmagic", "--hex", "00")
        self.assertEqual(code, PASSED, errors)
        self.assertIn("1 byte", out)

    def test_a_name_that_does_not_say_where_to(self):
        several = send(*self.DRIVERS, "--to", "VariableStore", "--hex", "00")
        self.refused(several, "it has 2 handlers for messages; say which by its GUID", "gEfiSmmVariableProtocolGuid")
        self.refused(send(*self.DRIVERS, "--to", "Hallo", "--hex", "00"), "no driver of that name", "did you mean 'Hello'?")
        self.refused(send(*self.DRIVERS, "--hex", "00"), "send: --to is missing")


class Expect(Send):
    """--expect, of one message and of many."""

    def test_one_message(self):
        one = ("--image", IMAGES / "Hello.efi", "--to", "Hello", "--text", "x")
        for status in "Success", "EFI_SUCCESS", "SUCCESS", "0":
            self.assertEqual(send(*one, "--expect", status)[0], PASSED)
        for status in "NotFound", "EFI_NOT_FOUND", "0x800000000000000e":
            code, _, errors = send(*one, "--expect", status)
            self.assertEqual(code, FAILED)
            self.assertIn("message 1 of 1: SUCCESS, expected NOT_FOUND", errors)
        self.refused(send(*one, "--expect", "Sucess"), "--expect Sucess: neither a status")

    def test_which_of_many(self):
        lines = [{"to": HELLO, "data_hex": "61"}] * 5
        lines[2] = lines[4] = {"to": "11111111-0000-0000-0000-000000000000", "data_hex": "61"}
        file = self.write("m.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        for more in (), ("-v",):
            code, out, errors = send("--image", IMAGES / "Hello.efi", "--messages", file, "--expect", "Success", *more)
            self.assertEqual(code, FAILED)
            self.assertIn("message 3 of 5: NOT_FOUND, expected SUCCESS; 2 of them have another status", errors)
            self.assertEqual(len(out.splitlines()), 5)


class Messages(Send):
    def many(self, lines, *options):
        """Exit code, standard output and standard error of `lines` sent to Hello and Attacker."""
        return send("--image", IMAGES / "Hello.efi", "--image", IMAGES / "Attacker.efi", "--messages",
                    self.write("m.jsonl", "".join(json.dumps(line) + "\n" for line in lines)), *options)

    def test_more_than_the_platform_takes_at_once(self):
        large = [{"to": HELLO, "data_hex": "61" * 0xFF00}] * 65
        for target in ["--target=qemu"], ["-v"]:
            code, _, errors = self.many(large, *target)
            self.assertEqual(code, BAD_INPUT)
            self.assertRegex(errors, r"the steps need \d+ bytes, the platform has 4194304: split them")
        code, out, errors = self.many(large)
        self.assertEqual(code, PASSED, errors)
        self.assertEqual([json.loads(line)["data_hex"] for line in out.splitlines()], ["41" * 0xFF00] * 65)

    def test_more_than_a_program_has_steps(self):
        count = 70_000
        code, out, errors = self.many({"to": HELLO, "data_hex": f"{i:06d}".encode().hex()} for i in range(count))
        self.assertEqual(code, PASSED, errors)
        replies = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([bytes.fromhex(r["data_hex"]).decode() for r in replies], [f"{i:06d}" for i in range(count)])
        self.assertEqual({r["status"] for r in replies}, {"SUCCESS"})

    def test_some_at_a_time_or_all_at_once_is_the_same(self):
        lines = [{"to": (HELLO, "Attacker", "Probe")[i % 3], "data_hex": (RAW_IN if i % 3 == 1 else "48" * (i % 7))}
                 for i in range(3000)]
        for options in ["--fault-policy=contain"], ["--fault-policy=fail-stop"], ["--cpus=2"]:
            streamed, told = self.many(lines, *options), self.many(lines, *options, "-v")
            self.assertEqual(streamed[:2], told[:2])
            self.assertEqual(len(streamed[1].splitlines()), len(lines))
            self.assertLess(set(streamed[2].splitlines()), set(told[2].splitlines()))

    def test_names_the_message_that_stopped_the_machine(self):
        lines = [{"to": HELLO, "data_hex": "48"}] * 2500 + [{"to": "Attacker", "data_hex": RAW_IN}, {"to": HELLO, "data_hex": "48"}]
        code, out, errors = self.many(lines, "--fault-policy=fail-stop")
        self.assertEqual(code, FAILED)
        self.assertIn("the machine halted while message 2501 of 2502 was served, a message to Attacker: UserFault", errors)
        statuses = [json.loads(line)["status"] for line in out.splitlines()]
        self.assertEqual(statuses, ["SUCCESS"] * 2500 + ["HALTED"] * 2)

    def test_without_a_driver_the_cores_answer(self):
        code, out, errors = send("--to", HELLO, "--hex", "41")
        self.assertEqual(code, PASSED, errors)
        self.assertIn("NOT_FOUND", out)
        self.assertIn("no driver was given", errors)

    def test_none(self):
        self.refused(send("--image", IMAGES / "Hello.efi", "--messages", self.write("m.jsonl", "\n")), "m.jsonl:1:", "no message")


class Loops(Send):
    """A driver that does not come back, on the machine that gives ring 3 no budget."""

    def arguments(self):
        line = '{{"to": "{}", "data_hex": "{}"}}\n'
        messages = self.write("m.jsonl", line.format("Hello", "48") + line.format("Attacker", LOOP))
        return ["--image", IMAGES / "Hello.efi", "--image", IMAGES / "Attacker.efi", "--messages", messages, "--target",
                "qemu", "--seconds", "5"]

    def test_names_the_message(self):
        code, out, errors = send(*self.arguments())
        self.assertEqual(code, FAILED, errors)
        self.assertIn("ended while message 2 of 2 was served, a message to Attacker: TimeLimit, killed after 5 seconds, step 2 (communicate, ", errors)
        self.assertEqual([json.loads(line)["status"] for line in out.splitlines()], ["SUCCESS", "HALTED"])
        self.assertIn("in MM, CPL 3", errors)  # where it was
        self.assertNotIn("QEMU runs", errors)

    def test_progress_on_a_terminal(self):
        ours, its = pty.openpty()
        with subprocess.Popen([MMSIM, "send", *map(str, self.arguments())], stdout=subprocess.DEVNULL, stderr=its) as process:
            os.close(its)
            self.assertEqual(process.wait(60), FAILED)
            self.assertIn(b"QEMU runs for 3 of at most 5 seconds", os.read(ours, 1 << 16))
        os.close(ours)


class Files(Send):
    """One file of a volume, as GenFfs leaves it in an FFS folder."""

    def ffs(self, name, state):
        pe = (IMAGES / f"{name}.efi").read_bytes()
        depex = b"\2" + uuid.UUID(RSC_HANDLER).bytes_le + b"\x08"
        ui = "Named\0".encode("utf-16-le")
        body = b""
        for kind, content in ((0x1C, depex), (0x10, pe), (0x15, ui)):
            body = body.ljust(align(len(body), 4), b"\0") + struct.pack("<I", len(content) + 4 | kind << 24) + content
        header = bytearray(uuid.UUID(HELLO).bytes_le + bytes(2) + bytes([0x0E, 0]) +
                           (len(body) + 24).to_bytes(3, "little") + bytes(1))
        header[16] = -sum(header) & 0xFF
        header[17] = 0xAA
        header[23] = state
        return self.write("File.ffs", bytes(header) + body)

    def test_runs_with_its_depex_and_name(self):
        for state in (0x07, 0xF8):
            code, _, errors = send("--fv", self.ffs("Hello", state), "--to", HELLO)
            self.assertEqual(code, FAILED, errors)
            self.assertIn("Named: waiting for gEfiMmRscHandlerProtocolGuid", errors)

    def test_in_a_scenario(self):
        self.ffs("Hello", 0xF8)
        step = f'[[step]]\nkind = "communicate"\nto = "{HELLO}"\ntext = "Hello"\nexpect = {{ text = "hELLO" }}\n'
        path = self.write("ffs.toml", 'schema = 1\nimages = [{ drivers = "File.ffs" }, { driver = "StatusCodeRouter" }]\n' + step)
        code, text = run(path, "-v", "--target=both")
        self.assertEqual(code, PASSED, text)
        self.assertIn("dispatch order: StatusCodeRouter, Named", text)

    def test_refused_in_a_scenario(self):
        def refused(key, name, *words):
            code, text = run(self.write("bad.toml", f'schema = 1\nimages = [{{ {key} }}]\n'))
            self.assertEqual(code, BAD_INPUT, text)
            for word in ("bad.toml:2: ", name, *words):
                self.assertIn(word, text)
        self.ffs("RsmDriver", 0xF8)
        refused('drivers = "File.ffs"', "File.ffs", "Named: refused: RSM")
        refused('drivers = "absent.fv"', "absent.fv", "No such file")
        refused(f'drivers = "{IMAGES / "Hello.efi"}"', "Hello.efi", "an image and not a volume", "path")
        refused('drivers = "bad.toml"', "bad.toml", "neither a PE image nor")
        refused('drivers = "File.ffs", copies = 2', "unknown key 'copies'")
        refused('drivers = "File.ffs", path = "x.efi"', "unknown key 'path'")

    def test_is_listed_as_an_mm_module(self):
        file = self.ffs("Hello", 0xF8)
        def images(*options):
            return subprocess.run([MMSIM, "images", "--mm", *options, file], capture_output=True, text=True, timeout=60,
                                  check=True).stdout
        self.assertRegex(images(), rf"File.ffs: firmware file\n  {HELLO} MM_STANDALONE Named, \d+ bytes\n(.|\n)*\n  1 MM module\n$")
        self.assertEqual([module["name"] for module in json.loads(images("--json"))["results"][0]["modules"]], ["Named"])

    def test_is_no_image(self):
        self.refused(send("--image", self.ffs("Hello", 0xF8), "--to", HELLO), "File.ffs: a firmware file", "--fv")

    def test_damaged(self):
        damaged = bytearray(self.ffs("Hello", 0xF8).read_bytes())
        for at in (0, 16, 20):
            data = bytearray(damaged)
            data[at] ^= 0xFF
            self.refused(send("--fv", self.write("Bad.ffs", bytes(data)), "--to", HELLO), "Bad.ffs")


class Hobs(Send):
    def payload(self, *hobs):
        arguments = [word for hob in hobs for word in ("--hob", hob)]
        message = uuid.UUID(USE_SERIAL).bytes_le.hex() + "00" * 48
        code, out, errors = send("--image", IMAGES / "PlatformUser.efi", *arguments, "--to", "PlatformUser", "--hex",
                                 message, "--json")
        self.assertEqual(code, PASSED, errors)
        return json.loads(out)["data_hex"]

    def test_hex_and_file_and_names(self):
        file = self.write("hob.bin", bytes(range(9)))
        self.assertEqual(self.payload(f"{USE_SERIAL}:01"), "01" + "00" * 7)
        self.assertEqual(self.payload(f"gMmStatusCodeUseSerialHobGuid:{file}"), bytes(range(9)).hex() + "00" * 7)
        self.assertEqual(self.payload(f"{USE_SERIAL}:01", f"{HELLO}:ff", f"{USE_SERIAL}:02"),
                         "01" + "00" * 7 + "02" + "00" * 7)
        self.assertEqual(self.payload(), "")

    def test_refusals(self):
        def hob(argument):
            return send("--image", IMAGES / "Hello.efi", "--to", HELLO, "--hob", argument)

        self.refused(hob("01"), "GUID:HEX or GUID:FILE")
        self.refused(hob("gMmStatusCodeUseSerial:01"), "did you mean 'gMmStatusCodeUseSerialHobGuid'")
        self.refused(hob(f"{USE_SERIAL}:/no/such"), "neither hexadecimal digits nor a file")
        self.refused(hob(f"gMmCommBufferHobGuid:{'00' * 24}"), "gMmCommBufferHobGuid", "makes this one itself")
        self.refused(hob(f"{USE_SERIAL}:{self.write('large', bytes(0x10000))}"), "65536 bytes", "a HOB takes 65504")


class Reports(Send):
    def test_fault_names_the_instruction(self):
        _, _, errors = send("--image", IMAGES / "FaultAtEntry.efi", "--to", HELLO)
        self.assertRegex(errors, r"FaultAtEntry: faulted in its entry point: #PF, error 0x\d+, at image offset 0x\w+, mm_driver_main at \S+:\d+ "
                                 r"\(mov .*\), address 0x")

    def test_instruction_that_is_not_for_ring_3(self):
        _, _, errors = send("--image", IMAGES / "Attacker.efi", "--to", "Attacker", "--hex", RAW_IN)
        self.assertRegex(errors, r"in a handler: #GP, error 0x0, at image offset 0x\w+, attack_in\+0x\w+ \(in .*: not for ring 3, "
                                 r"link the system-call libraries\)")

    def test_jump_out_of_the_image(self):
        _, _, errors = send("--image", IMAGES / "Attacker.efi", "--to", "Attacker", "--hex", WILD_JUMP)
        self.assertRegex(errors, r"in a handler: #PF, error 0x\w+, at 0xf008000, outside every image, address 0xf008000")

    def test_refused_system_call(self):
        _, _, errors = send("--image", IMAGES / "Attacker.efi", "--to", "Attacker", "--hex", DENIED_PORT)
        self.assertIn("Attacker: faulted in a handler: system call IO_WRITE (0xcfc", errors)
        self.assertIn("refused: ACCESS_DENIED", errors)


if __name__ == "__main__":
    unittest.main()
