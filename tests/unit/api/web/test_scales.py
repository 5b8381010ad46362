"""Where axes have their marks."""

from datetime import UTC, datetime, timedelta

import pytest

from api.web.scales import (
    bucket_label,
    count_label,
    count_marks,
    duration_label,
    duration_marks,
    time_marks,
)

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def starts(count: int, step: timedelta, first: datetime = MONDAY) -> list[datetime]:
    return [first + number * step for number in range(count)]


@pytest.mark.parametrize(
    ("highest", "labels"),
    [
        (0, ["0", "1"]),
        (1, ["0", "1"]),
        (3, ["0", "1", "2", "3"]),
        (7, ["0", "2", "4", "6", "8"]),
        (95, ["0", "50", "100"]),
        (160, ["0", "50", "100", "150", "200"]),
        (4000, ["0", "1k", "2k", "3k", "4k"]),
        (5_500_000, ["0", "2M", "4M", "6M"]),
    ],
)
def test_counts_are_marked_at_whole_round_numbers_up_to_the_highest(
    highest: float, labels: list[str]
) -> None:
    assert [each.label for each in count_marks(highest)] == labels


@pytest.mark.parametrize(
    ("highest_s", "labels"),
    [
        (0, ["0", "1s"]),
        (40, ["0", "10s", "20s", "30s", "40s"]),
        (200, ["0", "1m", "2m", "3m", "4m"]),
        (3600, ["0", "15m", "30m", "45m", "1h"]),
        (5 * 3600, ["0", "2h", "4h", "6h"]),
        (20 * 3600, ["0", "6h", "12h", "18h", "1d"]),
        (86_400 * 3, ["0", "1d", "2d", "3d"]),
        (86_400 * 30, ["0", "10d", "20d", "30d"]),
    ],
)
def test_durations_are_marked_as_people_count_time(highest_s: float, labels: list[str]) -> None:
    assert [each.label for each in duration_marks(highest_s)] == labels


def test_hours_are_named_by_the_clock_and_midnight_by_its_day() -> None:
    marks = time_marks(starts(24, HOUR, MONDAY - timedelta(hours=11)), HOUR)
    assert [each.label for each in marks] == ["18:00", "Mar 2", "06:00", "12:00"]


def test_the_newest_day_is_always_named() -> None:
    marks = time_marks(starts(30, DAY), DAY)
    assert [each.label for each in marks] == ["Mar 3", "Mar 10", "Mar 17", "Mar 24", "Mar 31"]
    assert [each.at for each in marks] == [1, 8, 15, 22, 29]
    assert [each.label for each in time_marks(starts(3, DAY), DAY)] == ["Mar 2", "Mar 3", "Mar 4"]


def test_weeks_of_a_year_are_few_enough_to_be_read() -> None:
    assert len(time_marks(starts(53, WEEK), WEEK)) <= 7
    assert len(time_marks(starts(1000, WEEK), WEEK)) < 40


@pytest.mark.parametrize(
    ("step", "label"),
    [(HOUR, "Mar 2, 00:00 UTC"), (DAY, "Mon Mar 2"), (WEEK, "Mar 2 to Mar 8")],
)
def test_a_bucket_has_a_name_of_its_own(step: timedelta, label: str) -> None:
    assert bucket_label(MONDAY, step) == label


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, "0"), (950, "950"), (1200, "1.2k"), (999_999, "1M"), (3.5e7, "35M"), (2e19, "20,000P")],
)
def test_large_numbers_are_brief(value: float, label: str) -> None:
    assert count_label(value) == label


@pytest.mark.parametrize(
    ("seconds", "label"),
    [(0, "0"), (0.25, "0.25s"), (45, "45s"), (90, "1.5m"), (7200, "2h"), (259_200, "3d")],
)
def test_a_duration_is_in_its_largest_unit(seconds: float, label: str) -> None:
    assert duration_label(seconds) == label
