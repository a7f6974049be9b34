# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The measures of the tree: lines of a file, lines and data members of a class, files of a folder, cycles of folders.

What is larger stands in exceptions.toml with its reason.
"""

import pathlib
import re

from common import code_only, cpp_files, files, line_of, read
from exceptions import Exceptions
from includes import INCLUDE

PRODUCT = ("core", "hal", "sim", "scenarios", "tools")
CODE_SUFFIXES = {".hpp", ".cpp", ".h", ".c", ".nasm", ".inc", ".py", ".sh"}
MAX_FILE_LINES = 450
MAX_CLASS_LINES = 300
MAX_CLASS_MEMBERS = 15
MAX_FOLDER_FILES = 25

_CLASS = re.compile(
    r"\b(?:class|struct|union)\s+(?:\[\[[^\]]*\]\]\s*|alignas\([^)]*\)\s*)*(?P<name>[A-Za-z_][\w:]*)"
    r"\s*(?:<[^;{}()]*>)?\s*(?:final\s*)?(?::[^;{}()]*(?:\([^;{}()]*\)[^;{}()]*)*)?\{")
_MEMBER_FUNCTION = re.compile(r"^\w[^;{}()=]*?\b(?P<name>[A-Za-z_][\w:]*?)(?:<[^<>;{}()]*>)?::~?\w+\([^;{}]*?\)[^;{}]*\{", re.MULTILINE)
_NO_MEMBER = re.compile(r"^(using|typedef|friend|static|template|static_assert|requires|concept|extern)\b")
_TYPE = re.compile(r"^(class|struct|union|enum)\b")


def is_product(path: pathlib.PurePosixPath) -> bool:
    return path.parts[0] in PRODUCT


def block_end(code: str, start: int) -> int:
    """Offset behind the brace that closes the one at `start`."""
    depth = 0
    for i in range(start, len(code)):
        if code[i] == "{":
            depth += 1
        elif code[i] == "}":
            depth -= 1
            if depth == 0:
                return i + 1
    return len(code)


def _statements(body: str):
    """The declarations of a class body, each block in them as {}. What ends with a block (a function) is left out."""
    text, i = "", 0
    while i < len(body):
        c = body[i]
        if c == "{":
            i = block_end(body, i)
            following = body[i:].lstrip()[:1]
            text = text + "{}" if following in {";", ",", "{", "="} else (text + "{}" if _names_member_next(text, body[i:]) else "")
            continue
        if c == ";":
            yield text.strip()
            text = ""
        elif c != "#":
            text += c
        else:
            i = body.find("\n", i)
            if i < 0:
                return
        i += 1


def _names_member_next(text: str, rest: str) -> bool:
    """`struct { ... } name;`: the block is a type, and a member follows."""
    head = re.sub(r"^\s*((public|private|protected)\s*:\s*)*", "", text)
    return _TYPE.match(head) is not None and re.match(r"\s*\w+\s*(\{|=|;|\[)", rest) is not None


def _members(statement: str) -> int:
    """How many data members a declaration makes."""
    statement = re.sub(r"\b(public|private|protected)\s*:", " ", statement)
    statement = re.sub(r"\[\[.*?\]\]|\balignas\s*\([^)]*\)", " ", statement).strip()
    if not statement or _NO_MEMBER.match(statement) or "operator" in statement:
        return 0
    if _TYPE.match(statement) and (statement.endswith("{}") or len(statement.split()) <= 2 or re.match(r"enum\b[^{]*$", statement)):
        return 0
    previous = None
    while previous != statement:
        previous, statement = statement, re.sub(r"<[^<>;]*>", " ", statement)
    if re.match(r"[^=({]*\(\s*\*", statement):
        return 1  # a pointer to a function
    count = 0
    for declarator in re.sub(r"\([^()]*\)", lambda m: m.group(0).replace(",", " "), statement).split(","):
        head = re.split(r"=|\{", declarator)[0]
        if "(" in head:
            return 0
        count += 1
    return count


def classes(code: str):
    """(offset, name, lines, data members) of each class of `code`, which is without comments and literals."""
    for match in _CLASS.finditer(code):
        if re.search(r"\benum\s+$", code[:match.start()]):
            continue
        end = block_end(code, match.end() - 1)
        lines = code.count("\n", match.start(), end) + 1
        yield match.start(), match["name"], lines, sum(map(_members, _statements(code[match.end():end - 1])))


def lines_outside(code: str) -> dict[str, int]:
    """Lines of the member functions that are defined outside their class, by the name of the class."""
    found: dict[str, int] = {}
    for match in _MEMBER_FUNCTION.finditer(code):
        end = block_end(code, match.end() - 1)
        found[match["name"]] = found.get(match["name"], 0) + code.count("\n", match.start(), end) + 1
    return found


def check_file_size(root: pathlib.Path) -> tuple[list[str], int]:
    exceptions, problems, looked_at = Exceptions(root, "file_lines"), [], 0
    for path in files(root):
        if not is_product(path) or path.suffix not in CODE_SUFFIXES:
            continue
        looked_at += 1
        lines = read(root, path).count("\n")
        if lines > MAX_FILE_LINES and not exceptions.allows(path.as_posix(), lines):
            problems.append(f"{path}: {lines} lines, more than {MAX_FILE_LINES}: give each theme a file of its own")
    return problems + exceptions.problems(), looked_at


def check_class_size(root: pathlib.Path) -> tuple[list[str], int]:
    """The lines of a class are those of its body and of its member functions in the files of its folder."""
    long, wide = Exceptions(root, "class_lines"), Exceptions(root, "class_members")
    problems, looked_at = [], 0
    codes = {path: code_only(read(root, path)) for path in cpp_files(root) if is_product(path)}
    outside: dict[tuple[str, str], int] = {}
    for path, code in codes.items():
        for name, lines in lines_outside(code).items():
            key = (path.parent.as_posix(), name)
            outside[key] = outside.get(key, 0) + lines
    for path, code in codes.items():
        for offset, name, lines, members in classes(code):
            looked_at += 1
            lines += outside.get((path.parent.as_posix(), name), 0)
            key, place = f"{path}: {name}", f"{path}:{line_of(code, offset)}: {name}"
            if lines > MAX_CLASS_LINES and not long.allows(key, lines):
                problems.append(f"{place} has {lines} lines, more than {MAX_CLASS_LINES}")
            if members > MAX_CLASS_MEMBERS and not wide.allows(key, members):
                problems.append(f"{place} has {members} data members, more than {MAX_CLASS_MEMBERS}: give parts their own state")
    return problems + long.problems() + wide.problems(), looked_at


def check_folder_size(root: pathlib.Path) -> tuple[list[str], int]:
    exceptions, count = Exceptions(root, "folder_files"), {}
    for path in files(root):
        folder = path.parent.as_posix()
        count[folder] = count.get(folder, 0) + 1
    problems = [f"{folder}: {n} files, more than {MAX_FOLDER_FILES}: give each theme a folder of its own"
                for folder, n in sorted(count.items()) if n > MAX_FOLDER_FILES and not exceptions.allows(folder, n)]
    return problems + exceptions.problems(), len(count)


def _circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of folders each of which reaches each other."""
    def reached(start: str) -> set[str]:
        seen, todo = set(), list(edges.get(start, ()))
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo += edges.get(node, ())
        return seen

    reach = {node: reached(node) for node in edges}
    groups = {tuple(sorted(other for other in reach[node] if node in reach.get(other, ()))) for node in edges if node in reach[node]}
    return [list(group) for group in sorted(groups)]


def check_cycles(root: pathlib.Path) -> tuple[list[str], int]:
    """No cycle of includes between folders, and none between the top folders."""
    exceptions, problems, looked_at = Exceptions(root, "cycles"), [], 0
    for depth in (None, 1):
        edges: dict[str, set[str]] = {}
        for path in cpp_files(root):
            if not is_product(path):
                continue
            source = "/".join(path.parts[:-1][:depth])
            for match in INCLUDE.finditer(read(root, path)):
                looked_at += 1
                target = "/".join(pathlib.PurePosixPath(match["own"]).parts[:-1][:depth]) if match["own"] else source
                if target and target != source:
                    edges.setdefault(source, set()).add(target)
        problems += [f"folders that include each other: {', '.join(group)}" for group in _circles(edges)
                     if not exceptions.allows(" ".join(group))]
    return problems + exceptions.problems(), looked_at
