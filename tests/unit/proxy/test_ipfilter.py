"""Who may come in from where, judged against looking at every network in turn."""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ipfilter import Address, Allow, Deny, IpFilter, Network, NetworkSet, peer_address

# Few distinct bits, so that random networks and addresses often meet.
v4_numbers = st.sampled_from([0, 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
v6_numbers = st.sampled_from([0, 1, 2**127, 2**128 - 1]) | st.integers(0, 2**128 - 1)
v4_networks = st.builds(
    lambda number, length: IPv4Network((number, length), strict=False),
    v4_numbers,
    st.integers(0, 32),
)
v6_networks = st.builds(
    lambda number, length: IPv6Network((number, length), strict=False),
    v6_numbers,
    st.integers(0, 128),
)
networks: st.SearchStrategy[list[Network]] = st.lists(v4_networks | v6_networks, max_size=8)


@st.composite
def addresses_near(draw: st.DrawFn, known: Iterable[Network]) -> Address:
    """An address on the edge of one of the networks, or just beside it, or anywhere."""
    anywhere: st.SearchStrategy[Address] = st.builds(IPv4Address, v4_numbers) | st.builds(
        IPv6Address, v6_numbers
    )
    edges: list[Address] = []
    for network in known:
        kind = type(network.network_address)
        first, last = int(network.network_address), int(network.broadcast_address)
        beside = (first - 1, first, last, last + 1)
        edges += [kind(each) for each in beside if 0 <= each < 2**network.max_prefixlen]
    return draw(st.sampled_from(edges) | anywhere if edges else anywhere)


def parsed(texts: str) -> list[Network]:
    return [ip_network(text) for text in texts.split()]


@given(allow=networks, deny=networks, data=st.data())
def test_the_filter_agrees_with_looking_at_every_network(
    allow: list[Network], deny: list[Network], data: st.DataObject
) -> None:
    address = data.draw(addresses_near([*allow, *deny]))
    decision = IpFilter(allow=allow, deny=deny).decide(address)
    if any(address in network for network in deny):
        assert isinstance(decision, Deny)
        assert decision.rule in deny
        assert address in decision.rule
    elif any(address in network for network in allow):
        assert decision == Allow()
    else:
        assert decision == Deny(None)


@given(known=networks, data=st.data())
def test_a_found_network_is_one_of_the_set_and_holds_the_address(
    known: list[Network], data: st.DataObject
) -> None:
    address = data.draw(addresses_near(known))
    found = NetworkSet(known).find(address)
    holders = {network for network in known if address in network}
    assert found in holders if holders else found is None


@pytest.mark.parametrize(
    ("address", "decision"),
    [
        ("10.1.2.3", Allow()),
        ("10.9.0.1", Deny(ip_network("10.9.0.0/16"))),
        ("10.255.255.255", Allow()),
        ("11.0.0.0", Deny(None)),
        ("2001:db8::1", Allow()),
        ("2001:db8::bad", Deny(ip_network("2001:db8::bad/128"))),
        ("2001:db9::1", Deny(None)),
        ("::10.1.2.3", Deny(None)),
    ],
)
def test_deny_wins_and_what_is_not_allowed_is_denied(address: str, decision: Allow | Deny) -> None:
    ip_filter = IpFilter(
        allow=parsed("10.0.0.0/8 2001:db8::/32"), deny=parsed("10.9.0.0/16 2001:db8::bad/128")
    )
    assert ip_filter.decide(ip_address(address)) == decision


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1"])
def test_nobody_comes_in_where_nothing_is_allowed(address: str) -> None:
    assert IpFilter(allow=[], deny=[]).decide(ip_address(address)) == Deny(None)


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [("0.0.0.0/0", "203.0.113.9", "2001:db8::1"), ("::/0", "2001:db8::1", "203.0.113.9")],
)
def test_everybody_of_one_family_is_nobody_of_the_other(
    network: str, inside: str, outside: str
) -> None:
    ip_filter = IpFilter(allow=parsed(network), deny=[])
    assert ip_filter.decide(ip_address(inside)) == Allow()
    assert ip_filter.decide(ip_address(outside)) == Deny(None)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", IPv4Address("192.0.2.7")),
        ("::ffff:192.0.2.7", IPv4Address("192.0.2.7")),
        ("::ffff:0.0.0.0", IPv4Address("0.0.0.0")),
        ("2001:db8::1", IPv6Address("2001:db8::1")),
        ("fe80::1%eth0", IPv6Address("fe80::1")),
    ],
    ids=["IPv4", "IPv4 over an IPv6 socket", "its zero", "IPv6", "link-local"],
)
def test_a_peer_has_one_address_however_the_socket_writes_it(text: str, address: Address) -> None:
    """A rule for 192.0.2.0/24 must hold for a client that came in over an IPv6 socket."""
    assert peer_address(text) == address
