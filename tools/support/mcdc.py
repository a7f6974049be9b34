# SPDX-License-Identifier: BSD-2-Clause-Patent
"""MC/DC of an llvm-cov export: mcdc.py EXPORT.json ROOT OPEN PART...

Of each file below the parts: how many conditions of its decisions were shown to decide by themselves (with the others as
they were, this one changed the outcome). A decision in a template counts once, with what all its instances showed together.
OPEN gets one line for each condition that was not shown. Exit code 1 when nothing was measured."""

import json
import pathlib
import sys


def decisions(export: dict) -> dict[tuple, list[bool]]:
    """(file, line, column, end line, end column) of each decision, and which of its conditions were shown."""
    found: dict[tuple, list[bool]] = {}
    for data in export["data"]:
        for function in data["functions"]:
            for record in function.get("mcdc_records", []):
                line, column, end_line, end_column, *_, shown = record
                key = (function["filenames"][0], line, column, end_line, end_column)
                old = found.get(key, [False] * len(shown))
                found[key] = [a or b for a, b in zip(old, shown)]
    return found


def main() -> int:
    export, root, unshown = (pathlib.Path(a) for a in sys.argv[1:4])
    parts = tuple(part.rstrip("/") + "/" for part in sys.argv[4:])
    files: dict[str, list] = {}
    for (name, *place), shown in sorted(decisions(json.loads(export.read_text(encoding="utf-8"))).items()):
        path = pathlib.Path(name)
        if path.is_relative_to(root) and str(path.relative_to(root)).startswith(parts):
            files.setdefault(str(path.relative_to(root)), []).append((place, shown))
    if not files:
        print("coverage: no decision of " + ", ".join(parts) + " was measured")
        return 1
    lines = []
    all_shown = all_conditions = 0
    for name, found in files.items():
        count = sum(len(shown) for _, shown in found)
        covered = sum(sum(shown) for _, shown in found)
        all_shown, all_conditions = all_shown + covered, all_conditions + count
        print(f"{name:44} {100 * covered / count:6.1f} % of {count:4} conditions in {len(found):4} decisions")
        for (line, column, *_), shown in found:
            lines += [f"{name}:{line}:{column}: condition {i} of {len(shown)}\n" for i, yes in enumerate(shown, 1) if not yes]
    unshown.write_text("".join(lines), encoding="utf-8")
    print(f"MC/DC: {100 * all_shown / all_conditions:.1f} % of {all_conditions} conditions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
