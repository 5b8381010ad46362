"""The life of an access request."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from broker.domain.errors import IllegalTransition
from broker.domain.person import Person
from broker.domain.request import AccessRequest, RequestEvent, RequestState, Verdict

ASKED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)

LEGAL = {
    (RequestState.PENDING, RequestEvent.APPROVED): RequestState.APPROVED,
    (RequestState.PENDING, RequestEvent.DENIED): RequestState.DENIED,
    (RequestState.PENDING, RequestEvent.CANCELLED): RequestState.CANCELLED,
    (RequestState.PENDING, RequestEvent.LAPSED): RequestState.LAPSED,
}
ILLEGAL = sorted(set(product(RequestState, RequestEvent)) - set(LEGAL))


def request_in(state: RequestState) -> AccessRequest:
    return AccessRequest(
        id="req_06eajh8a00000000",
        requester=Person("per_1", "dev@example.com", "A developer"),
        target="orders",
        database="orders",
        role="orders_reader",
        duration=timedelta(hours=1),
        reason="a look at order 17",
        source="192.0.2.7",
        policy="orders-readers",
        state=state,
        created_at=ASKED_AT,
        lapses_at=ASKED_AT + timedelta(days=1),
    )


@pytest.mark.parametrize(("state", "event"), LEGAL)
def test_a_pending_request_is_closed_once_and_keeps_everything_else(
    state: RequestState, event: RequestEvent
) -> None:
    before = request_in(state)
    assert before.after(event, LATER) == replace(before, state=LEGAL[state, event], closed_at=LATER)


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_a_closed_request_stays_as_it_is(state: RequestState, event: RequestEvent) -> None:
    with pytest.raises(IllegalTransition) as refusal:
        request_in(state).after(event, LATER)
    assert str(refusal.value) == (
        f"request req_06eajh8a00000000 is {state.value}: it cannot be {event.value} now"
    )


def test_the_ledger_finds_requests_by_these_words() -> None:
    """They stand in tables and in queries: other words would orphan what is already stored."""
    assert [*RequestState] == ["pending", "approved", "denied", "cancelled", "lapsed"]
    assert [*RequestEvent] == ["approved", "denied", "cancelled", "lapsed"]
    assert [*Verdict] == ["approval", "denial"]


def test_only_pending_requests_can_still_change() -> None:
    """The two tables above cover every state and event: 4 moves, 16 refusals."""
    assert (len(LEGAL), len(ILLEGAL)) == (4, 16)
