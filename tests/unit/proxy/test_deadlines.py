"""What comes next in a session, and since when it has been idle."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.deadlines import End, Idleness, Warn, next_moment

END = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WARNINGS = (10 * MINUTE, 2 * MINUTE)


@pytest.mark.parametrize(
    ("minutes_before", "expected"),
    [
        (60, Warn(END - 10 * MINUTE, 10 * MINUTE)),
        (11, Warn(END - 10 * MINUTE, 10 * MINUTE)),
        (10, Warn(END - 2 * MINUTE, 2 * MINUTE)),  # it has just been said
        (5, Warn(END - 2 * MINUTE, 2 * MINUTE)),
        (2, End(END)),
        (0, End(END)),
        (-5, End(END)),
    ],
)
def test_warnings_come_first_the_earlier_one_earlier(
    minutes_before: int, expected: Warn | End
) -> None:
    assert next_moment(END - minutes_before * MINUTE, END, WARNINGS) == expected


def test_without_warnings_there_is_only_the_end() -> None:
    assert next_moment(END - MINUTE, END, ()) == End(END)


@given(st.lists(st.integers(1, 600), max_size=6), st.integers(0, 700))
def test_each_warning_that_is_still_to_come_is_given_once_and_in_order(
    minutes: list[int], before: int
) -> None:
    now, given_out = END - before * MINUTE, []
    moment = next_moment(now, END, [each * MINUTE for each in minutes])
    while isinstance(moment, Warn):
        given_out.append(moment.left // MINUTE)
        moment = next_moment(moment.at, END, [each * MINUTE for each in minutes])
    assert given_out == sorted({each for each in minutes if each < before}, reverse=True)
    assert moment == End(END)


def test_a_session_is_idle_from_when_nothing_moved_any_more() -> None:
    idleness = Idleness(END)
    assert idleness.look(END + MINUTE, 5, idle=True) == timedelta()
    assert idleness.look(END + 2 * MINUTE, 5, idle=True) == MINUTE
    assert idleness.look(END + 3 * MINUTE, 5, idle=True) == 2 * MINUTE
    assert idleness.look(END + 4 * MINUTE, 6, idle=True) == timedelta()


def test_a_session_whose_query_runs_is_not_idle() -> None:
    idleness = Idleness(END, 5)
    assert idleness.look(END + 9 * MINUTE, 5, idle=False) == timedelta()
    assert idleness.look(END + 10 * MINUTE, 5, idle=True) == MINUTE
