# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The command line of tools/mutate."""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

from mutation import assembly_rules, sites as site_module, tree as trees
from mutation.trial import FOLDERS, Bench, Verdict, try_cpp

EPILOG = """
What is planted: a condition dropped or negated, a bound one off, a statement dropped (a flush, a restore, a lock, a check),
two statements in the wrong order, a constant one too large or a flag missing - in core, hal/bare, sim/engine and the entry code
in nasm. All mutants of the C++ stand in one build and are chosen when a program starts, so that a mutant costs a run of the tests
that reach it; assembly is assembled anew. Everything happens in copies below build/mutate.

Examples:
  tools/mutate                                100 mutants, chosen by the commit; two builds the first time
  tools/mutate --count 500 --no-qemu          more, on unit tests and the simulator alone
  tools/mutate --only core/policy --list      what could be planted there; builds nothing
  tools/mutate --mutant 1234                  this one, with every test that reaches it until one notices
  tools/mutate --patch tests/planted/tlb.patch   a defect of your own, as a diff
  tools/mutate --planted                      every patch of tests/planted
Numbers belong to one state of the sources: --list prints them.
A survivor is a line that no test holds, or a change that no program can see; build/mutate/survivors.txt lists them.
Exit codes: 0 every mutant was noticed, 1 some survived, 2 usage, 3 the environment (a build, git, clang).
"""


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='tools/mutate', epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description='Plants defects by rule and lists those that no test notices.')
    parser.add_argument('--count', type=int, default=100, metavar='N', help='mutants to try (100)')
    parser.add_argument('--seed', metavar='TEXT', help='of the choice; default: the hash of the commit')
    parser.add_argument('--only', action='append', metavar='PATH', help='files that begin so; may be repeated')
    parser.add_argument('--rule', action='append', metavar='WORD', help='rules that contain this; may be repeated')
    parser.add_argument('--list', action='store_true', help='list the mutants and their numbers, and end')
    parser.add_argument('--mutant', type=int, action='append', metavar='N', help='try this one; may be repeated')
    parser.add_argument('--patch', action='append', metavar='FILE', help='try a defect given as a diff; may be repeated')
    parser.add_argument('--planted', action='store_true', help='try every patch of tests/planted')
    parser.add_argument('--no-qemu', action='store_true', help='unit tests and the simulator alone')
    parser.add_argument('--minutes', type=float, metavar='M', help='begin no mutant after so many minutes')
    parser.add_argument('--self-test', action='store_true', help='test the tool on a small tree')
    options = parser.parse_args(argv)
    if options.count < 1:
        parser.error('--count: at least 1')
    return options


def say(text: str) -> None:
    print(text, flush=True)


def choose(found: list, options, commit: str) -> list:
    chosen = [s for s in found if not options.only or s.file.startswith(tuple(options.only))]
    chosen = [s for s in chosen if not options.rule or any(word in s.rule for word in options.rule)]
    if options.mutant:
        numbers = {s.number: s for s in found}
        if absent := [n for n in options.mutant if n not in numbers]:
            raise SystemExit(f'mutate: there is no mutant {absent[0]}; --list shows them (1 to {len(found)})')
        return [numbers[n] for n in options.mutant]
    if options.list or len(chosen) <= options.count:
        return chosen
    return sorted(random.Random(options.seed or commit).sample(chosen, options.count), key=lambda s: s.number)


def commit_of(root: Path) -> str:
    code, output = trees.run(['git', '-C', str(root), 'rev-parse', 'HEAD'])
    if code != 0:
        raise trees.Broken('git rev-parse failed: the tree has no commit')
    return output.strip()


class Report:
    """Prints verdicts as they come and leaves the survivors in a file."""

    def __init__(self, folder: Path, title: str):
        self.folder, self.title = folder, title
        self.verdicts: list[Verdict] = []

    def add(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        say(f'{len(self.verdicts):4} {verdict}  {verdict.seconds:.1f} s')
        self.write()

    def write(self) -> None:
        survivors = [v for v in self.verdicts if not v.noticed_by]
        lines = [f'# {self.title}', f'# {len(self.verdicts)} tried, {len(survivors)} survived', '']
        (self.folder / 'survivors.txt').write_text('\n'.join(lines + [f'{v.site}  [{v.why or "all passed"}]'
                                                                      for v in survivors]) + '\n')
        (self.folder / 'verdicts.json').write_text(json.dumps(
            [{'site': str(v.site), 'noticed_by': v.noticed_by, 'tests': v.tried, 'seconds': round(v.seconds, 2),
              'why': v.why} for v in self.verdicts], indent=1))

    def end(self) -> int:
        survived = sum(1 for v in self.verdicts if not v.noticed_by)
        say(f'\n{len(self.verdicts)} tried, {len(self.verdicts) - survived} noticed, {survived} survived; '
            f'list: {self.folder}/survivors.txt')
        return 1 if survived else 0


def run_rules(root: Path, folder: Path, options) -> int:
    copy = folder / 'instrumented'
    header = Path(__file__).with_name('mutant.hpp')
    say('looking for places')
    found, kept = trees.find_sites(root, folder, say)
    commit = commit_of(root)
    chosen = choose(found, options, commit)
    if options.list:
        for site in chosen:
            print(site)
        print(f'{len(chosen)} mutants')
        return 0
    if not chosen:
        say('no mutant fits --only and --rule')
        return 2
    say(f'{len(found)} mutants, {len(chosen)} chosen by seed {options.seed or commit}')
    tree = trees.InstrumentedTree(root, copy, say, header, kept.with_suffix('.dropped'))
    tree.prepare(found, [s.number for s in chosen if not s.is_assembly])
    tree.configure()
    say('building with all of them')
    start = time.monotonic()
    tree.compile(found, ['tools/runner/mmsim', *tree.test_targets(), 'images'])
    say(f'built in {time.monotonic() - start:.0f} s; {len(tree.dropped)} of the mutants do not compile')
    bench = Bench(tree, say, with_qemu=not options.no_qemu)
    bench.measure()
    say(f'{len(bench.native)} native tests, {len(bench.on_qemu)} runs on QEMU')
    report = Report(folder, f'{commit}, seed {options.seed or commit}')
    deadline = time.monotonic() + 60 * options.minutes if options.minutes else None
    for site in chosen:
        if deadline and time.monotonic() > deadline:
            say(f'time is up: {len(chosen) - len(report.verdicts)} not tried')
            break
        if site.number in tree.dropped:
            continue
        report.add(try_assembly(bench, tree, site) if site.is_assembly else try_cpp(bench, tree, site))
    return report.end()


def try_assembly(bench: Bench, tree, site) -> Verdict:
    """Another source, assembled and linked; then the original again."""
    path = tree.copy / site.file
    original = path.read_text()
    path.write_text(assembly_rules.mutated(original, site))
    try:
        code, _ = tree.ninja('images')
        if code != 0:
            return Verdict(site, 'the assembler or linker', 1, 0.0)
        return bench.image_trial(site, tree.build / 'images')
    finally:
        path.write_text(original)
        tree.ninja('images')


def run_patches(root: Path, folder: Path, patches: list[Path], options) -> int:
    tree = trees.Tree(root, folder / 'plain', say)
    trees.copy_tree(root, tree.copy)
    tree.configure()
    say('building the copy')
    targets = ['tools/runner/mmsim', *tree.test_targets(), 'images']
    code, output = tree.ninja(*targets)
    if code != 0:
        raise trees.Broken(f'the copy does not build:\n{output[-3000:]}')
    bench = Bench(tree, say, with_qemu=not options.no_qemu)
    bench.measure()
    report = Report(folder, f'{commit_of(root)}, patches')
    for patch in patches:
        report.add(try_patch(bench, tree, patch, targets))
    return report.end()


def try_patch(bench: Bench, tree, patch: Path, targets: list[str]) -> Verdict:
    site = site_module.Site(patch.name, 0, 0, 'planted', first_line(patch))
    code, output = trees.run(['patch', '-p1', '--no-backup-if-mismatch', '--reject-file=-', '-i', str(patch)], tree.copy)
    try:
        if code != 0:
            raise trees.Broken(f'{patch}: it does not apply any more; write it anew:\n{output.strip()}')
        code, output = tree.ninja(*targets)
        if code != 0:
            return Verdict(site, 'the compiler', 1, 0.0)
        return bench.all_trial(site, re.findall(r'^\+\+\+ b/(\S+)', patch.read_text(), re.M))
    finally:
        trees.copy_tree(tree.root, tree.copy)
        tree.ninja(*targets)


def first_line(patch: Path) -> str:
    """The sentence in front of the diff."""
    return next((line for line in patch.read_text().splitlines() if line.strip()), '').strip()


def main(argv: list[str], root: Path) -> int:
    options = arguments(argv)
    if options.self_test:
        return subprocess.call([sys.executable, '-B', str(Path(__file__).with_name('self_test.py'))])
    folder = root / 'build/mutate'
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault('CCACHE_BASEDIR', str(root))
    patches = [Path(p) for p in options.patch or []]
    patches += sorted((root / 'tests/planted').glob('*.patch')) if options.planted else []
    try:
        if absent := [p for p in patches if not p.is_file()]:
            print(f'mutate: {absent[0]}: no such file', file=sys.stderr)
            return 2
        return run_patches(root, folder, [p.resolve() for p in patches], options) if patches else run_rules(root, folder, options)
    except trees.Broken as broken:
        print(f'mutate: {broken}', file=sys.stderr)
        return 3
