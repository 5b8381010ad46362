"""One row has one text, which exports and blocks agree on."""

import json
from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from broker.domain.statement.statement import (
    Ending,
    LateOutcome,
    Outcome,
    Protocol,
    Row,
    Statement,
    canonical_row,
    row_facts,
    timestamp,
)

NUMBERS = st.integers(0, 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
OUTCOMES = st.builds(
    Outcome,
    ending=st.sampled_from(Ending),
    duration_us=NUMBERS,
    rows=st.none() | NUMBERS,
    tag=st.none() | TEXTS,
    sqlstate=st.none() | TEXTS,
    bytes_from_client=NUMBERS,
    bytes_to_client=NUMBERS,
)
STATEMENTS = st.builds(
    Statement,
    session_id=TEXTS,
    seq=NUMBERS,
    started_at=st.datetimes(timezones=st.just(UTC)),
    protocol=st.sampled_from(Protocol),
    text=TEXTS,
    text_bytes=NUMBERS,
    text_sha256=st.none() | TEXTS,
    masked=st.booleans(),
    parameter_types=st.none() | st.lists(NUMBERS, max_size=3).map(tuple),
    parameters=st.none() | st.lists(st.none() | TEXTS, max_size=3).map(tuple),
    outcome=st.none() | OUTCOMES,
)
LATE = st.builds(LateOutcome, session_id=TEXTS, seq=NUMBERS, day=st.dates(), outcome=OUTCOMES)


@given(STATEMENTS | LATE)
def test_the_canonical_text_is_sorted_json_of_what_the_row_says(row: Row) -> None:
    plain = json.dumps(row_facts(row), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical_row(row) == plain


def test_a_moment_has_one_text_wherever_it_was_read() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert timestamp(moment) == "2026-03-01T12:00:00.000000Z"
    elsewhere = moment.astimezone(timezone(timedelta(hours=-11)))
    assert timestamp(elsewhere) == "2026-03-01T12:00:00.000000Z"


def test_a_statement_is_kept_under_the_day_on_which_it_began_in_utc() -> None:
    late = datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    row = Statement(
        session_id="ses_1",
        seq=1,
        started_at=late,
        protocol=Protocol.SIMPLE,
        text="",
        text_bytes=0,
    )
    assert row.day == date(2026, 3, 2)
