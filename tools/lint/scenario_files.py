# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every scenario is TOML with `schema = 1`. What is in it is checked by the scenario reader itself. No two drivers have
the same file GUID."""

import pathlib
import re
import tomllib

from common import files, is_under


DRIVERS = pathlib.Path("scenarios/drivers/CMakeLists.txt")


def same_guids(root: pathlib.Path) -> list[str]:
    if not (root / DRIVERS).is_file():
        return []
    seen: dict[str, str] = {}
    problems = []
    for name, guid in re.findall(r"mm_add_driver\((\w+)[^)]*?GUID ([0-9A-Fa-f-]{36})", (root / DRIVERS).read_text(encoding="utf-8")):
        other = seen.setdefault(guid.upper(), name)
        if other != name:
            problems.append(f"{DRIVERS}: {name} has the file GUID of {other}")
    return problems


def check(root: pathlib.Path) -> tuple[list[str], int]:
    problems, looked_at = same_guids(root), 0
    for path in files(root):
        if not is_under(path, "scenarios") or path.suffix != ".toml":
            continue
        looked_at += 1
        try:
            content = tomllib.loads((root / path).read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            problems.append(f"{path}: {error}")
            continue
        if content.get("schema") != 1:
            problems.append(f"{path}: schema must be 1, not {content.get('schema')!r}")
    return problems, looked_at
