#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Runs one check over the tree: lint.py CHECK [--root DIR]. Exit code 0 clean, 1 problems or nothing to look at."""

import argparse
import pathlib
import sys

import assembly
import citations
import differences
import folders
import formatting
import freestanding
import guids
import headers
import includes
import planted
import scenario_files
import scenario_page
import storage
import structure
import switches
import texts
import vocabulary

CHECKS = {
    "includes": includes.check,
    "matrix_use": includes.check_use,
    "freestanding": freestanding.check,
    "spdx": texts.check_spdx,
    "paths": texts.check_paths,
    "readmes": folders.check,
    "scenarios": scenario_files.check,
    "scenario_page": scenario_page.check,
    "format": formatting.check,
    "differences": differences.check,
    "assembly": assembly.check,
    "planted": planted.check,
    "file_size": structure.check_file_size,
    "class_size": structure.check_class_size,
    "folder_size": structure.check_folder_size,
    "cycles": structure.check_cycles,
    "switches": switches.check,
    "citations": citations.check,
    "vocabulary": vocabulary.check,
    "guids": guids.check,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("check", choices=[*CHECKS, "headers", "storage"])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--archive", type=pathlib.Path, action="append", default=[], help="for storage: a core archive")
    parser.add_argument("--only", default="", help="for headers: the beginning of their paths")
    arguments = parser.parse_args()
    if arguments.check == "storage":
        problems, looked_at = storage.check(arguments.archive)
    elif arguments.check == "headers":
        problems, looked_at = headers.check(arguments.root, arguments.only)
    else:
        problems, looked_at = CHECKS[arguments.check](arguments.root)
    if looked_at == 0:
        problems.append(f"{arguments.check}: found nothing to look at")
    for problem in problems:
        print(problem)
    print(f"{arguments.check}: {looked_at} looked at, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
