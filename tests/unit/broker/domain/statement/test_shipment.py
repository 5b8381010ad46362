"""Rows go to the ledger in blocks of a day, and how far that has come is kept beside them."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from broker.domain.statement.shipment import (
    Part,
    Place,
    Progress,
    Unfinished,
    parts,
    unfinished_from,
)
from broker.domain.statement.statement import (
    Ending,
    LateOutcome,
    Outcome,
    Protocol,
    Row,
    Statement,
    canonical_row,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OUTCOME = Outcome(
    ending=Ending.DONE,
    duration_us=1,
    rows=None,
    tag=None,
    sqlstate=None,
    bytes_from_client=1,
    bytes_to_client=1,
)


def statement(session: str, seq: int, text: str = "SELECT 1", *, days: int = 0) -> Statement:
    return Statement(
        session_id=session,
        seq=seq,
        started_at=NOON + timedelta(days=days),
        protocol=Protocol.SIMPLE,
        text=text,
        text_bytes=len(text),
    )


def late(session: str, seq: int) -> LateOutcome:
    return LateOutcome(session_id=session, seq=seq, day=NOON.date(), outcome=OUTCOME)


def part(*rows: Row) -> Part:
    return Part(rows[0].day, rows, tuple(canonical_row(row).encode() for row in rows))


def made(*rows: Row, most_rows: int = 100, most_bytes: int = 10_000) -> list[Part]:
    return list(parts(rows, most_rows=most_rows, most_bytes=most_bytes))


def test_a_blocks_rows_are_in_canonical_order() -> None:
    """By session and number, a statement before its own late outcome."""
    rows = (late("ses_1", 2), statement("ses_2", 1), statement("ses_1", 2), statement("ses_1", 1))
    assert made(*rows) == [part(rows[3], rows[2], rows[0], rows[1])]


def test_each_day_has_blocks_of_its_own() -> None:
    today, tomorrow = statement("ses_1", 1), statement("ses_1", 2, days=1)
    assert made(tomorrow, today, late("ses_0", 9)) == [
        part(late("ses_0", 9), today),
        part(tomorrow),
    ]
    assert [each.day for each in made(tomorrow, today)] == [date(2026, 3, 1), date(2026, 3, 2)]


def test_a_block_has_a_bounded_number_of_rows_and_bytes() -> None:
    rows = [statement("ses_1", seq) for seq in range(1, 6)]
    assert made(*rows, most_rows=2) == [part(*rows[:2]), part(*rows[2:4]), part(rows[4])]
    long = replace(rows[2], text="x" * 5_000)
    size = len(canonical_row(rows[0]))
    assert made(rows[0], rows[1], long, rows[3], most_bytes=2 * size) == [
        part(rows[0], rows[1]),
        part(long),
        part(rows[3]),
    ]


def test_without_rows_there_are_no_blocks() -> None:
    assert made() == []


def test_progress_survives_json() -> None:
    unfinished = (
        Unfinished("ses_1", 3, 17, Place(2, 64)),
        Unfinished("ses_1", 4, 18, None),
    )
    facts = json.loads(json.dumps(Progress(Place(2, 99), unfinished).unfinished_facts()))
    assert unfinished_from(facts) == unfinished
