"""The life of a grant, and what its holder is told when it ends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from broker.domain.errors import HeldByTicket, IllegalTransition
from broker.domain.grant import (
    ENDING_STATES,
    Grant,
    GrantEvent,
    GrantKind,
    GrantState,
    ending_sentence,
)
from broker.domain.person import Person
from broker.domain.statement.conditions import NO_CONDITIONS, Conditions

GRANTED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)

LIVING = (GrantState.PROVISIONING, GrantState.ACTIVE)
HOUR = timedelta(hours=1)
ENDINGS = [
    GrantEvent.EXPIRED,
    GrantEvent.RELINQUISHED,
    GrantEvent.REVOKED,
    GrantEvent.REJECTED,
    GrantEvent.VANISHED,
    GrantEvent.FAILED,
]
LEGAL = {
    (GrantState.WAITING, GrantEvent.ACTIVATED): GrantState.PROVISIONING,
    (GrantState.WAITING, GrantEvent.EXPIRED): GrantState.ENDED,
    (GrantState.WAITING, GrantEvent.RELINQUISHED): GrantState.ENDED,
    (GrantState.WAITING, GrantEvent.REVOKED): GrantState.ENDED,
    (GrantState.PROVISIONING, GrantEvent.PROVISIONED): GrantState.ACTIVE,
    (GrantState.PROVISIONING, GrantEvent.EXPIRED): GrantState.REVOKING,
    (GrantState.PROVISIONING, GrantEvent.RELINQUISHED): GrantState.REVOKING,
    (GrantState.PROVISIONING, GrantEvent.REVOKED): GrantState.REVOKING,
    (GrantState.PROVISIONING, GrantEvent.REJECTED): GrantState.REVOKING,
    (GrantState.PROVISIONING, GrantEvent.VANISHED): GrantState.REVOKING,
    (GrantState.PROVISIONING, GrantEvent.FAILED): GrantState.REVOKING,
    (GrantState.ACTIVE, GrantEvent.EXPIRED): GrantState.REVOKING,
    (GrantState.ACTIVE, GrantEvent.RELINQUISHED): GrantState.REVOKING,
    (GrantState.ACTIVE, GrantEvent.REVOKED): GrantState.REVOKING,
    (GrantState.ACTIVE, GrantEvent.REJECTED): GrantState.REVOKING,
    (GrantState.ACTIVE, GrantEvent.VANISHED): GrantState.REVOKING,
    (GrantState.ACTIVE, GrantEvent.FAILED): GrantState.REVOKING,
    (GrantState.REVOKING, GrantEvent.BLOCKED): GrantState.QUARANTINED,
    (GrantState.REVOKING, GrantEvent.REMOVED): GrantState.ENDED,
    (GrantState.QUARANTINED, GrantEvent.REMOVED): GrantState.ENDED,
}
ILLEGAL = sorted(set(product(GrantState, GrantEvent)) - set(LEGAL))


def grant_in(state: GrantState) -> Grant:
    """Return a grant that is being retried: two attempts have failed."""
    return Grant(
        id="grt_06eajh8a00000000",
        request_id="req_06eajh8a00000000",
        person=Person("per_1", "dev@example.com", "A developer"),
        target="orders",
        database="orders",
        role="orders_reader",
        state=state,
        granted_at=GRANTED_AT,
        expires_at=GRANTED_AT + HOUR,
        duration=HOUR,
        attempts=2,
        next_attempt_at=GRANTED_AT + timedelta(seconds=4),
        last_error="target 'orders' is unreachable: timed out",
    )


@pytest.mark.parametrize(("state", "event"), LEGAL)
def test_a_grant_moves_only_forwards(state: GrantState, event: GrantEvent) -> None:
    assert grant_in(state).after(event, LATER).state is LEGAL[state, event]


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_nothing_else_moves_a_grant(state: GrantState, event: GrantEvent) -> None:
    with pytest.raises(IllegalTransition) as refusal:
        grant_in(state).after(event, LATER)
    assert str(refusal.value) == (
        f"grant grt_06eajh8a00000000 is {state.value}: it cannot be {event.value} now"
    )


def test_every_state_and_event_is_decided_above() -> None:
    assert len(LEGAL) + len(ILLEGAL) == len(GrantState) * len(GrantEvent) == 60


def test_the_ledger_finds_grants_by_these_words() -> None:
    """They stand in tables and in queries: other words would orphan what is already stored."""
    assert [*GrantState] == [
        "waiting",
        "provisioning",
        "active",
        "revoking",
        "quarantined",
        "ended",
    ]
    assert [*GrantEvent] == [
        "activated",
        "provisioned",
        "expired",
        "relinquished",
        "revoked",
        "rejected",
        "vanished",
        "failed",
        "blocked",
        "removed",
    ]
    assert [*GrantKind] == ["login", "membership"]


def test_every_grant_is_alive_or_ending_or_over() -> None:
    """The reaper and the proxies ask for these: a state in none of them would be forgotten."""
    assert [GrantState.WAITING, *LIVING, *ENDING_STATES, GrantState.ENDED] == [*GrantState]
    assert all(LEGAL[state, GrantEvent.REVOKED] in ENDING_STATES for state in LIVING)


def test_a_provisioned_grant_forgets_the_attempts_that_failed() -> None:
    before = grant_in(GrantState.PROVISIONING)
    assert before.after(GrantEvent.PROVISIONED, LATER) == replace(
        before, state=GrantState.ACTIVE, attempts=0, next_attempt_at=LATER, last_error=None
    )


@pytest.mark.parametrize("state", [GrantState.PROVISIONING, GrantState.ACTIVE])
@pytest.mark.parametrize("event", ENDINGS)
def test_removal_starts_at_once_and_the_grant_says_why(
    state: GrantState, event: GrantEvent
) -> None:
    before = grant_in(state)
    assert before.after(event, LATER) == replace(
        before,
        state=GrantState.REVOKING,
        end_reason=event,
        attempts=0,
        next_attempt_at=LATER,
        last_error=None,
    )


def test_a_quarantined_grant_is_tried_again_later_and_later() -> None:
    """What holds its login is still there, so the first tries count."""
    before = grant_in(GrantState.REVOKING)
    quarantined = before.after(GrantEvent.BLOCKED, LATER)
    assert quarantined == replace(before, state=GrantState.QUARANTINED)
    assert quarantined.after_failed_attempt("still held", LATER) == replace(
        quarantined,
        attempts=3,
        next_attempt_at=LATER + timedelta(seconds=4),
        last_error="still held",
    )


@pytest.mark.parametrize("way", [(), (GrantEvent.BLOCKED,)], ids=["at once", "quarantined"])
def test_an_ended_grant_says_since_when_and_still_why(way: tuple[GrantEvent, ...]) -> None:
    ended = grant_in(GrantState.ACTIVE)
    for event in (GrantEvent.REVOKED, *way):
        ended = ended.after(event, GRANTED_AT)
    ended = ended.after(GrantEvent.REMOVED, LATER)
    assert (ended.state, ended.end_reason, ended.ended_at) == (
        GrantState.ENDED,
        GrantEvent.REVOKED,
        LATER,
    )


def test_an_active_grant_can_be_extended_and_keeps_everything_else() -> None:
    before = grant_in(GrantState.ACTIVE)
    until = before.expires_at + timedelta(hours=2)
    held_to = Conditions(max_rows=10)
    assert before.extended(until, held_to) == replace(
        before, expires_at=until, duration=timedelta(hours=3), conditions=held_to
    )


def test_the_clock_of_a_waiting_grant_starts_with_its_first_use() -> None:
    before = grant_in(GrantState.WAITING)
    active = before.activated(timedelta(minutes=30), LATER)
    assert (active.state, active.expires_at, active.duration) == (
        GrantState.PROVISIONING,
        LATER + timedelta(minutes=30),
        timedelta(minutes=30),
    )
    with pytest.raises(IllegalTransition, match="is provisioning: it cannot be activated now"):
        active.activated(HOUR, LATER)


@pytest.mark.parametrize("event", [GrantEvent.EXPIRED, GrantEvent.RELINQUISHED, GrantEvent.REVOKED])
def test_a_grant_that_was_never_used_ends_without_a_removal(event: GrantEvent) -> None:
    ended = grant_in(GrantState.WAITING).after(event, LATER)
    assert (ended.state, ended.end_reason, ended.ended_at) == (GrantState.ENDED, event, LATER)


@pytest.mark.parametrize("state", [each for each in GrantState if each is not GrantState.ACTIVE])
def test_nothing_but_an_active_grant_can_be_extended(state: GrantState) -> None:
    """Its removal has begun, or it is not there yet."""
    grant = grant_in(state)
    with pytest.raises(IllegalTransition) as refusal:
        grant.extended(grant.expires_at + timedelta(hours=2), NO_CONDITIONS)
    assert str(refusal.value) == (
        f"grant grt_06eajh8a00000000 is {state.value}: it cannot be extended now"
    )


def test_a_grant_remembers_who_ended_it_and_what_they_said() -> None:
    before = grant_in(GrantState.REVOKING)
    assert before.ended_for("reviewer@example.com", "no longer needed") == replace(
        before, ended_by="reviewer@example.com", end_comment="no longer needed"
    )


def test_the_reaper_leaves_a_grant_to_whoever_is_at_it_for_a_moment() -> None:
    before = grant_in(GrantState.REVOKING)
    assert before.attended(LATER) == replace(before, next_attempt_at=LATER + timedelta(seconds=2))


@pytest.mark.parametrize(
    ("attempts", "delay"),
    [
        (0, timedelta(seconds=1)),
        (1, timedelta(seconds=2)),
        (2, timedelta(seconds=4)),
        (8, timedelta(seconds=256)),
        (9, timedelta(minutes=5)),
        (16, timedelta(minutes=5)),
        (10_000, timedelta(minutes=5)),  # a target that is down for a month overflows nothing
    ],
)
def test_a_failed_attempt_is_tried_again_later_and_later_up_to_five_minutes(
    attempts: int, delay: timedelta
) -> None:
    before = replace(grant_in(GrantState.REVOKING), attempts=attempts)
    assert before.after_failed_attempt("connection refused", LATER) == replace(
        before,
        attempts=attempts + 1,
        next_attempt_at=LATER + delay,
        last_error="connection refused",
    )


def test_the_time_of_a_sealed_grant_is_its_tickets() -> None:
    with pytest.raises(HeldByTicket):
        replace(grant_in(GrantState.ACTIVE), sealed=True).extended(LATER, NO_CONDITIONS)


@pytest.mark.parametrize("minutes", [-5, 0, 5])
def test_a_used_ticket_only_brings_the_curfew_nearer(minutes: int) -> None:
    grant = replace(grant_in(GrantState.ACTIVE), sealed=True)
    until = grant.expires_at + timedelta(minutes=minutes)
    assert grant.used_until(until).expires_at == min(until, grant.expires_at)


@pytest.mark.parametrize(
    ("reason", "comment", "sentence"),
    [
        (
            GrantEvent.EXPIRED,
            None,
            "access ended: grant grt_06eajh8a00000000 expired at 2026-03-01 13:00:00 UTC",
        ),
        (
            None,  # the proxy's own timer, before the ledger knows
            None,
            "access ended: grant grt_06eajh8a00000000 expired at 2026-03-01 13:00:00 UTC",
        ),
        (
            GrantEvent.RELINQUISHED,
            None,
            "access ended: grant grt_06eajh8a00000000 was relinquished",
        ),
        (
            GrantEvent.REVOKED,
            None,
            "access ended: grant grt_06eajh8a00000000 was revoked by reviewer@example.com",
        ),
        (
            GrantEvent.REVOKED,
            "wrong database",
            "access ended: grant grt_06eajh8a00000000 was revoked by reviewer@example.com: "
            "wrong database",
        ),
        (
            GrantEvent.REJECTED,
            "the password was changed",
            "access ended: grant grt_06eajh8a00000000 is no longer usable",
        ),
        (
            GrantEvent.VANISHED,
            "its login is gone",
            "access ended: grant grt_06eajh8a00000000 is no longer usable",
        ),
        (
            GrantEvent.FAILED,
            "no such role",
            "access ended: grant grt_06eajh8a00000000 is no longer usable",
        ),
    ],
)
def test_the_holder_is_told_why_access_ended(
    reason: GrantEvent | None, comment: str | None, sentence: str
) -> None:
    ended = replace(grant_in(GrantState.ENDED), end_reason=reason)
    assert ending_sentence(ended.ended_for("reviewer@example.com", comment)) == sentence
