"""Where axes have their marks, and what is written at them. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
# What people count time in; beyond a day, days as they count anything.
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY_S = 86_400
_STRIDES = {
    _HOUR: (1, 2, 3, 6, 12, 24),
    _DAY: (1, 2, 7, 14, 28),
    _WEEK: (1, 2, 4, 8, 13, 26),
}
_SUFFIXES = ("", "k", "M", "G", "T", "P")


class Mark(NamedTuple):
    """A place on an axis; of times, the number of a bucket."""

    at: float
    label: str


def count_marks(highest: float, most: int = 4) -> tuple[Mark, ...]:
    """Return marks from 0 to at least what is highest, at whole numbers that are easy to read."""
    return _marks(highest, _round_step(highest / most), count_label)


def duration_marks(highest_s: float, most: int = 4) -> tuple[Mark, ...]:
    """Return marks from 0 to at least what is highest, at durations that people use."""
    wanted = highest_s / most
    fitting = (each for each in _SECONDS if each >= wanted)
    step = next(fitting, None) or _DAY_S * _round_step(wanted / _DAY_S)
    return _marks(highest_s, step, duration_label)


def time_marks(starts: Sequence[datetime], step: timedelta, most: int = 7) -> tuple[Mark, ...]:
    """Return which buckets are named below an axis, of hours by the clock, and how."""
    stride = next(
        (each for each in _STRIDES[step] if len(starts) / each <= most), _STRIDES[step][-1]
    )
    if step == _HOUR:
        return tuple(
            Mark(number, f"{start:%H:%M}" if start.hour else day_label(start))
            for number, start in enumerate(starts)
            if start.hour % stride == 0
        )
    newest = len(starts) - 1
    return tuple(
        Mark(number, day_label(start))
        for number, start in enumerate(starts)
        if (newest - number) % stride == 0
    )


def day_label(at: datetime) -> str:
    return f"{at:%b} {at.day}"


def bucket_label(start: datetime, step: timedelta) -> str:
    """Name a bucket where there is room."""
    if step == _HOUR:
        return f"{day_label(start)}, {start:%H:%M} UTC"
    if step == _WEEK:
        return f"{day_label(start)} to {day_label(start + _WEEK - _DAY)}"
    return f"{start:%a} {day_label(start)}"


def count_label(value: float) -> str:
    """Return a number briefly: 950, 1.2k, 30M."""
    for suffix in _SUFFIXES[:-1]:
        if value < 999.5:  # or three digits would not hold it
            return f"{value:.3g}{suffix}"
        value /= 1000
    return f"{value:,.0f}{_SUFFIXES[-1]}"


def duration_label(seconds: float) -> str:
    """Return a duration in its largest unit: 0, 45s, 1.5m, 2h, 3d."""
    if not seconds:
        return "0"
    for size, unit in ((_DAY_S, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.3g}{unit}"
    return f"{seconds:.2g}s"


def _round_step(wanted: float) -> int:
    """Return the least of 1, 2, 5, 10, 20, 50 … that is no less."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= wanted:
                return factor * power
        power *= 10


def _marks(highest: float, step: int, label: Callable[[float], str]) -> tuple[Mark, ...]:
    found = [Mark(0, label(0))]
    while found[-1].at < highest or len(found) == 1:
        found.append(Mark(found[-1].at + step, label(found[-1].at + step)))
    return tuple(found)
