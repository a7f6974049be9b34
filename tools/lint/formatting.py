# SPDX-License-Identifier: BSD-2-Clause-Patent
"""clang-format of every C++ source."""

import pathlib
import re
import subprocess

from common import cpp_files


def check(root: pathlib.Path, program: str = "clang-format-19") -> tuple[list[str], int]:
    sources = [str(path) for path in cpp_files(root)]
    if not sources:
        return [], 0
    run = subprocess.run([program, "--dry-run", "-Werror", "--style=file", *sources], cwd=root, capture_output=True,
                         text=True, check=False)
    bad = sorted(set(re.findall(r"^([^\s:][^:\n]*):\d+:\d+: error:", run.stderr, re.MULTILINE)))
    problems = [f"{path}: not formatted; run clang-format-19 -i {path}" for path in bad]
    if run.returncode != 0 and not problems:
        problems.append(f"{program} failed: {run.stderr.strip()}")
    return problems, len(sources)
