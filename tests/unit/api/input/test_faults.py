"""What is wrong with a call is said field by field, in words, with what would be right."""

import json
from typing import Any

import pytest
from multidict import MultiDict
from pydantic import ValidationError

from api.input.faults import Fault, InvalidInput, faults_of
from api.input.queries import AuditQuery, GrantsQuery, NoQuery, Query, StreamQuery, read_query
from api.schemas import Body, NewAllowance, NewRequest, NewTokenBody

_RIGHT = {"target": "orders", "role": "orders_reader"}


def _body_faults(schema: type[Body], body: Any) -> dict[str, Fault]:
    with pytest.raises(ValidationError) as caught:
        schema.model_validate_json(json.dumps(body), strict=True)
    return {each.field: each for each in faults_of(caught.value, sorted(schema.model_fields))}


def _query_faults(schema: type[Query], *given: tuple[str, str]) -> dict[str, Fault]:
    with pytest.raises(InvalidInput) as caught:
        read_query(MultiDict(given), schema)
    return {each.field: each for each in caught.value.faults}


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"role": 5}, "role", "must be text"),
        ({"target": ""}, "target", "must not be empty"),
        ({"role": "a\u0000b"}, "role", "must have no control characters"),
        ({"pin_address": "no"}, "pin_address", "must be true or false"),
        ({"duration": "soon"}, "duration", "duration 'soon': it is not a duration"),
        ({"networks": "10.0.0.0/8"}, "networks", "must be a list"),
        ({"networks": ["10.0.0.1/8"]}, "networks.0", "has not"),
        ({"person": "alice"}, "person", "must be an e-mail address"),
        ({"reason": "x" * 2001}, "reason", "must have at most 2000 characters"),
        ({"colour": "red"}, "colour", "is not known here; there are "),
    ],
)
def test_each_field_says_what_it_must_be(change: dict[str, Any], field: str, message: str) -> None:
    fault = _body_faults(NewRequest, {**_RIGHT, **change})[field]
    assert message in fault.message


def test_what_may_be_chosen_is_listed() -> None:
    assert _body_faults(NewRequest, {**_RIGHT, "kind": "loan"})["kind"].allowed == (
        "login",
        "membership",
    )
    scopes = _body_faults(NewTokenBody, {"scopes": ["read", "rule"]})["scopes.1"]
    assert "operate" in scopes.allowed
    assert _query_faults(GrantsQuery, ("mine", "yes"))["mine"].allowed == ("true", "false")
    assert "active" in _query_faults(GrantsQuery, ("status", "odd"))["status"].allowed


@pytest.mark.parametrize(
    "moment", [1_700_000_000, "1700000000", "2026-01-01", "2026-01-01T00:00:00"]
)
def test_a_time_needs_its_date_and_its_zone(moment: object) -> None:
    """Left to itself, pydantic takes a number for seconds since 1970."""
    body = {**_RIGHT, "person": "alice@example.com", "duration": "1h", "ends_at": moment}
    assert set(_body_faults(NewAllowance, body)) == {"ends_at"}


def test_what_is_no_json_or_no_object_is_a_fault_of_the_whole() -> None:
    with pytest.raises(ValidationError) as caught:
        NewRequest.model_validate_json("{", strict=True)
    assert [each.field for each in faults_of(caught.value)] == ["body"]
    assert _body_faults(NewRequest, [])["body"].message == "must be an object of names and values"


def test_a_parameter_that_is_not_known_is_refused_with_those_that_are() -> None:
    """Left out without a word, a misspelt filter would show everything."""
    fault = _query_faults(GrantsQuery, ("state", "active"))["state"]
    assert fault.message == "is not known here; there are after, limit, mine, status"
    assert _query_faults(NoQuery, ("limit", "1"))["limit"].message == "is not known here"


def test_a_parameter_comes_once() -> None:
    faults = _query_faults(GrantsQuery, ("status", "active"), ("status", "ended"))
    assert faults["status"].message == "is here more than once"


@pytest.mark.parametrize(
    ("schema", "name", "text"),
    [
        (GrantsQuery, "limit", "0"),
        (GrantsQuery, "limit", "501"),
        (GrantsQuery, "limit", "1.0"),
        (GrantsQuery, "limit", "1_0"),
        (GrantsQuery, "limit", ""),
        (GrantsQuery, "after", "req_06gzgmx2b2v3s0ps"),
        (GrantsQuery, "after", "grt_06gzgmx2b2v3s0ps\n"),
        (AuditQuery, "kind", "grant"),
        (AuditQuery, "after", "9" * 19),
        (AuditQuery, "since", "2026-08-01T00:00:00"),
        (AuditQuery, "since", "0001-01-01T00:00:00+12:00"),
        (StreamQuery, "what", "receipts"),
        (StreamQuery, "after", "1207"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(
    schema: type[Query], name: str, text: str
) -> None:
    assert set(_query_faults(schema, (name, text))) == {name}


def test_what_is_right_is_read() -> None:
    query = read_query(MultiDict({"limit": "500", "mine": "true"}), GrantsQuery)
    assert (query.limit, query.mine, query.after) == (500, True, None)
    since = read_query(MultiDict({"since": "2026-08-01T02:00:00+02:00"}), AuditQuery).since
    assert since is not None
    assert since.isoformat() == "2026-08-01T00:00:00+00:00"
