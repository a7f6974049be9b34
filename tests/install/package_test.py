# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What `cmake --install` leaves: a program that runs from any folder with its own libraries, an SDK, completions."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from support import ENVIRONMENT, FAILED, MMSIM, PASSED, TestCase

BUILD = MMSIM.resolve().parents[2]


class Installed(TestCase):
    """One installation serves all tests of the class."""

    prefix: pathlib.Path

    @classmethod
    def setUpClass(cls):
        cls.prefix = BUILD / "tests" / "installed"
        shutil.rmtree(cls.prefix, ignore_errors=True)
        done = subprocess.run(["cmake", "--install", BUILD, "--prefix", cls.prefix], capture_output=True, text=True,
                              timeout=600, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.prefix)

    def installed(self, *arguments, **more):
        """The installed program, from a folder that knows nothing of the build."""
        environment = {k: v for k, v in os.environ.items() if k not in ("MM_IMAGES", "MMSIM")}
        return subprocess.run([self.prefix / "bin/mmsim", *map(str, arguments)], capture_output=True, text=True,
                              timeout=600, check=False, cwd=self.folder, env=environment, **more)

    def test_it_runs_its_own_scenarios_with_its_own_images_and_libraries(self):
        done = self.installed("run", self.prefix / "share/mm-supervisor/scenarios/smoke", "-k", "hello")
        self.assertEqual(done.returncode, PASSED, done.stdout + done.stderr)
        needed = subprocess.run(["ldd", self.prefix / "bin/mmsim"], capture_output=True, text=True, check=True).stdout
        outside = [line for line in needed.splitlines() if "=> /" in line and str(self.prefix) not in line]
        # The C library is the system's: all of it, for a sanitized build asks for libresolv and others as well.
        glibc = re.compile(r"lib(c|m|dl|rt|pthread|resolv|util)\.so")
        self.assertEqual([line.strip() for line in outside if not glibc.match(line.split()[0])], [])

    def test_the_bill_of_materials_is_of_what_is_there(self):
        bill = json.loads((self.prefix / "share/doc/mm-supervisor/sbom.spdx.json").read_text(encoding="utf-8"))
        self.assertEqual(bill["spdxVersion"], "SPDX-2.3")
        told = {f["fileName"]: f["checksums"][1]["checksumValue"] for f in bill["files"]}
        there = {"./" + str(p.relative_to(self.prefix)): hashlib.sha256(p.read_bytes()).hexdigest()
                 for p in self.prefix.rglob("*") if p.is_file() and not p.is_symlink() and p.name != "sbom.spdx.json"}
        self.assertEqual(told, there)
        packages = {p["SPDXID"]: p for p in bill["packages"]}
        linked = [packages[r["relatedSpdxElement"]]["name"] for r in bill["relationships"] if r["relationshipType"] == "DYNAMIC_LINK"]
        self.assertTrue(any(name.startswith("libunicorn") for name in linked), linked)
        of_library = {r["spdxElementId"] for r in bill["relationships"] if r["relationshipType"] == "GENERATED_FROM"}
        libraries = {f["SPDXID"] for f in bill["files"] if re.fullmatch(r"\./lib/mm-supervisor/[^/]*\.so[^/]*", f["fileName"])}
        self.assertEqual(of_library, libraries, "each library has its package")
        read = [packages[r["spdxElementId"]]["name"] for r in bill["relationships"] if r["relationshipType"] == "BUILD_DEPENDENCY_OF"]
        for name in ("libcli11-dev", "nlohmann-json3-dev"):
            self.assertIn(name, read)
        ids = [*packages, *(f["SPDXID"] for f in bill["files"])]
        self.assertEqual(len(ids), len(set(ids)))

    def test_its_versions(self):
        text = self.installed("--version").stdout
        for pattern in (r"^mmsim \d+\.\d+\.\d+ \(commit \w+\)\n", r"\nlibunicorn 2\.\d", r"\nMmSupervisorCore \d+\.\d+, patch",
                        r"\nMmUserCore \d"):
            self.assertRegex(text, pattern)
        gone = subprocess.run([MMSIM, "--version"], capture_output=True, text=True, check=True,
                              env=os.environ | {"MM_IMAGES": str(self.folder)}).stdout
        self.assertIn(f"MmUserCore missing in {self.folder}", gone)

    def test_it_fuzzes_a_driver(self):
        images = self.prefix / "lib/mm-supervisor/images"
        done = self.installed("fuzz", "driver", "--image", f"{images}/WeakPoolOverrun.efi:{images}/WeakPoolOverrun.depex",
                              "--runs", 20000, "--seed", 1, "--no-qemu")
        if (self.prefix / "lib/mm-supervisor/fuzz/fuzz_driver").exists():
            self.assertEqual(done.returncode, FAILED, done.stdout + done.stderr)
            self.assertIn("pool-overflow in WeakPoolOverrun", done.stdout)
            self.assertTrue((self.folder / "mm-fuzz").is_dir())
        else:  # not built with Clang
            self.assertEqual(done.returncode, ENVIRONMENT, done.stdout + done.stderr)
            self.assertIn("a package built with Clang brings `mmsim fuzz driver`", done.stderr)
        other = self.installed("fuzz", "image", "--runs", 1)
        self.assertEqual(other.returncode, ENVIRONMENT)
        self.assertIn("other targets are run from the source tree", other.stderr)

    def test_a_driver_is_built_against_it(self):
        shutil.copytree(self.prefix / "share/mm-supervisor/scenarios/drivers/sdk/template", self.folder / "mine")
        for command in (["cmake", "-S", "mine", "-B", "out", "-G", "Ninja", f"-DMM_SUPERVISOR={self.prefix}/share/mm-supervisor"],
                        ["cmake", "--build", "out"]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=self.folder)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = self.installed("run", self.folder / "out/my_driver.toml")
        self.assertEqual(done.returncode, PASSED, done.stdout + done.stderr)

    def complete(self, line: str) -> list[str]:
        """What bash offers behind `line`, whose last word is begun."""
        script = (f"source {self.prefix}/share/bash-completion/completions/mmsim\n"
                  f"COMP_WORDS=({line!s}{' ' if line.endswith(' ') else ''}{chr(34) * 2 if line.endswith(' ') else ''})\n"
                  "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_mmsim 2>/dev/null\nprintf '%s\\n' \"${COMPREPLY[@]}\"")
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()

    def test_bash_completes_commands_options_and_their_words(self):
        self.assertIn("images", self.complete("mmsim i"))
        self.assertEqual(self.complete("mmsim run --fail"), ["--fail-fast"])
        self.assertEqual(self.complete("mmsim run --target q"), ["qemu"])
        self.assertIn("compile", self.complete("mmsim policy c"))
        self.assertNotIn("--defect", self.complete("mmsim fuzz --"), "hidden options stay hidden")

    def test_completions_and_manual_page_are_sound(self):
        page = self.prefix / "share/man/man1/mmsim.1.gz"
        if shutil.which("man"):
            warned = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True, check=True,
                                    env=os.environ | {"LC_ALL": "C.UTF-8", "MANPAGER": "cat"})
            self.assertEqual(warned.stderr, "")
            self.assertIn("mmsim policy compile", warned.stdout)
        for shell, file in (("zsh", "zsh/vendor-completions/_mmsim"), ("fish", "fish/vendor_completions.d/mmsim.fish")):
            text = (self.prefix / "share" / file).read_text()
            self.assertIn("fail-fast", text)
            if shutil.which(shell):
                subprocess.run([shell, "-n", self.prefix / "share" / file], check=True)

    def test_licences_and_the_offer_of_source(self):
        documents = self.prefix / "share/doc/mm-supervisor"
        self.assertIn("unicorn", (documents / "SOURCES").read_text())
        brought = {p.name for p in (documents / "licences").iterdir()}
        self.assertTrue(any(name.startswith("libunicorn") for name in brought), brought)
        self.assertTrue((documents / "LICENSE").is_file())


if __name__ == "__main__":
    unittest.main()
