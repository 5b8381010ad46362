"""What goes from a worker's spool to the ledger at once, and how far that has come.

A worker's records are read in their order. Between them and the ledger there are statements that
still run: those of which nothing is in the ledger yet, whose record has to be read again, and those
that were written down while they ran. Where reading has come to and what was unfinished there are
stored together with the rows, so that whoever goes on after any death makes each row once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from broker.domain.statement.statement import LateOutcome, Row, Statement, canonical_row


class Place(NamedTuple):
    """A position, in bytes, in one segment of a worker's spool."""

    segment: int
    position: int


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A statement that still ran. `begun_at` is where its record is, if the ledger does not have
    it yet."""

    session_id: str
    seq: int
    started_at_us: int
    begun_at: Place | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Everything before `place` is in the ledger, but for what is unfinished. `moves` counts how
    often that was stored, so that of two who go on from the same only one can."""

    place: Place
    unfinished: tuple[Unfinished, ...] = ()
    moves: int = 0

    def unfinished_facts(self) -> list[list[Any]]:
        """Return what `unfinished_from` reads, as JSON values."""
        return [
            [each.session_id, each.seq, each.started_at_us]
            + ([each.begun_at.segment, each.begun_at.position] if each.begun_at else [])
            for each in self.unfinished
        ]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one day, in canonical order, with their canonical texts in UTF-8: a block to be."""

    day: date
    rows: tuple[Row, ...]
    texts: tuple[bytes, ...]


def unfinished_from(facts: Iterable[Sequence[Any]]) -> tuple[Unfinished, ...]:
    """Return what `unfinished_facts` said."""
    return tuple(
        Unfinished(session_id, seq, started, Place(*place) if place else None)
        for session_id, seq, started, *place in facts
    )


def parts(rows: Iterable[Row], *, most_rows: int, most_bytes: int) -> Iterator[Part]:
    """Put rows into blocks, each of one day; a row that is longer than a block gets one of its
    own."""
    of_day: dict[date, list[Row]] = {}
    for row in rows:
        of_day.setdefault(row.day, []).append(row)
    for day, found in sorted(of_day.items()):
        found.sort(key=_order)
        part: list[Row] = []
        texts: list[bytes] = []
        size = 0
        for row in found:
            # What clients sent is UTF-8 or was made so: no text here has a lone surrogate.
            text = canonical_row(row).encode()
            if part and (len(part) == most_rows or size + len(text) > most_bytes):
                yield Part(day, tuple(part), tuple(texts))
                part, texts, size = [], [], 0
            part.append(row)
            texts.append(text)
            size += len(text)
        yield Part(day, tuple(part), tuple(texts))


def _order(row: Statement | LateOutcome) -> tuple[str, int, bool]:
    return row.session_id, row.seq, isinstance(row, LateOutcome)
