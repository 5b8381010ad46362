"""The life of an access request, and what several approvers agree on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from itertools import product

import pytest

from broker.domain.errors import IllegalTransition
from broker.domain.network import Network
from broker.domain.person import Person
from broker.domain.request import (
    AccessRequest,
    Cause,
    Decision,
    RequestEvent,
    RequestState,
    Terms,
    Verdict,
    agreed_terms,
)

ASKED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)

LEGAL = {
    (RequestState.PENDING, RequestEvent.APPROVED, Cause.APPROVERS): RequestState.APPROVED,
    (RequestState.PENDING, RequestEvent.APPROVED, Cause.POLICY): RequestState.APPROVED,
    (RequestState.PENDING, RequestEvent.APPROVED, Cause.OPERATOR): RequestState.APPROVED,
    (RequestState.PENDING, RequestEvent.DENIED, Cause.APPROVERS): RequestState.DENIED,
    (RequestState.PENDING, RequestEvent.CANCELLED, Cause.REQUESTER): RequestState.CANCELLED,
    (RequestState.PENDING, RequestEvent.LAPSED, Cause.CLOCK): RequestState.LAPSED,
}
ILLEGAL = sorted(set(product(RequestState, RequestEvent, Cause)) - set(LEGAL))
DEV = Person("per_1", "dev@example.com", "A developer")


def request_in(state: RequestState) -> AccessRequest:
    return AccessRequest(
        id="req_06eajh8a00000000",
        person=DEV,
        requester=DEV,
        target="orders",
        database="orders",
        role="orders_reader",
        duration=timedelta(hours=1),
        reason="a look at order 17",
        source="192.0.2.7",
        policy="orders-readers",
        why=("policy 'orders-readers' gives it",),
        state=state,
        created_at=ASKED_AT,
        lapses_at=ASKED_AT + timedelta(days=1),
    )


def consent(
    *, minutes: int | None = None, networks: tuple[str, ...] | None = None, pin: bool = False
) -> Decision:
    return Decision(
        id="dec_1",
        request_id="req_06eajh8a00000000",
        decider=Person("per_2", "reviewer@example.com", "A reviewer"),
        verdict=Verdict.APPROVAL,
        duration=None if minutes is None else timedelta(minutes=minutes),
        comment="",
        decided_at=LATER,
        networks=None if networks is None else nets(*networks),
        pin_address=pin,
    )


def nets(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


@pytest.mark.parametrize(("state", "event", "by"), LEGAL)
def test_a_pending_request_is_closed_once_and_keeps_everything_else(
    state: RequestState, event: RequestEvent, by: Cause
) -> None:
    before = request_in(state)
    assert before.after(event, LATER, by=by) == replace(
        before, state=LEGAL[state, event, by], closed_at=LATER
    )


@pytest.mark.parametrize(("state", "event", "by"), ILLEGAL)
def test_nobody_else_and_nothing_else_closes_a_request(
    state: RequestState, event: RequestEvent, by: Cause
) -> None:
    with pytest.raises(IllegalTransition) as refusal:
        request_in(state).after(event, LATER, by=by)
    assert str(refusal.value) == (
        f"request req_06eajh8a00000000 is {state.value}: it cannot be {event.value} now"
    )


@pytest.mark.parametrize("event", [RequestEvent.APPROVED, RequestEvent.DENIED])
def test_nobody_decides_a_request_that_is_to_lapse(event: RequestEvent) -> None:
    """The clock may be late: a broker was down, or a target holds it up."""
    asked = request_in(RequestState.PENDING)
    with pytest.raises(IllegalTransition, match="is lapsed: it cannot be"):
        asked.after(event, asked.lapses_at, by=Cause.APPROVERS)


def test_the_ledger_finds_requests_by_these_words() -> None:
    """They stand in tables and in queries: other words would orphan what is already stored."""
    assert [*RequestState] == ["pending", "approved", "denied", "cancelled", "lapsed"]
    assert [*RequestEvent] == ["approved", "denied", "cancelled", "lapsed"]
    assert [*Verdict] == ["approval", "denial"]


def test_every_state_event_and_cause_is_decided_above() -> None:
    assert (len(LEGAL), len(ILLEGAL)) == (6, 94)


def test_a_pending_request_is_escalated_once() -> None:
    escalated = request_in(RequestState.PENDING).escalated(LATER)
    assert escalated.escalated_at == LATER
    with pytest.raises(IllegalTransition, match="is already escalated"):
        escalated.escalated(LATER)


def test_a_closed_request_is_not_escalated() -> None:
    with pytest.raises(IllegalTransition, match="is denied: it cannot be escalated now"):
        request_in(RequestState.DENIED).escalated(LATER)


@pytest.mark.parametrize(
    ("approvals", "terms"),
    [
        ((), Terms(timedelta(hours=1), nets("10.0.0.0/8"), pin_address=False)),
        ((consent(),), Terms(timedelta(hours=1), nets("10.0.0.0/8"), pin_address=False)),
        (
            (consent(minutes=30), consent(minutes=20), consent()),
            Terms(timedelta(minutes=20), nets("10.0.0.0/8"), pin_address=False),
        ),
        ((consent(networks=()),), Terms(timedelta(hours=1), (), pin_address=False)),
        (
            (consent(networks=()), consent()),
            Terms(timedelta(hours=1), nets("10.0.0.0/8"), pin_address=False),
        ),
        ((consent(networks=("192.0.2.0/24",)), consent()), None),
        (
            (consent(minutes=90), consent()),
            Terms(timedelta(hours=1), nets("10.0.0.0/8"), pin_address=False),
        ),
        (
            (consent(networks=("192.0.2.0/24", "10.1.0.0/16")), consent(networks=("10.0.0.0/8",))),
            Terms(timedelta(hours=1), nets("10.1.0.0/16"), pin_address=False),
        ),
        (
            (consent(networks=("192.0.2.0/24",)), consent(networks=(), pin=True)),
            Terms(timedelta(hours=1), nets("192.0.2.0/24"), pin_address=True),
        ),
        ((consent(networks=("192.0.2.0/24",)), consent(networks=("10.0.0.0/8",))), None),
        ((consent(networks=("192.0.2.0/24",)), consent(networks=("2001:db8::/32",))), None),
    ],
)
def test_of_what_several_approvers_give_the_strictest_holds(
    approvals: tuple[Decision, ...], terms: Terms | None
) -> None:
    """What they name takes the place of what was asked for, which here is 10.0.0.0/8."""
    asked = replace(request_in(RequestState.PENDING), networks=nets("10.0.0.0/8"))
    assert agreed_terms(asked, approvals) == terms
