"""What a receipt claims, and how a change to any of them is found."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.receipt import (
    GENESIS,
    BrokenLink,
    Line,
    Link,
    Step,
    canonical,
    check_link,
    seal,
    unproved,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
texts = st.text(st.characters(exclude_categories=["Cs"]))
facts = st.dictionaries(
    texts, st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists, max_leaves=5)
)


def line(count: int | None, claim: str = "the role does not exist", note: str = "") -> Line:
    return Line(
        claim=claim,
        count=count,
        question="SELECT count(*)\n  FROM pg_roles WHERE oid = 16384",
        read_at=None if count is None else NOON,
        note=note,
    )


def chain_of(*bodies: str) -> list[Link]:
    links: list[Link] = []
    for number, body in enumerate(bodies, start=1):
        links.append(seal(number, body, links[-1].hash if links else GENESIS))
    return links


def first_fault(links: list[Link]) -> BrokenLink | None:
    """Read the chain as whoever checks it does."""
    previous = GENESIS
    for number, link in enumerate(links, start=1):
        broken = check_link(link, number, previous)
        if broken is not None:
            return broken
        previous = link.hash
    return None


def test_a_line_says_what_was_asked_when_and_that_nothing_was_found() -> None:
    assert line(0).to_json() == {
        "claim": "the role does not exist",
        "proved": True,
        "count": 0,
        "question": "SELECT count(*) FROM pg_roles WHERE oid = 16384",
        "read_at": "2026-03-01T12:00:00+00:00",
    }


@pytest.mark.parametrize(("count", "proved"), [(0, True), (1, False), (2, False), (None, False)])
def test_only_an_answer_that_found_nothing_proves_a_line(
    *, count: int | None, proved: bool
) -> None:
    assert line(count).proved is proved
    assert line(count).to_json()["proved"] is proved


def test_what_could_not_be_asked_says_why_and_claims_no_answer() -> None:
    asked = line(None, note="the standby could not be reached").to_json()
    assert (asked["count"], asked["read_at"]) == (None, None)
    assert asked["note"] == "the standby could not be reached"


def test_the_claims_that_nothing_proves_are_named() -> None:
    lines = [line(0, "gone"), line(1, "no session"), line(None, "no object"), line(0, "no lock")]
    assert unproved(lines) == ["no session", "no object"]
    assert unproved([]) == []


def test_a_step_says_when_and_where_a_statement_was_run() -> None:
    assert Step(NOON, "orders", 'DROP ROLE "jit_a"').to_json() == {
        "at": "2026-03-01T12:00:00+00:00",
        "database": "orders",
        "statement": 'DROP ROLE "jit_a"',
    }


def test_facts_have_one_text_that_anybody_can_hash_again() -> None:
    assert canonical({"b": [1, None, True], "a": {"y": "é", "x": 'q"'}}) == (
        '{"a":{"x":"q\\"","y":"é"},"b":[1,null,true]}'
    )


@given(facts, st.randoms())
def test_the_order_in_which_facts_were_collected_does_not_show(
    collected: dict[str, object], random: Random
) -> None:
    shuffled = list(collected.items())
    random.shuffle(shuffled)
    assert canonical(dict(shuffled)) == canonical(collected)
    assert json.loads(canonical(collected)) == collected


def test_a_receipt_is_hashed_as_the_documentation_says() -> None:
    """SHA-256 of the hash before, the number as 8 bytes, most significant first, and the body.

    Whoever exported receipts checks them with this, years later.
    """
    previous = bytes(range(32))
    assert seal(258, '{"grant":"é"}', previous) == Link(
        258,
        '{"grant":"é"}',
        previous,
        sha256(previous + bytes([0, 0, 0, 0, 0, 0, 1, 2]) + b'{"grant":"\xc3\xa9"}').digest(),
    )
    assert bytes(32) == GENESIS


def test_each_receipt_follows_the_one_before_it() -> None:
    links = chain_of("a", "b", "c")
    assert links[0].previous == GENESIS
    assert all(later.previous == earlier.hash for earlier, later in pairwise(links))


def test_an_untouched_chain_has_no_fault() -> None:
    assert first_fault([]) is None
    assert first_fault(chain_of("a", "b", "b", "c")) is None


@pytest.mark.parametrize("position", range(3))
def test_a_changed_receipt_is_named(position: int) -> None:
    links = chain_of("a", "b", "c")
    links[position] = replace(links[position], body="forged")
    number = position + 1
    assert first_fault(links) == BrokenLink(number, f"receipt {number} was changed")


@pytest.mark.parametrize("position", range(2))
def test_a_receipt_that_was_sealed_anew_gives_itself_away_by_the_next(position: int) -> None:
    links = chain_of("a", "b", "c")
    links[position] = seal(position + 1, "forged", links[position].previous)
    number = position + 2
    assert first_fault(links) == BrokenLink(
        number, f"receipt {number} does not follow the one before it"
    )


@pytest.mark.parametrize("position", range(2))
def test_a_missing_receipt_is_named(position: int) -> None:
    links = chain_of("a", "b", "c")
    del links[position]
    number = position + 1
    assert first_fault(links) == BrokenLink(number, f"receipt {number} is missing")


def test_a_missing_receipt_is_missed_even_if_the_later_ones_are_renumbered() -> None:
    first, _, third = chain_of("a", "b", "c")
    assert first_fault([first, replace(third, number=2)]) == BrokenLink(
        2, "receipt 2 does not follow the one before it"
    )


def test_receipts_in_another_order_are_noticed_at_the_first() -> None:
    first, second, third = chain_of("a", "b", "c")
    assert first_fault([second, first, third]) == BrokenLink(1, "receipt 1 is missing")
    swapped = [first, replace(third, number=2), replace(second, number=3)]
    assert first_fault(swapped) == BrokenLink(2, "receipt 2 does not follow the one before it")


def test_bodies_that_were_exchanged_are_noticed_at_the_first() -> None:
    first, second = chain_of("a", "b")
    exchanged = [replace(first, body="b"), replace(second, body="a")]
    assert first_fault(exchanged) == BrokenLink(1, "receipt 1 was changed")


def test_a_chain_begins_with_nothing_before_it() -> None:
    """Otherwise its beginning could be cut off."""
    second = seal(1, "b", chain_of("a")[0].hash)
    assert first_fault([second]) == BrokenLink(1, "receipt 1 does not follow the one before it")
