"""Durations as people and programs write and read them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.duration import format_duration, iso_duration, parse_duration
from broker.domain.errors import InvalidDuration

whole_seconds = st.integers(min_value=1, max_value=3650 * 86400)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("8h", timedelta(hours=8)),
        ("2d", timedelta(days=2)),
        ("007m", timedelta(minutes=7)),
        ("PT1H30M", timedelta(hours=1, minutes=30)),
        ("PT90S", timedelta(seconds=90)),
        ("PT90M", timedelta(minutes=90)),
        ("P1D", timedelta(days=1)),
        ("P2W", timedelta(weeks=2)),
        ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("P1W1DT1S", timedelta(days=8, seconds=1)),
        ("P0DT1S", timedelta(seconds=1)),
    ],
)
def test_a_duration_is_written_short_or_as_iso_8601(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1h",
        "1h ",
        "1h\n",
        "1",
        "h",
        "1w",
        "1H",
        "1h30m",
        "-1h",
        "+1h",
        "1.5h",
        "1e3s",
        "1000000000s",
        "٣m",  # a digit to Python, but not to the next program that reads it
        "P",
        "PT",
        "P1DT",  # ISO 8601 wants no T without a time
        "p1d",
        "P1M",
        "P1Y",
        "PT1D",
        "P1H",
        "PT1M1H",
        "PT0.5H",
        "-PT1H",
    ],
)
def test_what_is_no_duration_is_refused_with_the_ways_to_write_one(text: str) -> None:
    with pytest.raises(InvalidDuration) as refusal:
        parse_duration(text)
    assert str(refusal.value) == (
        f"duration {text!r}: it is not a duration; "
        "write 90s, 30m, 8h, 2d or ISO 8601, for example PT1H"
    )


@pytest.mark.parametrize("text", ["0s", "0d", "PT0S", "P0D", "P0W"])
def test_nobody_asks_for_no_time_at_all(text: str) -> None:
    with pytest.raises(InvalidDuration) as refusal:
        parse_duration(text)
    assert str(refusal.value) == (
        f"duration {text!r}: it must be longer than nothing; "
        "write 90s, 30m, 8h, 2d or ISO 8601, for example PT1H"
    )


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(seconds=45), "45s"),
        (timedelta(minutes=90), "1h 30m"),
        (timedelta(days=2), "2d"),
        (timedelta(days=1, seconds=1), "1d 1s"),
        (timedelta(days=1, hours=2, minutes=3, seconds=4), "1d 2h 3m 4s"),
        (timedelta(), "0s"),
        (timedelta(milliseconds=1999), "1s"),
    ],
)
def test_people_read_a_duration_the_short_way(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(seconds=45), "PT45S"),
        (timedelta(minutes=90), "PT1H30M"),
        (timedelta(hours=24), "P1D"),
        (timedelta(days=8), "P8D"),
        (timedelta(days=1, hours=2, minutes=3, seconds=4), "P1DT2H3M4S"),
        (timedelta(), "PT0S"),
        (timedelta(milliseconds=1999), "PT1S"),
    ],
)
def test_programs_read_a_duration_as_iso_8601(duration: timedelta, text: str) -> None:
    assert iso_duration(duration) == text


@given(whole_seconds)
def test_a_duration_that_a_program_gets_can_be_given_back(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(iso_duration(duration)) == duration


def test_nothing_lasts_longer_than_ten_years() -> None:
    """Beyond the calendar there is no time to end at."""
    assert parse_duration("3650d") == timedelta(days=3650)
    with pytest.raises(InvalidDuration, match="longer than ten years"):
        parse_duration("999999999d")


@given(whole_seconds)
def test_what_people_read_adds_up_to_the_duration(seconds: int) -> None:
    parts = format_duration(timedelta(seconds=seconds)).split()
    assert sum((parse_duration(part) for part in parts), timedelta()) == timedelta(seconds=seconds)
