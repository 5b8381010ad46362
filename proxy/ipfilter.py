"""Address + networks → allowed or not. A look-up costs one set test per prefix length in use,
however long the lists are."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Allow:
    pass


@dataclass(frozen=True, slots=True)
class Deny:
    """`rule` is the network that denies, or None if no network allows."""

    rule: Network | None


class NetworkSet:
    """Networks of both families, grouped by prefix length."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._by_length: dict[tuple[int, int], set[int]] = {}
        for network in networks:
            key = (network.version, network.prefixlen)
            prefix = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
            self._by_length.setdefault(key, set()).add(prefix)

    def find(self, address: Address) -> Network | None:
        """Return a network of the set that holds `address`."""
        number = int(address)
        for (version, length), prefixes in self._by_length.items():
            shift = address.max_prefixlen - length
            if version == address.version and (number >> shift) in prefixes:
                base = type(address)((number >> shift) << shift)
                return (
                    IPv4Network((int(base), length))
                    if version == 4
                    else IPv6Network((int(base), length))
                )
        return None


class IpFilter:
    """Deny wins over allow, and what is not allowed is denied."""

    def __init__(self, *, allow: Iterable[Network], deny: Iterable[Network]) -> None:
        self._allow = NetworkSet(allow)
        self._deny = NetworkSet(deny)

    def decide(self, address: Address) -> Allow | Deny:
        if (denied := self._deny.find(address)) is not None:
            return Deny(denied)
        return Allow() if self._allow.find(address) is not None else Deny(None)


def peer_address(text: str) -> Address:
    """Return a socket's peer address; IPv4 that came in over an IPv6 socket is IPv4."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
