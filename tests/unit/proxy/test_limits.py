"""What strangers may take, counted per address, in bounded memory."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from proxy.limits import HalfOpen

A, B, C = map(ip_address, ("192.0.2.1", "192.0.2.2", "192.0.2.3"))
SITE = [ip_address(f"2001:db8:0:1::{host}") for host in ("1", "2", "ffff")]
OTHER_SITE = ip_address("2001:db8:0:2::1")


def test_an_address_may_hold_so_many_connections_and_no_more() -> None:
    half_open = HalfOpen(max_total=10, max_per_address=2)
    assert [half_open.enter(A) for _ in range(3)] == [True, True, False]
    assert half_open.enter(B)
    half_open.leave(A)
    assert [half_open.enter(A) for _ in range(2)] == [True, False]


def test_all_addresses_together_may_hold_so_many() -> None:
    half_open = HalfOpen(max_total=2, max_per_address=2)
    assert [half_open.enter(each) for each in (A, B, C)] == [True, True, False]
    half_open.leave(B)
    assert half_open.enter(C)


def test_who_is_not_known_yet_counts_only_in_all() -> None:
    """Behind a load balancer, until its header has been read."""
    half_open = HalfOpen(max_total=3, max_per_address=1)
    assert [half_open.enter(None) for _ in range(4)] == [True, True, True, False]
    half_open.leave(None)
    assert half_open.enter(A)


def test_who_was_refused_has_taken_nothing() -> None:
    half_open = HalfOpen(max_total=2, max_per_address=1)
    assert [half_open.enter(A) for _ in range(5)] == [True] + 4 * [False]
    assert half_open.enter(B)
    half_open.leave(A)
    half_open.leave(B)
    assert [half_open.enter(each) for each in (A, B)] == [True, True]


def test_ipv6_counts_by_site() -> None:
    half_open = HalfOpen(max_total=10, max_per_address=2)
    assert [half_open.enter(each) for each in SITE] == [True, True, False]
    assert half_open.enter(OTHER_SITE)


def test_the_families_share_no_count() -> None:
    half_open = HalfOpen(max_total=10, max_per_address=1)
    assert half_open.enter(ip_address("::1"))
    assert half_open.enter(ip_address("0.0.0.0"))
    assert half_open.enter(ip_address("0.0.0.1"))


def test_new_limits_hold_for_those_who_come_from_now_on() -> None:
    half_open = HalfOpen(max_total=3, max_per_address=3)
    assert [half_open.enter(A) for _ in range(3)] == 3 * [True]
    half_open.resize(max_total=4, max_per_address=1)
    assert [half_open.enter(each) for each in (A, B)] == [False, True]
    for _ in range(3):
        half_open.leave(A)
    assert [half_open.enter(A) for _ in range(2)] == [True, False]


@given(st.lists(st.tuples(st.sampled_from([A, B, C, *SITE, None]), st.booleans())))
def test_nothing_is_remembered_of_those_who_have_left(steps: list[tuple[object, bool]]) -> None:
    half_open = HalfOpen(max_total=4, max_per_address=2)
    inside: list[object] = []
    for address, comes in steps:
        if comes and half_open.enter(address):  # type: ignore[arg-type]
            inside.append(address)
        elif not comes and address in inside:
            half_open.leave(address)  # type: ignore[arg-type]
            inside.remove(address)
        assert len(inside) <= 4
    for address in inside:
        half_open.leave(address)  # type: ignore[arg-type]
    assert (half_open._total, half_open._per_address) == (0, {})
