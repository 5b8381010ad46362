"""Names for what is banned, and a worker's picture of the bans."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ledger.bans import ThrottleRules
from proxy import throttle
from proxy.throttle import Bans, OwnCounts, address_key, login_key

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=5)
RULES = ThrottleRules(3, timedelta(minutes=10), timedelta(minutes=15))
KEY, OTHER = "address 192.0.2.1", "login alice.orders.orders_reader"


def test_a_ban_holds_until_its_end() -> None:
    bans = Bans()
    bans.replace([(KEY, SOON)])
    assert bans.is_banned(KEY, NOW) == SOON
    assert bans.is_banned(KEY, SOON - timedelta(microseconds=1)) == SOON
    assert bans.is_banned(KEY, SOON) is None
    assert bans.is_banned(OTHER, NOW) is None


def test_the_newest_picture_is_the_only_one() -> None:
    bans = Bans()
    bans.replace([(KEY, SOON)])
    bans.replace([(OTHER, SOON)])
    assert bans.is_banned(KEY, NOW) is None
    assert bans.is_banned(OTHER, NOW) == SOON


def test_too_many_bans_leave_those_that_last_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_BANS", 2)
    bans = Bans()
    bans.replace((f"address {n}", NOW + timedelta(minutes=n)) for n in (3, 1, 2))
    held = [n for n in (1, 2, 3) if bans.is_banned(f"address {n}", NOW)]
    assert held == [2, 3]


def test_what_the_ledger_cannot_count_a_worker_does_by_itself() -> None:
    bans = Bans()
    assert bans.count_failure(KEY, RULES, NOW) is None
    assert bans.count_failure(KEY, RULES, NOW) is None
    until = bans.count_failure(KEY, RULES, NOW)
    assert until == NOW + RULES.ban
    bans.replace([(OTHER, SOON)])  # the ledger is back, and knows nothing of it
    assert bans.is_banned(KEY, NOW) == until
    assert bans.is_banned(KEY, NOW + RULES.ban) is None


def test_a_count_begins_anew_after_its_window_and_after_its_ban() -> None:
    counts = OwnCounts()
    for _ in range(2):
        counts.count(KEY, RULES, NOW)
    later = NOW + RULES.window
    assert [counts.count(KEY, RULES, later) for _ in range(2)] == [None, None]
    assert counts.count(KEY, RULES, later) == later + RULES.ban
    assert counts.count(KEY, RULES, later + RULES.ban) is None


def test_a_single_failure_may_be_too_many() -> None:
    strict = ThrottleRules(1, RULES.window, RULES.ban)
    assert OwnCounts().count(KEY, strict, NOW) == NOW + RULES.ban


def test_own_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_COUNTS", 2)
    counts = OwnCounts()
    strict = ThrottleRules(1, RULES.window, RULES.ban)
    for key in ("1", "2", "1", "3"):
        counts.count(key, strict, NOW)
    assert [key for key in ("1", "2", "3") if counts.banned_until(key, NOW)] == ["1", "3"]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "address 192.0.2.1"),
        ("2001:db8:0:1::7", "address 2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "address 2001:db8:0:1::/64"),
        ("::1", "address ::/64"),
    ],
)
def test_ipv6_counts_by_site(address: str, key: str) -> None:
    assert address_key(ip_address(address)) == key


@pytest.mark.parametrize("user", ["jit_alice_reader_grt1", "alice.orders.orders_reader", "Zoë"])
def test_an_ordinary_name_stays_readable(user: str) -> None:
    assert login_key(user) == f"login {user}"


@pytest.mark.parametrize(
    "user",
    ["x" * 129, "ë" * 65, "x\ny", "x\x1b[2J", "\udcff", "sha256:" + "0" * 64],
    ids=["long", "long in bytes", "newline", "escape", "not UTF-8", "looks hashed"],
)
def test_any_other_name_is_hashed(user: str) -> None:
    key = login_key(user)
    assert key.startswith("login sha256:")
    assert key.isprintable()
    assert user not in key


@given(st.text(st.characters()), st.text(st.characters()))
def test_a_name_has_one_bounded_key_of_its_own(one: str, other: str) -> None:
    assert len(login_key(one).encode()) <= 150
    assert (login_key(one) == login_key(other)) == (one == other)
