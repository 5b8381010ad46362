"""Time in buckets, what lived in each, and what needs attention."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.overview import (
    Attention,
    Pile,
    Situation,
    Urgency,
    Window,
    attention,
    by_outcome,
    lived,
    per_bucket,
    totals,
    window_of,
)

NOW = datetime(2026, 3, 31, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)
THREE = Window(datetime(2026, 3, 29, tzinfo=UTC), DAY, 3)


def waiting(count: int, in_: timedelta, press: int = 0) -> Pile:
    return Pile(count, "req_1", NOW + in_, press)


def only(situation: Situation) -> Attention:
    (found,) = attention(situation)
    return found


def test_few_days_are_cut_into_hours_and_the_last_has_the_present_in_it() -> None:
    window = window_of(1, NOW)
    assert (window.step, window.count) == (timedelta(hours=1), 24)
    assert window.since == datetime(2026, 3, 30, 13, tzinfo=UTC)
    assert window.bucket(NOW) == 23


def test_days_begin_at_midnight_and_today_is_the_last_of_them() -> None:
    window = window_of(30, NOW)
    assert (window.step, window.count) == (DAY, 30)
    assert window.starts[0] == datetime(2026, 3, 2, tzinfo=UTC)
    assert window.starts[-1] == datetime(2026, 3, 31, tzinfo=UTC)


@pytest.mark.parametrize(("days", "weeks"), [(93, 14), (364, 52), (366, 53)])
def test_many_days_are_cut_into_weeks_that_hold_all_of_them(days: int, weeks: int) -> None:
    window = window_of(days, NOW)
    assert (window.step, window.count) == (7 * DAY, weeks)
    assert window.starts[-1] + 7 * DAY == datetime(2026, 4, 1, tzinfo=UTC)
    assert window.since <= NOW - (days - 1) * DAY


def test_buckets_without_a_request_are_there_too() -> None:
    found = by_outcome({(0, "approved"): 2, (2, "denied"): 1, (2, "approved"): 3}, THREE)
    assert [each["approved"] for each in found] == [2, 0, 3]
    assert totals(found) == {"pending": 0, "approved": 5, "denied": 1, "cancelled": 0, "lapsed": 0}


def test_what_began_in_a_bucket_lived_in_it_even_if_it_ended_there() -> None:
    # One from long ago ended on the first day; of two of the second, one ended on the third.
    assert lived(1, {1: 2}, {0: 1, 2: 1}, THREE) == (1, 2, 2)
    assert lived(0, {}, {}, THREE) == (0, 0, 0)


def test_counts_of_hours_are_added_up_by_bucket_and_others_are_left_out() -> None:
    hours = {
        NOW - timedelta(days=30): 100,
        datetime(2026, 3, 29, 1, tzinfo=UTC): 1,
        datetime(2026, 3, 29, 23, tzinfo=UTC): 2,
        datetime(2026, 3, 31, 23, tzinfo=UTC): 4,
        datetime(2026, 4, 1, tzinfo=UTC): 100,
    }
    assert per_bucket(hours, THREE) == (3, 0, 4)


def test_all_is_well() -> None:
    assert attention(Situation(now=NOW, fullest_spool=0.79)) == ()


def test_the_most_urgent_comes_first() -> None:
    found = attention(
        Situation(
            now=NOW,
            bans=waiting(1, DAY),
            undecided=waiting(2, DAY),
            alarms=1,
            unreachable=["orders"],
        )
    )
    assert [each.code for each in found] == [
        *("alarms-open", "targets-unreachable", "requests-to-decide", "bans")
    ]


@pytest.mark.parametrize(
    ("situation", "sentence"),
    [
        (Situation(now=NOW, undecided=waiting(1, DAY)), "1 request is waiting for you"),
        (
            Situation(now=NOW, undecided=waiting(1, timedelta(minutes=20, seconds=5), 1)),
            "1 request is waiting for you, and lapses in 20m",
        ),
        (
            Situation(now=NOW, undecided=waiting(1200, timedelta(minutes=20), 1)),
            "1,200 requests are waiting for you: 1 lapses within the hour",
        ),
        (
            Situation(now=NOW, undecided=waiting(3, timedelta(minutes=20), 2)),
            "3 requests are waiting for you: 2 lapse within the hour",
        ),
        (
            Situation(now=NOW, held=waiting(1, timedelta(seconds=10), 1)),
            "1 transaction is waiting at COMMIT for you:"
            " rolled back in less than a minute unless you confirm",
        ),
        (
            Situation(now=NOW, ending=waiting(1, timedelta(minutes=12))),
            "your access ends in 12m",
        ),
        (
            Situation(now=NOW, ending=waiting(2, timedelta(minutes=12))),
            "2 of your accesses end: the first in 12m",
        ),
        (Situation(now=NOW, asked=waiting(1, DAY)), "1 request of yours is undecided"),
        (
            Situation(now=NOW, reviews=waiting(1, timedelta(hours=2))),
            "1 review is to be written after break-glass, due in 2h",
        ),
        (
            Situation(now=NOW, reviews=waiting(2, -DAY, 1)),
            "2 reviews are to be written after break-glass, 1 overdue",
        ),
        (Situation(now=NOW, alarms=2), "2 alarms are open"),
        (
            Situation(now=NOW, quarantined=waiting(1, DAY)),
            "1 login is in quarantine: something on the target holds it",
        ),
        (
            Situation(now=NOW, quarantined=waiting(2, DAY)),
            "2 logins are in quarantine: something on the target holds them",
        ),
        (Situation(now=NOW, unreachable=["orders"]), "orders does not answer"),
        (Situation(now=NOW, unreachable=["orders", "billing"]), "orders and billing do not answer"),
        (Situation(now=NOW, unreachable=list("abcde")), "a, b, c and 2 more do not answer"),
        (
            Situation(now=NOW, refusing_workers=1, fullest_spool=1.0),
            "1 worker lets nobody in: nothing can be recorded",
        ),
        (
            Situation(now=NOW, refusing_workers=2),
            "2 workers let nobody in: nothing can be recorded",
        ),
        (
            Situation(now=NOW, fullest_spool=0.85),
            "a spool is 85% full: once it is, nobody gets in",
        ),
        (
            Situation(now=NOW, unusable_roles=["orders/orders_owner"]),
            "orders/orders_owner cannot be given as the target is now",
        ),
        (
            Situation(now=NOW, bans=waiting(1, DAY)),
            "1 address or user name is shut out by wrong secrets",
        ),
        (
            Situation(now=NOW, bans=waiting(2, DAY)),
            "2 addresses and user names are shut out by wrong secrets",
        ),
    ],
)
def test_what_needs_attention_is_said_in_plain_words(situation: Situation, sentence: str) -> None:
    assert only(situation).sentence == sentence


def test_a_single_request_is_linked_to_and_several_are_listed() -> None:
    assert only(Situation(now=NOW, asked=waiting(1, DAY))).link == "/requests/req_1"
    several = only(Situation(now=NOW, asked=waiting(2, timedelta(minutes=1), 1)))
    assert (several.link, several.urgency) == ("/requests?status=pending", Urgency.WARNING)


def test_a_review_that_is_overdue_is_critical() -> None:
    assert only(Situation(now=NOW, reviews=waiting(1, DAY))).urgency is Urgency.WARNING
    assert only(Situation(now=NOW, reviews=waiting(1, -DAY, 1))).urgency is Urgency.CRITICAL
