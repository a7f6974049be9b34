# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Each word of a vocabulary has its row in a page, with its number, and each such row has its word: system calls, notes,
requests, HOB types, trace events, halt reasons, step operations. Each GUID of core/abi/guids.hpp is named in core/abi/ABI.md.

The words come from the enumeration in the sources. A vocabulary that is not found is a problem: it moved or got a new name.
"""

import pathlib
import re

from common import code_only, cpp_files, is_under, read

# enumeration, folder of its sources, page of its rows
VOCABULARIES = (
    ("Syscall", "core/abi", "core/abi/ABI.md"),
    ("UserNote", "core/abi", "core/abi/ABI.md"),
    ("DriverDefect", "core/abi", "core/abi/ABI.md"),
    ("SupervisorRequest", "core/abi", "core/abi/ABI.md"),
    ("HobType", "core/abi", "core/abi/ABI.md"),
    ("TraceKind", "hal/roles", "hal/roles/TRACE.md"),
    ("HaltReason", "hal/roles", "hal/roles/TRACE.md"),
    ("StepOp", "core/steps", "core/steps/STEPS.md"),
)
GUIDS = ("core/abi/guids.hpp", "core/abi/ABI.md")
_ENUMERATOR = re.compile(r"\b([A-Z]\w*)\s*(?:=\s*(0[xX][0-9A-Fa-f']+|\d[\d']*)[uUlL]*\s*)?(?=,|$)")


def enumerators(code: str, name: str) -> dict[str, int] | None:
    """The enumerators of `enum class name` and their values; None when it is not in `code`."""
    match = re.search(rf"\benum\s+class\s+{name}\b[^{{;]*\{{([^}}]*)\}}", code)
    if match is None:
        return None
    values, following = {}, 0
    for word, value in _ENUMERATOR.findall(match[1].strip()):
        following = int(value.replace("'", ""), 0) if value else following
        values[word] = following
        following += 1
    return values


def rows(page: str) -> list[tuple[int, str]]:
    """(number, word) of each row `| 0x7 | `Word` | ...` of a page."""
    found = re.findall(r"^\|\s*(0[xX][0-9A-Fa-f]+|\d+)\s*\|\s*`(\w+)`\s*\|", page, re.MULTILINE)
    return [(int(number, 0), word) for number, word in found]


def _words(root, name, folder) -> dict[str, int]:
    """The words of one vocabulary; none when it is not found."""
    words: dict[str, int] = {}
    for path in cpp_files(root):
        if is_under(path, folder):
            words = enumerators(code_only(read(root, path)), name) or words
    return words


def _check_page(root, page, vocabularies) -> tuple[list[str], int]:
    if not (root / page).is_file():
        return [f"{page}: is missing; it has the rows of {', '.join(name for name, _ in vocabularies)}"], 0
    described = rows((root / page).read_text(encoding="utf-8"))
    problems, known = [], set()
    for name, folder in vocabularies:
        words = _words(root, name, folder)
        if not words:
            problems.append(f"{folder}: there is no enum class {name}; mend the table of vocabulary.py")
        problems += [f"{page}: {name}::{word} = {value:#x} has no row" for word, value in words.items() if (value, word) not in described]
        known |= {(value, word) for word, value in words.items()}
    problems += [f"{page}: the row of `{word}` = {value:#x} is of no word" for value, word in described if (value, word) not in known]
    return problems, len(known)


def _check_guids(root) -> tuple[list[str], int]:
    source, page = (root / name for name in GUIDS)
    if not source.is_file() or not page.is_file():
        return [], 0
    names = re.findall(r"\bGuid\s+(\w+)\s*=", source.read_text(encoding="utf-8"))
    text = page.read_text(encoding="utf-8")
    return [f"{GUIDS[1]}: {name} is not named" for name in names if not re.search(rf"\b{name}\b", text)], len(names)


def _check_fields(root) -> tuple[list[str], int]:
    """The row of a trace event names the fields of its struct, in their order."""
    source, page = root / "hal/roles/trace.hpp", root / "hal/roles/TRACE.md"
    if not source.is_file() or not page.is_file():
        return [], 0
    lines: dict[str, str] = {}
    for name, cell in re.findall(r"^\|\s*\d+\s*\|\s*`(\w+)`\s*\|([^|]*)\|", page.read_text(encoding="utf-8"), re.MULTILINE):
        lines.setdefault(name, cell)  # a reason of a halt may have the name of an event, in a table further down
    problems, looked_at = [], 0
    for name, body in re.findall(r"\nstruct (\w+) \{\n(.*?)\n\};", source.read_text(encoding="utf-8"), re.DOTALL):
        if "kFields" not in body:
            continue
        looked_at += 1
        fields = re.findall(r'Field\{"(\w+)"', body)
        if re.findall(r"`(\w+)`", lines.get(name, "")) != fields:
            problems.append(f"hal/roles/TRACE.md: the row of {name} must name its fields: {', '.join(fields) or 'none'}")
    return problems, looked_at


def check(root: pathlib.Path) -> tuple[list[str], int]:
    problems, looked_at = _check_guids(root)
    fields, count = _check_fields(root)
    problems, looked_at = problems + fields, looked_at + count
    for page in dict.fromkeys(page for _, _, page in VOCABULARIES):
        vocabularies = [(name, folder) for name, folder, where in VOCABULARIES if where == page and (root / folder).is_dir()]
        if vocabularies:
            found, count = _check_page(root, page, vocabularies)
            problems += found
            looked_at += count
    return problems, looked_at
