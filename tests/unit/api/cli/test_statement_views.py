"""Statements in a terminal: lines that line up, and nothing that a terminal would obey."""

from datetime import UTC, datetime, timedelta

import pytest

from api.cli.audit_tail import tail_line
from api.cli.statement_views import offset, one_line, replay_lines, timeline_line, visible
from api.schemas.statements import (
    EndLine,
    EventLine,
    OutcomeLine,
    PositionLine,
    StatementLine,
    StatementView,
)
from broker.domain.statement.statement import Ending, Outcome, Protocol, Statement

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DONE = Outcome(
    ending=Ending.DONE,
    duration_us=12_345,
    rows=7,
    tag="SELECT 7",
    sqlstate=None,
    bytes_from_client=1,
    bytes_to_client=2,
)


def view(
    text: str = "SELECT\n  1", outcome: Outcome | None = DONE, **facts: object
) -> StatementView:
    statement = Statement(
        session_id="ses_1",
        seq=1,
        started_at=BEGAN + timedelta(hours=1, milliseconds=1234),
        protocol=Protocol.SIMPLE,
        text=text,
        text_bytes=len(text.encode()),
        **facts,  # type: ignore[arg-type]
    )
    return StatementView.of(statement).model_copy(
        update={
            name: getattr(outcome, name, None)
            for name in ("ending", "duration_us", "rows", "tag", "sqlstate")
        }
    )


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (timedelta(0), "+0:00:00.000"),
        (timedelta(hours=25, minutes=1, seconds=2, milliseconds=3), "+25:01:02.003"),
        (timedelta(microseconds=999_600), "+0:00:01.000"),
        (-timedelta(seconds=1), "-0:00:01.000"),
    ],
)
def test_times_in_a_session_are_hours_minutes_and_seconds(by: timedelta, said: str) -> None:
    assert offset(by) == said


def test_a_statement_is_one_line_of_a_timeline_and_whole_in_a_replay() -> None:
    line = timeline_line(view(), BEGAN)
    assert line.split() == ["13:00:01.234", "+1:00:01.234", "12.3", "ms", "7", "SELECT", "1"]
    assert replay_lines(view(), BEGAN) == ("[+1:00:01.234] SELECT\n  1\n    -- SELECT 7, 12.3 ms")


def test_what_runs_failed_was_cut_or_has_no_text_says_so() -> None:
    assert "runs" in timeline_line(view(outcome=None), BEGAN).split()
    failed = Outcome(
        ending=Ending.FAILED,
        duration_us=0,
        rows=None,
        tag=None,
        sqlstate="42P01",
        bytes_from_client=0,
        bytes_to_client=0,
    )
    assert "42P01" in timeline_line(view(outcome=failed), BEGAN)
    assert replay_lines(view(outcome=failed), BEGAN).endswith("-- failed, 42P01, 0.0 ms")
    assert timeline_line(view(""), BEGAN).endswith("(simple)")
    cut = view("SELECT", text_sha256="00").model_copy(update={"text_bytes": 5_000_000})
    assert replay_lines(cut, BEGAN).endswith("cut: it has 5,000,000 bytes")


def test_long_texts_are_cut_and_control_characters_shown() -> None:
    assert one_line("SELECT  'x'\n\tFROM\u00a0t", 100) == "SELECT 'x' FROM t"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"
    assert visible("a\x1b[31mb\x07\u202e\n\tc") == "a\\x1b[31mb\\x07\\x202e\n\tc"


def statement_line(**changes: object) -> StatementLine:
    facts: dict[str, object] = {
        "grant_id": "grt_1",
        "person": "dev@example.com",
        "target": "orders",
        "session_id": "ses_1",
        "seq": 3,
        "started_at": BEGAN,
        "protocol": "simple",
        "text": "SELECT\n1",
        "left_out": 0,
        "masked": False,
        "ending": "done",
        "duration_us": 1500,
        "rows": 1,
        "tag": "SELECT 1",
        "sqlstate": None,
    }
    return StatementLine.model_validate({**facts, **changes})


def test_the_tail_says_who_does_what_where() -> None:
    assert tail_line(statement_line()) == (
        "12:00:00.000000 dev@example.com on orders ses_1 #3 SELECT 1 (simple, SELECT 1, 1.5 ms)"
    )
    runs = statement_line(ending=None, duration_us=None, tag=None, person=None, target=None)
    assert tail_line(runs).endswith("? on ? ses_1 #3 SELECT 1 (simple, still runs)")
    outcome = OutcomeLine.model_validate(
        {
            **statement_line().model_dump(),
            "type": "outcome",
            "ending": "failed",
            "tag": None,
            "sqlstate": "57014",
        }
    )
    assert tail_line(outcome).strip() == (
        "dev@example.com on orders ses_1 #3 (failed, 57014, 1.5 ms)"
    )
    event = EventLine(
        seq=1,
        at=BEGAN,
        actor="dev@example.com",
        kind="grant.ending",
        request_id="req_1",
        grant_id="grt_1",
        session_id=None,
        data={"why": "\x1b[2J"},
    )
    assert tail_line(event) == (
        '12:00:00.000000 dev@example.com grant.ending grt_1 {"why": "\\u001b[2J"}'
    )
    assert tail_line(PositionLine(after="1.1")) == tail_line(EndLine(reason="", again=True)) == ""
