"""Addresses and networks, and how people write them: `10.0.0.0/8`, `2001:db8::/32`, one address."""

from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)

from broker.domain.errors import InvalidNetwork

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


def parse_network(text: str) -> Network:
    """Return the network that `text` names, an IPv4-mapped one as IPv4. Raises InvalidNetwork."""
    if "%" in text:
        raise InvalidNetwork(text, "a zone means something on one machine only")
    try:
        network = ip_network(text)
    except ValueError:
        raise InvalidNetwork(text, _why(text)) from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        # Clients are compared by their IPv4 address, however it reached us.
        address = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((address, network.prefixlen - _MAPPED.prefixlen))
    return network


def in_common(one: Sequence[Network], other: Sequence[Network]) -> tuple[Network, ...] | None:
    """Return the networks within both lists, of which an empty one means everywhere. None if there
    are none."""
    if not one or not other:
        return tuple(one or other)
    # Of two networks that overlap, one lies within the other.
    smaller = {
        max(left, right, key=lambda each: each.prefixlen): None
        for left in one
        for right in other
        if left.version == right.version and left.overlaps(right)
    }
    return tuple(smaller) or None


def joined(networks: Iterable[Network]) -> tuple[Network, ...]:
    """Return the same addresses in as few networks as possible: one network lies in several only if
    it lies in one of those."""
    given = tuple(networks)
    v4 = collapse_addresses(each for each in given if isinstance(each, IPv4Network))
    v6 = collapse_addresses(each for each in given if isinstance(each, IPv6Network))
    return (*v4, *v6)


def lies_in(network: Network, bounds: tuple[Network, ...]) -> bool:
    """Say whether all of `network` lies in one of `bounds`, which `joined` has made."""
    return any(
        network.version == bound.version
        and network.prefixlen >= bound.prefixlen
        and network.network_address in bound
        for bound in bounds
    )


def has_address(text: str, bounds: tuple[Network, ...]) -> bool | None:
    """Say whether an address lies in one of `bounds`; None where there is nothing to compare: no
    bounds, or no address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return any(address in each for each in bounds) if bounds else None


def _why(text: str) -> str:
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        return "it is not a network"
    return f"it has bits beyond its length, {meant} has not"
