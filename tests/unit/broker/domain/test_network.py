"""Networks as people write them, and what is refused with a hint."""

from ipaddress import ip_network

import pytest

from broker.domain.errors import InvalidNetwork
from broker.domain.network import has_address, joined, lies_in, parse_network


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_or_an_address_is_a_network(text: str, network: str) -> None:
    assert parse_network(text) == ip_network(network)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_a_mapped_network_is_the_ipv4_one_that_clients_are_compared_with(
    text: str, network: str
) -> None:
    assert parse_network(text) == ip_network(network)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not a network"),
        ("here", "it is not a network"),
        ("10.0.0.0/33", "it is not a network"),
        (" 10.0.0.0/8", "it is not a network"),
        ("10.1.2.3/8", "it has bits beyond its length, 10.0.0.0/8 has not"),
        ("2001:db8::1/32", "it has bits beyond its length, 2001:db8::/32 has not"),
        ("fe80::1%eth0", "a zone means something on one machine only"),
    ],
)
def test_what_is_no_network_is_refused_with_what_to_write(text: str, why: str) -> None:
    with pytest.raises(InvalidNetwork) as error:
        parse_network(text)
    assert str(error.value).startswith(f"network {text!r}: {why}; write 10.0.0.0/8, ")


def test_neighbours_are_joined_and_what_lies_in_another_is_dropped() -> None:
    written = ("fd00::/9", "10.128.0.0/9", "fd80::/9", "10.0.0.0/9", "10.1.0.0/16", "192.0.2.1")
    assert joined(map(parse_network, written)) == tuple(
        map(ip_network, ("10.0.0.0/8", "192.0.2.1/32", "fd00::/8"))
    )
    assert joined(()) == ()


@pytest.mark.parametrize(
    ("network", "lies_within"),
    [
        ("10.0.0.0/8", True),
        ("10.1.2.3", True),
        ("10.0.0.0/7", False),
        ("11.0.0.0/16", False),
        ("fd00::/8", False),
        ("::a00:0/104", False),
    ],
)
def test_a_network_lies_in_another_with_all_of_its_addresses(
    *, network: str, lies_within: bool
) -> None:
    bounds = (ip_network("192.0.2.0/24"), ip_network("10.0.0.0/8"))
    assert lies_in(parse_network(network), bounds) is lies_within


def test_an_address_lies_in_one_of_some_networks_or_there_is_nothing_to_compare() -> None:
    bounds = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    assert has_address("10.1.2.3", bounds) is True
    assert has_address("2001:db9::1", bounds) is False
    assert has_address("10.1.2.3", ()) is None
    assert has_address("", bounds) is None
