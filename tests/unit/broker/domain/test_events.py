"""The vocabulary of the audit trail."""

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.domain import events
from broker.domain.events import Event

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

# Auditors search by these kinds and read these keys: neither may change under them.
EVENTS: list[tuple[Event, str, dict[str, Any]]] = [
    (
        events.TokenCreated(token_id="tok_1", person="dev@example.com", expires_at=NOON),
        "token.created",
        {
            "token_id": "tok_1",
            "person": "dev@example.com",
            "expires_at": "2026-03-01T12:00:00+00:00",
        },
    ),
    (
        events.TokenCreated(token_id="tok_1", person="dev@example.com", expires_at=None),
        "token.created",
        {"token_id": "tok_1", "person": "dev@example.com", "expires_at": None},
    ),
    (
        events.TokenRevoked(token_id="tok_1", person="dev@example.com"),
        "token.revoked",
        {"token_id": "tok_1", "person": "dev@example.com"},
    ),
    (
        events.RequestMade(
            target="orders",
            database="orders",
            role="orders_reader",
            duration=timedelta(minutes=90),
            reason="a look at order 17",
            policy="orders-readers",
            source="192.0.2.7",
        ),
        "request.made",
        {
            "target": "orders",
            "database": "orders",
            "role": "orders_reader",
            "duration": "PT1H30M",
            "reason": "a look at order 17",
            "policy": "orders-readers",
            "source": "192.0.2.7",
        },
    ),
    (
        events.RequestApproved(duration=timedelta(hours=1), comment="fine"),
        "request.approved",
        {"duration": "PT1H", "comment": "fine"},
    ),
    (events.RequestDenied(reason="not now"), "request.denied", {"reason": "not now"}),
    (events.RequestCancelled(), "request.cancelled", {}),
    (events.RequestLapsed(), "request.lapsed", {}),
    (
        events.LoginMade(login="jit_a", oid=16384),
        "grant.provisioned",
        {"login": "jit_a", "oid": 16384},
    ),
    (
        events.CredentialHandedOut(login="jit_a", source=None),
        "grant.credential_handed_out",
        {"login": "jit_a", "source": None},
    ),
    (
        events.GrantEnding(cause="revoked", comment=None),
        "grant.ending",
        {"cause": "revoked", "comment": None},
    ),
    (
        events.GrantEnded(login="jit_a", oid=16384, receipt={"sessions_ended": 1}),
        "grant.ended",
        {"login": "jit_a", "oid": 16384, "receipt": {"sessions_ended": 1}},
    ),
    (
        events.LeftoverRemoved(target="orders", login="jit_a", oid=16384),
        "login.leftover_removed",
        {"target": "orders", "login": "jit_a", "oid": 16384},
    ),
    (
        events.SessionOpened(client_address="192.0.2.7", client_application="psql", worker="wrk_1"),
        "session.opened",
        {"client_address": "192.0.2.7", "client_application": "psql", "worker": "wrk_1"},
    ),
    (events.SessionClosed(reason="client left"), "session.closed", {"reason": "client left"}),
    (
        events.SessionRefused(client_address="192.0.2.7", reason="grant ended"),
        "session.refused",
        {"client_address": "192.0.2.7", "reason": "grant ended"},
    ),
]


def event_classes() -> set[type[Event]]:
    return {
        each
        for each in vars(events).values()
        if is_dataclass(each) and isinstance(each, type) and issubclass(each, Event)
    } - {Event}


@pytest.mark.parametrize(("event", "kind", "data"), EVENTS)
def test_an_event_is_written_to_the_audit_trail_like_this(
    event: Event, kind: str, data: dict[str, Any]
) -> None:
    assert (event.kind, event.data()) == (kind, data)
    assert json.loads(json.dumps(event.data())) == data


def test_every_event_is_in_the_table_above_under_a_kind_of_its_own() -> None:
    kinds = {type(event): kind for event, kind, _ in EVENTS}
    assert set(kinds) == event_classes()
    assert len(set(kinds.values())) == len(kinds)


def test_ids_are_columns_of_their_own_and_not_repeated_in_the_data() -> None:
    event = events.SessionClosed(
        request_id="req_1", grant_id="grt_1", session_id="ses_1", reason="client left"
    )
    assert (event.request_id, event.grant_id, event.session_id) == ("req_1", "grt_1", "ses_1")
    assert event.data() == {"reason": "client left"}


def test_no_event_has_room_for_a_secret() -> None:
    names = {field.name for each in event_classes() for field in fields(each)}
    assert not names & {"secret", "password", "token", "verifier", "key"}
