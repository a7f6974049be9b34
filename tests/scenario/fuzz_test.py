# SPDX-License-Identifier: BSD-2-Clause-Patent
"""`mmsim fuzz` and `mmsim repro`: each target finds a planted defect, and nothing that it learns is lost. What
`mmsim fuzz driver` finds is a result that runs alone, and malformed input is a sentence."""

import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
import unittest
import xml.etree.ElementTree

from support import BAD_INPUT, ENVIRONMENT, FAILED, IMAGES, MMSIM, PASSED, ROOT, TestCase

# Target: a defect that it plants, and executions within which every seed tried so far has found it several times over.
DEFECT_OF = {
    "claim": ("AtMostOne", 20_000),
    "communicate": ("UnblockMmram", 120_000),
    "depex": ("NotIsIgnored", 1_000_000),
    "driver": ("AnyReply", 5_000),
    "files": ("NothingIsDamaged", 20_000),
    "hob": ("NothingUnblocked", 5_000),
    "image": ("SectionEnd", 5_000_000),
    "messages": ("AtMostOne", 5_000),
    "mmst": ("NoLargeBlock", 200_000),
    "policy": ("NothingDenied", 20_000),
    "request": ("LockedUnblock", 20_000),
    "scenario": ("OneCpu", 5_000),
}


def mmsim(*arguments, **environment):
    """Exit code and all that was printed."""
    done = subprocess.run([MMSIM, *map(str, arguments)], capture_output=True, text=True, timeout=900, check=False,
                          env=os.environ | environment)
    return done.returncode, done.stdout + done.stderr


class Fuzz(TestCase):
    def setUp(self):
        super().setUp()
        self.corpus = self.folder / "corpus"
        self.findings = self.folder / "findings"

    def fuzz(self, target, *arguments, **environment):
        if target == "driver":
            arguments = ("--image", IMAGES / "Hello.efi", "--no-qemu", *arguments)
        return mmsim("fuzz", target, "--corpus", self.corpus, "--findings", self.findings, *arguments, **environment)

    def found(self):
        return sorted(p for p in self.findings.glob("*-*") if p.is_file())

    def test_every_target_has_a_defect(self):
        targets = {p.stem for p in (ROOT / "fuzz").glob("*.cpp")}
        self.assertEqual(targets, set(DEFECT_OF))

    def test_the_planted_defect_is_found_and_replayed(self):
        for target, (defect, runs) in DEFECT_OF.items():
            with self.subTest(target=target):
                for old in self.found():
                    old.unlink()
                self.corpus = self.folder / f"corpus_{target}"
                code, text = self.fuzz(target, "--runs", runs, "--seed", 1, "--defect", defect)
                self.assertEqual(code, FAILED, text)
                self.assertIn("repeatability" if target == "driver" else "invariant broken", text)
                self.assertEqual(len(self.found()), 1, text)
                found = self.found()[0]
                self.assertIn(f"mmsim repro {found}", text)
                code, text = mmsim("repro", found, "--defect", defect)
                self.assertEqual(code, FAILED, text)
                code, text = mmsim("repro", found)
                self.assertEqual(code, PASSED, text)

    def test_nothing_is_found_without_a_defect(self):
        for target in DEFECT_OF:
            with self.subTest(target=target):
                self.corpus = self.folder / f"corpus_{target}"
                code, text = self.fuzz(target, "--runs", 2000, "--seed", 1)
                self.assertEqual(code, PASSED, text)
                self.assertEqual(self.found(), [])
                self.assertGreater(len(list(self.corpus.iterdir())), 0, "the corpus grows where it was asked to")
                self.assertRegex(text, rf"{target}.*: \d+ executions in \d+ s, coverage \d+, .* findings 0")

    def test_keep_going_finds_more_than_one(self):
        code, text = self.fuzz("communicate", "--time", 10, "--seed", 1, "--defect", "Rendezvous", "--keep-going")
        self.assertEqual(code, FAILED, text)
        self.assertGreater(text.count("invariant broken"), 1)
        self.assertGreaterEqual(len(self.found()), 1)

    def test_the_time_is_kept(self):
        code, text = self.fuzz("policy", "--time", 2)
        self.assertEqual(code, PASSED, text)
        self.assertRegex(text, r"executions in [2-9] s")

    def test_the_source_tree_stays_as_it_is(self):
        before = sorted((ROOT / "fuzz").rglob("*"))
        self.fuzz("image", "--runs", 5000)
        self.assertEqual(sorted((ROOT / "fuzz").rglob("*")), before)

    def interrupt(self, stderr):
        command = [MMSIM, "fuzz", "communicate", "--time", "120", "--corpus", self.corpus, "--findings", self.findings]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True,
                                 env=os.environ | {"TERM": "xterm"})
        self.addCleanup(child.stdout.close)
        return child

    def test_ctrl_c_ends_it_and_keeps_the_corpus(self):
        child = self.interrupt(subprocess.PIPE)
        self.addCleanup(child.stderr.close)
        while not self.corpus.is_dir() or not any(self.corpus.iterdir()):
            self.assertIsNone(child.poll())
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGINT)
        text, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, PASSED, text)
        self.assertRegex(text, r"interrupted; communicate: \d+ executions")
        self.assertGreater(len(list(self.corpus.iterdir())), 0)
        self.assertEqual(self.found(), [])

    def test_a_terminal_gets_one_screen(self):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        child = self.interrupt(theirs)
        os.close(theirs)
        screen = ""
        while screen.count("findings") < 3:
            screen += os.read(ours, 4096).decode()
        os.kill(child.pid, signal.SIGINT)
        text, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, PASSED, text)
        self.assertIn("\x1b[5A", screen, "drawn over what was drawn before")
        for row in (r"communicate +0:0[12]:\d\d left", r"executions +\d+ \(\d+ a second\)", r"coverage +\d+ edges",
                    r"corpus +\d+", r"findings +0"):
            self.assertRegex(screen, row)
        self.assertNotIn("#", screen, "no line of libFuzzer itself")

    def test_a_narrow_terminal_wraps_no_row(self):
        columns = 60
        self.corpus = self.folder / ("a long name " * 10)
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        child = self.interrupt(theirs)
        os.close(theirs)
        screen = ""
        while screen.count("findings") < 3:
            screen += os.read(ours, 4096).decode()
        os.kill(child.pid, signal.SIGINT)
        child.communicate(timeout=60)
        rows = [re.sub(r"\x1b\[\d*[AK]", "", row) for row in re.split(r"[\r\n]+", screen)]
        self.assertLess(max(map(len, rows)), columns, rows)
        self.assertRegex(screen, r"corpus +\S+ in .*\.\.\..*long name")

    def test_usage(self):
        self.assertEqual(mmsim("fuzz")[0], BAD_INPUT)
        self.assertEqual(mmsim("fuzz", "nothing")[0], BAD_INPUT)
        self.assertEqual(self.fuzz("policy", "--time", "soon")[0], BAD_INPUT)
        code, text = self.fuzz("policy", "--runs", 10, "--defect", "Nothing")
        self.assertEqual(code, BAD_INPUT, text)
        self.assertIn("no such defect: Nothing", text)
        self.corpus = self.write("file", "")
        code, text = self.fuzz("policy", "--runs", 10)
        self.assertEqual(code, BAD_INPUT, text)
        self.assertIn(str(self.corpus), text)

    def test_a_program_that_is_not_built(self):
        code, text = self.fuzz("policy", MM_IMAGES=str(self.folder / "a" / "b" / "images"))
        self.assertEqual(code, ENVIRONMENT, text)
        self.assertIn("not built", text)


class Repro(TestCase):
    SEEDS = ROOT / "fuzz" / "corpus"

    def test_kinds(self):
        seed = self.SEEDS / "policy" / "full"
        self.assertEqual(mmsim("repro", seed)[0], PASSED)
        copy = self.write("noname", seed.read_bytes())
        code, text = mmsim("repro", copy)
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("--kind", text)
        self.assertEqual(mmsim("repro", copy, "--kind", "policy")[0], PASSED)
        self.assertEqual(mmsim("repro", seed, "--target", "qemu")[0], BAD_INPUT)
        self.assertEqual(mmsim("repro", self.folder / "absent")[0], BAD_INPUT)

    def test_messages_are_shown(self):
        code, text = mmsim("repro", self.SEEDS / "communicate" / "hello_twice")
        self.assertEqual(code, PASSED, text)
        self.assertEqual(len(re.findall(r"RequestDecoded", text)), 3, "dispatch and two messages")
        self.assertIn("everything that must hold does", text)

    def test_both_machines(self):
        for name in ("hello_twice", "request_unblock"):
            with self.subTest(name=name):
                code, text = mmsim("repro", self.SEEDS / "communicate" / name, "--target", "both")
                self.assertEqual(code, PASSED, text)
                self.assertIn("the machines agree", text)


def run_mmsim(*arguments):
    """Exit code, standard output, standard error."""
    done = subprocess.run([MMSIM, *map(str, arguments)], capture_output=True, text=True, timeout=900, check=False)
    return done.returncode, done.stdout, done.stderr


class FuzzDriver(TestCase):
    def mmsim(self, *arguments):
        return run_mmsim(*arguments)

    def fuzz(self, *arguments, runs=20_000):
        return self.mmsim("fuzz", "driver", "--corpus", self.folder / "corpus", "--findings", self.folder / "findings",
                          "--seed", 1, "--runs", runs, *arguments)

    def image(self, name):
        return f"{IMAGES / name}.efi:{IMAGES / name}.depex"

    def test_a_finding_runs_alone(self):
        code, out, err = self.fuzz("--image", self.image("VictimWeak"), "--json")
        self.assertEqual(code, FAILED, out + err)
        found = json.loads(out)["findings"]
        self.assertEqual(len(found), 1)
        self.assertEqual(found[0]["sim"], "shows it")
        self.assertEqual(found[0]["qemu"], "shows it")
        code, out, err = self.mmsim("run", found[0]["scenario"], "--target=both")
        self.assertEqual(code, PASSED, out + err)
        code, out, err = self.mmsim("repro", found[0]["input"])
        self.assertEqual(code, FAILED, out + err)
        self.assertIn(found[0]["key"], out + err)

    def test_reports_for_programs(self):
        sarif, junit = self.folder / "found.sarif", self.folder / "found.xml"
        code, out, err = self.fuzz("--image", self.image("VictimWeak"), "--no-qemu", "--sarif", sarif, "--junit", junit)
        self.assertEqual(code, FAILED, out + err)
        log = json.loads(sarif.read_text(encoding="utf-8"))["runs"][0]
        result = log["results"][0]
        rule = log["tool"]["driver"]["rules"][result["ruleIndex"]]
        self.assertEqual(rule["id"], result["ruleId"])
        self.assertIn(result["ruleId"], out)
        self.assertIn("mmsim run ", result["properties"]["replay"])
        place = result["locations"][0]["physicalLocation"]
        self.assertIn(f"{place['artifactLocation']['uri']}:{place['region']['startLine']}", out)
        suite = xml.etree.ElementTree.parse(junit).getroot()
        self.assertEqual((suite.get("tests"), suite.get("failures")), ("1", "1"))
        failure = suite.find("testcase/failure")
        self.assertEqual(failure.get("type"), result["ruleId"])
        self.assertIn("mmsim run", failure.text)
        code, out, err = self.fuzz("--image", self.image("Hello"), "--sarif", sarif, "--junit", junit, runs=100)
        self.assertEqual(code, PASSED, out + err)
        self.assertEqual(json.loads(sarif.read_text(encoding="utf-8"))["runs"][0]["results"], [])
        suite = xml.etree.ElementTree.parse(junit).getroot()
        self.assertEqual((suite.get("tests"), suite.get("failures")), ("1", "0"))
        code, out, err = self.fuzz("--image", self.image("Hello"), "--sarif", self.folder / "no" / "folder", runs=100)
        self.assertEqual(code, BAD_INPUT, out + err)
        self.assertIn("no folder for this report", err)

    def test_coverage_of_the_corpus(self):
        """What the inputs reached, and not only the first ones; of one input it is less."""
        folders = self.folder / "all", self.folder / "one"
        code, out, err = self.fuzz("--image", self.image("WeakMagic"), "--no-qemu", "--jobs", 2, "--coverage", folders[0])
        self.assertEqual(code, FAILED, out + err)
        self.assertRegex(out, r"\d+ inputs: ")
        found = next(self.folder.glob("findings/driver-*"))
        code, out, err = self.mmsim("repro", found, "--coverage", folders[1])
        self.assertEqual(code, FAILED, out + err)
        counts = []
        for folder in folders:
            self.assertTrue((folder / "index.html").is_file())
            self.assertIn("DRCOV", (folder / "coverage.drcov").read_bytes()[:20].decode())
            info = (folder / "coverage.info").read_text(encoding="utf-8")
            magic = info[info.index("magic.cpp"):].split("end_of_record")[0]
            counts.append({line for line in re.findall(r"DA:(\d+),[1-9]", magic)})
        self.assertLessEqual(counts[1], counts[0])
        self.assertTrue(counts[1])
        for arguments in ((found, "--target=qemu"), (ROOT / "fuzz/corpus/policy/full",)):
            code, out, err = self.mmsim("repro", *arguments, "--coverage", folders[1])
            self.assertEqual(code, BAD_INPUT, out + err)
            self.assertIn("--coverage looks into the simulator", err)

    def test_text_is_short_and_says_how_to_replay(self):
        code, out, err = self.fuzz("--image", self.image("VictimWeak"), "--no-qemu")
        self.assertEqual(code, FAILED, out + err)
        lines = out.splitlines()
        self.assertLessEqual(len(lines) - 1, 10)
        self.assertRegex(lines[0], r"^finding 1: [a-z-]+ in VictimWeak\+0x")
        self.assertRegex(lines[0], r" at scenarios/drivers/victim\w*\.cpp:\d+")
        self.assertIn("mmsim run", out)
        self.assertIn("mmsim repro", out)
        self.assertNotIn("libFuzzer", out + err)

    def test_what_is_allowed_is_not_reported(self):
        allowed = [word for name in ("fault", "refused-call", "budget", "message-bounds")
                   for word in ("--allow", name)]
        code, out, err = self.fuzz("--image", self.image("VictimWeak"), *allowed, runs=2000)
        self.assertEqual(code, PASSED, out + err)

    def test_the_machine_of_a_scenario(self):
        scenario = self.write("machine.toml", """
schema = 1
images = [{ driver = "VictimWeak" }, { driver = "Hello" }]
[machine]
fault_policy = "contain"
[[step]]
kind = "communicate"
to = "Hello"
text = "a seed"
expect = { status = "NotFound" }
[expect]
events = [{ kind = "Halt" }]
""")
        code, out, err = self.fuzz("--scenario", scenario, "--to", "Victim", "--no-qemu", "--json")
        self.assertEqual(code, FAILED, out + err)
        finding = pathlib.Path(json.loads(out)["findings"][0]["scenario"])
        text = finding.read_text(encoding="utf-8")
        self.assertIn("a seed", text, "the steps of the scenario come first")
        self.assertNotIn("NotFound", text, "and what it expected is left out")
        code, out, err = self.mmsim("run", finding)
        self.assertEqual(code, PASSED, out + err)

    # Each is two drivers of scenarios/drivers/vulnerable; what the weak one must be found out by.
    MISTAKES = {
        "SizeUnderflow": "message-bounds",
        "MmramPointer": "fault",
        "PoolOverrun": "pool-overflow",
        "UseAfterFree": "use-after-free",
        "UnwrittenReply": "uninitialised-reply",
        "IntegerWrap": "message-bounds",
        "StateMachine": "use-after-free",
        "Magic": "fault",
        "OffByOne": "message-bounds",
        "EndlessLoop": "budget",
        "StalePointer": "invalid-free",
        "Callout": "fault",
    }

    def test_each_mistake_is_found_from_nothing(self):
        for mistake, oracle in self.MISTAKES.items():
            with self.subTest(mistake=mistake):
                shutil.rmtree(self.folder / "corpus", ignore_errors=True)
                code, out, err = self.fuzz("--image", self.image("Weak" + mistake), "--json", "--no-qemu", runs=200_000)
                self.assertEqual(code, FAILED, out + err)
                found = json.loads(out)["findings"]
                self.assertEqual([f["oracle"] for f in found], [oracle], out)
                self.assertEqual(found[0]["image"], "Weak" + mistake)
                self.assertEqual(found[0]["sim"], "shows it")
                code, out, err = self.mmsim("run", found[0]["scenario"])
                self.assertEqual(code, PASSED, out + err)

    def test_the_search_is_a_bench(self):
        code, out, err = self.mmsim("bench", "fuzz", "--search", "--json", "--seconds", 30)
        search = json.loads(out)["search"]
        self.assertEqual({one["mistake"]: one["oracle"] for one in search}, self.MISTAKES, out + err)
        self.assertEqual(code, PASSED, out)
        for one in search:
            self.assertEqual((one["sim"], one["sound_found"], one["error"]), (True, None, None), one)
            self.assertEqual(one["qemu"], "not run: it would not come back" if one["oracle"] == "budget" else "shows it")
            self.assertGreaterEqual(one["sound_executions"], min(one["executions"], 5000))
        code, _, err = self.mmsim("bench", "--search")
        self.assertEqual(code, BAD_INPUT)
        self.assertIn("mmsim bench fuzz --search", err)

    def test_nothing_is_found_where_nothing_is(self):
        code, out, err = self.fuzz("--image", self.image("Hello"), runs=5000)
        self.assertEqual(code, PASSED, out + err)
        self.assertRegex(out, r"driver Hello: \d+ executions .* findings 0")

    def test_devices_and_root_handlers_are_no_findings(self):
        code, out, err = self.fuzz("--image", self.image("PlatformClient"), "--platform", "--flash", "0x20000", "--to",
                                   "PlatformEvent", "--no-qemu", runs=2000)
        self.assertEqual(code, PASSED, out + err)
        self.assertRegex(out, r"driver PlatformClient: \d+ executions .* findings 0")

    def test_it_has_a_folder_of_its_own(self):
        arguments = ("fuzz", "driver", "--image", self.image("WeakOffByOne"), "--no-qemu", "--runs", 100, "--json")
        code, out, err = self.mmsim(*arguments)
        self.assertEqual(code, FAILED, out + err)
        finding = pathlib.Path(json.loads(out)["findings"][0]["scenario"])
        self.assertTrue(finding.is_file())
        self.assertRegex((finding.parent / "log.txt").read_text(encoding="utf-8"), r"Dictionary: [1-9]\d* entries")
        self.assertEqual(list(finding.parent.glob(".*")), [], "nothing is left of the session itself")
        self.addCleanup(shutil.rmtree, finding.parents[1])

    def test_one_input_does_one_thing(self):
        seed = self.write("driver-seed", bytes([0, 0, 5, 0]) + b"Hello")
        code, out, err = self.mmsim("repro", seed, "--times", os.environ.get("MM_TIMES", 20_000))
        self.assertEqual(code, PASSED, out + err)
        self.assertIn(" executions left the same events", out)
        code, out, err = self.mmsim("repro", seed, "--times", 5, "--defect", "AnyReply")
        self.assertEqual(code, FAILED, out + err)
        self.assertIn("not every execution leaves the same events", out)
        code, out, err = self.mmsim("repro", ROOT / "fuzz/corpus/policy/full", "--times", 5)
        self.assertEqual(code, BAD_INPUT, out + err)

    def session(self, *arguments):
        """A session that goes on until it is ended."""
        command = [MMSIM, "fuzz", "driver", "--corpus", self.folder / "corpus", "--findings", self.folder / "findings",
                   "--time", "120", *arguments]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.kill)
        return child

    def wait_for(self, what, child):
        until = time.monotonic() + 60
        while not what():
            self.assertIsNone(child.poll(), "it ended")
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def fuzzers(self, child):
        done = subprocess.run(["pgrep", "-P", str(child.pid), "fuzz_driver"], capture_output=True, text=True, check=False)
        return [int(pid) for pid in done.stdout.split()]

    def test_what_is_killed_leaves_all_that_it_learnt(self):
        """Also an input that broke something and was not told yet."""
        corpus, findings = self.folder / "corpus", self.folder / "findings"
        child = self.session("--image", self.image("Hello"))
        self.wait_for(lambda: corpus.is_dir() and len(list(corpus.iterdir())) > 3, child)
        fuzzers = self.fuzzers(child)
        self.assertEqual(len(fuzzers), 1)
        child.kill()
        child.wait(timeout=60)
        until = time.monotonic() + 60
        while any(pathlib.Path(f"/proc/{pid}").exists() for pid in fuzzers):
            self.assertLess(time.monotonic(), until, "a fuzzer outlives its command")
            time.sleep(0.02)
        kept = {path.name: path.read_bytes() for path in corpus.iterdir()}
        work = next(findings.glob(".work-*"))
        (work / "new" / "fault-Somewhere-10").write_bytes(b"\0\0\5\0left")
        code, out, err = self.fuzz("--image", self.image("Hello"), runs=200)
        self.assertEqual(code, PASSED, out + err)
        self.assertFalse(work.exists())
        now = {path.name: path.read_bytes() for path in corpus.iterdir()}
        self.assertLessEqual(kept.items(), now.items())
        self.assertIn(b"\0\0\5\0left", now.values())

    def test_two_sessions_share_a_corpus(self):
        """Each finds what there is, and takes nothing from the other."""
        weak = ("--image", self.image("WeakOffByOne"), "--no-qemu", "--json")
        children = [self.session(*weak) for _ in range(2)]
        scenarios = set()
        for child in children:
            out, _ = child.communicate(timeout=120)
            self.assertEqual(child.returncode, FAILED, out)
            found = json.loads(out)["findings"]
            self.assertEqual(found[0]["sim"], "shows it", out)
            scenarios.add(found[0]["scenario"])
        for scenario in scenarios:
            code, out, err = self.mmsim("run", scenario)
            self.assertEqual(code, PASSED, out + err)
        self.assertEqual(list((self.folder / "findings").glob(".*")), [])

    def test_a_finding_that_cannot_be_kept_is_told(self):
        code, out, err = self.fuzz("--image", self.image("WeakOffByOne"), "--no-qemu", "--json")
        self.assertEqual(code, FAILED, out + err)
        scenario = pathlib.Path(json.loads(out)["findings"][0]["scenario"])
        scenario.unlink()
        (scenario / "in the way").mkdir(parents=True)
        code, out, err = self.fuzz("--image", self.image("WeakOffByOne"), "--no-qemu")
        self.assertEqual(code, ENVIRONMENT, out + err)
        self.assertRegex(err, rf"found {scenario.stem}, and it is not kept: \S+: cannot be written")
        shutil.rmtree(scenario)
        code, out, err = self.fuzz("--image", self.image("WeakOffByOne"), "--no-qemu")
        self.assertEqual(code, FAILED, out + err)
        self.assertTrue(scenario.is_file())

    def test_a_full_disk_is_said_and_loses_nothing(self):
        """A file system of 3 MiB that something else has filled, and that is empty again."""
        disk = self.folder / "disk"
        disk.mkdir()
        script = f"""set -e
mount -t tmpfs -o size=3m none {disk}
"{MMSIM}" fuzz driver --image {self.image("WeakMagic")} --corpus {disk}/corpus --findings {disk}/findings --runs 50 --seed 1 \
  --no-qemu > /dev/null 2>&1
before=$(cd {disk}/corpus && sha256sum * | sort)
dd if=/dev/zero of={disk}/full bs=4k 2> /dev/null || true
"{MMSIM}" fuzz driver --image {self.image("WeakMagic")} --corpus {disk}/corpus --findings {disk}/findings --runs 200000 --seed 1 \
  --no-qemu && exit 50 || code=$?
rm {disk}/full
echo "code $code"
after=$(cd {disk}/corpus && sha256sum * | sort)
[ -z "$(comm -23 <(echo "$before") <(echo "$after"))" ] && echo "all there"
"{MMSIM}" fuzz driver --image {self.image("WeakMagic")} --corpus {disk}/corpus --findings {disk}/findings --runs 200000 --seed 1 \
  --no-qemu || echo "then $?"
"""
        done = subprocess.run(["unshare", "--mount", "--map-root-user", "bash", "-c", script], capture_output=True, text=True,
                              timeout=300, check=False)
        if "unshare" in done.stderr or "mount:" in done.stderr:
            self.skipTest("no file system can be mounted here: " + done.stderr.strip())
        self.assertRegex(done.stdout, r"code [23]\n", done.stderr)
        self.assertIn("all there", done.stdout)
        self.assertIn("No space left on device", done.stderr)
        self.assertIn("then 1", done.stdout)

    def test_bad_input_is_a_sentence(self):
        weak = ("--image", self.image("VictimWeak"))
        empty = self.folder / "empty"
        empty.mkdir()
        text = self.write("text.efi", "no image")
        cases = (
            ((), "--image, --fv or --scenario is missing"),
            ((*weak, "--allow", "fualt"), "no such oracle; there are fault,"),
            ((*weak, "--to", "Hello"), "no driver registered a handler for it; registered are"),
            ((*weak, "--to", "Helo"), "Hello"),
            ((*weak, "--seeds", empty), "no message in it"),
            ((*weak, "--seeds", self.folder / "absent"), "no such file or folder"),
            ((*weak, "--seeds", self.write("bad.jsonl", "{}\n")), "bad.jsonl:1"),
            ((*weak, "--scenario", self.write("s.toml", "schema = 1\n")), "--scenario brings its own images"),
            (("--image", text), "text.efi: refused"),
            (("--image", self.folder / "absent.efi"), "absent.efi"),
            (("--scenario", text), "text.efi:1"),
            (("--image", self.image("Waiting")), "no driver registered a handler"),
        )
        for arguments, sentence in cases:
            with self.subTest(arguments=arguments):
                code, out, err = self.fuzz(*arguments, runs=10)
                self.assertEqual(code, BAD_INPUT, out + err)
                self.assertIn(sentence, err)
                self.assertEqual(out, "")
        code, _, err = self.mmsim("fuzz", "driver", *weak, "--findings", text)
        self.assertEqual(code, BAD_INPUT, err)
        self.assertIn("text.efi: not a folder that can be written", err)


class Minimize(TestCase):
    def test_a_finding_of_fuzz_driver(self):
        """With two messages and forty bytes that nobody needs."""
        findings = self.folder / "findings"
        code, out, err = run_mmsim("fuzz", "driver", "--image", f"{IMAGES / 'VictimWeak'}.efi:{IMAGES / 'VictimWeak'}.depex",
                               "--corpus", self.folder / "corpus", "--findings", findings, "--seed", 1, "--runs", 20_000,
                               "--no-qemu", "--json")
        self.assertEqual(code, FAILED, out + err)
        found = json.loads(out)["findings"][0]
        with open(found["input"], "rb") as file:
            message = file.read()
        size = int.from_bytes(message[2:4], "little")
        longer = findings / "driver-longer"
        longer.write_bytes(bytes([0, 0, 2, 0, 0xFE, 0xFE]) + bytes([0, 0, 4, 0]) + b"abcd" + message)
        code, out, err = run_mmsim("minimize", longer)
        self.assertEqual(code, PASSED, out + err)
        self.assertIn(f"kept: {found['key']}", out)
        self.assertIn("QEMU shows it", out)
        self.assertRegex(out, rf"3 messages and {len(message) + 14} bytes became 1 and \d+")
        self.assertLessEqual(int(out.split(" became 1 and ")[1].split(",")[0]), size + 4)
        code, out, err = run_mmsim("run", findings / "driver-longer.min.toml", "--target=both")
        self.assertEqual(code, PASSED, out + err)

        longer = with_a_step_more(found["scenario"])
        code, out, err = run_mmsim("minimize", longer)
        self.assertEqual(code, PASSED, out + err)
        self.assertIn(f"kept: {found['key']}, and the scenario passes", out)
        self.assertIn("QEMU shows it", out)

    def test_an_input_of_another_fuzzer(self):
        seed = self.folder / "policy-seed"
        shutil.copy(ROOT / "fuzz" / "corpus" / "policy" / "full", seed)
        code, out, err = run_mmsim("minimize", seed)
        self.assertEqual(code, BAD_INPUT, out + err)
        self.assertIn("everything that must hold does", err)


def with_a_step_more(path):
    """The scenario of a finding, with a step in front that nobody needs."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    at = text.index("[[step]]")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text[:at] + '[[step]]\nkind = "read"\naddress = "scratch"\nbytes = 16\n\n' + text[at:])
    return path


if __name__ == "__main__":
    unittest.main()
