"""The times that approvers choose from."""

from datetime import timedelta

import pytest

from broker.domain.duration import format_duration
from broker.domain.expiries import expiries, longest_of

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("longest", "offered"),
    [
        (timedelta(), ""),
        (timedelta(minutes=10), "10m"),
        (timedelta(minutes=30), "15m, 30m"),
        (HOUR, "15m, 30m, 1h"),
        (timedelta(minutes=90), "15m, 30m, 1h, 1h 30m"),
        (8 * HOUR, "1h, 2h, 4h, 8h"),
        (timedelta(days=90), "7d, 14d, 30d, 90d"),
    ],
)
def test_a_few_usual_times_are_offered_and_all_of_it(longest: timedelta, offered: str) -> None:
    assert ", ".join(map(format_duration, expiries(longest))) == offered


def test_what_the_policy_has_come_to_allow_is_the_most() -> None:
    assert longest_of(2 * HOUR, HOUR) == HOUR
    assert longest_of(HOUR, 2 * HOUR) == HOUR
    assert longest_of(HOUR, timedelta()) == HOUR
