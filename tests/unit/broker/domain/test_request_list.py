from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from broker.domain.errors import InvalidPlace, InvalidSearch
from broker.domain.request import RequestState
from broker.domain.request_list import (
    ALL,
    MOST_WORDS,
    Place,
    Search,
    Sort,
    SortBy,
    Wanted,
    decode_place,
    described,
    encode_place,
    place_of,
    search_for,
)
from tests.unit.broker.domain.test_request import request_in

_PENDING = request_in(RequestState.PENDING)
_NOON = datetime(2026, 3, 1, 12, 0, 0, 17, tzinfo=UTC)


def test_a_minus_turns_an_order_round() -> None:
    assert [each.by for each in (Sort.NEWEST, Sort.OLDEST)] == [SortBy.AGE, SortBy.AGE]
    for each in SortBy:
        if each is not SortBy.AGE:
            there, back = Sort(each), Sort(f"-{each}")
            assert (there.by, back.by) == (each, each)
            assert there.newest_first
            assert not back.newest_first
    assert Sort.NEWEST.newest_first
    assert not Sort.OLDEST.newest_first


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("closed_at", [None, _NOON])
def test_a_place_is_given_out_and_taken_back(sort: Sort, closed_at: datetime | None) -> None:
    place = place_of(replace(_PENDING, closed_at=closed_at), sort)
    assert decode_place(encode_place(place), sort) == place


def test_a_place_of_one_order_is_none_of_another() -> None:
    places = {each: encode_place(place_of(_PENDING, each)) for each in Sort}
    for one, other in product(Sort, Sort):
        if one is not other:
            with pytest.raises(InvalidPlace, match=f"sort={other}"):
                decode_place(places[one], other)


@pytest.mark.parametrize(
    ("written", "sort"),
    [
        ("", Sort.NEWEST),
        ("newest", Sort.NEWEST),
        ("[]", Sort.NEWEST),
        ("null", Sort.NEWEST),
        ('["newest",null,null]', Sort.NEWEST),
        ('["newest",null,"grt_1"]', Sort.NEWEST),
        ('["newest","a","req_1"]', Sort.NEWEST),
        ('["target",1,"req_1"]', Sort.TARGET),
        ('["target",null,"req_1"]', Sort.TARGET),
        (r'["target","\u0000","req_1"]', Sort.TARGET),
        (r'["target","\ud800","req_1"]', Sort.TARGET),
        ('["duration",true,"req_1"]', Sort.DURATION),
        ('["duration",1e9,"req_1"]', Sort.DURATION),
        (f'["duration",{10**30},"req_1"]', Sort.DURATION),
        ('["closed","2026-03-01T12:00:00","req_1"]', Sort.CLOSED),
        ('["closed","yesterday","req_1"]', Sort.CLOSED),
        ("[" * 100_000, Sort.NEWEST),
    ],
)
def test_what_is_no_place_is_refused(written: str, sort: Sort) -> None:
    with pytest.raises(InvalidPlace):
        decode_place(urlsafe_b64encode(written.encode()).decode().rstrip("="), sort)


@pytest.mark.parametrize("text", ["a", "ä", "====", "%%%"])
def test_what_is_not_encoded_is_no_place(text: str) -> None:
    with pytest.raises(InvalidPlace):
        decode_place(text, Sort.NEWEST)


def test_a_place_is_the_same_moment_wherever_it_was_written() -> None:
    place = Place(Sort.CLOSED, _NOON, "req_1")
    assert decode_place(encode_place(place), Sort.CLOSED).key == _NOON


def test_words_ids_and_grants_are_told_apart() -> None:
    request_id, grant_id = "req_06gzgmx2b2v3s0ps", "grt_06gzgmx2b2v3s0ps"
    found = search_for(f"  INC-4711 -- {request_id} req_06g {grant_id} grt_06 req_")
    assert found == Search(("INC-4711", "grt_06", "req_"), (request_id, "req_06g"), (grant_id,))


@pytest.mark.parametrize("text", ["", " ", "--", "- “ ”", "a " * (MOST_WORDS + 1)])
def test_a_search_needs_words_and_not_too_many(text: str) -> None:
    with pytest.raises(InvalidSearch, match=r"^q "):
        search_for(text)


def test_what_was_asked_for_is_said_as_it_was_asked() -> None:
    assert described(ALL) == ()
    wanted = Wanted(
        state=RequestState.DENIED,
        requester="dev@example.com",
        target="orders",
        role="orders_reader",
        policy="readers",
        since=_NOON,
        until=_NOON + timedelta(days=1),
        search=search_for("inc req_06g"),
        open_to_them=True,
    )
    assert described(wanted) == (
        "status=denied",
        "requester=dev@example.com",
        "target=orders",
        "role=orders_reader",
        "policy=readers",
        "since=2026-03-01T12:00:00.000017+00:00",
        "until=2026-03-02T12:00:00.000017+00:00",
        "q=inc req_06g",
        "needs=me",
    )
