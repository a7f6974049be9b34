# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Output that cannot be written is never exit code 0, and says which and why. What `mmsim bench` writes, it reads again."""

import json
import os
import shutil
import subprocess
import unittest

from support import BAD_INPUT, ENVIRONMENT, IMAGES, MMSIM, PASSED, ROOT, SMOKE, TestCase

FULL = "/dev/full"
HELLO = SMOKE / "hello.toml"
IMAGE = IMAGES / "PortAfter.efi"
POLICY = ROOT / "scenarios/policies/allow_list.xml"


def mmsim(*arguments, stdout=subprocess.PIPE):
    """Exit code and standard error of `mmsim ARGUMENTS`."""
    done = subprocess.run([MMSIM, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=600, check=False)
    return done.returncode, done.stderr


class Files(TestCase):
    def commands(self):
        yield "run", HELLO, "--junit"
        yield "run", HELLO, "--transcript"
        yield "audit", HELLO, "--html"
        yield "scan", IMAGE, "--sarif"
        yield "policy", "lint", POLICY, "--sarif"
        yield "policy", "compile", POLICY, "-o"
        yield "policy", "learn", ROOT / "scenarios/policies/serial_log.toml", "-o"

    def test_full_disk(self):
        for command in self.commands():
            with self.subTest(command=command):
                code, errors = mmsim(*command, FULL)
                self.assertEqual(code, ENVIRONMENT, errors)
                self.assertIn(f"{FULL}: cannot be written: No space left on device", errors)

    def test_no_folder(self):
        for command in self.commands():
            with self.subTest(command=command):
                path = self.folder / "none" / "file"
                code, errors = mmsim(*command, path)
                self.assertEqual(code, BAD_INPUT, errors)
                self.assertIn(f"{path}: cannot be written: No such file or directory", errors)


class Disk(TestCase):
    """A file system with no space, in a name space of its own."""

    def on_full_disk(self, *arguments):
        """`mmsim ARGUMENTS` with TMPDIR and FULL on a tmpfs of which every page is used."""
        full = self.folder / "full"
        full.mkdir()
        script = ('mount -t tmpfs -o size=64k none "$0" && { cat /dev/zero >"$0/fill" 2>/dev/null; cd "$0"; TMPDIR="$0" exec "$@"; }')
        command = ["unshare", "--mount", "sh", "-c", script, full, MMSIM, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if "unshare" in done.stderr or "mount:" in done.stderr:
            self.skipTest("no mount name space here: " + done.stderr)
        return done.returncode, done.stdout + done.stderr

    def test_results(self):
        for command in (["run", HELLO, "--junit", "r.xml"], ["run", HELLO, "--coverage", "cov"], ["audit", HELLO, "--html", "m.html"],
                        ["policy", "default", "-o", "p.xml"], ["scan", IMAGE, "--sarif", "s.sarif"]):
            with self.subTest(command=command):
                code, text = self.on_full_disk(*command)
                self.assertEqual(code, ENVIRONMENT, text)
                self.assertIn("No space left on device", text)
                (self.folder / "full").rmdir()

    def test_the_folder_of_the_emulator(self):
        code, text = self.on_full_disk("run", HELLO, "--target=qemu")
        self.assertEqual(code, ENVIRONMENT, text)
        self.assertIn("No space left on device", text)


class Missing(TestCase):
    def test_doctor_does_not_blame_the_emulator_for_the_rom(self):
        images = self.folder / "images"
        images.mkdir()
        for file in IMAGES.iterdir():
            if file.name != "mm-q35.rom" and file.is_file():
                (images / file.name).symlink_to(file)
        done = subprocess.run([MMSIM, "doctor"], capture_output=True, text=True, timeout=60, check=False,
                              env=os.environ | {"MM_IMAGES": str(images)})
        self.assertEqual(done.returncode, ENVIRONMENT, done.stdout)
        rows = {line.split()[1]: line for line in done.stdout.splitlines() if line.startswith(("ok", "MISSING"))}
        self.assertIn("MM_IMAGES names this folder", rows["mm-q35.rom"])
        if shutil.which("qemu-system-x86_64"):
            self.assertTrue(rows["QEMU"].startswith("ok"), rows["QEMU"])

    def test_doctor_without_an_emulator(self):
        done = subprocess.run([MMSIM, "doctor"], capture_output=True, text=True, timeout=60, check=False,
                              env=os.environ | {"PATH": "", "MM_IMAGES": str(IMAGES)})
        self.assertRegex(done.stdout, r"MISSING QEMU .*Debian's qemu-system-x86")


class Names(TestCase):
    """Proposed commands are called as the program was."""

    def test_the_program_is_called_as_it_was_typed(self):
        def said(name, *arguments):
            return subprocess.run([MMSIM, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False,
                                  env=os.environ | {"MM_PROGRAM": name, "MM_IMAGES": str(IMAGES)}).stdout

        self.assertIn("\n  tools/mmsim run scenarios/smoke ", said("tools/mmsim", "--help"))
        self.assertIn("`tools/mmsim COMMAND --help`", said("tools/mmsim", "--help"))
        self.assertIn("Example: ../mmsim scan ", said("../mmsim", "scan", "--help"))
        self.assertIn("\n  mmsim run scenarios/smoke ", said("", "--help"))
        self.assertNotIn("tools/mmsim", said("tools/mmsim", "completion", "man"))


class Bench(TestCase):
    """Of guest instructions, which are the same each time."""

    def bench(self, *arguments):
        done = subprocess.run([MMSIM, "bench", *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_compares_with_an_older_run(self):
        code, out, errors = self.bench("qemu", "--json")
        self.assertEqual(code, PASSED, errors)
        first = json.loads(out)
        rows = {row["id"]: row["value"] for row in first["rows"]}
        self.assertGreater(rows["qemu_hello_mmi_instructions"], rows["qemu_empty_mmi_instructions"])
        self.assertGreater(rows["qemu_unblock_16mib_instructions"], rows["qemu_unblock_1_instructions"])
        for fact in "processor", "processors", "load", "compiler", "qemu", "engine":
            self.assertIn(fact, first["machine"])
        first["rows"] = [row | {"value": 2 * row["value"]} for row in first["rows"][1:]]
        code, out, errors = self.bench("qemu", "--compare", self.write("old.json", json.dumps(first)))
        self.assertEqual(code, PASSED, errors)
        self.assertEqual(out.count("x2.00"), len(rows) - 1, out)

    def test_refuses_what_it_did_not_write(self):
        for text in "", "[]", "{}", '{"rows": 1}', '{"rows": [1]}', '{"rows": [{"id": "a"}]}', '{"rows": [{"id": 1, "value": 2}]}':
            code, _, errors = self.bench("qemu", "--compare", self.write("old.json", text))
            self.assertEqual(code, BAD_INPUT, text)
            self.assertIn("old.json: ", errors)
        code, _, errors = self.bench("qemu", "--compare", self.folder / "none.json")
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("none.json", errors)
        self.assertEqual(self.bench("speed")[0], BAD_INPUT)


class StandardOutput(TestCase):
    def test_full_disk(self):
        lines = self.write("m.jsonl", '{"to": "Hello", "data_hex": "48"}\n')
        driver = ["--image", IMAGES / "Hello.efi"]
        for command in (["--help"], ["run", HELLO], ["run", HELLO, "--json"], ["audit", HELLO], ["images", IMAGE],
                        ["images", IMAGE, "--json"], ["scan", IMAGE], ["policy", "lint", POLICY], ["doctor", "-v"],
                        ["send", *driver, "--to", "Hello", "--text", "x"], ["send", *driver, "--messages", lines]):
            with self.subTest(command=command), open(FULL, "w", encoding="utf-8") as full:
                code, errors = mmsim(*command, stdout=full)
                self.assertEqual(code, ENVIRONMENT, errors)
                self.assertRegex(errors, "standard output cannot be written|cannot write to file: No space left")


if __name__ == "__main__":
    unittest.main()
