# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The archives of core, built without instrumentation, hold no writable data and no start-up code."""

import pathlib
import re
import subprocess

WRITABLE = re.compile(r"^(\.(?:data|bss|tdata|tbss|init_array|ctors)(?:\.(?!rel\.ro)\S+)?)\s+([1-9]\d*)\s", re.MULTILINE)


def sections_problems(archive: str, listing: str) -> list[str]:
    """`listing` is what `llvm-size -A` prints."""
    return [f"{archive}: section {name} has {size} bytes" for name, size in WRITABLE.findall(listing)]


def check(archives: list[pathlib.Path], program: str = "llvm-size-19") -> tuple[list[str], int]:
    problems = []
    for archive in archives:
        run = subprocess.run([program, "-A", str(archive)], capture_output=True, text=True, check=True)
        problems += sections_problems(archive.name, run.stdout)
    return problems, len(archives)
