# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every scenario is TOML with `schema = 1`. What is in it is checked by the scenario reader itself."""

import pathlib
import tomllib

from common import files, is_under


def check(root: pathlib.Path) -> tuple[list[str], int]:
    problems, looked_at = [], 0
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
