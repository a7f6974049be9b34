# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Each planted defect of tests/planted still has its place: the patch applies to the tree as it is."""

import pathlib
import subprocess


def check(root: pathlib.Path) -> tuple[list[str], int]:
    problems, patches = [], sorted((root / "tests/planted").glob("*.patch"))
    for patch in patches:
        applied = subprocess.run(["git", "apply", "--check", str(patch.resolve())], cwd=root, capture_output=True, text=True)
        if applied.returncode != 0:
            why = applied.stderr.strip().split("\n")[0]
            problems.append(f"{patch.relative_to(root)}: does not apply ({why}): plant it where its line is now")
    return problems, len(patches)
