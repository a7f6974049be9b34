# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a rule lets pass, from exceptions.toml: one table a rule, one row a thing, each with its reason.

A row says how much there is now. More than that is a problem, and so is a row whose thing keeps the rule or is gone:
the table only shrinks.
"""

import pathlib
import tomllib

TABLE = pathlib.PurePosixPath("tools/lint/exceptions.toml")


class Exceptions:
    """The rows of one rule, and which of them were needed."""

    def __init__(self, root: pathlib.Path, rule: str):
        file = root / TABLE
        rows = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self._rule = rule
        self._rows = rows.get(rule, {})
        self._needed: set[str] = set()

    def allows(self, name: str, amount: int = 1) -> bool:
        """True when a row lets `amount` of `name` pass. The row counts as needed even when it allows less."""
        row = self._rows.get(name)
        if row is None:
            return False
        self._needed.add(name)
        return amount <= row.get("now", 1)

    def problems(self) -> list[str]:
        """Rows without a reason and rows that nothing needs any more. To be asked when all was looked at."""
        found = [f"{TABLE}: [{self._rule}] '{name}' gives no reason (why = \"...\")"
                 for name, row in self._rows.items() if not row.get("why")]
        found += [f"{TABLE}: [{self._rule}] '{name}' is not needed any more, or moved: remove the row or give it the new name"
                  for name in self._rows if name not in self._needed]
        return found
