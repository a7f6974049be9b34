# SPDX-License-Identifier: BSD-2-Clause-Patent
"""`mmsim confirm`: what is claimed of the weak drivers is a fact on both machines, of the sound ones it is not, and what the
machines cannot tell is said. Malformed claims are a sentence."""

import json
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support import BAD_INPUT, FAILED, IMAGES, MMSIM, PASSED, TestCase

CONFIRMED, REFUTED, NOT_EXPRESSIBLE = PASSED, FAILED, 77
VICTIM = "Victim"


def u64(*values):
    return b"".join(value.to_bytes(8, "little") for value in values).hex()


class Confirm(TestCase):
    def claim(self, does, *messages, image="VictimWeak", **more):
        """A claim about messages to a victim."""
        document = {"schema": 1, "name": "a claim", "images": [f"{IMAGES / image}.efi:{IMAGES / image}.depex"],
                    "messages": [{"to": VICTIM, "data_hex": m} if isinstance(m, str) else m for m in messages], "does": does}
        return self.write("claim.json", json.dumps(document | more))

    def confirm(self, path, code, *arguments):
        done = subprocess.run([MMSIM, "confirm", path, "--json", *arguments], capture_output=True, text=True, timeout=300,
                              check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout) if code != BAD_INPUT else done.stderr

    def reproduce(self, answer):
        done = subprocess.run([MMSIM, "run", answer["reproducer"], "--target=both"], capture_output=True, text=True, timeout=300,
                              check=False)
        self.assertEqual(done.returncode, PASSED, done.stdout + done.stderr)

    def test_a_write_through_a_pointer(self):
        """Class 2 of the victims: the message has the address. Of 16 bytes into the supervisor's code."""
        address = 0xF01F010
        write = u64(2, address, 7)
        for does in ({"what": "write", "address": hex(address), "bytes": 8}, {"what": "write", "area": "mmram"}, {"what": "fault"},
                     {"what": "write", "address": 0xF01F000, "bytes": 4096, "image": "VictimWeak"}, {"what": "fault", "vector": 14},
                     {"what": "oracle", "name": "fault"}):
            with self.subTest(does=does):
                answer = self.confirm(self.claim(does, u64(22, 1), write), CONFIRMED)
                self.assertEqual((answer["verdict"], answer["message"]), ("CONFIRMED", 2))
                self.assertEqual((answer["sim"], answer["qemu"]), ("CONFIRMED", "CONFIRMED"))
                self.assertIn("VictimWeak+0x", answer["place"])
                self.reproduce(answer)
        for does in ({"what": "write", "address": hex(address + 1), "bytes": 8}, {"what": "read", "address": hex(address)},
                     {"what": "write", "area": "outside"}, {"what": "fault", "vector": 6}, {"what": "hang"}, {"what": "escape"},
                     {"what": "call-out"}, {"what": "fault", "image": "VictimWeak", "offset": 1}):
            with self.subTest(does=does):
                answer = self.confirm(self.claim(does, write), REFUTED)
                self.assertEqual(answer["verdict"], "REFUTED")
                self.assertRegex(answer["reason"], r"message 1 does something else: fault in VictimWeak\+0x")
        answer = self.confirm(self.claim({"what": "write"}, u64(22, 1), write, message=1), REFUTED)
        self.assertEqual((answer["qemu"], answer["message"]), ("REFUTED", None))

    def test_the_sound_one_does_not(self):
        answer = self.confirm(self.claim({"what": "write", "area": "mmram"}, u64(2, 0xF01F010, 7), image="VictimSound"), REFUTED)
        self.assertRegex(answer["reason"], "every message is answered, the last with [A-Z_]+")
        self.reproduce(answer)

    def test_a_call_out(self):
        answer = self.confirm(self.claim({"what": "call-out"}, u64(3, 0x5000, 0)), CONFIRMED)
        self.reproduce(answer)

    def test_bytes_in_a_reply(self):
        said = {"to": "Hello", "text": "abc"}
        answer = self.confirm(self.claim({"what": "leak", "data_hex": "4142"}, said, image="Hello"), CONFIRMED)
        self.assertEqual(answer["qemu"], "CONFIRMED")
        self.reproduce(answer)
        self.confirm(self.claim({"what": "leak", "data_hex": "4344"}, said, image="Hello"), REFUTED)

    def handler(self, image):
        """Of a driver that registers one."""
        listed = subprocess.run([MMSIM, "images", "--handlers", "--json", f"{IMAGES / image}.efi"], capture_output=True, text=True,
                                check=False).stdout
        return re.search(r"5B4F8C8E-2B6A-4B0B-9B7B-0A7C1A4E66[0-9A-F]{2}", listed)[0]

    def test_memory_that_nobody_wrote(self):
        for image, code in (("WeakUnwrittenReply", CONFIRMED), ("SoundUnwrittenReply", REFUTED)):
            message = {"to": self.handler(image), "data_hex": "09" + "00" * 40}
            answer = self.confirm(self.claim({"what": "leak"}, message, image=image), code)
            self.assertEqual(answer["sim"], answer["qemu"])

    def test_a_handler_that_does_not_come_back(self):
        """Items of no length."""
        for image, code in (("WeakEndlessLoop", CONFIRMED), ("SoundEndlessLoop", REFUTED)):
            answer = self.confirm(self.claim({"what": "hang"}, {"to": self.handler(image), "data_hex": "00" * 16}, image=image), code)
            self.assertEqual(answer["qemu"], "not run: it would not come back")

    def test_what_the_machines_cannot_tell(self):
        cases = (
            ({"what": "hang"}, {"to": "Hello"}, "VictimWeak", "no driver registered a handler for Hello"),
            ({"what": "fault", "image": "Nobody"}, u64(1), "VictimWeak", "no image of the machine is called Nobody"),
            ({"what": "fault"}, u64(1), "Waiting", "Waiting: waiting for"),
        )
        for does, message, image, reason in cases:
            answer = self.confirm(self.claim(does, message, image=image), NOT_EXPRESSIBLE)
            self.assertEqual(answer["verdict"], "NOT EXPRESSIBLE")
            self.assertIn(reason, answer["reason"])
        audited = subprocess.run([MMSIM, "audit", "--json", self.write("s.toml", 'schema = 1\nimages = [{ driver = "VictimWeak" }]\n')],
                                 capture_output=True, text=True, check=False)
        regions = json.loads(audited.stdout)["results"][0]["regions"]
        data = next(r for r in regions if r["owner"] == "VictimWeak" and r["writable"])
        answer = self.confirm(self.claim({"what": "write", "address": data["base"]}, u64(2, data["base"], 7), heap_guard=False),
                              NOT_EXPRESSIBLE)
        self.assertRegex(answer["reason"], r"is VictimWeak \(RW user\), where ring 3 may do this")

    def test_the_machine_of_a_scenario(self):
        self.write("machine.toml", 'schema = 1\nimages = [{ driver = "VictimWeak" }]\n')
        path = self.write("claim.json", json.dumps({"schema": 1, "scenario": "machine.toml", "does": {"what": "write"},
                                                    "messages": [{"to": VICTIM, "data_hex": u64(2, 0xF01F010, 7)}]}))
        answer = self.confirm(path, CONFIRMED, "--no-qemu", "--out", self.folder / "elsewhere")
        self.assertEqual(answer["qemu"], "not asked for")
        self.assertTrue((self.folder / "elsewhere" / "claim.toml").is_file())

    def test_text_for_people(self):
        path = self.claim({"what": "write"}, u64(2, 0xF01F010, 7))
        done = subprocess.run([MMSIM, "confirm", path], capture_output=True, text=True, timeout=300, check=False)
        self.assertRegex(done.stdout, r"^CONFIRMED: a claim\n  #PF, write to 0xf01f010, .*\n  in VictimWeak\+0x.*\n"
                                      r"  in message 1 of 1\n  simulator: CONFIRMED; QEMU: CONFIRMED\n  mmsim run ")

    def test_malformed_claims(self):
        whole = json.loads(self.claim({"what": "hang"}, u64(1)).read_text(encoding="utf-8"))
        cases = (
            ("", "not JSON"), ("[]", "the claim is not an object"), ("{}", '"schema": 1'), ("[" * 100_000, "not JSON"),
            (whole | {"schema": 2}, '"schema": 1'), (whole | {"mesages": []}, 'did you mean "messages"?'),
            (whole | {"messages": []}, "1 to 4096 messages"), (whole | {"messages": [{}]}, 'messages[0]: it has "to"'),
            (whole | {"messages": [{"to": "Helo"}]}, "messages[0]: "), (whole | {"messages": [3]}, "messages[0]"),
            (whole | {"messages": [{"to": "Hello", "data_hex": "4"}]}, "messages[0]: "), (whole | {"message": 2}, "there are messages 1 to 1"),
            (whole | {"messages": [{"to": "Hello", "data_hex": "00" * 70_000}]}, "the buffer takes"),
            (whole | {"scenario": "s.toml"}, "the machine is either"), (whole | {"images": []}, "the machine is either"),
            (whole | {"images": ["absent.efi"]}, "absent.efi"), (whole | {"images": [3]}, '"images" has something'),
            (whole | {"heap_guard": 1}, "neither true nor false"), (whole | {"does": {"what": "hange"}}, '"what" is one of fault'),
            (whole | {"does": {"what": "hang", "address": 1}}, 'unknown key "address"'),
            (whole | {"does": {"what": "write", "address": -1}}, '"address" is neither'),
            (whole | {"does": {"what": "write", "address": "0x1", "bytes": 0}}, '"bytes" are some'),
            (whole | {"does": {"what": "write", "address": "0xffffffffffffffff", "bytes": 2}}, '"bytes" are some'),
            (whole | {"does": {"what": "fault", "offset": 1}}, 'an "offset" is one in'), (whole | {"does": {"what": "leak", "data_hex": ""}}, "no bytes"),
            (whole | {"does": {"what": "oracle", "name": "repeatability"}}, "no oracle"), (whole | {"policy": "absent.xml"}, "absent.xml"),
        )
        for document, sentence in cases:
            with self.subTest(document=str(document)[:100]):
                path = self.write("bad.json", document if isinstance(document, str) else json.dumps(document))
                said = self.confirm(path, BAD_INPUT)
                self.assertIn(sentence, said)
                self.assertEqual(said.count("\n"), 1, said)


if __name__ == "__main__":
    unittest.main()
