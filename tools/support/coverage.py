# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Table of an lcov file: coverage.py INFO ROOT UNCOVERED LEAST_LINES LEAST_BRANCHES. Exit code 1 below a target."""

import pathlib
import sys


def files_of(info: pathlib.Path) -> dict[str, dict]:
    """Per source file: hits by line, and taken, all branches."""
    found, current = {}, None
    for line in info.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key == "SF":
            current = found.setdefault(value, {"lines": {}, "taken": 0, "branches": 0})
        elif key == "DA":
            number, hits = value.split(",")[:2]
            current["lines"][int(number)] = int(hits)
        elif key == "BRDA":
            # A branch of a line that never ran is counted by its line already.
            hits = value.rsplit(",", 1)[1]
            current["branches"] += 1
            current["taken"] += hits not in ("-", "0")
    return found


def percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0


def main() -> int:
    info, root, uncovered = (pathlib.Path(a) for a in sys.argv[1:4])
    least_lines, least_branches = float(sys.argv[4]), float(sys.argv[5])
    table, missing = [], []
    for name, data in sorted(files_of(info).items()):
        path = pathlib.Path(name).relative_to(root)
        hit = sum(1 for hits in data["lines"].values() if hits)
        table.append((path, hit, len(data["lines"]), data["taken"], data["branches"]))
        missing += [f"{path}:{line}" for line, hits in sorted(data["lines"].items()) if not hits]
    if not table:
        print("coverage: nothing of core/ was measured")
        return 1
    uncovered.write_text("".join(f"{line}\n" for line in missing), encoding="utf-8")
    for path, hit, lines, taken, branches in table:
        print(f"{str(path):44} {percent(hit, lines):6.1f} % of {lines:4} lines {percent(taken, branches):6.1f} % of {branches:4} branches")
    lines = percent(sum(row[1] for row in table), sum(row[2] for row in table))
    branches = percent(sum(row[3] for row in table), sum(row[4] for row in table))
    print(f"core: {lines:.1f} % lines (target {least_lines:g}), {branches:.1f} % branches (target {least_branches:g})")
    return 0 if lines >= least_lines and branches >= least_branches else 1


if __name__ == "__main__":
    sys.exit(main())
