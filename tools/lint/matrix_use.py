# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Each permission of include_matrix.toml is used: a module that may include another, or a library, does so somewhere."""

import pathlib
import tomllib

from common import cpp_files, read
from includes import INCLUDE, module_of


def _used(root: pathlib.Path, modules: dict, third_party: list[str]) -> dict[str, set[str]]:
    """What the files of each module include: modules and third-party libraries."""
    used: dict[str, set[str]] = {name: set() for name in modules}
    for path in cpp_files(root):
        module = module_of(path.as_posix(), modules)
        if module is None:
            continue
        for match in INCLUDE.finditer(read(root, path)):
            if match["own"]:
                used[module].add(module_of(match["own"], modules) or "")
            elif (head := match["system"].split("/")[0]) in third_party:
                used[module].add(head)
    return used


def check(root: pathlib.Path, matrix_file: pathlib.Path | None = None) -> tuple[list[str], int]:
    matrix_file = matrix_file or pathlib.Path(__file__).with_name("include_matrix.toml")
    with matrix_file.open("rb") as stream:
        matrix = tomllib.load(stream)
    modules = matrix["module"]
    used = _used(root, modules, matrix["standard"]["third_party"])
    problems, looked_at = [], 0
    for name, rule in modules.items():
        for permission in (*rule["may"], *rule["external"]):
            looked_at += 1
            if permission != "*" and permission not in used[name]:
                problems.append(f"{matrix_file.name}: {name} may include {permission} and does not")
    return problems, looked_at
