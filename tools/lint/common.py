# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the checks share: the list of files, and C++ text without comments and literals."""

import pathlib
import re
import subprocess

CPP_SUFFIXES = {".hpp", ".cpp", ".h", ".c"}
SKIPPED_FOLDERS = {".git", "build", ".cache"}


def files(root: pathlib.Path) -> list[pathlib.PurePosixPath]:
    """Files of the project, relative to `root`: tracked or new but not ignored; every file where there is no git."""
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True, check=True).stdout.decode().split("\0")
        found = [name for name in listed if name and (root / name).is_file()]
    else:
        found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        found = [name for name in found if not SKIPPED_FOLDERS & set(name.split("/"))]
    return [pathlib.PurePosixPath(name) for name in sorted(found)]


def cpp_files(root: pathlib.Path) -> list[pathlib.PurePosixPath]:
    return [path for path in files(root) if path.suffix in CPP_SUFFIXES]


def is_under(path: pathlib.PurePosixPath, folder: str) -> bool:
    return path.as_posix().startswith(folder + "/")


def read(root: pathlib.Path, path: pathlib.PurePosixPath) -> str:
    return (root / path).read_text(encoding="utf-8", errors="replace")


_TOKENS = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^(\s]{0,16})\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\'',
    re.DOTALL)


def code_only(text: str) -> str:
    """`text` with comments and string and character literals blanked; line numbers stay."""
    def blank(match: re.Match) -> str:
        token = match.group(0)
        lines = "\n" * token.count("\n")
        return lines if token.startswith("/") else '""' + lines

    return _TOKENS.sub(blank, text)


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
