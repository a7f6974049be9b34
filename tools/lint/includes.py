# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The include graph against include_matrix.toml, and the matrix against what is included."""

import pathlib
import re
import tomllib

from common import cpp_files, line_of, read

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"(?P<own>[^"]+)"|<(?P<system>[^>]+)>)', re.MULTILINE)
CHECKED_TOPS = ("core", "hal", "sim", "scenarios", "tools", "tests", "fuzz")


def module_of(path: str, modules: dict) -> str | None:
    matching = [name for name in modules if path.startswith(name + "/")]
    return max(matching, key=len, default=None)


def _own_problem(root, path, module, rule, modules, name):
    if not (root / name).is_file():
        return f'"{name}" is no path from the top of the tree'
    target = module_of(name, modules)
    if target is None:
        return f'"{name}" belongs to no module of the matrix'
    if target != module and target not in rule["may"] and "*" not in rule["may"]:
        return f"{module} may not include {target} ({name})"
    if target in ("tests", "fuzz") and module not in ("tests", "fuzz"):
        return f"nothing includes {target} ({name})"
    return None


def _system_problem(module, rule, standard, name):
    head = name.split("/")[0]
    if head in standard["third_party"]:
        if head not in rule["external"] and "*" not in rule["external"]:
            return f"{module} may not include <{name}>"
        return None
    if rule["standard"] == "freestanding" and name not in standard["freestanding"]:
        return f"{module} is freestanding and may not include <{name}>"
    return None


def check(root: pathlib.Path, matrix_file: pathlib.Path | None = None) -> tuple[list[str], int]:
    """Returns the problems and how many include lines were looked at."""
    matrix_file = matrix_file or pathlib.Path(__file__).with_name("include_matrix.toml")
    with matrix_file.open("rb") as stream:
        matrix = tomllib.load(stream)
    modules, standard = matrix["module"], matrix["standard"]
    problems, looked_at = [], 0
    for path in cpp_files(root):
        if path.parts[0] not in CHECKED_TOPS:
            continue
        module = module_of(path.as_posix(), modules)
        if module is None:
            problems.append(f"{path}: belongs to no module of {matrix_file.name}")
            continue
        text = read(root, path)
        for match in INCLUDE.finditer(text):
            looked_at += 1
            if match["own"]:
                problem = _own_problem(root, path, module, modules[module], modules, match["own"])
            else:
                problem = _system_problem(module, modules[module], standard, match["system"])
            if problem:
                problems.append(f"{path}:{line_of(text, match.start())}: {problem}")
    return problems, looked_at


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


def check_use(root: pathlib.Path, matrix_file: pathlib.Path | None = None) -> tuple[list[str], int]:
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
