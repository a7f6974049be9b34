# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A README.md in each folder that has sources, of one screen. A folder below another one that is told in a table of the
README above it (`| `name` | ...`) needs none of its own, but for folders that are modules."""

import pathlib
import re

from common import files, read
from exceptions import Exceptions
from structure import CODE_SUFFIXES

TOPS = ("core", "hal", "sim", "scenarios", "fuzz", "tools", "tests")
MODULE_DEPTH = 2  # core/policy
LEAST_WORDS = 30
MOST_LINES = 60  # what is longer is a document, and the README leads to it


def _told_above(root: pathlib.Path, folder: pathlib.PurePosixPath) -> bool:
    above = root / folder.parent / "README.md"
    if len(folder.parts) <= MODULE_DEPTH or not above.is_file():
        return False
    row = re.compile(rf"^\|[^|]*`{re.escape(folder.name)}/?`[^|]*\|", re.MULTILINE)
    return row.search(above.read_text(encoding="utf-8")) is not None


def check(root: pathlib.Path) -> tuple[list[str], int]:
    exceptions, problems = Exceptions(root, "readme_lines"), []
    folders = {path.parent for path in files(root) if path.parts[0] in TOPS and path.suffix in CODE_SUFFIXES}
    for folder in sorted(folders | {pathlib.PurePosixPath(top) for top in TOPS if (root / top).is_dir()}):
        readme = folder / "README.md"
        if not (root / readme).is_file():
            if not _told_above(root, folder):
                problems.append(f"{readme}: is missing; what is the folder, an example, what is not planned")
            continue
        text = read(root, readme)
        lines = text.count("\n")
        if len(text.split()) < LEAST_WORDS:
            problems.append(f"{readme}: too short to say what the folder is")
        if lines > MOST_LINES and not exceptions.allows(readme.as_posix(), lines):
            problems.append(f"{readme}: {lines} lines, more than {MOST_LINES}: a README is one screen and leads to the rest")
    return problems + exceptions.problems(), len(folders)
