"""Going on from where one was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.hints.place import Chain, Mark, Place, place_of

MARKS = st.builds(Mark, st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))


@given(st.builds(Place, MARKS, MARKS))
def test_a_place_is_found_again_by_its_text(place: Place) -> None:
    assert place_of(str(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "1", "1.2", "1.2-3", "1.2-3.4 ", "1.2-3.4\n", "1.2-3.4-5.6"),
        *("-1.2-3.4", "01.2-3.4", "1.2-3.\u0664", f"1.2-3.{10**18}"),
    ],
)
def test_other_texts_are_no_places(text: str) -> None:
    assert place_of(text) is None


def test_one_chain_moves_and_the_other_stays() -> None:
    place = Place(Mark(1, 2), Mark(3, 4))
    assert str(place.moved(Chain.EVENTS, Mark(5, 6))) == "5.6-3.4"
    assert str(place.moved(Chain.STATEMENTS, Mark(5, 6))) == "1.2-5.6"
