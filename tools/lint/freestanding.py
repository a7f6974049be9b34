# SPDX-License-Identifier: BSD-2-Clause-Patent
"""core: no conditional compilation, no assembly, no mutable static storage, no type whose size differs between hosts.

Ring 0 has no atomics either: words that CPUs share go through hal::Cpu (load_shared() and its kin), where a scheduler
sees them.

core/user/image, the root of the ring-3 image, owns that image's object and its entry in .nasm: there statics are allowed.
"""

import pathlib
import re

from common import code_only, cpp_files, files, is_under, line_of, read

IMAGE_ROOT = "core/user/image"

FORBIDDEN = [
    (re.compile(r"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else)\b", re.MULTILINE), "conditional compilation"),
    (re.compile(r"\b(asm|__asm__|__asm)\b"), "assembly"),
    (re.compile(r"\blong\b"), "`long` differs between LP64 and LLP64"),
    (re.compile(r"\b(?:0[xX][0-9A-Fa-f']+|0[bB][01']+|[0-9][0-9']*)(?:[uU][lL]|[lL][uU]?)(?![lL\w])"),
     "suffix L or UL: use u64{} or ull"),
    (re.compile(r"\b(try|catch|throw)\b(?!\s*\"\")"), "exceptions"),
    (re.compile(r"\b(dynamic_cast|typeid)\b"), "run-time type information"),
    (re.compile(r"\bthread_local\b"), "thread-local storage"),
]
_ATOMIC = (re.compile(r"\b__(?:atomic|sync)_\w+|\bstd\s*::\s*(?:atomic|memory_order)\w*|#[ \t]*include[ \t]*<atomic>"),
           "atomic access: words that CPUs share go through hal::Cpu")
# Ring 3 and the normal world have no hal::Cpu.
_OUTSIDE_RING0 = ("core/user", "core/communication")
_LOCAL_STATIC = re.compile(r"\bstatic\b(?!_)(?P<rest>[^;{=(]*)(?P<end>[;{=(])")
_NOT_A_VARIABLE = re.compile(
    r"^(template|class|struct|enum|union|using|typedef|namespace|static_assert|concept|friend|requires|extern)\b|^\[\[")


def _statements_at_namespace_scope(code: str):
    """(offset, text up to its ; or {) of each statement outside functions and classes."""
    stack, start, i = [], 0, 0
    while i < len(code):
        c = code[i]
        if c == "#" and code[start:i].strip() == "":
            while i < len(code) and code[i] != "\n":
                i += 2 if code[i] == "\\" else 1
            start = i
            continue
        if c in ";{":
            text = code[start:i]
            outside = all(kind == "namespace" for kind in stack)
            if outside and text.strip():
                yield start + len(text) - len(text.lstrip()), text.strip()
        if c == "{":
            head = code[start:i].strip()
            is_namespace = re.match(r"(inline\s+)?namespace\b|extern\s*\"\"", head) is not None
            stack.append("namespace" if is_namespace else "other")
        elif c == "}" and stack:
            stack.pop()
        if c in ";{}":
            start = i + 1
        i += 1


def _is_mutable_variable(statement: str) -> bool:
    statement = re.sub(r"^(\[\[.*?\]\]|\s)+", "", statement)
    if re.search(r"\bconst(expr|eval)\b", statement) or _NOT_A_VARIABLE.match(statement):
        return False
    declarator = statement.split("=")[0]
    if "(" in declarator or "operator" in declarator:
        return False
    return len(re.findall(r"[A-Za-z_]\w*", declarator)) >= 2


def storage_problems(code: str):
    """(offset, text) of each mutable variable with static storage. `code` is without comments and literals."""
    for match in _LOCAL_STATIC.finditer(code):
        if not re.search(r"\bconst(expr|eval)\b", match["rest"]) and match["end"] != "(":
            yield match.start(), "mutable static storage (make it constexpr, or hold it in the object that owns it)"
    for offset, statement in _statements_at_namespace_scope(code):
        if not statement.startswith("static") and _is_mutable_variable(statement):
            yield offset, "variable at namespace scope that is not constexpr"


def _throw_is_compile_time(code: str, offset: int) -> bool:
    """A throw in a consteval function is a compile-time message, never code."""
    before = code[:offset]
    functions = list(re.finditer(r"^\S[^\n;]*\(", before, re.MULTILINE))
    return bool(functions) and "consteval" in functions[-1].group(0)


def check(root: pathlib.Path) -> tuple[list[str], int]:
    problems, looked_at = [], 0
    for path in cpp_files(root):
        if not is_under(path, "core"):
            continue
        looked_at += 1
        code = code_only(read(root, path))
        found = []
        in_ring0 = not any(is_under(path, outside) for outside in _OUTSIDE_RING0)
        for pattern, what in FORBIDDEN + ([_ATOMIC] if in_ring0 else []):
            for match in pattern.finditer(code):
                if match.group(0) == "throw" and _throw_is_compile_time(code, match.start()):
                    continue
                found.append((match.start(), what))
        if not is_under(path, IMAGE_ROOT):
            found += storage_problems(code)
        problems += [f"{path}:{line_of(code, offset)}: {what}" for offset, what in sorted(found)]
    for path in files(root):
        if is_under(path, "core") and path.suffix in {".nasm", ".asm", ".s", ".S"} and not is_under(path, IMAGE_ROOT):
            problems.append(f"{path}: assembly under core belongs to {IMAGE_ROOT} or to hal")
    return problems, looked_at
