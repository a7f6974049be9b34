# SPDX-License-Identifier: BSD-2-Clause-Patent
"""scenarios/README.md and scenarios/DEVICES.md describe every key, step kind and word that the scenario reader accepts, and
no other key."""

import pathlib
import re

from common import read

PAGE = pathlib.PurePosixPath("scenarios/README.md")
MORE = pathlib.PurePosixPath("scenarios/DEVICES.md")  # read behind the first: its lines count on
READERS = "tools/lab/scenario/toml_*.cpp"
# The lists of known keys: only(t, {...}), only_step(t, {...}), register_names({...}), keys.insert(keys.end(), {...}).
KEY_LIST = re.compile(r"(?:\bonly(?:_step)?\(\s*[\w*]+,\s*|register_names\(|keys\.end\(\),\s*)\{([^}]*)\}")
WORD = re.compile(r'\{"([a-z0-9-]+)",')  # of a table from words to values
QUOTED = re.compile(r'"([^"]+)"')


def accepted(reader: str) -> set[str]:
    """Every key and word that the reader knows."""
    keys = {key for keys in KEY_LIST.findall(reader) for key in QUOTED.findall(keys)}
    return keys | set(WORD.findall(reader))


def mentioned(page: str) -> set[str]:
    """Every word in `code` of the page, and every key of its example."""
    code = re.findall(r"`([^`\n]+)`", page) + re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    return {word for text in code for word in re.findall(r"[A-Za-z0-9_-]+", text)}


def described(page: str) -> list[tuple[int, str]]:
    """Line and name of each `key` in the first column of a table."""
    rows = [(n, line.split("|")[1]) for n, line in enumerate(page.splitlines(), 1) if line.startswith("| `")]
    return [(n, name.strip("[]")) for n, cell in rows for name in re.findall(r"`([\w\[\]-]+)`", cell)]


def check(root: pathlib.Path) -> tuple[list[str], int]:
    if not (root / PAGE).is_file():
        return [], 0
    page = read(root, PAGE) + (read(root, MORE) if (root / MORE).is_file() else "")
    reader = "\n".join(path.read_text(encoding="utf-8") for path in sorted(root.glob(READERS)))
    known, words = accepted(reader), mentioned(page)
    folders = {path.name for path in (root / PAGE.parent).iterdir() if path.is_dir()}
    problems = [f"{PAGE}: '{name}', which the scenario reader accepts, is not described" for name in sorted(known - words)]
    problems += [f"{PAGE}:{line}: the scenario reader does not know '{name}'" for line, name in described(page)
                 if name not in known | folders and not name[0].isupper()]
    return problems, len(known)
