"""Whose word counts for where a request is from."""

from ipaddress import ip_address, ip_network

import pytest

from api.guards.sources import read_address, real_source

PROXIES = [ip_network("10.0.0.0/24"), ip_network("2001:db8:1::/64")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        # Nobody in front of us.
        ("203.0.113.9", [], "203.0.113.9"),
        # A stranger's header counts for nothing.
        ("203.0.113.9", ["192.0.2.1"], "203.0.113.9"),
        ("203.0.113.9", ["192.0.2.1, 10.0.0.1"], "203.0.113.9"),
        # A proxy's says whom it was called by.
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("2001:db8:1::1", ["2001:db8:9::9"], "2001:db8:9::9"),
        # What stands left of that, its caller has made up.
        ("10.0.0.1", ["127.0.0.1, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["10.0.0.7, 192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["127.0.0.1", "192.0.2.1"], "192.0.2.1"),
        # Several proxies, one behind the other.
        ("10.0.0.1", ["192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.1", "10.0.0.3,10.0.0.2"], "192.0.2.1"),
        # A proxy itself calls.
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.2"], "10.0.0.2"),
        # A proxy that says nothing of use is who calls, as far as we know.
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1, _hidden, 10.0.0.2"], "10.0.0.2"),
    ],
)
def test_the_last_address_that_is_no_trusted_proxy_is_the_source(
    peer: str, forwarded: list[str], caller: str
) -> None:
    assert str(real_source(ip_address(peer), forwarded, PROXIES)) == caller


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:50123", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:443", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("[", None),
        ("example.com", None),
        ("192.0.2.1 ", None),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, address: str | None) -> None:
    found = read_address(text)
    assert (None if found is None else str(found)) == address
