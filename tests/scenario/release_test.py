# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The release core on QEMU, a thread of the host for each CPU, entry code that another
loader placed, and machines that end otherwise than by their steps."""

import json
import os
import stat
import struct
import subprocess

import support
from support import BAD_INPUT, FAILED, IMAGES, MMSIM, PASSED, SMOKE, run

SKIPPED = 77
TRAILER_BYTES = 134  # of MmiEntry.bin


def results(*arguments, environment=None):
    """Exit code, and the result of each scenario."""
    done = subprocess.run([MMSIM, "run", *map(str, arguments), "--json"], capture_output=True, text=True, timeout=600, check=False,
                          env=environment)
    return done.returncode, json.loads(done.stdout)["results"]


class ForeignLoader(support.TestCase):
    """MmiEntry.bin behind a loader that knows less than ours: what it does not write, the first MMI does."""

    def rom_with(self, operand):
        """The images, with `operand` in the far jump of the entry code that the ROM copies."""
        entry = (IMAGES / "MmiEntry.bin").read_bytes()
        size, jump = struct.unpack_from("<HH", entry, len(entry) - TRAILER_BYTES + 22)
        self.assertEqual(size, len(operand))
        rom = (IMAGES / "mm-q35.rom").read_bytes()
        self.assertEqual(rom.count(entry), 1)
        for image in IMAGES.iterdir():
            (self.folder / image.name).symlink_to(image.resolve())
        (self.folder / "mm-q35.rom").unlink()
        self.write("mm-q35.rom", rom.replace(entry, entry[:jump] + operand + entry[jump + size:]))

    def serves_messages(self):
        os.environ["MM_IMAGES"] = str(self.folder)
        self.addCleanup(os.environ.update, {"MM_IMAGES": str(IMAGES)})
        code, text = run("--target=qemu", SMOKE / "hello.toml", SMOKE / "four_cpus.toml")
        self.assertEqual(code, PASSED, text)

    def test_that_leaves_the_jump_to_the_entry_code(self):
        self.rom_with(bytes(6))
        self.serves_messages()

    def test_whose_jump_leads_elsewhere(self):
        self.rom_with(struct.pack("<IH", 0x8123, 0x08))
        self.serves_messages()


class Release(support.TestCase):
    def scenario(self, text, name="s.toml"):
        return self.write(name, 'schema = 1\nimages = [{ driver = "Hello" }, { driver = "Attacker" }]\n' + text)

    def message(self, status):
        return self.scenario(f'[[step]]\nkind = "communicate"\nto = "Hello"\ntext = "abc"\nexpect = {{ status = "{status}", text = "ABC" }}\n'
                             '[expect]\nevents = [{ kind = "CopyOut" }]\n')

    def test_is_judged_by_replies_not_by_events(self):
        code, found = results("--release", self.message("Success"))
        self.assertEqual((code, found[0]["outcome"], found[0]["target"], found[0]["ended"]), (PASSED, "passed", "qemu", None), found)
        code, found = results("--release", self.message("NotFound"))
        self.assertEqual((code, found[0]["outcome"]), (FAILED, "failed"), found)

    def test_a_halt_is_seen(self):
        fault = '[[step]]\nkind = "communicate"\nto = "Attacker"\nfields = [{ u64 = 0 }, { u64 = 0 }, { u64 = 0 }]\n'
        code, found = results("--release", self.scenario(fault + 'expect = { halts = true }\n[expect]\nhalted = "UserFault"\n'))
        self.assertEqual((code, found[0]["ended"]), (PASSED, "Stopped"), found)
        code, found = results("--release", self.scenario(fault + 'expect = { halts = true }\n'))
        self.assertEqual((code, found[0]["ended"]), (FAILED, "Stopped"), found)

    def test_runs_on_qemu_alone(self):
        code, text = run("--release", "--target=both", self.message("Success"))
        self.assertEqual(code, BAD_INPUT, text)
        self.assertIn("--release runs on QEMU", text)

    def test_scenarios_that_are_not_for_it(self):
        code, found = results("--release", self.write("not.toml", "schema = 1\nrelease = false\n"))
        self.assertEqual((code, found[0]["messages"]), (SKIPPED, ["not for the release core"]), found)

    def test_send(self):
        done = subprocess.run([MMSIM, "send", "--release", "--image", IMAGES / "Hello.efi", "--to", "Hello", "--text", "abc", "--json"],
                              capture_output=True, text=True, timeout=600, check=False)
        told = json.loads(done.stdout)
        self.assertEqual((done.returncode, told["status"], told["data_hex"], told["drivers"]), (PASSED, "SUCCESS", "414243", []), done.stderr)


class Threads(support.TestCase):
    """A stand-in for QEMU that leaves the record of a machine whose CPU did not come."""

    def qemu(self, failures):
        """Ends `failures` times with a rendezvous time-out, then as QEMU does."""
        count = self.write("count", "0")
        real = subprocess.run(["sh", "-c", "command -v qemu-system-x86_64"], capture_output=True, text=True, check=True).stdout.strip()
        event = "a5014000" + "1600" + "0000" + "01000000" + "0500000000000000" + "00" * 48
        fake = self.write("qemu-system-x86_64", f"""#!/bin/sh
n=$(cat {count}); echo $((n + 1)) >{count}
if [ "$n" -ge {failures} ]; then exec {real} "$@"; fi
for a in "$@"; do case $a in file:*/console) f=${{a#file:}} ;; esac; done
printf '%s' {event} | python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))' >"$f"
exit 3
""")
        fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
        return dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}")

    def two_cpus(self):
        return self.write("two.toml", 'schema = 1\nimages = [{ driver = "Hello" }]\n[machine]\ncpus = 2\n[[step]]\nkind = "communicate"\n'
                          'to = "Hello"\ntext = "abc"\nexpect = { status = "Success" }\n')

    def test_a_time_out_is_repeated_counted_and_told(self):
        code, found = results("--qemu-threads=multi", self.two_cpus(), environment=self.qemu(1))
        self.assertEqual((code, found[0]["repeated"]), (PASSED, 1), found)
        self.assertIn("repeated (1 of at most 2): RendezvousTimeout under thread=multi may be the host's", found[0]["messages"])

    def test_one_that_stays_is_a_failure(self):
        code, found = results("--qemu-threads=multi", self.two_cpus(), environment=self.qemu(9))
        self.assertEqual((code, found[0]["repeated"], found[0]["ended"]), (FAILED, 2, "RendezvousTimeout"), found)

    def test_one_thread_owes_nothing(self):
        code, found = results("--target=qemu", self.two_cpus(), environment=self.qemu(1))
        self.assertEqual((code, found[0]["repeated"]), (FAILED, 0), found)


if __name__ == "__main__":
    support.unittest.main()
