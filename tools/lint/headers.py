# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Each header compiles alone: it includes what it uses, so that a reader and a test can take it by itself.

Slow (a compiler run a header), so `tools/test --full` runs it, and not ctest.
"""

import concurrent.futures
import os
import pathlib
import subprocess

from common import cpp_files
from exceptions import Exceptions

COMPILER = ("clang++-19", "-std=c++23", "-fsyntax-only", "-Wno-unused", "-x", "c++", "-")


def _first_error(root: pathlib.Path, path: pathlib.PurePosixPath) -> str | None:
    run = subprocess.run([*COMPILER, f"-I{root}"], input=f'#include "{path}"\n', capture_output=True, text=True, check=False, cwd=root)
    if run.returncode == 0:
        return None
    errors = [line for line in run.stderr.splitlines() if "error:" in line]
    return errors[0] if errors else f"the compiler ended with {run.returncode}"


def check(root: pathlib.Path, only: str = "") -> tuple[list[str], int]:
    """`only`: the beginning of the paths that are looked at."""
    exceptions = Exceptions(root, "headers")
    headers = [path for path in cpp_files(root) if path.suffix in {".hpp", ".h"} and path.as_posix().startswith(only)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = list(pool.map(lambda path: _first_error(root, path), headers))
    problems = [f"{path}: does not compile alone: {error}" for path, error in zip(headers, errors)
                if error and not exceptions.allows(path.as_posix())]
    return problems + ([] if only else exceptions.problems()), len(headers)
