"""Weekly hours: open whenever a clock on a wall of their zone shows a time within a span.

Daylight saving moves that clock, so an hour may be missing or come twice. Between two such jumps
the clock is ahead of UTC by the same amount, and everything is plain arithmetic; `closes` and
`opens` go from jump to jump. Spans that touch are one, across midnight too, and from Sunday to
Monday.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

DAY = 24 * 60  # minutes
WEEK = 7 * DAY
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From one minute of a weekday (0 is Monday) until another of the same day; `end` may be the
    midnight after it."""

    weekday: int
    start: int
    end: int

    def __post_init__(self) -> None:
        if not (0 <= self.weekday < len(WEEKDAYS) and 0 <= self.start < self.end <= DAY):
            raise ValueError(f"no time lies in {self}")


@dataclass(frozen=True, slots=True)
class WeeklyHours:
    spans: tuple[Span, ...]
    zone: ZoneInfo
    # Minutes since Monday's midnight, in order and apart from each other.
    stretches: tuple[tuple[int, int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.spans:
            raise ValueError("hours without a span are never open")
        object.__setattr__(self, "stretches", _joined(self.spans))

    def includes(self, now: datetime) -> bool:
        minute = minute_of_week(now.astimezone(self.zone))
        return any(start <= minute < end for start, end in self.stretches)

    def closes(self, now: datetime) -> datetime | None:
        """Return the first moment after `now` that is not within; None if `now` is not within
        either, or everything is."""
        if self.stretches == ((0, WEEK),) or not self.includes(now):
            return None
        return self._next_change(now, self._until_end)

    def opens(self, now: datetime) -> datetime | None:
        """Return the first moment after `now` that is within; None if `now` is."""
        if self.includes(now):
            return None
        return self._next_change(now, self._until_start)

    def local(self, moment: datetime) -> str:
        """Return a moment as a clock on their wall shows it, for people: `mon 2026-03-02 09:00`."""
        local = moment.astimezone(self.zone)
        return f"{WEEKDAYS[local.weekday()]} {local:%Y-%m-%d %H:%M} {self.zone.key}"

    def describe(self) -> str:
        times = {(span.start, span.end) for span in self.spans}
        said = (
            f"{_days(span.weekday for span in self.spans if (span.start, span.end) == time)} "
            f"{_clock(time[0])}-{_clock(time[1])}"
            for time in sorted(times)
        )
        return f"{', '.join(said)} {self.zone.key}"

    def _next_change(self, now: datetime, until: "_Until") -> datetime:
        """Return the first moment after `now` at which `includes` says something else."""
        within = self.includes(now)
        moment = now.astimezone(UTC)
        while True:
            change = moment + until(moment)
            jump = self._jump(moment, change)
            if jump is None:
                return change
            if self.includes(jump) is not within:
                return jump
            moment = jump

    def _until_end(self, moment: datetime) -> timedelta:
        at = _since_monday(moment.astimezone(self.zone))
        minute = at // _MINUTE
        end = next(end for start, end in self.stretches if start <= minute < end)
        if end == WEEK and self.stretches[0][0] == 0:
            end += self.stretches[0][1]
        return end * _MINUTE - at

    def _until_start(self, moment: datetime) -> timedelta:
        at = _since_monday(moment.astimezone(self.zone))
        starts = [start for start, _ in self.stretches]
        later = (start for start in starts if start * _MINUTE > at)
        return next(later, WEEK + starts[0]) * _MINUTE - at

    def _jump(self, after: datetime, until: datetime) -> datetime | None:
        """Return when the clock jumps, if it does so by `until`.

        zoneinfo does not tell, so it is searched for. Two jumps within one week that undo each
        other would not be seen; no zone has any.
        """
        offset = after.astimezone(self.zone).utcoffset()
        if until.astimezone(self.zone).utcoffset() == offset:
            return None
        before, since = 0, -((after - until) // _SECOND)  # seconds, rounded up
        while since - before > 1:
            middle = (before + since) // 2
            if (after + middle * _SECOND).astimezone(self.zone).utcoffset() == offset:
                before = middle
            else:
                since = middle
        return (after + since * _SECOND).replace(microsecond=0)


_Until = Callable[[datetime], timedelta]


def minute_of_week(local: datetime) -> int:
    return local.weekday() * DAY + local.hour * 60 + local.minute


def _since_monday(local: datetime) -> timedelta:
    minute = minute_of_week(local) * _MINUTE
    return minute + timedelta(seconds=local.second, microseconds=local.microsecond)


def _joined(spans: Iterable[Span]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for span in sorted(spans):
        start, end = (span.weekday * DAY + minute for minute in (span.start, span.end))
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _days(weekdays: Iterable[int]) -> str:
    """Return weekdays as people write them: `mon-wed, fri`."""
    runs = groupby(enumerate(sorted(set(weekdays))), lambda each: each[1] - each[0])
    days = [[day for _, day in run] for _, run in runs]
    return ", ".join(
        WEEKDAYS[run[0]] if len(run) == 1 else f"{WEEKDAYS[run[0]]}-{WEEKDAYS[run[-1]]}"
        for run in days
    )
