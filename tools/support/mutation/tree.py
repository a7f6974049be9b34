# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The copies below build/mutate in which everything happens, and their builds. The user's tree is only read."""
import concurrent.futures
import hashlib
import json
import os
import re
import struct
import subprocess
from pathlib import Path

from mutation import assembly_rules, cpp_rules, sites
from mutation.sites import Site, apply_wraps

MARK = struct.pack('<IIII', 0x4D4D5554, 0x9E3779B9, 0x7F4A7C15, 0xF39CC060)  # as in mutant.hpp
GUEST_FLAGS = ('--target=x86_64-w64-mingw32 -std=c++23 -ffreestanding -fno-exceptions -fno-rtti -DBOOST_NO_EXCEPTIONS '
               '-DBOOST_DISABLE_ASSERTS -DBOOST_CONTAINER_USER_DEFINED_THROW_CALLBACKS').split()
ASSEMBLY = ('hal/bare/user_gate.nasm', 'hal/qemu_rom/mmi_entry.nasm', 'hal/qemu_rom/payload.nasm')
PARTS = ('core/', 'hal/bare/', 'sim/engine/')
NO_PARTS = ('core/abi/', 'core/base/', 'core/user/image/')
QUIET = '-w -Wno-c++11-narrowing'
UNRELATED = ('policy_tools', 'linux_tool', 'unit/drivers')  # tests of what is not mutated
CARRIERS = ('MmSupervisorCore', 'MmSupervisorCoreRelease', 'MmUserCore', 'MmSupervisorContract')  # images with mutants in them


class Broken(Exception):
    """The environment is not what the tool needs: one sentence."""


def run(command: list[str], cwd: Path | None = None, env: dict | None = None, timeout: float | None = None):
    """(exit code, output); exit code None when it took longer than `timeout` seconds. Ends its children with it."""
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=timeout)
        return process.returncode, output.decode('utf-8', 'replace')
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        return None, output.decode('utf-8', 'replace')


def tracked_files(root: Path) -> list[str]:
    code, output = run(['git', '-C', str(root), 'ls-files', '-z', '--cached', '--others', '--exclude-standard'])
    if code != 0:
        raise Broken('git ls-files failed: the tree is no git work tree')
    return [name for name in output.split('\0') if name and (root / name).is_file()]


def copy_tree(root: Path, to: Path, instead: dict[str, bytes] | None = None) -> None:
    """Brings the copy up to date; `instead` replaces contents and adds files. Only what differs is written, so that a build of the
    copy stays fresh."""
    instead = instead or {}
    wanted = set(tracked_files(root))
    for name in wanted:
        content = instead[name] if name in instead else (root / name).read_bytes()
        write_if_changed(to / name, content, (root / name).stat().st_mode)
    for name in instead.keys() - wanted:
        write_if_changed(to / name, instead[name])
    for path in to.rglob('*'):
        name = str(path.relative_to(to))
        if path.is_file() and not name.startswith('build/') and name not in wanted and name not in instead:
            path.unlink()


def write_if_changed(path: Path, content: bytes, mode: int = 0o644) -> None:
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)


def is_mutated(name: str) -> bool:
    return name.startswith(PARTS) and not name.startswith(NO_PARTS)


def libclang(folder: Path):
    """clang.cindex; Debian's python3-clang-19 is unpacked below build when it is not installed."""
    try:
        return cpp_rules.load_libclang(None)
    except ImportError:
        pass
    package = folder / 'python3-clang'
    if not (package / 'usr').exists():
        package.mkdir(parents=True, exist_ok=True)
        code, output = run(['apt-get', 'download', 'python3-clang-19'], cwd=package)
        debs = list(package.glob('*.deb'))
        if not debs or run(['dpkg-deb', '-x', str(debs[0]), str(package)])[0] != 0:
            raise Broken(f"Debian's python3-clang-19 cannot be fetched ({output.strip().splitlines()[-1:]}); install it")
    return cpp_rules.load_libclang(package / 'usr/lib/python3/dist-packages')


def find_sites(root: Path, folder: Path, say) -> tuple[list[Site], Path]:
    """Every mutant of the tree at `root`, numbered, and the file that keeps them for this state of the sources and the rules."""
    digest = hashlib.sha256()
    for name in tracked_files(root):
        if (is_mutated(name) and name.endswith(('.hpp', '.cpp'))) or name in ASSEMBLY or name.startswith('tools/support/mutation/'):
            digest.update(name.encode() + b'\0' + (root / name).read_bytes())
    kept = folder / f'sites-{digest.hexdigest()[:16]}.json'
    if not kept.exists():
        sites.save(read_sites(root, folder, say), kept)
    return sites.load(kept), kept


def read_sites(root: Path, folder: Path, say) -> list[Site]:
    finder = cpp_rules.Finder(libclang(folder), root, is_mutated)
    resources = ['-resource-dir', run(['clang-19', '-print-resource-dir'])[1].strip()]
    guest = [*GUEST_FLAGS, *resources, f'-I{root}']
    if (include := root / 'build/guest-include').exists() or make_boost_link(include):
        guest += ['-isystem', str(include)]
    host = ['-std=c++23', *resources, f'-I{root}', '-DBOOST_DISABLE_ASSERTS', '-I/usr/include/unicorn']
    wanted = {name for name in tracked_files(root) if is_mutated(name) and name.endswith(('.hpp', '.cpp'))}
    for name, flags in units_of(root, guest, host):
        if not (root / name).exists() or (name in finder.seen and name.endswith('.cpp')):
            continue
        if not wanted - finder.seen:
            break
        if errors := finder.unit(root / name, flags):
            say(f'  {name}: not read: {errors[0]}')
    if absent := sorted(wanted - finder.seen):
        say(f'  no unit was read that includes {", ".join(absent)}')
    found = list(finder.sites.values())
    for name in ASSEMBLY:
        if (root / name).exists():
            found += assembly_rules.find(root, name)
    return sites.number_sites(found)


def units_of(root: Path, guest: list[str], host: list[str]) -> list[tuple[str, list[str]]]:
    """The units that are read, and the flags of each: together they include what is mutated."""
    units = [('hal/bare/supervisor_traced.cpp', guest), ('hal/bare/cpu.cpp', guest), ('hal/bare/chipset.cpp', guest),
             ('core/user/image/main.cpp', guest)]
    units += [(str(p.relative_to(root)), host) for part in ('core', 'sim/engine', 'sim/machine')
              for p in sorted((root / part).rglob('*.cpp')) if 'core/user/image' not in str(p)]
    units += [(str(p.relative_to(root)), host) for part in ('core_user', 'core_communication', 'core_steps', 'core_loader', 'core_image')
              for p in sorted((root / f'tests/unit/{part}').glob('*_test.cpp'))]
    return units


def make_boost_link(include: Path) -> bool:
    include.mkdir(parents=True, exist_ok=True)
    link = include / 'boost'
    if not link.exists() and Path('/usr/include/boost').exists():
        link.symlink_to('/usr/include/boost')
    return link.exists()


class Tree:
    """One copy with its build folder."""

    cmake_options: tuple[str, ...] = ()

    def __init__(self, root: Path, copy: Path, say):
        self.root, self.copy, self.say = root, copy, say
        self.build = copy / 'build/host-release'

    def configure(self) -> None:
        code, output = run(['cmake', '--preset', 'host-release', *self.cmake_options], cwd=self.copy)
        if code != 0:
            raise Broken(f'the copy cannot be configured:\n{output[-2000:]}')

    def ninja(self, *targets: str):
        return run(['ninja', '-C', str(self.build), '-k', '0', *targets])

    def unit_tests(self) -> list[Path]:
        """The test programs, which lie below tests/ in the build."""
        return sorted(p for p in (self.build / 'tests').rglob('*')
                      if p.is_file() and os.access(p, os.X_OK) and '.' not in p.name and 'CMakeFiles' not in str(p))

    def test_targets(self) -> list[str]:
        _, output = run(['ninja', '-C', str(self.build), '-t', 'targets', 'all'])
        found = set(re.findall(r'^(tests/\S+): CXX_EXECUTABLE_LINKER', output, re.M))
        return sorted(name for name in found if not any(part in name for part in UNRELATED))


class InstrumentedTree(Tree):
    """The copy in which every C++ mutant stands at once. `chosen` are the ones in the guest images."""

    cmake_options = ('-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG',)  # the build is what costs

    def __init__(self, root: Path, copy: Path, say, header: Path, memory: Path):
        super().__init__(root, copy, say)
        self.header, self.memory = header, memory
        self.dropped: set[int] = set()
        self.originals: dict[str, bytes] = {}

    def prepare(self, found: list[Site], numbers: list[int]) -> None:
        """Writes the copy; `numbers` are the mutants that the guest's images carry."""
        if self.memory.exists():
            self.dropped = set(json.loads(self.memory.read_text()))
        include = f'-include {self.copy}/mutant.hpp'
        images = self._edited('tools/cmake/images.cmake', ('-ffile-prefix-map=', f'{QUIET} -Wno-error {include} -ffile-prefix-map='),
                              ('${std_flags} ${ARG_FLAGS}', '${std_flags} ${ARG_FLAGS} ${mutants_${ARG_NAME}}'),
                              ('add_custom_target(images)', 'add_custom_target(images)\n' + ''.join(
                                  f'set(mutants_{name} [[-DMM_MUTANT_CHOSEN="{self.copy}/mutant_chosen.hpp"]])\n' for name in CARRIERS)))
        instead = {
            'mutant.hpp': self.header.read_bytes(),
            'mutant_chosen.hpp': self.chosen_header(numbers),
            'tools/cmake/images.cmake': images,
            'tools/cmake/host.cmake': self._edited('tools/cmake/host.cmake', ('  -Werror)', f'  -Werror {QUIET} {include})')),
            'hal/qemu_rom/CMakeLists.txt': self._edited('hal/qemu_rom/CMakeLists.txt', (
                '-Werror -ffile-prefix-map=', f'-Werror {QUIET} {include} -ffile-prefix-map=')),
        }
        copy_tree(self.root, self.copy, instead | self.sources(found))

    def _edited(self, name: str, *changes: tuple[str, str]) -> bytes:
        text = (self.root / name).read_text()
        for old, new in changes:
            if old not in text:
                raise Broken(f'{name}: "{old}" is not there any more; the tool must learn where the flags went')
            text = text.replace(old, new, 1)
        return text.encode()

    def sources(self, found: list[Site]) -> dict[str, bytes]:
        """Every file that has mutants, with those that compile."""
        by_file: dict[str, list[Site]] = {}
        for site in found:
            if not site.is_assembly:
                by_file.setdefault(site.file, []).append(site)
        made = {}
        for name, here in by_file.items():
            original = self.originals.setdefault(name, (self.root / name).read_bytes())  # the user may edit meanwhile
            made[name] = apply_wraps(original, [s for s in here if s.number not in self.dropped])
        return made

    def drop(self, found: list[Site], guilty: set[int]) -> None:
        self.dropped |= guilty
        self.memory.write_text(json.dumps(sorted(self.dropped)))
        for name, content in self.sources(found).items():
            write_if_changed(self.copy / name, content)

    @staticmethod
    def chosen_header(numbers: list[int]) -> bytes:
        text = ', '.join(str(n) + 'u' for n in [0xFFFFFFFF, *sorted(numbers)])
        return f'inline constexpr unsigned chosen[] = {{{text}}};\n'.encode()

    def compile(self, found: list[Site], targets: list[str]) -> None:
        """Builds; what does not compile because of a mutant is built without it. The units in which the places were found are
        read first: a mutant that goes later costs a build of all that includes its file."""
        for attempt in (lambda: self.check_units(targets), lambda: self.ninja(*targets)):
            for _ in range(40):
                code, output = attempt()
                if code == 0:
                    break
                guilty = self._guilty(output, found)
                if not guilty:
                    raise Broken(f'the instrumented copy does not build:\n{output[-3000:]}')
                self.say(f'  {len(guilty)} mutants do not compile; without them')
                self.drop(found, guilty)
            else:
                raise Broken('the instrumented copy still does not build after 40 rounds')

    def check_units(self, targets: list[str]):
        """Reads the units without making code."""
        _, output = run(['ninja', '-C', str(self.build), '-t', 'commands', *targets])
        wanted = {str(self.copy / name) for name, _ in units_of(self.copy, [], [])}
        commands = []
        for line in output.splitlines():
            unit = re.search(r' -c (\S+\.cpp)', line)
            if unit and unit[1] in wanted:
                wanted.discard(unit[1])
                compiler = next(part for part in line.split(' && ') if f' -c {unit[1]}' in part).strip().removeprefix('ccache ')
                commands.append(re.sub(r' -o \S+| -M[FT] \S+| -MD', '', compiler) + ' -fsyntax-only -ferror-limit=0')
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = list(pool.map(lambda line: run(['sh', '-c', line], self.build), commands))
        return max(code or 0 for code, _ in results), '\n'.join(text for _, text in results)

    def _guilty(self, output: str, found: list[Site]) -> set[int]:
        """The mutants at the places of the errors. A place is a line: the narrowest ranges that touch it go first."""
        lines: dict[str, set[int]] = {}
        for name, line in re.findall(r'([\w./-]+\.[ch]pp):(\d+):\d+: (?:error|note)', output):
            path = (self.build / name).resolve() if not name.startswith('/') else Path(name).resolve()
            try:
                lines.setdefault(str(path.relative_to(self.copy)), set()).add(int(line))
            except ValueError:
                continue
        errors: dict[str, set[int]] = {}
        for name, line in re.findall(r'([\w./-]+\.[ch]pp):(\d+):\d+: error', output):
            path = (self.build / name).resolve() if not name.startswith('/') else Path(name).resolve()
            try:
                errors.setdefault(str(path.relative_to(self.copy)), set()).add(int(line))
            except ValueError:
                continue
        alive = [s for s in found if not s.is_assembly and s.number not in self.dropped]
        guilty = {s.number for s in alive if s.line in errors.get(s.file, ())}
        return guilty or ({s.number for s in alive if s.line in lines.get(s.file, ())} if errors else set())


def patch_images(images: Path, number: int) -> int:
    """Selects the mutant in every file that has the mark; how many had it."""
    patched = 0
    for path in images.iterdir():
        if path.suffix not in ('.efi', '.rom') or path.name.endswith('.debug.efi'):
            continue
        content = bytearray(path.read_bytes())
        at = content.find(MARK)
        while at >= 0:
            content[at + len(MARK):at + len(MARK) + 4] = number.to_bytes(4, 'little')
            patched += 1
            at = content.find(MARK, at + len(MARK))
        if patched and content != path.read_bytes():
            path.write_bytes(content)
    return patched
