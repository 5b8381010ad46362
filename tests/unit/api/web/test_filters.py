from datetime import UTC, datetime
from http import HTTPStatus

import pytest
from aiohttp.test_utils import make_mocked_request

from api.input.queries import AuditQuery
from api.web.filters import read_filters, turned


def test_empty_fields_and_what_others_add_to_links_say_nothing() -> None:
    request = make_mocked_request("GET", "/audit?person=&kind=grant.ended&utm_source=chat")
    found = read_filters(request, AuditQuery)
    assert (found.query, found.status) == (AuditQuery(kind="grant.ended"), HTTPStatus.OK)
    assert (found.typed["kind"], found.typed["person"]) == ("grant.ended", "")


@pytest.mark.parametrize("typed", ["2026-08-01T10:00", "2026-08-01T10:00:00Z"])
def test_a_browsers_times_are_utc(typed: str) -> None:
    found = read_filters(make_mocked_request("GET", f"/audit?since={typed}"), AuditQuery)
    assert found.query is not None
    assert found.query.since == datetime(2026, 8, 1, 10, tzinfo=UTC)


def test_what_does_not_fit_is_said_by_field_and_what_was_typed_stays() -> None:
    request = make_mocked_request("GET", "/audit?kind=GRANT&since=2026-08-01")
    found = read_filters(request, AuditQuery)
    assert (found.query, found.status) == (None, HTTPStatus.UNPROCESSABLE_ENTITY)
    assert found.errors == {"kind": "must be a kind of event, for example grant.ended"}
    assert (found.typed["kind"], found.typed["since"]) == ("GRANT", "2026-08-01T00:00:00Z")


def test_a_page_turns_with_the_rest_of_what_was_asked_for() -> None:
    request = make_mocked_request("GET", "/audit?person=a%2Bb@example.com&after=9&kind=")
    assert turned(request, after="5") == "/audit?person=a%2Bb@example.com&after=5"
    assert turned(request, after=None) == "/audit?person=a%2Bb@example.com"
