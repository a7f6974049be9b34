# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Tests of tools/mutate on small sources: what each rule plants, that all mutants fit into one build, that each is on when it is
chosen and only then, that choices repeat, and that a trial notices what it should. Exit code 77: no libclang to test with."""
import argparse
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mutation import assembly_rules, cpp_rules, main, sites, tree, trial  # noqa: E402

SOURCE = r'''
#include <cstdio>
namespace tiny {
constexpr unsigned kLimit = 4;
constexpr unsigned kFlagA = 1, kFlagB = 2;
static_assert(kLimit == 4);
inline int g_log[16]; inline int g_count = 0;
inline void note(int what) { g_log[g_count++] = what; }
template <typename T>
constexpr bool inside(T value, T limit) noexcept { return value < limit && value != 2; }
inline unsigned flags() noexcept { return kFlagA | kFlagB; }
struct Guard {
  ~Guard() { note(9); }
};
inline int serve(unsigned value) {
  Guard const guard;
  int table[3] = {1, 2, 3};
  if (value == 7 || inside(value, kLimit)) {
    note(1);
    note(2);
  }
  while (value > 3) {
    --value;
    if (value % 2 == 0) { continue; }
    note(static_cast<int>(value));
  }
  switch (value) {
    case 3: return table[1];
    default: return value >= 1 ? 5 : 6;
  }
}
}  // namespace tiny
int main() {
  unsigned const values[] = {0u, 1u, 2u, 3u, 4u, 5u, 7u};
  for (unsigned value : values) {
    tiny::g_count = 0;
    std::printf("%d:", tiny::serve(value));
    for (int i = 0; i < tiny::g_count; ++i) { std::printf("%d ", tiny::g_log[i]); }
    std::printf("f%u\n", tiny::flags());
  }
}
'''
ASSEMBLY = '''bits 64
start:
    cmp eax, 5          ; a bound
    jb near_zero
    mov ebx, 1
    mov ecx, 2
near_zero:
    call start
    ret
'''


def clang():
    try:
        return tree.libclang(Path(tempfile.gettempdir()) / 'mm-mutate-self-test')
    except tree.Broken:
        return None


class OnTheSmallSource(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = Path(cls.folder.name).resolve()
        (cls.root / 'tiny.cpp').write_text(SOURCE)
        finder = cpp_rules.Finder(CINDEX, cls.root, lambda name: name == 'tiny.cpp')
        resources = subprocess.check_output(['clang-19', '-print-resource-dir'], text=True).strip()
        errors = finder.unit(cls.root / 'tiny.cpp', ['-std=c++23', '-resource-dir', resources])
        assert not errors, errors
        cls.sites = sites.number_sites(list(finder.sites.values()))
        program = cls.root / 'all.cpp'
        program.write_bytes(sites.apply_wraps(SOURCE.encode(), cls.sites))
        cls.program = cls.root / 'all'
        header = Path(__file__).with_name('mutant.hpp')
        subprocess.check_call(['clang++-19', '-std=c++23', '-O1', '-w', '-include', str(header), str(program), '-o', str(cls.program)])
        cls.original = cls.run_mutant(0)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def run_mutant(cls, number: int) -> str:
        code, output = tree.run([str(cls.program)], env={'MM_MUTANT': str(number)}, timeout=5)
        return output if code == 0 else f'exit {code}'

    def of(self, rule: str, text: str) -> sites.Site:
        found = [s for s in self.sites if s.rule == rule and s.change.startswith(text)]
        self.assertEqual(len(found), 1, [str(s) for s in self.sites if s.rule == rule])
        return found[0]

    def test_the_original_is_what_it_was(self):
        subprocess.check_call(['clang++-19', '-std=c++23', '-w', str(self.root / 'tiny.cpp'), '-o', str(self.root / 'plain')])
        self.assertEqual(self.original, subprocess.check_output([str(self.root / 'plain')], text=True))
        self.assertEqual(self.original, self.run_mutant(10 ** 6))

    def test_every_rule_plants_something(self):
        rules = {s.rule for s in self.sites}
        self.assertEqual(rules, {'negated condition', 'dropped condition', 'dropped statement', 'swapped order', 'wrong bound',
                                 'wrong constant'})

    def test_each_change_is_seen_where_it_must_be(self):
        for rule, text in (('wrong bound', 'value < limit'), ('wrong bound', 'value > 3'), ('dropped statement', 'note(1);'),
                           ('swapped order', 'note(1);  <->  note(2);'), ('dropped condition', 'value != 2'),
                           ('dropped condition', 'value == 7'), ('negated condition', 'value % 2 == 0'),
                           ('wrong constant', 'kFlagB'), ('wrong constant', 'kLimit'), ('dropped statement', 'note(9)'),
                           ('dropped statement', '--value')):
            site = self.of(rule, text)
            self.assertNotEqual(self.run_mutant(site.number), self.original, str(site))

    def test_most_mutants_are_noticed_by_this_program(self):
        noticed = sum(self.run_mutant(s.number) != self.original for s in self.sites)
        self.assertGreater(noticed, 0.8 * len(self.sites))

    def test_what_the_compiler_evaluates_is_left_alone(self):
        lines = SOURCE.splitlines()
        for site in self.sites:
            self.assertNotIn('static_assert', lines[site.line - 1], str(site))
            self.assertNotIn('case 3', lines[site.line - 1].split(': return')[0] if 'case' in site.change else '', str(site))

    def test_reach(self):
        reach = self.root / 'reach'
        reach.write_bytes(bytes(trial.REACH_BYTES))
        tree.run([str(self.program)], env={'MM_MUTANT_REACH': str(reach)})
        found = reach.read_bytes()
        self.assertTrue(all(found[s.number] for s in self.sites), 'the program comes to each place')

    def test_saved_and_loaded(self):
        sites.save(self.sites, self.root / 'sites.json')
        self.assertEqual(sites.load(self.root / 'sites.json'), self.sites)


class Assembly(unittest.TestCase):
    def test_each_mutant_assembles_and_differs(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / 'small.nasm').write_text(ASSEMBLY)
            found = assembly_rules.find(root, 'small.nasm')
            self.assertEqual({s.rule for s in found}, {'negated condition', 'dropped condition', 'dropped statement', 'wrong bound',
                                                       'wrong constant', 'swapped order'})
            images = set()
            for site in found:
                (root / 'mutant.nasm').write_text(assembly_rules.mutated(ASSEMBLY, site))
                subprocess.check_call(['nasm', '-f', 'bin', '-o', str(root / 'out'), str(root / 'mutant.nasm')])
                images.add((root / 'out').read_bytes())
            subprocess.check_call(['nasm', '-f', 'bin', '-o', str(root / 'out'), str(root / 'small.nasm')])
            self.assertNotIn((root / 'out').read_bytes(), images)
            self.assertEqual(len(images), len(found))


class Choice(unittest.TestCase):
    def setUp(self):
        self.found = [sites.Site(f'core/f{i % 7}.hpp', i, 1, 'wrong bound', 'a', number=i + 1) for i in range(500)]

    def options(self, **more):
        return argparse.Namespace(**{'only': None, 'rule': None, 'mutant': None, 'list': False, 'count': 20, 'seed': None, **more})

    def test_the_commit_is_the_seed(self):
        first = main.choose(self.found, self.options(), 'abc')
        self.assertEqual(first, main.choose(self.found, self.options(), 'abc'))
        self.assertNotEqual(first, main.choose(self.found, self.options(), 'abd'))
        self.assertEqual(first, main.choose(self.found, self.options(seed='abc'), 'abd'))
        self.assertEqual(len(first), 20)

    def test_only_and_numbers(self):
        self.assertEqual({s.file for s in main.choose(self.found, self.options(only=['core/f3']), 'x')}, {'core/f3.hpp'})
        self.assertEqual([s.number for s in main.choose(self.found, self.options(mutant=[7, 3]), 'x')], [7, 3])
        with self.assertRaises(SystemExit):
            main.choose(self.found, self.options(mutant=[501]), 'x')


class Trees(unittest.TestCase):
    def test_a_copy_follows_and_leaves_the_original_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            root, copy = Path(folder) / 'a', Path(folder) / 'b'
            root.mkdir()
            subprocess.check_call(['git', 'init', '-q', str(root)])
            (root / 'kept.txt').write_text('one')
            (root / 'gone.txt').write_text('x')
            tree.copy_tree(root, copy)
            stamp = (copy / 'kept.txt').stat().st_mtime_ns
            (root / 'gone.txt').unlink()
            (copy / 'kept.txt').touch()
            os.utime(copy / 'kept.txt', ns=(stamp, stamp))
            tree.copy_tree(root, copy)
            self.assertFalse((copy / 'gone.txt').exists())
            self.assertEqual((copy / 'kept.txt').stat().st_mtime_ns, stamp, 'what is the same is not written')
            (copy / 'kept.txt').write_text('mutated')
            self.assertEqual((root / 'kept.txt').read_text(), 'one')

    def test_the_word_behind_the_mark_is_patched(self):
        with tempfile.TemporaryDirectory() as folder:
            image = Path(folder) / 'x.efi'
            image.write_bytes(b'ab' + tree.MARK + bytes(4) + b'cd' + tree.MARK + bytes(4))
            self.assertEqual(tree.patch_images(Path(folder), 0x1234), 2)
            self.assertEqual(image.read_bytes(), b'ab' + tree.MARK + b'\x34\x12\0\0' + b'cd' + tree.MARK + b'\x34\x12\0\0')

    def test_a_command_that_hangs_is_ended_with_its_children(self):
        code, _ = tree.run(['sh', '-c', 'sleep 60 & wait'], timeout=0.2)
        self.assertIsNone(code)


if __name__ == '__main__':
    CINDEX = clang()
    if CINDEX is None:
        print('no libclang for Python: install python3-clang-19')
        sys.exit(77)
    unittest.main()
