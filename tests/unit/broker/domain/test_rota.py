"""People take turns, and hand over when the clock on their wall says so."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.rota import Rota

BERLIN = ZoneInfo("Europe/Berlin")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FIRST = datetime(2026, 1, 5, 9)  # noqa: DTZ001  (a local time)
PEOPLE = ("alice", "bob", "carol")
WEEKLY = Rota(PEOPLE, FIRST, BERLIN, 7 * DAY)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "person"),
    [
        ("2026-01-05T07:59:59", None),
        ("2025-12-01T12:00:00", None),
        ("2026-01-05T08:00:00", "alice"),
        ("2026-01-12T07:59:59", "alice"),
        ("2026-01-12T08:00:00", "bob"),
        ("2026-01-19T08:00:00", "carol"),
        ("2026-01-26T08:00:00", "alice"),
    ],
)
def test_people_take_turns_from_the_first_handover_on(now: str, person: str | None) -> None:
    assert WEEKLY.on_call(at(now)) == person


@pytest.mark.parametrize(
    ("handover", "before", "after"),
    [
        ("2026-03-23T08:00:00", "bob", "carol"),  # winter: 09:00 is 08:00 UTC
        ("2026-03-30T07:00:00", "carol", "alice"),  # summer: 09:00 is 07:00 UTC
        ("2026-10-19T07:00:00", "bob", "carol"),
        ("2026-10-26T08:00:00", "carol", "alice"),
    ],
)
def test_people_hand_over_at_the_same_local_time_when_clocks_change(
    handover: str, before: str, after: str
) -> None:
    moment = at(handover)
    assert WEEKLY.on_call(moment - timedelta(seconds=1)) == before
    assert WEEKLY.on_call(moment) == after


def test_a_handover_in_an_hour_that_comes_twice_is_at_its_first() -> None:
    """The turn does not go back when the clock does."""
    daily = Rota(("alice", "bob"), datetime(2026, 10, 24, 2, 30), BERLIN, DAY)  # noqa: DTZ001
    people = [daily.on_call(at(f"2026-10-25T{time}")) for time in ("00:29", "00:30", "01:10")]
    assert people == ["alice", "bob", "bob"]  # 02:29, 02:30, and 02:10 for the second time


def test_a_handover_in_an_hour_that_is_skipped_is_as_much_later() -> None:
    daily = Rota(("alice", "bob"), datetime(2026, 3, 28, 2, 30), BERLIN, DAY)  # noqa: DTZ001
    people = [daily.on_call(at(f"2026-03-29T{time}")) for time in ("00:59", "01:10", "01:30")]
    assert people == ["alice", "alice", "bob"]  # 01:59, 03:10 and 03:30


def test_the_only_one_is_always_on_call() -> None:
    alone = Rota(("alice",), FIRST, BERLIN, DAY)
    assert alone.on_call(at("2027-07-01T00:00:00")) == "alice"


@given(
    minutes=st.integers(0, 366 * 24 * 60),
    start=st.integers(0, 7 * 24 * 60),
    turn=st.sampled_from([HOUR, 8 * HOUR, 12 * HOUR, DAY, 7 * DAY]),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_a_turn_lasts_from_its_handover_to_the_next(
    minutes: int, start: int, turn: timedelta, zone: str
) -> None:
    """Compared with a list of all handovers, made with no arithmetic on turns."""
    where = ZoneInfo(zone)
    first = FIRST + timedelta(minutes=start)
    rota = Rota(PEOPLE, first, where, turn)
    now = at("2026-01-05T00:00") + timedelta(minutes=minutes)
    handovers = 0
    local = first
    while local.replace(tzinfo=where).astimezone(UTC) <= now:
        handovers += 1
        local += turn
    assert rota.on_call(now) == (PEOPLE[(handovers - 1) % 3] if handovers else None)
