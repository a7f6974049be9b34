# SPDX-License-Identifier: BSD-2-Clause-Patent
"""No `default:` in a switch over an enumeration of our own: with it the compiler could not say what was forgotten.

A label that is a name in a scope (`Kind::A`), but for a constant (`msr::kEfer`), is taken for an enumerator.
"""

import pathlib
import re

from common import code_only, cpp_files, line_of, read
from exceptions import Exceptions
from structure import block_end, is_product

_SWITCH = re.compile(r"\bswitch\s*\(")
_ENUMERATOR = re.compile(r"\bcase\s+(?:\w+::)+(?!k[A-Z])\w+\s*:(?!:)")
_DEFAULT = re.compile(r"\bdefault\s*:(?!:)")


def _parenthesis_end(code: str, start: int) -> int:
    depth = 0
    for i in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[i], 0)
        if depth == 0:
            return i + 1
    return len(code)


def _without_inner_switches(body: str) -> str:
    """The body of a switch, each switch inside it blanked."""
    result, position = "", 0
    for match in _SWITCH.finditer(body):
        if match.start() < position:
            continue
        brace = body.find("{", _parenthesis_end(body, match.end() - 1))
        result += body[position:match.start()]
        position = block_end(body, brace) if brace >= 0 else match.end()
    return result + body[position:]


def switches(code: str):
    """(offset, is it over an enumeration, has it a default) of each switch of `code`, which is without comments."""
    for match in _SWITCH.finditer(code):
        brace = code.find("{", _parenthesis_end(code, match.end() - 1))
        if brace < 0:
            continue
        body = _without_inner_switches(code[brace + 1:block_end(code, brace) - 1])
        yield match.start(), _ENUMERATOR.search(body) is not None, _DEFAULT.search(body) is not None


def check(root: pathlib.Path) -> tuple[list[str], int]:
    exceptions, problems, looked_at = Exceptions(root, "switch_defaults"), [], 0
    for path in cpp_files(root):
        if not is_product(path):
            continue
        code = code_only(read(root, path))
        found = [line_of(code, offset) for offset, is_enum, has_default in switches(code) if is_enum and has_default]
        looked_at += sum(1 for _ in switches(code))
        if found and not exceptions.allows(path.as_posix(), len(found)):
            problems += [f"{path}:{line}: default: in a switch over an enumeration; name every enumerator" for line in found]
    return problems + exceptions.problems(), looked_at
