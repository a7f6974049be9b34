# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The rules for nasm: an instruction that is not there, a jump on the opposite or on a bound one off, two neighbours in the
wrong order, a constant one too large. Each mutant is another source."""
import re
from pathlib import Path

from mutation.sites import Site

_LINE = re.compile(r'^(\s+)([a-z][a-z0-9]*)\b([^;]*)(;.*)?$')
_OPPOSITE = {'jz': 'jnz', 'je': 'jne', 'jc': 'jnc', 'js': 'jns', 'jb': 'jae', 'ja': 'jbe', 'jl': 'jge', 'jg': 'jle'}
_OPPOSITE |= {b: a for a, b in _OPPOSITE.items()}
_BOUND = {'jb': 'jbe', 'jbe': 'jb', 'ja': 'jae', 'jae': 'ja', 'jl': 'jle', 'jle': 'jl', 'jg': 'jge', 'jge': 'jg'}
_NOT_CODE = {'align', 'bits', 'default', 'section', 'global', 'extern', 'dd', 'dq', 'dw', 'db', 'times', 'equ', 'resb',
             'resq', 'org', 'istruc', 'iend', 'at', 'incbin', 'struc', 'endstruc', 'alignb', 'rep'}
_NUMBER = re.compile(r'\b(0x[0-9A-Fa-f]+|[0-9]+)\b')


def find(root: Path, name: str) -> list[Site]:
    lines = (root / name).read_text().splitlines()
    sites: list[Site] = []
    previous = None
    in_macro = False
    for number, line in enumerate(lines, 1):
        in_macro = line.lstrip().startswith('%macro') or (in_macro and not line.lstrip().startswith('%endmacro'))
        found = _LINE.match(line)
        if not found or found[2] in _NOT_CODE or '%' in line.split(';')[0]:
            previous = None
            continue
        indent, operation, operands = found[1], found[2], found[3].strip()
        code = f'{operation} {operands}'.strip()

        def add(rule, change, text, width=1, at=number):
            sites.append(Site(name, at, len(indent) + 1, rule, change, line_text=f'{width}\n{text}'))

        if operation in _OPPOSITE:
            other = _OPPOSITE[operation]
            add('negated condition', f'{code}  ->  {other}', f'{indent}{other} {operands}')
            add('dropped condition', f'{code}  ->  nothing', '')
        elif operation not in ('jmp', 'ret', 'iretq', 'rsm', 'sysret', 'call'):
            add('dropped statement', f'{code}  ->  nothing', '')
        elif operation == 'call':
            add('dropped statement', f'{code}  ->  nothing', '')
        if operation in _BOUND:
            add('wrong bound', f'{code}  ->  {_BOUND[operation]}', f'{indent}{_BOUND[operation]} {operands}')
        if (constant := _NUMBER.search(operands)) and not operation.startswith('j'):
            changed = operands[:constant.start()] + f'({constant[0]} + 1)' + operands[constant.end():]
            add('wrong constant', f'{code}  ->  {constant[0]} + 1', f'{indent}{operation} {changed}')
        if previous is not None and not operation.startswith('j') and operation not in ('ret', 'iretq', 'rsm'):
            add('swapped order', f'{previous[1]}  <->  {code}', f'{line}\n{previous[0]}', 2, number - 1)
            previous = None
        else:
            previous = (line, code) if not operation.startswith('j') else None
    return sites


def mutated(source: str, site: Site) -> str:
    """The source with the lines of `site` in the place of its own."""
    width, text = site.line_text.split('\n', 1)
    lines = source.split('\n')
    lines[site.line - 1:site.line - 1 + int(width)] = text.split('\n')
    return '\n'.join(lines)
