# SPDX-License-Identifier: BSD-2-Clause-Patent
"""core/abi/DIFFERENCES.md: every row names tests or scenarios that exist."""

import pathlib
import re

from common import files, read

TABLE = pathlib.PurePosixPath("core/abi/DIFFERENCES.md")
TEST = re.compile(r"\bTEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)")


def tests_of(root: pathlib.Path) -> set[str]:
    found = set()
    for path in files(root):
        if path.suffix == ".cpp" and path.parts[0] == "tests":
            found |= {f"{suite}.{name}" for suite, name in TEST.findall(read(root, path))}
    return found


def exists(name: str, tests: set[str], root: pathlib.Path) -> bool:
    if name.endswith(".toml"):
        return any((root / "scenarios").rglob(pathlib.PurePosixPath(name).name))
    if name.endswith(".*"):
        return any(test.startswith(name[:-1]) for test in tests)
    return name in tests


def check(root: pathlib.Path) -> tuple[list[str], int]:
    if not (root / TABLE).is_file():
        return [], 0
    tests = tests_of(root)
    problems, looked_at = [], 0
    lines = read(root, TABLE).splitlines()
    is_header = [following.startswith("|--") for following in [*lines[1:], ""]]
    rows = [(n, line) for n, line in enumerate(lines, 1) if line.startswith("| ") and not is_header[n - 1]]
    for number, line in rows:
        looked_at += 1
        named = re.findall(r"`([^`]+)`", line.rstrip("| ").rsplit("|", 1)[1])
        if not named:
            problems.append(f"{TABLE}:{number}: the row names no test")
        problems += [f"{TABLE}:{number}: there is no test {name}" for name in named if not exists(name, tests, root)]
    return problems, looked_at
