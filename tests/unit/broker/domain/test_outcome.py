"""What became of a request, in a sentence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.outcome import agreed_before, told
from broker.domain.person import Person
from broker.domain.request import AccessRequest, Decision, RequestState, Verdict

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEV = Person("per_1", "dev@example.com", "A developer")
ONE, TWO = (Person(f"per_{n}", f"{n}@example.com", "") for n in ("one", "two"))
REQUEST = AccessRequest(
    id="req_1",
    person=DEV,
    requester=DEV,
    target="orders",
    database="orders",
    role="orders_reader",
    duration=HOUR,
    reason="",
    source=None,
    policy="readers",
    why=(),
    state=RequestState.PENDING,
    created_at=NOON,
    lapses_at=NOON + 24 * HOUR,
)


def closed(state: RequestState, after: timedelta = timedelta(minutes=5)) -> AccessRequest:
    return replace(REQUEST, state=state, closed_at=NOON + after)


def decision(
    by: Person, verdict: Verdict = Verdict.APPROVAL, comment: str = "", minutes: int = 5
) -> Decision:
    return Decision(
        id=f"dec_{by.email}_{minutes}",
        request_id="req_1",
        decider=by,
        verdict=verdict,
        duration=timedelta(minutes=30) if by is ONE else None,
        comment=comment,
        decided_at=NOON + timedelta(minutes=minutes),
    )


@pytest.mark.parametrize(
    ("request_", "decisions", "sentence"),
    [
        (REQUEST, [], ""),
        (
            closed(RequestState.APPROVED),
            [decision(ONE, comment="go\nahead")],
            "one@example.com approved this for 30m on 2026-03-01 12:05 UTC: go ahead",
        ),
        (
            closed(RequestState.APPROVED),
            [decision(ONE), decision(TWO, minutes=9)],
            "you approved this for 30m on 2026-03-01 12:09 UTC, as one@example.com had",
        ),
        (
            closed(RequestState.APPROVED),
            [],
            "this was given on 2026-03-01 12:05 UTC: nobody had to agree",
        ),
        (
            closed(RequestState.DENIED),
            [decision(ONE), decision(TWO, Verdict.DENIAL, "not today", 7)],
            "you denied this on 2026-03-01 12:07 UTC: not today",
        ),
        (closed(RequestState.CANCELLED), [], "this was withdrawn on 2026-03-01 12:05 UTC"),
        (
            closed(RequestState.LAPSED, 25 * HOUR),
            [],
            "this lapsed on 2026-03-02 13:00 UTC: nobody decided in time",
        ),
    ],
)
def test_it_says_who_decided_what_and_when(
    request_: AccessRequest, decisions: list[Decision], sentence: str
) -> None:
    assert told(request_, decisions, TWO.email, NOON) == sentence


def test_a_request_lapses_before_the_clock_has_come_round_to_it() -> None:
    said = told(REQUEST, [], TWO.email, REQUEST.lapses_at)
    assert said == "this lapsed on 2026-03-02 12:00 UTC: nobody decided in time"


def test_an_extension_by_rows_alone_has_no_time_in_it() -> None:
    more_rows = replace(closed(RequestState.APPROVED), duration=timedelta())
    said = told(more_rows, [decision(TWO)], ONE.email, NOON)
    assert said == "two@example.com approved this on 2026-03-01 12:05 UTC"


def test_somebody_hears_when_they_agreed_themselves() -> None:
    decisions = [decision(ONE), decision(TWO, Verdict.DENIAL, minutes=6)]
    assert (
        agreed_before(decisions, ONE.email) == "you agreed to this already, on 2026-03-01 12:05 UTC"
    )
    assert agreed_before(decisions, TWO.email) == ""
