"""What events are called in a timeline."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.domain.events import Event
from broker.domain.timeline_words import (
    ABOUT_NO_REQUEST,
    OF_SESSIONS,
    TOLD,
    Happening,
    detail,
    is_for,
    lasting,
    moment,
    quoted,
    told,
)
from tests.unit.broker.domain.test_events import EVENTS

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DEV, REVIEWER = "dev@example.com", "reviewer@example.com"
ASKED: dict[str, Any] = {
    "person": DEV,
    "target": "orders",
    "role": "orders_reader",
    "duration": "PT1H",
    "reason": "ticket 12",
    "extends": None,
}
EXTENDS: dict[str, Any] = {**ASKED, "extends": "grt_1", "more_rows": 1000, "more_bytes": 1024**2}
CONSENT: dict[str, Any] = {
    "duration": None,
    "comment": "",
    "break_glass": False,
    "allowance_id": None,
}
APPROVED: dict[str, Any] = {"cause": "approvers", "duration": "PT1H", "cuts": []}
CUT: dict[str, Any] = {**APPROVED, "cuts": ["30m: policy 'readers'"]}
MOVED: dict[str, Any] = {
    "was_until": "2026-03-01T12:00:00+00:00",
    "until": "2026-03-01T13:00:00+00:00",
}
HELD: dict[str, Any] = {"rows": 1000, "by_approver": False, "until": "2026-03-01T12:05:00+00:00"}


def said(kind: str, data: dict[str, Any], *, actor: str = REVIEWER, extends: bool = False) -> str:
    happening = Happening(at=NOON, actor=actor, kind=kind, data=data, extends=extends)
    return told(happening).sentence(happening)


def every_event() -> list[type[Event]]:
    return Event.__subclasses__()


def test_every_event_is_told_or_is_about_no_request() -> None:
    """A new kind of event needs a sentence in TOLD, or a place in ABOUT_NO_REQUEST."""
    kinds = {each.kind for each in every_event()}
    assert kinds == set(TOLD) | OF_SESSIONS | ABOUT_NO_REQUEST
    assert not set(TOLD) & (OF_SESSIONS | ABOUT_NO_REQUEST)


@pytest.mark.parametrize("event", [each[0] for each in EVENTS], ids=lambda each: each.kind)
def test_an_event_as_the_ledger_has_it_makes_one_line_of_what_it_knows(event: Event) -> None:
    if event.kind not in TOLD:
        return
    happening = Happening(at=NOON, actor=REVIEWER, kind=event.kind, data=event.data())
    telling = told(happening)
    sentence = telling.sentence(happening)
    assert sentence
    assert sentence.isprintable()
    assert set(telling.details + telling.inside) <= set(event.data())


@pytest.mark.parametrize(
    ("kind", "data", "sentence"),
    [
        (
            "request.made",
            ASKED,
            f"{REVIEWER} asked for {DEV} for orders_reader on orders, for 1h: ticket 12",
        ),
        (
            "request.made",
            {**EXTENDS, "reason": ""},
            f"{REVIEWER} asked for 1h more and 1,000 rows more and 1MB more",
        ),
        (
            "request.made",
            {**ASKED, "extends": "grt_1", "duration": "PT0S", "more_rows": 5},
            f"{REVIEWER} asked for 5 rows more: ticket 12",
        ),
        ("request.consented", CONSENT, f"{REVIEWER} agreed to the request"),
        (
            "request.consented",
            {**CONSENT, "duration": "PT30M", "comment": "go"},
            f"{REVIEWER} agreed to the request, for at most 30m: go",
        ),
        ("request.consented", {**CONSENT, "break_glass": True}, f"{REVIEWER} broke the glass"),
        (
            "request.consented",
            {**CONSENT, "allowance_id": "alw_1"},
            f"{REVIEWER} had agreed beforehand",
        ),
        (
            "request.paged",
            {"schedule": "primary", "paged": True, "said": ""},
            "whoever is on call in primary was paged",
        ),
        (
            "request.paged",
            {"schedule": "primary", "paged": False, "said": ""},
            "nobody could be paged for primary",
        ),
        (
            "request.approved",
            APPROVED,
            f"the request was approved, with {REVIEWER} agreeing last: it is given for 1h",
        ),
        (
            "request.approved",
            {**CUT, "cause": "policy"},
            "the request needed nobody's consent any more: it is given for 1h, "
            "cut short to 30m: policy 'readers'",
        ),
        (
            "request.approved",
            {**APPROVED, "cause": "operator"},
            f"{REVIEWER} gave it with a sealed ticket: it is given for 1h",
        ),
        (
            "grant.activated",
            {"until": MOVED["until"], "cuts": []},
            f"{REVIEWER} began to use it: its clock runs until 2026-03-01 13:00 UTC",
        ),
        (
            "grant.activated",
            {"until": MOVED["until"], "cuts": CUT["cuts"]},
            f"{REVIEWER} began to use it: its clock runs until 2026-03-01 13:00 UTC, "
            "cut short to 30m: policy 'readers'",
        ),
        (
            "grant.extended",
            MOVED,
            "the curfew moved from 2026-03-01 12:00 UTC to 2026-03-01 13:00 UTC",
        ),
        (
            "grant.extended",
            {**MOVED, "until": MOVED["was_until"]},
            "the grant may be used for more than before",
        ),
        (
            "grant.ending",
            {"cause": "relinquished", "comment": None},
            f"{REVIEWER} gave the access back",
        ),
        (
            "grant.ending",
            {"cause": "revoked", "comment": "enough"},
            f"{REVIEWER} took the access away: enough",
        ),
        (
            "grant.ending",
            {"cause": "expired", "comment": None},
            "the curfew came: nobody has access any more",
        ),
        (
            "grant.ending",
            {"cause": "rejected", "comment": None},
            "the target no longer took the login's keys, so the access ends",
        ),
        (
            "grant.ending",
            {"cause": "vanished", "comment": None},
            "somebody else dropped what was given, so the access ends",
        ),
        (
            "grant.ending",
            {"cause": "failed", "comment": "no such role"},
            "it could not be given: no such role",
        ),
        (
            "grant.ended",
            {"receipt": 7, "proved": True},
            "nothing is left of it on the target: receipt 7 proves that",
        ),
        (
            "grant.ended",
            {"receipt": 7, "proved": False},
            "it has ended, but receipt 7 does not prove all of that",
        ),
        (
            "commit.held",
            HELD,
            f"a transaction that changed 1,000 rows waits at COMMIT for {REVIEWER}, "
            "until 2026-03-01 12:05 UTC",
        ),
        (
            "commit.held",
            {**HELD, "by_approver": True},
            "a transaction that changed 1,000 rows waits at COMMIT for an approver, "
            "until 2026-03-01 12:05 UTC",
        ),
        (
            "commit.decided",
            {"decision": "confirmed"},
            f"{REVIEWER} let the held transaction commit",
        ),
        (
            "commit.decided",
            {"decision": "rolled back"},
            f"{REVIEWER} had the held transaction rolled back",
        ),
        (
            "commit.decided",
            {"decision": "timed out"},
            "nobody confirmed the held transaction in time: it was rolled back",
        ),
        (
            "commit.decided",
            {"decision": "lost"},
            "the held transaction was lost with its session: it was rolled back",
        ),
        ("alarm.cleared", {"alarm_id": "alm_1"}, f"{REVIEWER} closed an alarm"),
        ("from.tomorrow", {}, f"{REVIEWER}: from.tomorrow"),
    ],
)
def test_a_sentence_says_it_in_plain_words(kind: str, data: dict[str, Any], sentence: str) -> None:
    assert said(kind, data) == sentence


def test_an_extension_is_called_one() -> None:
    assert said("request.cancelled", {}, extends=True) == f"{REVIEWER} withdrew the extension"
    assert said("request.approved", APPROVED, extends=True) == (
        f"the extension was approved, with {REVIEWER} agreeing last: the grant lasts 1h in all"
    )


def test_who_asks_for_themselves_is_named_once() -> None:
    assert said("request.made", ASKED, actor=DEV).startswith(f"{DEV} asked for orders_reader")


def test_what_nobody_did_was_us() -> None:
    assert said("alarm.cleared", {"alarm_id": "alm_1"}, actor="system") == "an alarm was over"
    assert said("session.killed", {}, actor="system") == "pgcurfew ended a session"


def test_details_are_whole_and_leave_out_what_says_nothing() -> None:
    data = {"a": "", "b": None, "c": [], "d": ["x", 1], "e": 1.5, "f": False, "g": "y" * 500}
    happening = Happening(at=NOON, actor=DEV, kind="x", data=data)
    assert detail(happening, (*data, "h")) == {"d": ("x", "1"), "e": "1.5", "g": "y" * 500}


def test_what_we_do_not_know_is_not_for_everybody() -> None:
    assert not is_for("from.tomorrow", inside=False)
    assert is_for("from.tomorrow", inside=True)
    assert is_for("request.made", inside=False)
    assert not is_for("alarm.raised", inside=False)


def test_a_quotation_is_one_line_and_not_too_long() -> None:
    assert quoted(None) == quoted(" \n ") == ""
    assert quoted("one\n two\tthree") == ": one two three"
    assert len(quoted("x" * 2000)) == 162
    assert quoted("x" * 2000).endswith("x…")


def test_times_and_durations_are_read_as_text_too() -> None:
    assert lasting(timedelta(minutes=90)) == lasting("PT1H30M") == "1h 30m"
    assert lasting("PT0S") == "0s"
    assert moment(NOON) == moment("2026-03-01T13:00:00+01:00") == "2026-03-01 12:00 UTC"
