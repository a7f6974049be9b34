# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the commands of a checkout say when they cannot build: read-only, somebody else's, a full disk, a waiting lock."""

import fcntl
import os
import shutil
import subprocess
import time
import unittest

from support import ROOT, TestCase

BUILD = ROOT / "tools/support/build.sh"
NOBODY = 65534


class Build(TestCase):
    def setUp(self):
        super().setUp()
        programs = self.folder / "programs"
        programs.mkdir()
        for name in ("cmake", "ninja"):
            (programs / name).write_text("#!/bin/sh\nexit 0\n")
            (programs / name).chmod(0o755)
        # Of its own: the checkout may lie where only its owner may go.
        self.script = shutil.copy(BUILD, self.folder)
        self.environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
        self.tree = self.folder / "tree"
        self.tree.mkdir()

    def command(self, tree=None):
        return ["bash", "-c", f'root={tree or self.tree}; . {self.script}; build_preset host-release mmsim']

    def build(self, **more):
        done = subprocess.run(self.command(), capture_output=True, text=True, timeout=60, check=False, env=self.environment, **more)
        return done.returncode, done.stderr

    def test_it_says_that_it_waits_and_for_what(self):
        self.assertEqual(self.build(), (0, ""))
        lock = self.tree / "build/host-release/.lock"
        with open(lock, "r+", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            held.truncate()
            held.write("4711\n")
            held.flush()
            child = subprocess.Popen(self.command(), stderr=subprocess.PIPE, text=True, env=self.environment)
            line = child.stderr.readline()
            self.assertIn(f"waiting for another build in {lock.parent}, of process 4711", line)
            time.sleep(0.2)
            self.assertIsNone(child.poll())
            fcntl.flock(held, fcntl.LOCK_UN)
        self.assertEqual(child.communicate(timeout=60)[1], "")
        self.assertEqual(child.returncode, 0)

    @unittest.skipIf(os.geteuid() != 0, "needs root")
    def test_a_checkout_of_somebody_else(self):
        os.chmod(self.folder, 0o755)
        code, said = self.build(user=NOBODY, group=NOBODY, extra_groups=[])
        self.assertEqual(code, 1)
        self.assertIn("it belongs to root. Clone it to a folder of your own: git clone", said)

    def on(self, options):
        """Builds in a tree on a tmpfs that is mounted with these options, every page of it used."""
        script = (f'mount -t tmpfs -o size=8k none "{self.tree}" && {{ cat /dev/zero >"{self.tree}/fill" 2>/dev/null; '
                  f'mount -o remount,{options} "{self.tree}" && exec "$@"; }}')
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", *self.command()], capture_output=True, text=True,
                              timeout=60, check=False, env=self.environment)
        if "unshare" in done.stderr or "mount:" in done.stderr:
            self.skipTest("no mount name space here: " + done.stderr)
        return done.returncode, done.stderr

    def test_a_read_only_checkout(self):
        code, said = self.on("ro")
        self.assertEqual(code, 1)
        self.assertIn("it is read-only. Clone it to a folder of your own", said)

    def test_a_full_disk(self):
        code, said = self.on("rw")
        self.assertEqual(code, 1)
        self.assertIn("the disk is full; df ", said)


if __name__ == "__main__":
    unittest.main()
