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

from broker.domain.network import Address, Network
from proxy.ipfilter import (
    Allow,
    Deny,
    IpFilter,
    Layer,
    NetworkSet,
    decide,
    peer_address,
)


def _is_mapped(address: Address) -> bool:
    """IPv4 written as IPv6 counts as IPv4, which has tests of its own."""
    return isinstance(address, IPv6Address) and address.ipv4_mapped is not None


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
).filter(lambda network: not (network.prefixlen >= 96 and _is_mapped(network.network_address)))
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
    near = st.sampled_from(edges) | anywhere if edges else anywhere
    return draw(near.filter(lambda address: not _is_mapped(address)))


def parsed(texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts.split())


def denied(layer: Layer, network: str | None = None) -> tuple[Layer, Network | None]:
    return layer, ip_network(network) if network else None


def said(decision: Allow | Deny) -> Allow | tuple[Layer, Network | None]:
    return decision if isinstance(decision, Allow) else (decision.layer, decision.rule)


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
        assert decision == Deny(Layer.SETTINGS, None)


@given(known=networks, data=st.data())
def test_a_found_network_is_the_widest_of_the_set_that_holds_the_address(
    known: list[Network], data: st.DataObject
) -> None:
    address = data.draw(addresses_near(known))
    found = NetworkSet(known).find(address)
    holders = [network for network in known if address in network]
    widest = min(holders, key=lambda network: network.prefixlen, default=None)
    assert (found and found.network) == widest


@pytest.mark.parametrize("known", ["10.0.0.0/8", "2001:db8::/32", ""])
def test_a_set_is_true_if_it_holds_anything(known: str) -> None:
    assert bool(NetworkSet(parsed(known))) == bool(known)


@pytest.mark.parametrize(
    ("address", "decision"),
    [
        ("10.1.2.3", Allow()),
        ("10.9.0.1", denied(Layer.SETTINGS, "10.9.0.0/16")),
        ("10.255.255.255", Allow()),
        ("11.0.0.0", denied(Layer.SETTINGS)),
        ("2001:db8::1", Allow()),
        ("2001:db8::bad", denied(Layer.SETTINGS, "2001:db8::bad/128")),
        ("2001:db9::1", denied(Layer.SETTINGS)),
        ("::10.1.2.3", denied(Layer.SETTINGS)),
        ("::ffff:10.1.2.3", Allow()),
        ("::ffff:10.9.0.1", denied(Layer.SETTINGS, "10.9.0.0/16")),
    ],
)
def test_deny_wins_and_what_is_not_allowed_is_denied(
    address: str, decision: Allow | tuple[Layer, Network | None]
) -> None:
    ip_filter = IpFilter(
        allow=parsed("10.0.0.0/8 2001:db8::/32"), deny=parsed("10.9.0.0/16 2001:db8::bad/128")
    )
    assert said(ip_filter.decide(ip_address(address))) == decision


@pytest.mark.parametrize(
    ("rule", "address", "is_denied"),
    [
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "11.1.2.3", False),
        ("::ffff:0:0/96", "203.0.113.9", True),
        ("::ffff:10.0.0.1/128", "10.0.0.1", True),
        ("::fffe:0:0/95", "10.0.0.1", False),
    ],
)
def test_a_rule_for_ipv4_holds_however_it_is_written(
    rule: str, address: str, *, is_denied: bool
) -> None:
    """Clients that come in over an IPv6 socket count as IPv4, so this rule would hold for none."""
    ip_filter = IpFilter(allow=parsed("0.0.0.0/0"), deny=parsed(rule))
    assert isinstance(ip_filter.decide(ip_address(address)), Deny) == is_denied


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1"])
def test_nobody_comes_in_where_nothing_is_allowed(address: str) -> None:
    decision = IpFilter(allow=[], deny=[]).decide(ip_address(address))
    assert decision == Deny(Layer.SETTINGS, None)


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [("0.0.0.0/0", "203.0.113.9", "2001:db8::1"), ("::/0", "2001:db8::1", "203.0.113.9")],
)
def test_everybody_of_one_family_is_nobody_of_the_other(
    network: str, inside: str, outside: str
) -> None:
    ip_filter = IpFilter(allow=parsed(network), deny=[])
    assert ip_filter.decide(ip_address(inside)) == Allow()
    assert ip_filter.decide(ip_address(outside)) == Deny(Layer.SETTINGS, None)


def layer_of(layer: Layer, allow: str = "", deny: str = "") -> IpFilter:
    return IpFilter(allow=parsed(allow), deny=parsed(deny), layer=layer)


@pytest.mark.parametrize(
    ("address", "decision"),
    [
        ("192.0.2.1", Allow()),
        ("198.51.100.1", Allow()),
        ("192.0.2.66", denied(Layer.SETTINGS, "192.0.2.66/32")),
        ("203.0.113.1", denied(Layer.TARGET)),
        ("2001:db8::1", denied(Layer.TARGET)),
        ("198.51.100.7", denied(Layer.ROLE, "198.51.100.7/32")),
        ("192.0.2.200", denied(Layer.GRANT)),
    ],
)
def test_every_layer_must_allow_and_the_first_that_does_not_is_named(
    address: str, decision: Allow | tuple[Layer, Network | None]
) -> None:
    layers = [
        layer_of(Layer.SETTINGS, "0.0.0.0/0 ::/0", deny="192.0.2.66/32"),
        layer_of(Layer.TARGET, "192.0.2.0/24 198.51.100.0/24"),
        layer_of(Layer.ROLE, deny="198.51.100.7/32"),
        layer_of(Layer.GRANT, "192.0.2.0/25 198.51.100.0/24 203.0.113.0/24"),
    ]
    assert said(decide(ip_address(address), layers)) == decision


@pytest.mark.parametrize("layer", [Layer.TARGET, Layer.ROLE, Layer.GRANT])
def test_only_the_settings_speak_for_those_whom_nobody_names(layer: Layer) -> None:
    """A target without a list is no target for nobody."""
    address = ip_address("192.0.2.1")
    assert layer_of(layer).decide(address) == Allow()
    assert layer_of(Layer.SETTINGS).decide(address) == Deny(Layer.SETTINGS, None)


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
