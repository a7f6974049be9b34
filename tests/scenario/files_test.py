# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Files of other people, end to end: what is damaged or not opened is said, and policies are read as the field's tool reads them."""

import json
import os
import random
import struct
import subprocess
import unittest
import uuid
import xml.etree.ElementTree as ElementTree

from support import BAD_INPUT, IMAGES, MMSIM, PASSED, TestCase, run

FFS2 = uuid.UUID("8C8CE578-8A3D-4F1C-9935-896185C32DD3").bytes_le
HELLO = "5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E0001"
POLICY_FILE = "81FF0793-3E18-489B-9A08-A1EB71B23D20"


def mmsim(*arguments, **options):
    """Exit code, standard output and standard error, both as bytes that may be no text."""
    done = subprocess.run([MMSIM, *map(os.fspath, arguments)], capture_output=True, timeout=300, check=False, **options)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def section(kind, body):
    return struct.pack("<I", len(body) + 4 | kind << 24) + body + bytes(-len(body) % 4)


def ffs_file(name, kind, body, state=0xF8, checksum=0xAA):
    header = bytearray(uuid.UUID(name).bytes_le + struct.pack("<BBBBI", 0, 0, kind, 0, len(body) + 24))
    header[16] = -sum(header) & 0xFF
    header[17], header[23] = checksum, state
    return bytes(header) + body + b"\xff" * (-len(body) % 8)


def volume(*files):
    body = b"".join(files) + b"\xff" * 64
    header = bytearray(bytes(16) + FFS2 + struct.pack("<Q4sIHHHBBIIII", len(body) + 72, b"_FVH", 0x800, 72, 0, 0, 0, 2, 1,
                                                      len(body) + 72, 0, 0))
    struct.pack_into("<H", header, 50, -sum(struct.unpack("<36H", header)) & 0xFFFF)
    return bytes(header) + body


def driver(name, ui, **options):
    image = (IMAGES / "Hello.efi").read_bytes()
    return ffs_file(name, 0x0E, section(0x10, image) + section(0x15, ui.encode("utf-16-le") + b"\0\0"), **options)


FIRST, LAST = "11111111-0000-4000-8000-000000000001", "11111111-0000-4000-8000-000000000002"


class Volumes(TestCase):
    def damaged(self):
        return self.write("damaged.fv", volume(driver(FIRST, "First", checksum=0x11), driver(LAST, "Last")))

    def test_exit_codes(self):
        sound = self.write("sound.fv", volume(driver(FIRST, "First"), driver(LAST, "Last")))
        self.assertEqual(mmsim("images", sound)[0], PASSED)
        for content in (self.damaged().read_bytes(), b"MZ", b"MZ" + bytes(62), sound.read_bytes()[:-1000]):
            path = self.write("bad", content)
            code, out, _ = mmsim("images", path)
            self.assertEqual(code, BAD_INPUT, out)
            code, out, _ = mmsim("images", "--json", path)
            self.assertEqual(code, BAD_INPUT)
            json.loads(out)

    def test_a_driver_that_is_lost_is_said(self):
        path = self.damaged()
        code, _, errors = mmsim("send", "--fv", path, "--to", HELLO, "--text", "Hello")
        self.assertEqual(code, PASSED, errors)
        self.assertIn("Last: started", errors)
        self.assertIn("First: refused the content checksum", errors)
        self.assertIn("problem: ", errors)
        code, out, _ = mmsim("send", "--fv", path, "--to", HELLO, "--text", "Hello", "--json")
        self.assertEqual((code, len(json.loads(out)["problems"])), (PASSED, 1))
        code, out, errors = mmsim("scan", path)
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("First", errors)
        self.assertIn("#Last", out)
        code, text = run(self.write("s.toml", 'schema = 1\nimages = [{ drivers = "damaged.fv" }]\n'))
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("s.toml:2:", text)
        self.assertIn("content checksum", text)

    def test_what_is_not_opened_is_a_warning(self):
        packed = ffs_file(FIRST, 0x0B, section(0x01, struct.pack("<IB", 100, 1) + bytes(20)))
        path = self.write("packed.fv", volume(packed, driver(LAST, "Last")))
        self.assertEqual(mmsim("images", path)[0], PASSED)
        code, text = run(self.write("s.toml", 'schema = 1\nimages = [{ drivers = "packed.fv" }]\n'))
        self.assertEqual(code, PASSED, text)
        self.assertIn("UEFI standard compression: not opened", text)

    def test_marked_for_update_gives_way(self):
        old, new = driver(FIRST, "Old", state=0xF0), driver(FIRST, "New")
        path = self.write("update.fv", volume(old, new))
        code, _, errors = mmsim("send", "--fv", path, "--to", HELLO, "--text", "Hello")
        self.assertEqual(code, PASSED, errors)
        self.assertIn("New: started", errors)
        self.assertIn("Old: not run (marked for update", errors)
        alone = self.write("alone.fv", volume(old))
        self.assertIn("Old: started", mmsim("send", "--fv", alone, "--to", HELLO, "--text", "Hello")[2])

    def test_pipes(self):
        content = volume(driver(FIRST, "First"))
        read, write = os.pipe()
        if os.fork() == 0:
            os.close(read)
            with os.fdopen(write, "wb") as pipe:
                pipe.write(content)
            os._exit(0)
        os.close(write)
        code, out, errors = mmsim("images", f"/dev/fd/{read}", pass_fds=[read])
        os.close(read)
        os.wait()
        self.assertEqual(code, PASSED, errors)
        self.assertIn("MM_STANDALONE First", out)

    def test_cores_and_applications_are_no_drivers(self):
        hello = (IMAGES / "Hello.efi").read_bytes()
        core = self.write("MmSupervisorRing3Broker.efi", hello)
        code, _, errors = mmsim("send", "--image", core, "--image", IMAGES / "Hello.efi", "--to", HELLO, "--text", "Hello")
        self.assertEqual(code, PASSED, errors)
        self.assertIn("MmSupervisorRing3Broker: replaced by ours", errors)
        changed = bytearray(hello)
        struct.pack_into("<H", changed, struct.unpack_from("<I", hello, 60)[0] + 24 + 68, 10)
        application = self.write("App.efi", bytes(changed))
        self.assertIn("an EFI application", mmsim("send", "--image", application, "--to", HELLO)[2])
        self.assertIn("application (EFI application)", mmsim("scan", application)[1])


class Texts(TestCase):
    def test_paths_that_are_no_text(self):
        folder = os.fsencode(self.folder) + b"/gr\xfcn"
        os.mkdir(folder)
        for name, content in ((b"a.toml", b'schema = 1\nimages = [{ driver = "Hello" }]\n'), (b"b.toml", b"schema = \xfc\n"),
                              (b"x.efi", (IMAGES / "Hello.efi").read_bytes()), (b"p.xml", b"<P><SmmCategory name='IO'/></P>")):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        for arguments, codes in ((["run", "--json", folder], (BAD_INPUT,)), (["audit", "--json", folder + b"/a.toml"], (PASSED,)),
                                 (["images", "--json", folder + b"/x.efi"], (PASSED,)),
                                 (["scan", "--json", folder + b"/x.efi"], (PASSED,)),
                                 (["policy", "lint", "--json", folder + b"/p.xml"], (PASSED,))):
            with self.subTest(arguments=arguments):
                code, out, errors = mmsim(*arguments)
                self.assertIn(code, codes, errors)
                self.assertIn("gr\ufffdn", json.dumps(json.loads(out), ensure_ascii=False))
        junit = self.folder / "junit.xml"
        mmsim("run", folder, "--junit", junit)
        ElementTree.parse(junit)

    def test_a_hob_that_is_digits_and_a_file(self):
        self.write("abcd", b"\x01")
        arguments = ["send", "--image", IMAGES / "Hello.efi", "--to", HELLO, "--text", "Hello", "--hob"]
        guid = "{0x12345678, 0x1, 0x2, {0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0x9, 0xa}}"
        code, _, errors = mmsim(*arguments, guid + ":abcd", cwd=self.folder)
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("there is a file of this name", errors)
        for which in (":./abcd", ":0xabcd", ":abce"):
            self.assertEqual(mmsim(*arguments, guid + which, cwd=self.folder)[0], PASSED)

    def test_an_error_is_expected(self):
        step = 'schema = 1\nimages = [{{ driver = "Hello" }}]\n[[step]]\nkind = "communicate"\nto = "{}"\ntext = "x"\nexpect = {{ error = {} }}\n'
        for to, error, code in (("Hello", "false", 0), ("Hello", "true", 1), ("Second", "true", 0), ("Second", "false", 1)):
            with self.subTest(to=to, error=error):
                got, text = run(self.write("e.toml", step.format(to, error)))
                self.assertEqual(got, code, text)


class Encoder:
    """The field's tool, written once more: an XML source to a V1.0 blob. Any exception is a refusal."""

    TYPES = {"IO": (2, "<HHHH"), "MSR": (3, "<IHH")}

    @staticmethod
    def bits(words):
        out = 0
        for strong, weak, limited, plain in (("LimitedRead", "Read", 0x10, 1), ("LimitedWrite", "Write", 0x20, 2)):
            out |= limited if strong in words else plain if weak in words else 0
        return out | (4 if "Execute" in words else 0) | (8 if "StrictWidth" in words else 0)

    def entry(self, node, kind):
        start = int(node.find("StartAddress").attrib["Value"], 0)
        size = int(node.find("Size").attrib["Value"], 0)
        bits = self.bits(node.find("SecurityAttributes").attrib["Value"])
        if size == 0:
            raise ValueError
        return struct.pack("<HHHH", start, size, bits, 0) if kind == "IO" else struct.pack("<IHH", start, size, bits & ~8)

    def encode(self, source):
        top = ElementTree.fromstring(source)
        if any(node.tag.endswith("}SmmCategory") for node in top.iter()):
            raise ValueError("refused: the field's tool would not see it")
        roots = []
        for category in top.findall(".//SmmCategory"):
            kind = category.attrib["name"]
            number = self.TYPES[kind][0]
            if number in [r[0] for r in roots]:
                raise ValueError
            access = category.find("PolicyAccessAttribute")
            deny = access is None or "Allow" not in access.attrib["Value"]
            roots.append((number, deny, [self.entry(e, kind) for e in category.findall("PolicyEntry")]))
        if not roots:
            raise ValueError
        roots.append((1, True, []))
        at = 40 + 24 * len(roots)
        head, body = b"", b""
        for number, deny, entries in roots:
            head += struct.pack("<6I", 1, 24, number, at + len(body), len(entries), int(deny))
            body += b"".join(entries)
        return struct.pack("<IIQQQII", 0x10000, at + len(body), 0, 0, 0, 40, len(roots)) + head + body


class Policies(TestCase):
    def source(self, dice):
        """A seeded source of IO and MSR lists."""
        out = '<?xml version="1.0" encoding="UTF-8"?>\n<Policy>\n'
        for kind in dice.sample(["IO", "MSR"], dice.randint(1, 2)):
            out += f'  <SmmCategory name="{kind}">\n    <PolicyAccessAttribute Value="{dice.choice(["Allow", "Deny"])}"/>\n'
            for i in range(dice.randint(0, 5)):
                words = " | ".join(dice.sample(["Read", "Write", "LimitedRead", "Execute"], dice.randint(1, 3)))
                out += (f'    <!-- entry {i} -->\n    <PolicyEntry><StartAddress Value="{dice.choice([hex, str])(16 * i)}"/>'
                        f'<Size Value="{dice.randint(1, 15)}"/><SecurityAttributes Value="{words}"/></PolicyEntry>\n')
            out += "  </SmmCategory>\n"
        return out + "</Policy>\n"

    def mutated(self, dice, source):
        """The source with one thing changed, mostly so that it is no XML."""
        at = dice.randrange(len(source))
        kind = dice.randrange(6)
        if kind == 0:
            return source[:at] + source[at + 1:]
        if kind == 1:
            return source[:at] + dice.choice("<>&\"'/=-!?]x") + source[at:]
        if kind == 2:
            return source + dice.choice(["x", "<a/>", "<!-- good -->", " \n", "&amp;", "]]>", "<?p?>"])
        if kind == 3:
            return source.replace("<Policy>", dice.choice(['<Policy xmlns="urn:x">', '<Policy xmlns:x="urn:x">', "<x:Policy>",
                                                           '<Policy a="1" a="2">', '<Policy a="&lt;">', '<Policy a="&none;">']), 1)
        if kind == 4:
            return source.replace("<!-- entry 0 -->", dice.choice(["<!-- a -- b -->", "<![CDATA[<]]>", "<!---->", "&#60;", "&#0;",
                                                                   "<?xml version='1.0'?>"]), 1)
        return source.replace("?>", dice.choice([' x="1"?>', ' standalone="yes"?>', ' standalone="maybe"?>']), 1)

    def check(self, source, out):
        """Whether mmsim takes the source, and that it does as the encoder does."""
        content = source if isinstance(source, bytes) else source.encode()
        path = self.write("p.xml", content)
        code, text, errors = mmsim("policy", "compile", "--unchecked", path, "-o", out)
        try:
            want = Encoder().encode(content)
        except Exception:  # whatever the field's tool stumbles over
            want = None
        self.assertEqual(code, BAD_INPUT if want is None else PASSED, f"{source}\n{text}{errors}")
        if want is None:
            self.assertIn("p.xml", errors)
        else:
            self.assertEqual(out.read_bytes(), want, source)
        return want is not None

    def test_as_an_encoder_written_apart(self):
        taken = refused = 0
        for seed in range(240):
            dice = random.Random(seed)
            source = self.source(dice)
            good = self.check(source if seed % 2 == 0 else self.mutated(dice, source), self.folder / "out.bin")
            taken, refused = taken + good, refused + (not good)
        self.assertGreater(taken, 100)
        self.assertGreater(refused, 40)

    def test_encodings_and_entities(self):
        source = self.source(random.Random(1))
        for encoding in ("utf-16", "utf-8-sig", "utf-16-le", "utf-16-be"):
            mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
            name = "utf-16" if "16" in encoding else "UTF-8"
            self.assertTrue(self.check(mark + source.replace("UTF-8", name).encode(encoding), self.folder / "out.bin"))
        self.assertTrue(self.check(source.replace("<Policy>", '<!DOCTYPE Policy [<!ENTITY one "1">]>\n<Policy a="&one;">'),
                                   self.folder / "out.bin"))
        bomb = '<!DOCTYPE p [<!ENTITY a "aaaaaaaaaaaaaaaa">' + "".join(
            f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 16}">' for i in range(12)) + "]><p>&m;</p>"
        path = self.write("bomb.xml", bomb)
        self.assertEqual(mmsim("policy", "lint", path)[0], BAD_INPUT)

    def test_deep_sources(self):
        depth = 200_000
        self.assertEqual(mmsim("policy", "lint", self.write("deep.xml", "<a>" * depth + "</a>" * depth))[0], BAD_INPUT)

    def test_a_policy_of_a_whole_platform_on_both_machines(self):
        entry = '<PolicyEntry><StartAddress Value="{}"/><Size Value="1"/><SecurityAttributes Value="Read"/></PolicyEntry>'
        order = random.Random(1).sample(range(3000), 3000)
        lists = "".join(f'<SmmCategory name="{kind}"><PolicyAccessAttribute Value="Allow"/>' +
                        "".join(entry.format(hex(0x1000 + 4 * i)) for i in order) + "</SmmCategory>" for kind in ("IO", "MSR"))
        self.write("p.xml", f"<P>{lists}</P>")
        code, text = run(self.write("s.toml", 'schema = 1\nimages = [{ driver = "Hello" }]\n[policy]\nxml = "p.xml"\n'
                                    '[[step]]\nkind = "communicate"\nto = "Hello"\ntext = "Hello"\n'
                                    'expect = { status = "Success", text = "hELLO" }\n'), "--target=both")
        self.assertEqual(code, PASSED, text)
        many = "".join(entry.format(hex(4 * i)) for i in range(9000))
        path = self.write("large.xml", f'<P><SmmCategory name="MSR"><PolicyAccessAttribute Value="Allow"/>{many}</SmmCategory></P>')
        self.assertEqual(mmsim("policy", "lint", path)[0], 1)
        code, _, errors = mmsim("policy", "compile", path, "-o", self.folder / "large.bin")
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("the supervisor takes 65536", errors)

    def test_inside_images(self):
        blob = Encoder().encode(self.source(random.Random(3)))
        policy = ffs_file(POLICY_FILE, 2, section(0x19, blob))
        inner = volume(ffs_file(FIRST, 2, section(0x19, b"x")), policy)
        nested = volume(ffs_file(LAST, 0x0B, section(0x17, inner)))
        for content in (policy, inner, nested, bytes(4096) + nested, b"\xff" * 13 + volume() + inner):
            code, out, errors = mmsim("policy", "lint", "--json", self.write("image.fd", content))
            self.assertIn(code, (0, 1), errors)
            self.assertIn("level", json.loads(out))
            code, _, errors = mmsim("policy", "decompile", self.folder / "image.fd", "-o", self.folder / "p.xml")
            self.assertEqual(code, PASSED, errors)
            self.assertEqual(Encoder().encode((self.folder / "p.xml").read_bytes()), blob)
        code, _, errors = mmsim("policy", "lint", self.write("none.fv", volume(driver(FIRST, "First"))))
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("no policy file", errors)

    def test_difference_as_a_comment(self):
        self.write("a.xml", "<P><SmmCategory name='MSR'><PolicyAccessAttribute Value='Allow'/></SmmCategory></P>")
        self.write("b.xml", "<P><SmmCategory name='MSR'><PolicyAccessAttribute Value='Allow'/><PolicyEntry><StartAddress Value='0x10'/>"
                   "<Size Value='2'/><SecurityAttributes Value='Read'/></PolicyEntry></SmmCategory></P>")
        code, out, errors = mmsim("policy", "diff", self.folder / "a.xml", self.folder / "b.xml", "--markdown")
        self.assertEqual(code, 1, errors)
        self.assertIn("### Policy: 1 newly allowed, 0 newly refused", out)
        self.assertIn("| MSR | 0x10-0x11 | read |", out)
        code, out, _ = mmsim("policy", "diff", self.folder / "a.xml", self.folder / "a.xml", "--markdown")
        self.assertEqual((code, out), (PASSED, "### Policy: no difference\n"))


if __name__ == "__main__":
    unittest.main()
