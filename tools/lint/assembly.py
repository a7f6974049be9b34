# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Numbers of the processor in assembly are those of core/arch: `%define MSR_EFER 0xC0000080 ; arch::kMsrEfer`."""

import re
import pathlib

from common import files, read

CONSTANT = re.compile(r"inline constexpr \w+ (k\w+) = ([^;]+);")
DEFINE = re.compile(r"^%define\s+(\w+)\s+(0x[0-9A-Fa-f]+|\d+)\s*(?:;\s*arch::(k\w+))?")
MUST_NAME = ("MSR_", "CR0_", "CR4_", "TSS_", "GDT_", "RFLAGS_")


def value_of(expression: str, known: dict[str, int]) -> int | None:
    """What a C++ expression of numbers, shifts, | and constants above it is; None for any other."""
    text = re.sub(r"(?<=\w)'(?=\w)", "", expression)
    text = re.sub(r"\b(0x[0-9A-Fa-f]+|\d+)(?:ull|u)?\b", r"\1", text, flags=re.IGNORECASE)
    text = re.sub(r"\bk\w+", lambda m: str(known.get(m.group(), m.group())), text)
    return eval(text) if re.fullmatch(r"[0-9A-Fa-fx\s|()+<]+", text) else None  # noqa: S307 - digits and operators only


def constants(root: pathlib.Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for path in files(root):
        if path.parts[:2] == ("core", "arch") and path.suffix == ".hpp":
            for name, expression in CONSTANT.findall(read(root, path)):
                value = value_of(expression, found)
                if value is not None:
                    found[name] = value
    return found


def check(root: pathlib.Path) -> tuple[list[str], int]:
    known = constants(root)
    problems, looked_at = [], 0
    for path in files(root):
        if path.suffix not in (".nasm", ".inc"):
            continue
        for number, line in enumerate(read(root, path).splitlines(), 1):
            match = DEFINE.match(line)
            if not match or not (match.group(3) or match.group(1).startswith(MUST_NAME)):
                continue
            looked_at += 1
            name, text, constant = match.groups()
            if constant is None:
                problems.append(f"{path}:{number}: {name} names no constant of core/arch; write '; arch::k...' behind it")
            elif constant not in known:
                problems.append(f"{path}:{number}: core/arch has no {constant}")
            elif int(text, 0) != known[constant]:
                problems.append(f"{path}:{number}: {name} is {text}, arch::{constant} {known[constant]:#x}")
    return problems, looked_at
