"""The whole life of a request, as one list."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.domain.receipt import Step
from broker.domain.timeline import Aftermath, Entry, Ran, SessionLife, assemble
from broker.domain.timeline_words import Happening

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DEV, REVIEWER = "dev@example.com", "reviewer@example.com"
APPROVED = {"cause": "approvers", "duration": "PT1H", "cuts": []}
LOGIN = {"login": "jit_dev_reader", "oid": 16400}


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def event(kind: str, at: float, data: dict[str, Any] | None = None, **more: Any) -> Happening:
    return Happening(at=after(at), actor=REVIEWER, kind=kind, data=data or {}, **more)


def session(**changes: Any) -> SessionLife:
    life = SessionLife(
        id="ses_1",
        grant_id="grt_1",
        person=DEV,
        client_address="192.0.2.7",
        client_application="psql",
        client_certificate=None,
        started_at=after(10),
        ended_at=after(70),
        end_reason="closed by the client",
        killed_by=None,
        bytes_to_client=2048,
        ran=Ran(statements=2, rows=100, errors=1, first_at=after(11), last_at=after(20)),
    )
    return replace(life, **changes)


def told(*happenings: Happening, inside: bool = True) -> tuple[Entry, ...]:
    return assemble(happenings, (), None, inside=inside)


def test_a_timeline_starts_at_the_beginning_and_keeps_the_order_within_a_moment() -> None:
    kinds = [
        each.kind
        for each in told(
            event("request.cancelled", 5), event("request.lapsed", 1), event("session.killed", 5)
        )
    ]
    assert kinds == ["request.lapsed", "request.cancelled", "session.killed"]


def test_the_login_says_how_long_it_took_to_be_there() -> None:
    entries = told(
        event("request.approved", 0, APPROVED),
        event("request.approved", 0.1, APPROVED, extends=True),
        event("grant.provisioned", 0.25, LOGIN),
    )
    assert entries[-1].sentence == "the login jit_dev_reader was made, in 250 ms"
    assert entries[-1].detail["milliseconds"] == 250


def test_a_login_that_waited_for_its_target_says_so_and_one_without_a_beginning_does_not() -> None:
    started = event("request.approved", 0, APPROVED)
    assert told(started, event("grant.provisioned", 90, LOGIN))[-1].sentence.endswith(", in 1m 30s")
    assert told(event("grant.provisioned", 90, LOGIN))[-1].sentence.endswith("was made")


def test_who_has_the_access_does_not_read_what_is_for_those_who_look_after_it() -> None:
    happenings = (
        event("alarm.raised", 1, {"alarm_id": "alm_1", "message": "see to it"}),
        event("grant.quarantined", 2, {"why": "pid 12 does not end"}),
        event("request.paged", 3, {"schedule": "primary", "paged": True, "said": "by mail"}),
        event("statements.read", 4),
    )
    mine, ours = told(*happenings, inside=False), told(*happenings)
    assert [each.kind for each in mine] == ["grant.quarantined", "request.paged"]
    assert "pid 12" not in str(mine)
    assert "by mail" not in str(mine)
    assert [each.kind for each in ours] == [each.kind for each in happenings]
    assert ours[1].detail == {"why": "pid 12 does not end"}


def test_a_session_is_opened_runs_statements_and_ends() -> None:
    opened, ran, closed = assemble((), [session()], None, inside=False)
    assert opened.sentence == f"{DEV} connected from 192.0.2.7 with psql"
    assert opened.detail == {"client_address": "192.0.2.7", "client_application": "psql"}
    assert (ran.at, ran.sentence) == (after(20), "the session ran 2 statements, 100 rows, 1 error")
    assert ran.detail["first_at"] == after(11).isoformat()
    assert closed.sentence == "the session ended after 1m: closed by the client"
    assert {each.session_id for each in (opened, ran, closed)} == {"ses_1"}


def test_a_session_that_somebody_killed_says_who_did() -> None:
    *_, closed = assemble(
        (), [session(end_reason="killed", killed_by=REVIEWER)], None, inside=False
    )
    assert closed.sentence == f"the session ended after 1m: killed by {REVIEWER}"
    assert closed.actor == REVIEWER


def test_a_line_holds_nothing_that_a_terminal_obeys() -> None:
    (opened, *_) = assemble((), [session(client_application="a\x1b[2Jb")], None, inside=False)
    assert opened.sentence.endswith("with a\N{REPLACEMENT CHARACTER}[2Jb")


def test_an_open_session_without_a_statement_is_one_line() -> None:
    life = session(ended_at=None, end_reason=None, client_application="", ran=Ran(statements=0))
    (opened,) = assemble((), [life], None, inside=False)
    assert opened.sentence == f"{DEV} connected from 192.0.2.7"


def test_statements_that_are_too_many_to_add_up_are_counted() -> None:
    life = session(ran=Ran(statements=1_000_000))
    _, ran, _ = assemble((), [life], None, inside=False)
    assert ran.sentence == "the session ran 1,000,000 statements"
    assert ran.detail == {"statements": 1_000_000}
    still_open = session(ran=Ran(statements=1), ended_at=None, end_reason=None)
    _, ran = assemble((), [still_open], None, inside=False)
    assert (ran.at, ran.sentence) == (after(10), "the session ran 1 statement")


def test_the_end_says_what_was_done_proved_and_found() -> None:
    steps = (
        Step(after(90), "postgres", "ALTER ROLE jit_dev NOLOGIN"),
        *(Step(after(91), "orders", f"DROP TABLE t{n}") for n in range(50)),
    )
    aftermath = Aftermath(
        grant_id="grt_1",
        made_at=after(100),
        proved=("no role",),
        unproved=(),
        steps=steps,
        findings=(("flagged", "table t0 was made"),),
    )
    ending = event("grant.ended", 100, {"receipt": 7, "hash": "ab", "proved": True})
    entries = assemble([ending, event("session.killed", 0)], (), aftermath, inside=False)
    assert [each.kind for each in entries] == [
        *("session.killed", "grant.disabled", "grant.removed", "grant.ended", "grant.finding")
    ]
    assert entries[2].sentence == "51 statements took away what was given"
    statements = entries[2].detail["statements"]
    assert isinstance(statements, tuple)
    assert (len(statements), statements[-1]) == (51, "and 1 more")
    assert entries[3].detail == {"receipt": 7, "hash": "ab", "proved": True, "proves": ("no role",)}
    assert entries[4].sentence == "changed on the target meanwhile: table t0 was made"


def test_a_grant_that_was_never_used_left_nothing_to_remove() -> None:
    empty = Aftermath(
        grant_id="grt_1", made_at=NOON, proved=(), unproved=("no role",), steps=(), findings=()
    )
    ending = event("grant.ended", 0, {"receipt": 7, "hash": "ab", "proved": False})
    (ended,) = assemble([ending], (), empty, inside=False)
    assert ended.detail["does_not_prove"] == ("no role",)


def test_a_membership_is_taken_back_without_a_login_to_disable() -> None:
    taken = Step(NOON, "orders", "REVOKE orders_reader FROM dev")
    aftermath = Aftermath(
        grant_id="grt_1", made_at=NOON, proved=(), unproved=(), steps=(taken,), findings=()
    )
    (removed,) = assemble((), (), aftermath, inside=False)
    assert removed.sentence == "1 statement took away what was given"
    assert removed.detail["statements"] == ("orders: REVOKE orders_reader FROM dev",)
