from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

from broker.domain.grant import Grant, GrantEvent, GrantState
from broker.domain.person import Person
from broker.domain.request import Decision, RequestState, Verdict
from broker.domain.request_table import REQUEST_COLUMNS, request_facts
from tests.unit.broker.domain.test_request import request_in

_PENDING = request_in(RequestState.PENDING)
_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_LEAD = Person("per_9", "lead@example.com", "A lead")


def _decision(verdict: Verdict, **changes: object) -> Decision:
    plain = Decision(
        id="dec_1",
        request_id="req_1",
        decider=_LEAD,
        verdict=verdict,
        duration=None,
        comment="",
        decided_at=_AT,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_row_has_every_column_with_and_without_a_grant() -> None:
    request = replace(_PENDING, closed_at=_AT)
    grant = Grant(
        id="grt_1",
        request_id=request.id,
        person=request.person,
        target="orders",
        database="orders",
        role="orders_reader",
        state=GrantState.ENDED,
        granted_at=_AT,
        expires_at=_AT + timedelta(hours=1),
        duration=timedelta(hours=1),
        end_reason=GrantEvent.EXPIRED,
        ended_at=_AT + timedelta(hours=1),
    )
    row = request_facts(request, (), grant)
    assert set(row) == set(request_facts(_PENDING, (), None)) == set(REQUEST_COLUMNS)
    assert (row["grant"], row["end_reason"]) == ("grt_1", "expired")
    assert row["ended_at"] == "2026-03-01T13:00:00.000000Z"
    assert row["closed_at"] == "2026-03-01T12:00:00.000000Z"
    living = replace(grant, state=GrantState.ACTIVE, end_reason=None, ended_at=None)
    row = request_facts(request, (), living)
    assert (row["ended_at"], row["end_reason"]) == (None, None)


def test_decisions_say_who_what_how_and_when() -> None:
    said = [
        _decision(Verdict.APPROVAL, allowance_id="alw_1"),
        _decision(Verdict.APPROVAL, break_glass=True),
        _decision(Verdict.DENIAL),
    ]
    assert request_facts(_PENDING, said, None)["decisions"] == (
        "lead@example.com approval beforehand 2026-03-01T12:00:00.000000Z; "
        "lead@example.com approval by breaking the glass 2026-03-01T12:00:00.000000Z; "
        "lead@example.com denial 2026-03-01T12:00:00.000000Z"
    )


def test_networks_are_in_one_cell() -> None:
    networks = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    row = request_facts(replace(_PENDING, networks=networks), (), None)
    assert row["networks"] == "10.0.0.0/8 2001:db8::/32"
