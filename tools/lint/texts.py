# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Checks of plain text: licence lines, paths of somebody's machine."""

import pathlib
import re

from common import CPP_SUFFIXES, files, line_of, read

SPDX = "SPDX-License-Identifier: BSD-2-Clause-Patent"
SPDX_SUFFIXES = CPP_SUFFIXES | {".c", ".h", ".nasm", ".py", ".rs", ".sh", ".cmake", ".svg"}
SPDX_NAMES = {"CMakeLists.txt"}
# In pieces, so that this file does not contain what it looks for.
MACHINE_PATH = re.compile(r"(?<![\w./$}~-])/(?:" + "|".join(("ho" + "me", "ro" + "ot", "wo" + "rk", "Us" + "ers")) + r")/[\w.]")


def check_spdx(root: pathlib.Path) -> tuple[list[str], int]:
    problems, looked_at = [], 0
    for path in files(root):
        text = None
        if path.suffix in SPDX_SUFFIXES or path.name in SPDX_NAMES:
            text = read(root, path)
        elif path.suffix == "" and (root / path).stat().st_size < 1_000_000:
            text = read(root, path)
            if not text.startswith("#!"):
                continue
        if text is None:
            continue
        looked_at += 1
        if not any(SPDX in line for line in text.splitlines()[:3]):
            problems.append(f"{path}:1: the line `{SPDX}` is missing at the top")
    return problems, looked_at


def check_paths(root: pathlib.Path) -> tuple[list[str], int]:
    problems, looked_at = [], 0
    for path in files(root):
        raw = (root / path).read_bytes()
        if b"\0" in raw:
            continue
        looked_at += 1
        text = raw.decode("utf-8", errors="replace")
        for match in MACHINE_PATH.finditer(text):
            problems.append(f"{path}:{line_of(text, match.start())}: path of one machine: {match.group(0)}...")
    return problems, looked_at
