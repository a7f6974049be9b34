# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What comments and pages cite is there: documents and their sections, files of the tree, links.

A citation in a comment is the path of a document from the top of the tree, then sections: `core/ARCHITECTURE.md 3.3`.
In a page it is a link to a document whose text ends with the sections: "ABI 4".
"""

import pathlib
import posixpath
import re

from common import CPP_SUFFIXES, files, line_of, read
from exceptions import Exceptions

COMMENTED = CPP_SUFFIXES | {".nasm", ".inc", ".py", ".cmake", ".ld"}
TOPS = "core|hal|sim|scenarios|fuzz|tests|tools"
_NUMBER = r"\d+(?:\.\d+)*"
_NUMBERS = rf"{_NUMBER}(?:(?:, | and | to |, and ){_NUMBER})*"
_DOCUMENT = re.compile(rf"(?<![\w/.-])((?:[\w.-]+/)*[\w-]+\.md)\b(?:\s+(?://+\s*|[#;]\s*)?(?:section )?({_NUMBERS}))?")
_LINK = re.compile(r"\[([^\]\n]*)\]\(([^)\s]+)\)")
_TRAILING_NUMBERS = re.compile(rf"(?:^|\s)({_NUMBERS})$")
_FILE = re.compile(rf"(?<![\w/.-])((?:{TOPS})/(?:[\w-]+/)*[\w.-]+\.(?:hpp|cpp|nasm|inc|py|toml|xml|md|cmake|h|c))\b")
_HEADING = re.compile(rf"^#+\s+({_NUMBER})\b", re.MULTILINE)
_PLACEHOLDER = re.compile(r"/[A-Z]+(?:_\w+)?\.(?!md)\w+$")  # fuzz/NAME.cpp
# Fenced blocks show what programs print.
_FENCED = re.compile(r"```.*?```", re.DOTALL)


def sections(text: str) -> set[str]:
    return set(_HEADING.findall(text))


def comments(path: pathlib.PurePosixPath, text: str):
    """(offset, text) of each comment."""
    if path.suffix in CPP_SUFFIXES:
        pattern = re.compile(r"(?://[^\n]*\n\s*)*//[^\n]*|/\*.*?\*/", re.DOTALL)
    elif path.suffix in {".nasm", ".inc"}:
        pattern = re.compile(r";[^\n]*")
    else:
        pattern = re.compile(r"(?<!\S)#[^\n]*|\"\"\".*?\"\"\"", re.DOTALL)
    for match in pattern.finditer(text):
        yield match.start(), match.group(0)


class Documents:
    """The documents of a tree and their sections, read once."""

    def __init__(self, root: pathlib.Path):
        self._root = root
        self._sections: dict[str, set[str]] = {}
        self._missing: dict[str, int] = {}
        self.exceptions = Exceptions(root, "citations")

    def problem(self, document: str, numbers: str | None) -> str | None:
        file = self._root / document
        if not file.exists():
            self._missing[document] = self._missing.get(document, 0) + 1
            allowed = self.exceptions.allows(document, self._missing[document])
            return None if allowed else f"there is no {document}"
        if numbers is None or not file.is_file():
            return None
        known = self._sections.setdefault(document, sections(file.read_text(encoding="utf-8")))
        missing = [number for number in re.findall(_NUMBER, numbers) if number not in known]
        return f"{document} has no section {', '.join(missing)}" if missing else None


def _is_missing(root: pathlib.Path, file: str) -> bool:
    return not (root / file).exists() and not _PLACEHOLDER.search(file)


def _of_source(root, path, documents) -> list[str]:
    problems = []
    text = read(root, path)
    for offset, comment in comments(path, text):
        for match in _DOCUMENT.finditer(comment):
            if problem := documents.problem(match[1], match[2]):
                problems.append(f"{path}:{line_of(text, offset + match.start())}: {problem}")
        for match in _FILE.finditer(comment):
            if not match[1].endswith(".md") and _is_missing(root, match[1]):
                problems.append(f"{path}:{line_of(text, offset + match.start())}: there is no {match[1]}")
    return problems


def _of_page(root, path, documents) -> list[str]:
    problems = []
    text = _FENCED.sub(lambda m: "\n" * m.group(0).count("\n"), read(root, path))
    for match in _LINK.finditer(text):
        target = match[2].split("#")[0]
        if "://" in target or not target:
            continue
        numbers = _TRAILING_NUMBERS.search(match[1])
        document = posixpath.normpath(posixpath.join(path.parent.as_posix(), target))
        if problem := documents.problem(document, numbers[1] if numbers and target.endswith(".md") else None):
            problems.append(f"{path}:{line_of(text, match.start())}: {problem}")
    for match in re.finditer(r"`([^`\n]+)`", text):
        for file in _FILE.findall(match[1]):
            if _is_missing(root, file):
                problems.append(f"{path}:{line_of(text, match.start())}: there is no {file}")
    return problems


def check(root: pathlib.Path) -> tuple[list[str], int]:
    problems, looked_at, documents = [], 0, Documents(root)
    for path in files(root):
        if path.parts[0] == "tools" and path.name == "self_test.py":
            continue  # plants what is not there
        if path.suffix in COMMENTED:
            problems += _of_source(root, path, documents)
        elif path.suffix == ".md":
            problems += _of_page(root, path, documents)
        else:
            continue
        looked_at += 1
    return problems + documents.exceptions.problems(), looked_at
