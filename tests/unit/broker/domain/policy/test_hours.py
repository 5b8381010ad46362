"""Weekly hours, by the clock on a wall of their zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.policy.hours import DAY, Span, WeeklyHours

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = WeeklyHours(tuple(Span(day, 9 * 60, 17 * 60 + 30) for day in range(5)), BERLIN)
MINUTE = timedelta(minutes=1)


def berlin(text: str, fold: int = 0) -> datetime:
    # In UTC: Python calls moments of two zones unequal within an hour that comes twice.
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


def hours(*spans: tuple[int, str, str], zone: ZoneInfo = BERLIN) -> WeeklyHours:
    def minute(clock: str) -> int:
        return int(clock[:2]) * 60 + int(clock[3:])

    return WeeklyHours(tuple(Span(day, minute(a), minute(b)) for day, a, b in spans), zone)


@pytest.mark.parametrize(
    ("moment", "within"),
    [
        ("2026-03-02 08:59:59.999999", False),
        ("2026-03-02 09:00", True),
        ("2026-03-02 17:29:59.999999", True),
        ("2026-03-02 17:30", False),
        ("2026-03-07 12:00", False),
    ],
)
def test_a_span_has_its_first_minute_and_not_its_last(*, moment: str, within: bool) -> None:
    assert OFFICE.includes(berlin(moment)) is within


@pytest.mark.parametrize(
    ("now", "in_utc"), [("2026-03-23 09:00", "08:00"), ("2026-03-30 09:00", "07:00")]
)
def test_hours_follow_the_clock_on_the_wall_when_summer_time_begins(now: str, in_utc: str) -> None:
    moment = berlin(now)
    assert moment.strftime("%H:%M") == in_utc
    assert OFFICE.includes(moment)
    assert not OFFICE.includes(moment - MINUTE)
    assert OFFICE.closes(moment) == moment + timedelta(hours=8, minutes=30)


@pytest.mark.parametrize(
    ("now", "closes"),
    [
        ("2026-03-06 16:00", "2026-03-06 17:30"),
        ("2026-03-06 17:30", None),
        ("2026-03-07 12:00", None),
    ],
)
def test_they_close_at_the_end_of_the_span(now: str, closes: str | None) -> None:
    assert OFFICE.closes(berlin(now)) == (berlin(closes) if closes else None)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-03-06 16:00", None),
        ("2026-03-06 08:00", "2026-03-06 09:00"),
        ("2026-03-06 18:00", "2026-03-09 09:00"),
        ("2026-03-27 18:00", "2026-03-30 09:00"),  # summer time begins meanwhile
        ("2026-10-23 18:00", "2026-10-26 09:00"),  # and ends
    ],
)
def test_they_open_when_the_next_span_begins(now: str, opens: str | None) -> None:
    assert OFFICE.opens(berlin(now)) == (berlin(opens) if opens else None)


def test_spans_that_touch_are_one_across_midnight_and_from_sunday_to_monday() -> None:
    night = hours((4, "22:00", "24:00"), (5, "00:00", "06:00"), (5, "05:00", "07:00"))
    assert night.closes(berlin("2026-03-06 23:00")) == berlin("2026-03-07 07:00")
    weekend = hours((6, "20:00", "24:00"), (0, "00:00", "04:00"))
    assert weekend.closes(berlin("2026-03-08 21:00")) == berlin("2026-03-09 04:00")
    assert weekend.closes(berlin("2026-03-09 03:00")) == berlin("2026-03-09 04:00")


def test_what_is_always_open_never_closes() -> None:
    always = hours(*((day, "00:00", "24:00") for day in range(7)))
    assert always.includes(berlin("2026-03-06 16:00"))
    assert always.closes(berlin("2026-03-06 16:00")) is None
    assert always.opens(berlin("2026-03-06 16:00")) is None


def test_a_span_in_the_hour_that_is_missing_does_not_come_that_day() -> None:
    gap = hours((6, "02:15", "02:45"))
    assert gap.opens(berlin("2026-03-29 01:00")) == berlin("2026-04-05 02:15")


def test_a_span_that_ends_in_the_missing_hour_ends_when_the_clock_jumps() -> None:
    early = hours((6, "01:00", "02:30"))
    assert early.closes(berlin("2026-03-29 01:30")) == berlin("2026-03-29 03:00")
    joined = hours((6, "01:00", "02:00"), (6, "03:00", "05:00"))
    assert joined.closes(berlin("2026-03-29 01:30")) == berlin("2026-03-29 05:00")


def test_a_span_that_begins_in_the_missing_hour_begins_when_the_clock_jumps() -> None:
    late = hours((6, "02:30", "04:00"))
    assert late.opens(berlin("2026-03-29 01:30")) == berlin("2026-03-29 03:00")


def test_a_span_in_the_hour_that_comes_twice_comes_twice() -> None:
    twice = hours((6, "02:15", "02:45"))
    first, second = berlin("2026-10-25 02:15"), berlin("2026-10-25 02:15", fold=1)
    assert twice.opens(berlin("2026-10-25 01:00")) == first
    assert twice.closes(first) == first + 30 * MINUTE
    assert twice.opens(first + 30 * MINUTE) == second


def test_a_clock_that_is_put_back_out_of_a_span_closes_it() -> None:
    late = hours((6, "02:30", "04:00"))
    jump = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
    assert late.closes(berlin("2026-10-25 02:40")) == jump
    assert late.opens(jump) == jump + 30 * MINUTE


ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",  # half an hour of summer time
        "Africa/Casablanca",  # put back for a month
        "Asia/Kathmandu",
        "America/Santiago",  # jumps at midnight
        "Antarctica/Troll",  # by two hours
        "Pacific/Apia",  # once left out a whole day
    )
]


@st.composite
def some_hours(draw: st.DrawFn) -> WeeklyHours:
    spans = []
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, DAY // 15 - 1)) * 15
        end = draw(st.integers(start // 15 + 1, DAY // 15)) * 15
        spans.append(Span(draw(st.integers(0, 6)), start, end))
    return WeeklyHours(tuple(spans), draw(st.sampled_from(ZONES)))


# Around the jumps of many of those zones, and the day that Apia left out.
MOMENTS = st.one_of(
    st.datetimes(datetime(2026, 3, 6), datetime(2026, 4, 10)),  # noqa: DTZ001  (hypothesis wants it)
    st.datetimes(datetime(2026, 10, 1), datetime(2026, 11, 5)),  # noqa: DTZ001
    st.datetimes(datetime(2011, 12, 25), datetime(2012, 1, 2)),  # noqa: DTZ001
)


@settings(max_examples=150, deadline=None)
@given(some_hours(), MOMENTS)
def test_they_change_when_they_say_and_not_before(week: WeeklyHours, moment: datetime) -> None:
    """Checked at every quarter, which is where spans begin and end, and clocks jump."""
    now = moment.replace(tzinfo=UTC)
    within = week.includes(now)
    change = week.closes(now) if within else week.opens(now)
    assert (week.opens(now) if within else week.closes(now)) is None
    quarter = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0) + 15 * MINUTE
    horizon = now + timedelta(days=16)
    while quarter < (change or horizon):
        assert week.includes(quarter) is within
        quarter += 15 * MINUTE
    if change is not None:
        assert change > now
        assert week.includes(change) is not within
    else:
        assert len(week.stretches) == 1


@pytest.mark.parametrize(
    ("weekday", "start", "end"),
    [(7, 0, 1), (-1, 0, 1), (0, 5, 5), (0, 6, 5), (0, -1, 5), (0, 0, DAY + 1)],
)
def test_a_span_in_which_no_time_lies_is_refused(weekday: int, start: int, end: int) -> None:
    with pytest.raises(ValueError, match="no time lies in"):
        Span(weekday, start, end)


def test_hours_without_a_span_are_refused() -> None:
    with pytest.raises(ValueError, match="never open"):
        WeeklyHours((), BERLIN)


def test_they_are_told_as_people_write_them() -> None:
    week = hours(
        *((day, "09:00", "17:30") for day in (0, 1, 2, 4)),
        (5, "00:00", "24:00"),
        (6, "09:00", "17:30"),
    )
    assert week.describe() == "sat 00:00-24:00, mon-wed, fri, sun 09:00-17:30 Europe/Berlin"


def test_a_moment_is_told_by_their_own_clock() -> None:
    moment = datetime(2026, 3, 30, 7, 0, tzinfo=UTC)
    assert OFFICE.local(moment) == "mon 2026-03-30 09:00 Europe/Berlin"
