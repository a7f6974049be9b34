# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Running tests on mutants: which tests reach one, in which order they are run, what counts as noticed."""
import dataclasses
import os
import shutil
import tempfile
import time
from pathlib import Path

from mutation.sites import Site
from mutation.tree import InstrumentedTree, Tree, patch_images, run

REACH_BYTES = 1 << 17
FOLDERS = ('smoke', 'attacks', 'conformance', 'drivers-attacker', 'drivers-mmst', 'drivers-dispatch', 'drivers-events')
IN_IMAGES = ('core/supervisor/', 'core/memory/', 'core/policy/', 'core/request/', 'core/user/', 'hal/bare/')
LEAST_SECONDS = 20.0


@dataclasses.dataclass
class Test:
    """One command. It passes with exit code 0."""
    name: str
    command: list[str]
    seconds: float = 0.0
    reaches: bytes = b''

    def limit(self) -> float:
        return max(LEAST_SECONDS, 10 * self.seconds)


@dataclasses.dataclass
class Verdict:
    site: Site
    noticed_by: str | None  # None: nobody
    tried: int
    seconds: float
    why: str = ''

    def __str__(self) -> str:
        if self.noticed_by:
            return f'noticed   {self.site}  [{self.noticed_by}]'
        return f'SURVIVED  {self.site}  [{self.why or f"{self.tried} tests passed"}]'


class Bench:
    """The tests of one build."""

    def __init__(self, tree: Tree, say, folders=FOLDERS, with_qemu=True):
        self.tree, self.say, self.with_qemu = tree, say, with_qemu
        self.mmsim = tree.build / 'tools/runner/mmsim'
        self.scenarios = {name: sorted((tree.copy / 'scenarios' / name).glob('*.toml')) for name in folders}
        self.native: list[Test] = []
        self.on_qemu: list[Test] = []

    def environment(self, **more) -> dict:
        return {**os.environ, 'MM_IMAGES': str(self.tree.build / 'images'), 'GTEST_FAIL_FAST': '1', **more}

    def measure(self) -> None:
        """Runs every test on the original: what fails there is left out, what it reaches is remembered."""
        candidates = [Test(p.name, [str(p)]) for p in self.tree.unit_tests() if not self._needs_qemu(p)]
        candidates += [Test(f'{folder}/{p.stem}', [str(self.mmsim), 'run', str(p)])
                       for folder, files in self.scenarios.items() for p in files]
        for test in candidates:
            if self._passes_on_original(test):
                self.native.append(test)
        if not self.with_qemu:
            return
        together = [Test(p.name, [str(p)]) for p in self.tree.unit_tests() if p.name.endswith('contract_bare')]
        together += [Test(f'{folder} on both machines', [str(self.mmsim), 'run', *map(str, files), '--target=both'])
                     for folder, files in self.scenarios.items() if files]
        for test in together:
            if self._passes_on_original(test):
                self.on_qemu.append(test)

    def _needs_qemu(self, program: Path) -> bool:
        return program.name.endswith('contract_bare')

    def _passes_on_original(self, test: Test) -> bool:
        with tempfile.NamedTemporaryFile() as reach:
            reach.truncate(REACH_BYTES)
            start = time.monotonic()
            code, output = run(test.command, self.tree.copy, self.environment(MM_MUTANT_REACH=reach.name), 900)
            test.seconds = time.monotonic() - start
            test.reaches = Path(reach.name).read_bytes()
        if code not in (0, 77):
            last = (output.strip().splitlines() or ['nothing was printed'])[-1]
            self.say(f'  left out, it fails on the original: {test.name} ({last.strip()[:100]})')
        return code == 0

    # --- one mutant ---

    def native_trial(self, site: Site) -> Verdict:
        """The tests that reach it, the quickest first."""
        start = time.monotonic()
        tests = sorted((t for t in self.native if t.reaches[site.number]), key=lambda t: t.seconds)
        for tried, test in enumerate(tests, 1):
            if self._notices(test, MM_MUTANT=str(site.number)):
                return Verdict(site, test.name, tried, time.monotonic() - start)
        why = '' if tests else 'no native test reaches it'
        return Verdict(site, None, len(tests), time.monotonic() - start, why)

    def image_trial(self, site: Site, images: Path) -> Verdict:
        """The scenarios on QEMU with the mutant in the guest's images and the original in the simulator."""
        start = time.monotonic()
        for tried, test in enumerate(self.on_qemu, 1):
            if self._notices(test, MM_IMAGES=str(images)):
                return Verdict(site, f'{test.name} (QEMU)', tried, time.monotonic() - start)
        return Verdict(site, None, len(self.on_qemu), time.monotonic() - start)

    def all_trial(self, site: Site, files: list[str]) -> Verdict:
        """For a defect that is in the sources themselves: everything; of what the simulator has no part in, its scenarios tell
        nothing."""
        start = time.monotonic()
        bare = all(name.startswith('hal/') for name in files)
        native = sorted((t for t in self.native if not bare or '/' not in t.name), key=lambda t: t.seconds)
        tests = self.on_qemu + native if bare else native + self.on_qemu
        for tried, test in enumerate(tests, 1):
            if self._notices(test):
                return Verdict(site, test.name, tried, time.monotonic() - start)
        return Verdict(site, None, len(tests), time.monotonic() - start)

    def _notices(self, test: Test, **environment) -> bool:
        code, _ = run(test.command, self.tree.copy, self.environment(**environment), test.limit())
        return code not in (0, 77)


def try_cpp(bench: Bench, tree: InstrumentedTree, site: Site) -> Verdict:
    verdict = bench.native_trial(site)
    if verdict.noticed_by or not bench.on_qemu or not site.file.startswith(IN_IMAGES):
        return verdict
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / 'images'
        shutil.copytree(tree.build / 'images', images, ignore=shutil.ignore_patterns('*.debug.efi', '*.map'))
        if patch_images(images, site.number) == 0:
            return dataclasses.replace(verdict, why='no image carries the mark')
        on_qemu = bench.image_trial(site, images)
    return dataclasses.replace(on_qemu, tried=verdict.tried + on_qemu.tried, seconds=verdict.seconds + on_qemu.seconds)
