"""Days that retention took out, as three say it who have to agree: the ledger of what it dropped,
the blocks that have no rows any more, and the audit trail.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from broker.domain.statement.flaw import Flaw


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedDay:
    """A day whose rows retention took out: those of its blocks up to number `through`."""

    day: date
    rows: int
    through: int


@dataclass(slots=True)
class DroppedDays:
    _days: dict[date, DroppedDay] = field(default_factory=dict)
    _missing: dict[date, int] = field(default_factory=dict)
    _drops: list[tuple[str, int, int]] = field(default_factory=list)
    _heard: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, found: DroppedDay) -> None:
        """Take note of what the ledger says, of a day as often as it was dropped."""
        before = self._days.get(found.day)
        through = found.through if before is None else max(before.through, found.through)
        rows = found.rows if before is None else before.rows + found.rows
        self._days[found.day] = DroppedDay(day=found.day, rows=rows, through=through)
        self._drops.append((found.day.isoformat(), found.rows, found.through))

    def has(self, day: date, number: int) -> bool:
        """Say whether the rows of this block were dropped."""
        dropped = self._days.get(day)
        return dropped is not None and number <= dropped.through

    def miss(self, day: date, rows: int) -> None:
        """Take note that a block of a day had so many rows that were dropped."""
        self._missing[day] = self._missing.get(day, 0) + rows

    def hear(self, day: str, rows: int, through: int) -> None:
        """Take note of what an event of the audit trail says."""
        self._heard.append((day, rows, through))

    def flaws(self) -> Iterator[Flaw]:
        """Say where they do not agree."""
        for day, dropped in sorted(self._days.items()):
            missing = self._missing.get(day, 0)
            if missing != dropped.rows:
                why = f"{dropped.rows} rows were dropped, but its blocks had {missing}"
                yield Flaw(what=f"day {day}", why=why)
        heard = list(self._heard)
        for drop in self._drops:
            if drop in heard:
                heard.remove(drop)
            else:
                why = f"the audit trail does not know that {drop[1]} rows were dropped"
                yield Flaw(what=f"day {drop[0]}", why=why)
        for name, rows, _ in heard:
            why = f"the audit trail knows that {rows} rows were dropped; nothing else does"
            yield Flaw(what=f"day {name}", why=why)
