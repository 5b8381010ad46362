"""How often something is done for strangers, counted per address, in bounded memory."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.buckets import PerAddressBuckets, TokenBucket

A, B, C = map(ip_address, ("192.0.2.1", "192.0.2.2", "192.0.2.3"))
SITE = [ip_address(f"2001:db8:0:1::{host}") for host in ("1", "2", "ffff")]
OTHER_SITE = ip_address("2001:db8:0:2::1")


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.25)
    assert [bucket.take(100.5), bucket.take(100.5)] == [True, False]


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3)
    assert bucket.take(0.0)
    assert [bucket.take(1e6) for _ in range(4)] == [True, True, True, False]


@given(
    st.lists(st.floats(0, 5), max_size=60),
    st.sampled_from([0.5, 1, 3, 10]),
    st.integers(1, 5),
)
def test_a_bucket_gives_no_more_than_its_rate_in_any_span(
    pauses: list[float], rate_per_s: float, burst: int
) -> None:
    bucket = TokenBucket(rate_per_s, burst)
    now, given_at = 0.0, []
    for pause in pauses:
        now += pause
        if bucket.take(now):
            given_at.append(now)
    for first, began in enumerate(given_at):
        for count, ended in enumerate(given_at[first:], start=1):
            assert count <= burst + (ended - began) * rate_per_s + 1e-4


def test_every_address_has_a_bucket_of_its_own() -> None:
    buckets = PerAddressBuckets(rate_per_s=1, burst=1, max_addresses=10)
    assert [buckets.take(each, 0.0) for each in (A, A, B)] == [True, False, True]
    assert [buckets.take(each, 0.0) for each in (SITE[0], SITE[1], OTHER_SITE)] == [
        True,
        False,
        True,
    ]
    assert buckets.take(A, 1.0)


def test_the_address_that_came_longest_ago_is_forgotten_first() -> None:
    buckets = PerAddressBuckets(rate_per_s=1, burst=1, max_addresses=2)
    for each in (A, B, A, C):
        buckets.take(each, 0.0)
    assert not buckets.take(A, 0.0)
    assert buckets.take(B, 0.0)


def test_a_flood_of_addresses_takes_bounded_memory() -> None:
    buckets = PerAddressBuckets(rate_per_s=1, burst=1, max_addresses=5)
    for number in range(1000):
        assert buckets.take(ip_address(number), 0.0)
    assert len(buckets._buckets) == 5


@pytest.mark.parametrize("burst", [1, 2, 20])
def test_who_comes_exactly_at_the_rate_is_never_refused(burst: int) -> None:
    """Tenths of a second are not exact, and what exceeds the burst is lost."""
    bucket = TokenBucket(rate_per_s=10, burst=burst)
    now = 12_345.678
    assert all(bucket.take(now + tenth / 10) for tenth in range(1000))
