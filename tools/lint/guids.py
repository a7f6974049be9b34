# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A GUID stands for one thing: one constant below each top folder, one name in a table of names, one file of a driver.

What shares a GUID on purpose (names that the field gives twice, a driver in two forms) stands in exceptions.toml.
"""

import pathlib
import re

from common import cpp_files, files, line_of, read
from exceptions import Exceptions
from structure import PRODUCT

_GUID = r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_CONSTANT = re.compile(rf"\bGuid\s+(\w+)\s*=\s*(?:(?:mm::)?operator\"\"_guid\()?\"({_GUID})\"")
_NAMED = re.compile(rf"\{{\s*\"([^\"]+)\"\s*,\s*\"({_GUID})\"_guid")
_DRIVER = re.compile(rf"mm_add_driver\((\w+)[^)]*?GUID\s+({_GUID})")


def _definitions(text: str):
    """(kind, name, guid, offset) of each definition in one file."""
    for kind, pattern in (("constant", _CONSTANT), ("name", _NAMED), ("driver", _DRIVER)):
        for match in pattern.finditer(text):
            yield kind, match[1], match[2].upper(), match.start()


def check(root: pathlib.Path) -> tuple[list[str], int]:
    exceptions, problems, looked_at = Exceptions(root, "guids"), [], 0
    seen: dict[tuple, str] = {}
    count: dict[str, int] = {}
    sources = [path for path in cpp_files(root) if path.parts[0] in PRODUCT]
    sources += [path for path in files(root) if path.parts[0] in PRODUCT and path.name == "CMakeLists.txt"]
    for path in sources:
        text = read(root, path)
        for kind, name, guid, offset in _definitions(text):
            looked_at += 1
            scope = path.as_posix() if kind == "name" else path.parts[0]
            place = f"{name} ({path}:{line_of(text, offset)})"
            other = seen.setdefault((kind, scope, guid), place)
            is_repeated = kind == "name" and other.split(" ")[0] == name
            if other is place or is_repeated:
                continue
            count[path.name] = count.get(path.name, 0) + 1
            if not exceptions.allows(path.name, count[path.name]):
                problems.append(f"{path}:{line_of(text, offset)}: {name} has the GUID of {other}")
    return problems + exceptions.problems(), looked_at
