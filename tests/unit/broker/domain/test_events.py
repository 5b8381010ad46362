"""The vocabulary of the audit trail."""

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from broker.domain import events
from broker.domain.events import Event
from broker.domain.token import TokenKind

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

# Auditors search by these kinds and read these keys: neither may change under them.
EVENTS: list[tuple[Event, str, dict[str, Any]]] = [
    (
        events.IdentityRefused(
            reason="the token expired",
            source="192.0.2.7",
            unverified_issuer="https://id.example.com",
            unverified_subject="alice",
            unverified_kid=None,
            unrecorded=7,
        ),
        "identity.refused",
        {
            "reason": "the token expired",
            "source": "192.0.2.7",
            "unverified_issuer": "https://id.example.com",
            "unverified_subject": "alice",
            "unverified_kid": None,
            "unrecorded": 7,
        },
    ),
    (
        events.PersonVouchedFor(
            person="dev@example.com",
            provider="company",
            groups=("dba", "developers"),
            manager="lead@example.com",
        ),
        "person.vouched_for",
        {
            "person": "dev@example.com",
            "provider": "company",
            "groups": ["dba", "developers"],
            "manager": "lead@example.com",
        },
    ),
    (
        events.SignedIn(
            sign_in_id="sgn_1",
            person="dev@example.com",
            provider="company",
            token_id=None,
            source="192.0.2.7",
            expires_at=NOON,
        ),
        "sign_in.begun",
        {
            "sign_in_id": "sgn_1",
            "person": "dev@example.com",
            "provider": "company",
            "token_id": None,
            "source": "192.0.2.7",
            "expires_at": "2026-03-01T12:00:00+00:00",
        },
    ),
    (
        events.SignedOut(sign_in_ids=("sgn_1", "sgn_2"), person="dev@example.com"),
        "sign_in.ended",
        {"sign_in_ids": ["sgn_1", "sgn_2"], "person": "dev@example.com"},
    ),
    (
        events.TokenCreated(
            token_id="tok_1",
            person="dev@example.com",
            token_kind=TokenKind.PERSONAL,
            scopes=None,
            expires_at=NOON,
        ),
        "token.created",
        {
            "token_id": "tok_1",
            "person": "dev@example.com",
            "token_kind": "personal",
            "scopes": None,
            "expires_at": "2026-03-01T12:00:00+00:00",
        },
    ),
    (
        events.TokenCreated(
            token_id="tok_2",
            person="nightly@service.machine",
            token_kind=TokenKind.SERVICE,
            scopes=("ask", "read"),
            expires_at=NOON,
        ),
        "token.created",
        {
            "token_id": "tok_2",
            "person": "nightly@service.machine",
            "token_kind": "service",
            "scopes": ["ask", "read"],
            "expires_at": "2026-03-01T12:00:00+00:00",
        },
    ),
    (
        events.TokenRevoked(token_id="tok_1", person="dev@example.com"),
        "token.revoked",
        {"token_id": "tok_1", "person": "dev@example.com"},
    ),
    (
        events.RequestMade(
            person="alice@example.com",
            target="orders",
            database="orders",
            role="orders_reader",
            duration=timedelta(minutes=90),
            reason="a look at order 17",
            policy="orders-readers",
            why=("policy 'orders-readers' gives it",),
            source="192.0.2.7",
            networks=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
            pin_address=True,
            extends=None,
            conversation="https://chat.example.com/archives/C01/p1767225600",
        ),
        "request.made",
        {
            "person": "alice@example.com",
            "target": "orders",
            "database": "orders",
            "role": "orders_reader",
            "duration": "PT1H30M",
            "reason": "a look at order 17",
            "policy": "orders-readers",
            "why": ["policy 'orders-readers' gives it"],
            "source": "192.0.2.7",
            "networks": ["10.0.0.0/8", "2001:db8::/32"],
            "pin_address": True,
            "extends": None,
            "more_rows": 0,
            "more_bytes": 0,
            "conversation": "https://chat.example.com/archives/C01/p1767225600",
        },
    ),
    (
        events.RequestApproved(
            cause="approvers",
            duration=timedelta(hours=1),
            comment="fine",
            cuts=(),
            networks=(),
            pin_address=False,
        ),
        "request.approved",
        {
            "cause": "approvers",
            "duration": "PT1H",
            "comment": "fine",
            "cuts": [],
            "networks": [],
            "pin_address": False,
        },
    ),
    (
        events.RequestRefused(
            person="dev@example.com",
            target="orders",
            role="orders_owner",
            duration=None,
            code="policy-denied",
            why="no policy lets you",
            source="192.0.2.7",
        ),
        "request.refused",
        {
            "person": "dev@example.com",
            "target": "orders",
            "role": "orders_owner",
            "duration": None,
            "code": "policy-denied",
            "why": "no policy lets you",
            "source": "192.0.2.7",
        },
    ),
    (
        events.RequestConsented(
            duration=None, comment="fine", break_glass=False, allowance_id="alw_1"
        ),
        "request.consented",
        {"duration": None, "comment": "fine", "break_glass": False, "allowance_id": "alw_1"},
    ),
    (events.RequestCommented(text="which one?"), "request.commented", {"text": "which one?"}),
    (
        events.RequestEscalated(schedules=("primary",)),
        "request.escalated",
        {"schedules": ["primary"]},
    ),
    (
        events.PeoplePaged(schedule="primary", paged=True, said="by telephone"),
        "request.paged",
        {"schedule": "primary", "paged": True, "said": "by telephone"},
    ),
    (
        events.BrokenGlass(person="dev@example.com", review_due_at=NOON),
        "request.broken_glass",
        {"person": "dev@example.com", "review_due_at": "2026-03-01T12:00:00+00:00"},
    ),
    (events.ReviewWritten(text="It was full."), "grant.reviewed", {"text": "It was full."}),
    (
        events.AllowanceMade(
            allowance_id="alw_1",
            person="dev@example.com",
            target="orders",
            database="orders",
            role="orders_reader",
            starts_at=NOON,
            ends_at=NOON + timedelta(hours=2),
            duration=timedelta(hours=1),
            reason="the migration",
        ),
        "allowance.made",
        {
            "allowance_id": "alw_1",
            "person": "dev@example.com",
            "target": "orders",
            "database": "orders",
            "role": "orders_reader",
            "starts_at": "2026-03-01T12:00:00+00:00",
            "ends_at": "2026-03-01T14:00:00+00:00",
            "duration": "PT1H",
            "reason": "the migration",
        },
    ),
    (
        events.AllowanceRevoked(allowance_id="alw_1"),
        "allowance.revoked",
        {"allowance_id": "alw_1"},
    ),
    (
        events.GrantActivated(until=NOON, cuts=("1h: policy 'p' is open until noon",)),
        "grant.activated",
        {
            "until": "2026-03-01T12:00:00+00:00",
            "cuts": ["1h: policy 'p' is open until noon"],
        },
    ),
    (events.RequestDenied(reason="not now"), "request.denied", {"reason": "not now"}),
    (events.RequestCancelled(), "request.cancelled", {}),
    (events.RequestLapsed(), "request.lapsed", {}),
    (
        events.MembershipGiven(role="orders_reader", member="alice"),
        "grant.membership_given",
        {"role": "orders_reader", "member": "alice"},
    ),
    (
        events.AlarmRaised(alarm_id="alm_1", target=None, message="a proxy is silent"),
        "alarm.raised",
        {"alarm_id": "alm_1", "target": None, "message": "a proxy is silent"},
    ),
    (events.AlarmCleared(alarm_id="alm_1"), "alarm.cleared", {"alarm_id": "alm_1"}),
    (
        events.AdminRotated(target="orders", login="curfew_broker_1"),
        "admin.rotated",
        {"target": "orders", "login": "curfew_broker_1"},
    ),
    (
        events.PoliciesChanged(number=3, before=1, diff="@@ -1 +1 @@\n-a\n+b", lines_left_out=0),
        "policies.changed",
        {"number": 3, "before": 1, "diff": "@@ -1 +1 @@\n-a\n+b", "lines_left_out": 0},
    ),
    (
        events.SettingsChanged(
            number=2, before=None, diff="", lines_left_out=7, waiting=("targets", "api")
        ),
        "settings.changed",
        {
            "number": 2,
            "before": None,
            "diff": "",
            "lines_left_out": 7,
            "waiting": ["targets", "api"],
        },
    ),
    (
        events.PoliciesRefused(host="curfew-1", why="policies.yaml:3: no such key"),
        "policies.refused",
        {"host": "curfew-1", "why": "policies.yaml:3: no such key"},
    ),
    (
        events.SettingsRefused(host="curfew-1", why="pgcurfew.yaml:3: no such key"),
        "settings.refused",
        {"host": "curfew-1", "why": "pgcurfew.yaml:3: no such key"},
    ),
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
        events.GrantExtended(
            was_until=NOON,
            until=NOON + timedelta(hours=1),
            reason="not done",
            conditions=("at most 10 rows are returned",),
        ),
        "grant.extended",
        {
            "was_until": "2026-03-01T12:00:00+00:00",
            "until": "2026-03-01T13:00:00+00:00",
            "reason": "not done",
            "conditions": ["at most 10 rows are returned"],
        },
    ),
    (
        events.CommitHeld(held_id="hld_1", rows=1200, by_approver=True, until=NOON),
        "commit.held",
        {
            "held_id": "hld_1",
            "rows": 1200,
            "by_approver": True,
            "until": "2026-03-01T12:00:00+00:00",
        },
    ),
    (
        events.CommitDecided(held_id="hld_1", decision="confirmed"),
        "commit.decided",
        {"held_id": "hld_1", "decision": "confirmed"},
    ),
    (
        events.GrantQuarantined(why="a backend does not end"),
        "grant.quarantined",
        {"why": "a backend does not end"},
    ),
    (
        events.GrantEnded(receipt=17, hash="ab" * 32, proved=True),
        "grant.ended",
        {"receipt": 17, "hash": "ab" * 32, "proved": True},
    ),
    (
        events.LeftoverRemoved(target="orders", login="jit_a", oid=16384),
        "login.leftover_removed",
        {"target": "orders", "login": "jit_a", "oid": 16384},
    ),
    (
        events.GrantShortened(was_until=NOON + timedelta(days=90), until=NOON),
        "grant.shortened",
        {"was_until": "2026-05-30T12:00:00+00:00", "until": "2026-03-01T12:00:00+00:00"},
    ),
    (
        events.TicketSealed(
            ticket_id="tkt_1",
            person="dev@example.com",
            target="orders",
            database="orders",
            role="orders_reader",
            networks=(ip_network("10.0.0.0/8"),),
            expires_at=NOON,
            access=timedelta(hours=2),
            key_id="k1",
        ),
        "ticket.sealed",
        {
            "ticket_id": "tkt_1",
            "person": "dev@example.com",
            "target": "orders",
            "database": "orders",
            "role": "orders_reader",
            "networks": ["10.0.0.0/8"],
            "expires_at": "2026-03-01T12:00:00+00:00",
            "access": "PT2H",
            "key_id": "k1",
        },
    ),
    (
        events.TicketUsed(
            ticket_id="tkt_1", client_address="192.0.2.7", until=NOON, worker="wrk_1"
        ),
        "ticket.used",
        {
            "ticket_id": "tkt_1",
            "client_address": "192.0.2.7",
            "until": "2026-03-01T12:00:00+00:00",
            "worker": "wrk_1",
        },
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
    (events.SessionKilled(session_id="ses_1", grant_id="grt_1"), "session.killed", {}),
    (
        events.StatementsRead(session_id="ses_1", grant_id="grt_1"),
        "statements.read",
        {"sessions": []},
    ),
    (
        events.RecordRead(how="export", what="statements", only=("grant=grt_1",)),
        "record.read",
        {"how": "export", "what": "statements", "only": ["grant=grt_1"]},
    ),
    (
        events.StatementsDayDropped(day="2026-03-01", rows=12, through=7),
        "statements.day_dropped",
        {"day": "2026-03-01", "rows": 12, "through": 7},
    ),
    (
        events.Banned(whom="address 192.0.2.7", failures=20, until=NOON),
        "ban.begun",
        {"whom": "address 192.0.2.7", "failures": 20, "until": "2026-03-01T12:00:00+00:00"},
    ),
    (events.BanLifted(whom="address 192.0.2.7"), "ban.lifted", {"whom": "address 192.0.2.7"}),
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
