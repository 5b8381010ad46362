"""The newest part of a chain: nothing of it missed or doubled, and never too much of it."""

from hypothesis import given
from hypothesis import strategies as st

from broker.domain.hints.place import Mark
from broker.domain.hints.window import Window

MOST = 6


def marked(*numbers: int) -> list[tuple[Mark, int]]:
    return [(Mark(n, 1), n) for n in numbers]


def texts(window: Window[int], after: int, limit: int = 100) -> list[int] | None:
    found = window.after(Mark(after, 1), limit)
    return None if found is None else [item for _, item in found]


def filled() -> Window[int]:
    window: Window[int] = Window(MOST)
    window.begin_anew(Mark(10, 1))
    window.extend(marked(11, 13), Mark(14, 1))
    return window


def test_who_is_anywhere_in_it_gets_what_comes_after() -> None:
    window = filled()
    assert texts(window, 10) == [11, 13]
    assert texts(window, 11) == texts(window, 12) == [13]
    assert texts(window, 13) == texts(window, 14) == []
    assert texts(window, 10, limit=1) == [11]


def test_who_is_before_it_or_beyond_it_is_not_told_half_of_it() -> None:
    window = filled()
    assert texts(window, 9) is None
    assert texts(window, 15) is None


def test_what_came_before_is_put_in_front_if_there_is_room() -> None:
    window = filled()
    assert not window.has_room_before(MOST - 1)
    assert window.has_room_before(MOST - 2)
    window.extend_back(marked(8, 9), Mark(7, 1))
    assert texts(window, 7) == [8, 9, 11, 13]
    assert len(window) == 4


def test_beginning_anew_forgets_everything() -> None:
    window = filled()
    window.begin_anew(Mark(3, 1))
    assert (texts(window, 3), texts(window, 10), len(window)) == ([], None, 0)


@given(st.lists(st.integers(0, 9), max_size=8))
def test_who_keeps_up_misses_nothing_and_who_does_not_is_told_so(steps: list[int]) -> None:
    """Blocks come in batches of these sizes; somebody takes all of each, somebody nothing."""
    window: Window[int] = Window(MOST)
    window.begin_anew(Mark(0, 1))
    taken: list[int] = []
    place = newest = 0
    for step in steps:
        more = list(range(newest + 1, newest + 1 + step))
        newest += step
        window.extend(marked(*more), Mark(newest, 1))
        found = texts(window, place)
        assert (found is None) == (step > MOST)
        taken += more if found is None else found
        place = newest
        assert len(window) <= MOST
    assert taken == list(range(1, newest + 1))
    assert (texts(window, 0) is None) == (newest > MOST)
