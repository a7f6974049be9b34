# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a mutant is, and how many of them stand in one source at once.

A C++ mutant is a set of insertions around ranges of the source. `active(N)` decides at run time whether mutant N is on, so
all of them are one build. Insertions never overlap wrongly, because the ranges come from one syntax tree and so nest.
"""
import dataclasses
import json
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Wrap:
    """Text before `begin` and behind `end` (byte offsets); `cut` is what is taken away at `begin` (an operator)."""
    begin: int
    end: int
    open: str
    close: str
    cut: int = 0
    inner: bool = False  # of wraps with one range: next to the code


@dataclasses.dataclass
class Site:
    """One place and one change. Wraps hold `@` where the mutant's number goes. `line_text` serves assembly: the changed
    line."""
    file: str
    line: int
    column: int
    rule: str
    change: str
    wraps: list[Wrap] = dataclasses.field(default_factory=list)
    line_text: str | None = None
    number: int = 0

    @property
    def is_assembly(self) -> bool:
        return self.line_text is not None

    def __str__(self) -> str:
        return f'#{self.number} {self.file}:{self.line}: {self.rule}: {self.change}'


def number_sites(sites: list[Site]) -> list[Site]:
    """In an order that does not depend on how they were found. Number 0 is the original."""
    sites = sorted(sites, key=lambda s: (s.file, s.line, s.column, s.rule, s.change))
    for number, site in enumerate(sites, 1):
        site.number = number
    return sites


def apply_wraps(source: bytes, sites: list[Site]) -> bytes:
    """The source with every wrap of `sites` in it. At one offset comes what ends, then what stands alone, then what
    begins; of two that begin together the longer is outside, of two that end together the shorter ends first."""
    events = []
    for site in sites:
        for wrap in site.wraps:
            size = wrap.end - wrap.begin
            inside = (1 if wrap.inner else 0, site.number)
            opened, closed = (text.replace('@', str(site.number)).encode() for text in (wrap.open, wrap.close))
            if size == 0:
                events.append((wrap.begin, 1, 0, inside, opened, wrap.cut))
                continue
            events.append((wrap.begin, 2, -size, inside, opened, wrap.cut))
            if closed:
                events.append((wrap.end, 0, size, tuple(-i for i in inside), closed, 0))
    out, at = [], 0
    for offset, _, _, _, text, cut in sorted(events, key=lambda e: e[:4]):
        out += [source[at:offset], text]
        at = max(at, offset) + cut
    return b''.join(out) + source[at:]


def save(sites: list[Site], path: Path) -> None:
    path.write_text(json.dumps([dataclasses.asdict(s) for s in sites]))


def load(path: Path) -> list[Site]:
    return [Site(**{**d, 'wraps': [Wrap(**w) for w in d['wraps']]}) for d in json.loads(path.read_text())]
