# SPDX-License-Identifier: BSD-2-Clause-Patent
"""core/abi/DIFFERENCES.md and core/THREATS.md: every row names tests, scenarios or fuzz targets that exist."""

import pathlib
import re

from common import files, read

# page: the head of the column that names them, the last one of its tables
PAGES = {"core/abi/DIFFERENCES.md": "Test", "core/THREATS.md": "attacked by"}
TEST = re.compile(r"\bTEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)")


def tests_of(root: pathlib.Path) -> set[str]:
    found = set()
    for path in files(root):
        if path.suffix == ".cpp" and path.parts[0] == "tests":
            found |= {f"{suite}.{name}" for suite, name in TEST.findall(read(root, path))}
    return found


def exists(name: str, tests: set[str], root: pathlib.Path) -> bool:
    if name.endswith(".toml"):
        return (root / "scenarios" / name).is_file() or "/" not in name and any((root / "scenarios").rglob(name))
    if name.endswith((".cpp", ".py")):
        return (root / name).is_file() or any((root / "tests" / "scenario").glob(name))
    if name.endswith(".*"):
        return any(test.startswith(name[:-1]) for test in tests)
    return name in tests


def rows(lines: list[str], head: str):
    """(line number, last cell) of each row of the tables whose last column is called `head`."""
    inside = False
    for number, line in enumerate(lines, 1):
        following = lines[number] if number < len(lines) else ""
        if line.startswith("|") and following.startswith("|--"):
            inside = line.rstrip("| ").rsplit("|", 1)[-1].strip() == head
        elif not line.startswith("| "):
            inside = inside and line.startswith("|--")
        elif inside:
            yield number, line.rstrip("| ").rsplit("|", 1)[-1]


def check(root: pathlib.Path) -> tuple[list[str], int]:
    problems, looked_at, tests = [], 0, tests_of(root)
    for page, head in PAGES.items():
        if not (root / page).is_file():
            continue
        for number, cell in rows((root / page).read_text(encoding="utf-8").splitlines(), head):
            looked_at += 1
            named = re.findall(r"`([^`]+)`", cell)
            if not named:
                problems.append(f"{page}:{number}: the row names no test")
            problems += [f"{page}:{number}: there is no test {name}" for name in named if not exists(name, tests, root)]
    return problems, looked_at
