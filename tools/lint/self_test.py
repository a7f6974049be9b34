#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Each check finds its bad example and is quiet on its good one."""

import pathlib
import tempfile
import unittest

import assembly
import citations
import differences
import folders
import formatting
import freestanding
import guids
import headers
import includes
import planted
import scenario_files
import scenario_page
import storage
import structure
import switches
import texts
import vocabulary

ALL_TREES = tempfile.TemporaryDirectory()
SPDX_LINE = "// SPDX-License-Identifier: BSD-2-Clause-Patent\n"


class Tree:
    """A small source tree in a temporary folder that lives as long as the test program."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(dir=ALL_TREES.name))

    def add(self, path: str, text: str) -> "Tree":
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return self


class Assembly(unittest.TestCase):
    def problems(self, line: str) -> list[str]:
        header = "inline constexpr u32 kMsrEfer = 0xC000'0080;\ninline constexpr u64 kRing3 = 3;\n"
        header += "inline constexpr u64 kUserCode = 0x58 | kRing3;\ninline constexpr u64 kSmap = 1ull << 21;\n"
        tree = Tree().add("core/arch/a.hpp", header).add("hal/a.nasm", f"{line}\n%define OTHER 1\n")
        return assembly.check(tree.root)[0]

    def test_numbers_of_core_arch_pass(self):
        self.assertEqual(self.problems("%define MSR_EFER 0xC0000080 ; arch::kMsrEfer"), [])
        self.assertEqual(self.problems("%define SEL_USER 0x5B ; arch::kUserCode"), [])
        self.assertEqual(self.problems("%define CR4_SMAP 0x200000   ; arch::kSmap, and why"), [])

    def test_another_number_is_found(self):
        self.assertIn("is 0xC0000081", self.problems("%define MSR_EFER 0xC0000081 ; arch::kMsrEfer")[0])

    def test_a_constant_that_is_not_there_is_found(self):
        self.assertIn("has no kMsrGone", self.problems("%define MSR_EFER 0xC0000080 ; arch::kMsrGone")[0])

    def test_a_register_without_its_constant_is_found(self):
        self.assertIn("names no constant", self.problems("%define MSR_EFER 0xC0000080")[0])


class Differences(unittest.TestCase):
    def problems(self, cell: str) -> list[str]:
        table = f"| Topic | Test |\n|---|---|\n| a | {cell} |\n"
        tree = Tree().add("core/abi/DIFFERENCES.md", table).add("scenarios/smoke/a.toml", "schema = 1\n")
        return differences.check(tree.add("tests/a.cpp", SPDX_LINE + "TEST_F(Some,\n  Thing) {}\n").root)[0]

    def test_existing(self):
        for cell in ("`Some.Thing`", "`Some.*`", "`smoke/a.toml`, `Some.Thing`"):
            self.assertEqual(self.problems(cell), [])

    def test_threats(self):
        def problems(cell: str) -> int:
            tree = Tree().add("core/THREATS.md", f"| ID | attacked by |\n|---|---|\n| T01 | {cell} |\n\n| a | b |\n|---|---|\n| c | d |\n")
            return len(differences.check(tree.add("scenarios/attacks/a.toml", "").add("fuzz/hob.cpp", "").root)[0])

        self.assertEqual([problems(c) for c in ("`attacks/a.toml`, `fuzz/hob.cpp`", "`smoke/a.toml`", "`fuzz/x.cpp`", "nobody")], [0, 1, 1, 1])

    def test_missing(self):
        for cell in ("none yet", "", "`Some.Other`", "`Other.*`", "`smoke/b.toml`"):
            self.assertEqual(len(self.problems(cell)), 1, cell)


class Includes(unittest.TestCase):
    def problems(self, path: str, line: str) -> list[str]:
        tree = Tree().add("core/base/types.hpp", "").add("core/supervisor/supervisor.hpp", "").add("tests/support.hpp", "")
        return includes.check(tree.add(path, line + "\n").root)[0]

    def test_allowed(self):
        self.assertEqual(self.problems("core/abi/x.hpp", '#include "core/base/types.hpp"'), [])
        self.assertEqual(self.problems("core/abi/x.hpp", "#include <span>"), [])
        self.assertEqual(self.problems("sim/engine/x.cpp", "#include <unicorn/unicorn.h>"), [])
        self.assertEqual(self.problems("core/user/x.hpp", "#include <boost/intrusive/rbtree.hpp>"), [])

    def test_each_permission_is_used(self):
        matrix = Tree().add("m.toml", """[standard]
third_party = ["boost"]
[module]
"core/a" = { may = ["core/b", "core/c"], external = ["boost"] }
"core/b" = { may = [], external = [] }
"core/c" = { may = [], external = [] }
"tests" = { may = ["*"], external = ["*"] }
""").root / "m.toml"
        tree = Tree().add("core/a/x.hpp", '#include "core/b/y.hpp"\n').add("core/b/y.hpp", "").add("core/c/z.hpp", "")
        problems, looked_at = includes.check_use(tree.root, matrix)
        self.assertEqual([p.split(" ")[-4] for p in problems], ["core/c", "boost"])
        self.assertEqual(looked_at, 5)

    def test_lower_layer_includes_higher(self):
        self.assertEqual(len(self.problems("core/policy/x.hpp", '#include "core/supervisor/supervisor.hpp"')), 1)

    def test_hosted_header_in_core(self):
        self.assertEqual(len(self.problems("core/memory/x.hpp", "#include <vector>")), 1)

    def test_unicorn_outside_engine(self):
        for path in ("sim/machine/x.cpp", "core/base/x.hpp", "tools/runner/x.cpp", "sim/devices/x.cpp"):
            self.assertEqual(len(self.problems(path, "#include <unicorn/unicorn.h>")), 1, path)

    def test_relative_include(self):
        self.assertEqual(len(self.problems("core/base/x.hpp", '#include "types.hpp"')), 1)

    def test_folder_without_row(self):
        self.assertEqual(len(self.problems("core/new_module/x.hpp", "#include <span>")), 1)

    def test_nothing_includes_tests(self):
        self.assertEqual(len(self.problems("sim/scenario/x.cpp", '#include "tests/support.hpp"')), 1)


class Freestanding(unittest.TestCase):
    def problems(self, text: str, path: str = "core/base/x.hpp") -> list[str]:
        return freestanding.check(Tree().add(path, text).root)[0]

    def test_good(self):
        good = """
#pragma once
// asm, static int x; #if long in a comment
namespace mm {
inline constexpr u64 kSize = 256ull << 20;
constexpr u64 kGrouped = 0x0100'0000;
enum class Kind : u8 { A = 1, B };
struct S { u64 member = 0; static constexpr u64 kX = 1; static S make(u64 v) noexcept { return S{v}; } };
template <typename T> concept C = requires(T& t) { { t.f() } noexcept; };
static_assert(sizeof(S) == 8, "static long asm");
consteval u8 digit(char c) {
  throw "no digit";
}
constexpr S f(S s) { u64 local = 0; return S{local + s.member}; }
template <typename T>
u64 g(T const& t) noexcept {
  static constexpr u64 kLocal = 3;
  u64 value = kLocal;
  for (u64 i = 0; i < 3; ++i) { value += i; }
  return value;
}
}
"""
        self.assertEqual(self.problems(good), [])

    def test_bad_lines(self):
        for line in ("#if X\n#endif", "#ifdef X\n#endif", '#ifndef A\n#endif', 'void f() { asm("nop"); }',
                     "void f() { __asm__(\"nop\"); }", "long x();", "unsigned long long y();",
                     "constexpr u64 k = 1UL;", "constexpr u64 k = 0xFFl;", "void f() { throw 1; }",
                     "thread_local constexpr int x = 1;", "#include <atomic>",
                     "u32 f(u32& x) { return __atomic_load_n(&x, 0); }", "void f(u32& x) { __sync_synchronize(); }",
                     "void f(std::atomic<int>& x);", "void f(std::atomic_ref<int> x);"):
            self.assertTrue(self.problems(line + "\n"), line)

    def test_static_storage(self):
        for line in ("u64 counter = 0;", "inline u64 counter;", "void f() { static u64 n = 0; }", "static u64 n;",
                     "constinit u64 n = 1;", "namespace mm { std::array<u8, 4> table{}; }", "char const* text = 0;",
                     "struct S { static u64 n; };", "void f() { static char const* p{}; }"):
            self.assertEqual(len(self.problems(line + "\n")), 1, line)

    def test_image_root_may_own_objects_but_not_instructions(self):
        self.assertEqual(self.problems("u64 counter = 0;\n", "core/user/image/main.cpp"), [])
        self.assertEqual(len(self.problems('void f() { asm("nop"); }\n', "core/user/image/main.cpp")), 1)

    def test_atomics_outside_ring0(self):
        self.assertEqual(self.problems("#include <atomic>\n", "core/user/x.hpp"), [])
        self.assertEqual(len(self.problems("#include <atomic>\n", "core/supervisor/x.hpp")), 1)

    def test_assembly_file(self):
        tree = Tree().add("core/base/x.hpp", "").add("core/base/entry.nasm", "nop\n")
        self.assertEqual(len(freestanding.check(tree.root)[0]), 1)


class Texts(unittest.TestCase):
    def test_spdx(self):
        tree = Tree().add("core/a.hpp", SPDX_LINE).add("core/b.hpp", "#pragma once\n").add("tools/x", "#!/bin/sh\n")
        tree.add("LICENSE", "text\n").add("core/c.nasm", "; SPDX-License-Identifier: BSD-2-Clause-Patent\n")
        self.assertEqual([p.split(":")[0] for p in texts.check_spdx(tree.root)[0]], ["core/b.hpp", "tools/x"])

    def test_machine_paths(self):
        home = "/ho" + "me/somebody/src"
        tree = Tree().add("a.md", f"see {home}\n").add("b.md", "see /usr/bin and tests/work/x and $root/work/x\n")
        self.assertEqual([p.split(":")[0] for p in texts.check_paths(tree.root)[0]], ["a.md"])


class Documents(unittest.TestCase):
    def problems(self, path: str, text: str) -> list[str]:
        tree = Tree().add("core/ARCHITECTURE.md", "# A\n\n## 3 Boot\n\n### 3.1 The loader\n").add("core/abi/x.hpp", "")
        return citations.check(tree.add(path, text).root)[0]

    def test_cited_sections(self):
        for comment in ("core/ARCHITECTURE.md 3", "core/ARCHITECTURE.md section 3.1", "core/ARCHITECTURE.md 3 and 3.1)", "core/ARCHITECTURE.md",
                        "core/ARCHITECTURE.md\n/// 3.1"):
            self.assertEqual(self.problems("core/abi/y.hpp", f"/// See ({comment}).\n"), [], comment)
        for comment in ("supervisor.md 3", "core/ARCHITECTURE.md 4", "core/ARCHITECTURE.md 3.1 and 3.2", "core/ARCHITECTURE.md\n/// 4"):
            self.assertEqual(len(self.problems("core/abi/y.hpp", f"/// See ({comment}).\n")), 1, comment)
        self.assertEqual(len(self.problems("hal/bare/x.nasm", "; core/ARCHITECTURE.md 4\n")), 1)
        self.assertEqual(self.problems("core/abi/y.hpp", 'auto x = "supervisor.md 3";\n'), [])

    def test_cited_files(self):
        self.assertEqual(self.problems("core/abi/y.hpp", "// as in core/abi/x.hpp\n"), [])
        self.assertEqual(len(self.problems("core/abi/y.hpp", "// as in core/abi/z.hpp\n")), 1)
        self.assertEqual(len(self.problems("core/README.md", "see `core/abi/z.hpp`\n")), 1)
        self.assertEqual(self.problems("core/README.md", "see `fuzz/NAME.cpp`\n"), [])

    def test_links(self):
        self.assertEqual(self.problems("core/abi/ABI.md", "[ARCHITECTURE 3.1](../ARCHITECTURE.md) [x](x.hpp) [y](https://a.b/c)\n"), [])
        self.assertEqual(len(self.problems("core/abi/ABI.md", "[ARCHITECTURE 4](../ARCHITECTURE.md) [x](z.hpp)\n")), 2)

    def test_vocabulary(self):
        def problems(enum: str, page: str) -> list[str]:
            tree = Tree().add("hal/roles/trace.hpp", enum + "\nenum class HaltReason : u64 { A };\n")
            return vocabulary.check(tree.add("hal/roles/TRACE.md", "| 0 | `A` | |\n" + page).root)[0]

        enum = "enum class TraceKind : u16 {\n  Entry = 1,  ///< a = 2, b\n  Exit = 0x11,\n  Next,\n};"
        page = "| 1 | `Entry` | |\n| 17 | `Exit` | |\n| 0x12 | `Next` | |\n"
        self.assertEqual(problems(enum, page), [])
        self.assertEqual(len(problems(enum, page.replace("| 17 | `Exit` | |\n", ""))), 1)  # no row
        self.assertEqual(len(problems(enum, page.replace("17", "18"))), 2)  # another number
        self.assertEqual(len(problems(enum, page + "| 19 | `Gone` | |\n")), 1)  # a row of no word
        self.assertIn("there is no enum class TraceKind", " ".join(problems("", "")))

    def test_fields_of_events(self):
        source = '\nstruct Entry {\n  static constexpr std::array kFields{Field{"mmis", Form::Number},\n    Field{"at", Form::Code}};\n};\n'
        for row, wrong in (("| 1 | `Entry` | `mmis`, `at` | |", 0), ("| 1 | `Entry` | `at`, `mmis` | |", 1), ("| 1 | `Entry` | | |", 1)):
            tree = Tree().add("hal/roles/trace.hpp", source).add("hal/roles/TRACE.md", row + "\n")
            self.assertEqual(len(vocabulary._check_fields(tree.root)[0]), wrong, row)

    def test_guids_have_a_row(self):
        tree = Tree().add("core/abi/guids.hpp", "inline constexpr Guid gA = X;\ninline constexpr Guid gB = X;\n")
        problems, looked_at = vocabulary._check_guids(tree.add("core/abi/ABI.md", "| gA | |\n").root)
        self.assertEqual((len(problems), looked_at), (1, 2))

    def test_readmes(self):
        good = "word " * 40 + "\n"
        tree = Tree().add("core/README.md", good).add("core/abi/x.hpp", "").add("core/abi/README.md", good)
        tree.add("tests/README.md", good).add("tests/unit/README.md", good + "| `core_abi` | of core/abi |\n").add("tests/unit/core_abi/x.cpp", "")
        self.assertEqual(folders.check(tree.root)[0], [])
        tree.add("core/image/x.hpp", "").add("tests/unit/core_image/x.cpp", "").add("core/abi/README.md", "short\n").add("core/README.md", good * 61)
        self.assertEqual([p.split(":")[0] for p in folders.check(tree.root)[0]],
                         ["core/README.md", "core/abi/README.md", "core/image/README.md", "tests/unit/core_image/README.md"])


class Structure(unittest.TestCase):
    def test_file_size(self):
        tree = Tree().add("core/a/x.hpp", "int i;\n" * 450).add("core/a/y.hpp", "int i;\n" * 451).add("tests/z.cpp", "\n" * 900)
        problems, looked_at = structure.check_file_size(tree.root)
        self.assertEqual([p.split(":")[0] for p in problems], ["core/a/y.hpp"])
        self.assertEqual(looked_at, 2)

    def test_data_members_are_counted(self):
        for text, members in (("u64 a = 0, b = f(1, 2);", 2), ("std::map<u64, u64> m; u8 x[3] = {};", 2), ("int f() { u64 a; return a; }", 0),
                              ("X(int a) : a_{a}, b_(1) {} int a_;", 1), ("static constexpr u64 kX = 1; using T = int;", 0),
                              ("std::function<void(int)> f; void (*g)(int) = nullptr;", 2), ("struct In { int a; int b; }; In in;", 1),
                              ("struct { int a; } named;", 1), ("X& operator=(X const&) = default; friend class Y;", 0),
                              ("enum class E : u8 { A, B }; E e{};", 1), ("private: [[maybe_unused]] u64 a; public: alignas(16) u8 b;", 2),
                              ("template <typename T> T get() const; u64 n() const noexcept;", 0)):
            counted = [m for _, name, _, m in structure.classes("class X final : public Y<int> {\n" + text + "\n};\n") if name == "X"]
            self.assertEqual(counted, [members], text)

    def test_class_size(self):
        wide = "struct Wide {\n" + "".join(f"  int m{i};\n" for i in range(16)) + "};\n"
        long = "class Long {\n" + "  void f() {}\n" * 300 + "};\n"
        apart = "template <typename T>\nclass Apart {\n  void f();\n};\n"
        body = "template <typename T>\nvoid Apart<T>::f() {\n" + "  g();\n" * 300 + "}\n"
        tree = Tree().add("core/a/x.hpp", "enum class Wide { A };\n" + wide + long + apart).add("core/a/y.hpp", body)
        problems = structure.check_class_size(tree.root)[0]
        self.assertEqual([p.split(" ")[1] for p in problems], ["Wide", "Long", "Apart"])

    def test_folder_size(self):
        tree = Tree()
        for i in range(26):
            tree.add(f"core/full/{i}.hpp", "").add(f"core/{i}/x.hpp", "")
        self.assertEqual([p.split(":")[0] for p in structure.check_folder_size(tree.root)[0]], ["core/full"])

    def test_cycles(self):
        tree = Tree().add("core/a/x.hpp", '#include "core/b/y.hpp"\n').add("core/b/y.hpp", '#include "core/c/z.hpp"\n')
        self.assertEqual(structure.check_cycles(tree.add("core/c/z.hpp", "").root)[0], [])
        problems = structure.check_cycles(tree.add("core/c/z.hpp", '#include "core/a/x.hpp"\n').root)[0]
        self.assertEqual(problems, ["folders that include each other: core/a, core/b, core/c"])

    def test_exceptions_must_be_needed_and_reasoned(self):
        def problems(rows: str, lines: int) -> list[str]:
            tree = Tree().add("tools/lint/exceptions.toml", "[file_lines]\n" + rows)
            return structure.check_file_size(tree.add("core/a/x.hpp", "\n" * lines).root)[0]

        row = '"core/a/x.hpp" = { now = 500, why = "a reason" }\n'
        self.assertEqual(problems(row, 500), [])
        self.assertEqual(len(problems(row, 501)), 1)  # grown
        self.assertIn("not needed any more", problems(row, 450)[0])
        self.assertIn("not needed any more", problems(row.replace("x.hpp", "gone.hpp"), 450)[0])
        self.assertIn("gives no reason", problems(row.replace("a reason", ""), 500)[0])

    def test_switches(self):
        def problems(switch: str) -> int:
            return len(switches.check(Tree().add("core/a/x.cpp", f"void f() {{ {switch} }}\n").root)[0])

        self.assertEqual(problems("switch (k) { case Kind::A: break; case hal::Kind::B: return; }"), 0)
        self.assertEqual(problems("switch (k) { case Kind::A: break; default: break; }"), 1)
        self.assertEqual(problems("switch (n) { case 1: break; case msr::kEfer: break; default: break; }"), 0)
        self.assertEqual(problems("switch (k) { case Kind::A: switch (n) { case 1: break; default: break; } }"), 0)
        self.assertEqual(problems("switch (n) { case 1: switch (f(k)) { case Kind::A: break; default: break; } }"), 1)


class Others(unittest.TestCase):
    def test_scenarios(self):
        tree = Tree().add("scenarios/a.toml", "schema = 1\n").add("scenarios/b.toml", "schema = 2\n")
        tree.add("scenarios/c.toml", "schema = \n").add("elsewhere/d.toml", "not toml at all")
        problems, looked_at = scenario_files.check(tree.root)
        self.assertEqual([p.split(":")[0] for p in problems], ["scenarios/b.toml", "scenarios/c.toml"])
        self.assertEqual(looked_at, 3)

    def test_file_guids_of_drivers(self):
        one = "11111111-2222-3333-4444-555555555555"
        text = f"mm_add_driver(A GUID {one})\nmm_add_driver(B\n  GUID {one} DEPEX \"TRUE\")\n"
        problems, _ = scenario_files.check(Tree().add("scenarios/drivers/CMakeLists.txt", text).root)
        self.assertEqual(problems, ["scenarios/drivers/CMakeLists.txt: B has the file GUID of A"])

    def test_a_guid_stands_for_one_thing(self):
        one, two = "11111111-2222-3333-4444-555555555555", "11111111-2222-3333-4444-666666666666"

        def problems(path: str, text: str) -> int:
            tree = Tree().add("scenarios/drivers/a.cpp", f'constexpr Guid kHandler = "{one}"_guid;\n')
            return len(guids.check(tree.add(path, text).root)[0])

        self.assertEqual(problems("scenarios/drivers/b.cpp", f'constexpr mm::Guid kHandler = mm::operator""_guid("{two}", 36);\n'), 0)
        self.assertEqual(problems("scenarios/drivers/b.cpp", f'constexpr mm::Guid kHandler = mm::operator""_guid("{one}", 36);\n'), 1)
        self.assertEqual(problems("sim/a/names.cpp", f'pair{{"A", "{one}"_guid}}, pair{{"B", "{two}"_guid}}'), 0)
        self.assertEqual(problems("sim/a/names.cpp", f'pair{{"A", "{one}"_guid}}, pair{{"B", "{one}"_guid}}'), 1)

    def test_headers_compile_alone(self):
        tree = Tree().add("core/a.hpp", "#pragma once\nstruct A { int x; };\n").add("core/b.hpp", "#pragma once\nA b();\n")
        self.assertEqual([p.split(":")[0] for p in headers.check(tree.root)[0]], ["core/b.hpp"])

    def test_page_of_the_scenario_format(self):
        reader = """only(root, {"schema", "step"}, "x"); only_step(t, {"cpu"}, "y"); keys.insert(keys.end(), {"kind"});
                    constexpr std::pair<std::string_view, Build> kinds[] = {{"mmi", &Reader::mmi}};"""
        page = "| `schema`, `[[step]]` | |\n| `kind` | |\n| `mmi` | `cpu` |\n"
        for removed, added, wrong in (("", "", 0), ("`cpu`", "", 1), ("| `mmi` | `cpu` |\n", "", 2), ("", "| `nmi` | |\n", 1)):
            text = page.replace(removed, "") + added
            tree = Tree().add("tools/lab/scenario/toml_reader.cpp", reader).add("scenarios/README.md", text)
            problems, looked_at = scenario_page.check(tree.root)
            self.assertEqual((len(problems), looked_at), (wrong, 5), problems)

    def test_format(self):
        tree = Tree().add(".clang-format", "BasedOnStyle: Google\n").add("core/a.cpp", "int  f( ) {return 1 ; }\n")
        tree.add("core/b.cpp", "int f() { return 1; }\n")
        problems, looked_at = formatting.check(tree.root)
        self.assertEqual([p.split(":")[0] for p in problems], ["core/a.cpp"])
        self.assertEqual(looked_at, 2)

    def test_storage(self):
        listing = ".text 12 0\n.data 0 0\n.bss 0 0\n.data.rel.ro.name 8 0\n"
        self.assertEqual(storage.sections_problems("a", listing), [])
        self.assertEqual(len(storage.sections_problems("a", listing + ".bss.x 4 0\n.init_array 8 0\n")), 2)

    def test_a_check_that_looks_at_nothing_says_so(self):
        self.assertEqual(freestanding.check(Tree().add("README.md", "").root), ([], 0))



class Planted(unittest.TestCase):
    """A planted defect whose line is gone is told, one that applies is not."""

    def problems(self, line: str) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "tests/planted").mkdir(parents=True)
            (root / "a.hpp").write_text("one\ntwo\nthree\n")
            patch = f"Why.\n\n--- a/a.hpp\n+++ b/a.hpp\n@@ -1,3 +1,2 @@\n one\n-{line}\n three\n"
            (root / "tests/planted/x.patch").write_text(patch)
            found, looked_at = planted.check(root)
            self.assertEqual(looked_at, 1)
            return found

    def test_applies(self):
        self.assertEqual(self.problems("two"), [])

    def test_its_line_is_gone(self):
        self.assertIn("does not apply", self.problems("four")[0])


if __name__ == "__main__":
    unittest.main()
