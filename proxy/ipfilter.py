"""Address + rules → allowed or not, and if not, by whose rule. A look-up is one binary search for
each list, however long the lists are."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from broker.domain.network import Address, Network

_V4, _V6 = 0, 1
_BITS = (32, 128)
_MAPPED = 0xFFFF  # how ::ffff:0:0/96 begins, which is IPv4 as an IPv6 socket writes it
_V4_MASK = (1 << 32) - 1


class Layer(StrEnum):
    """Who restricts where people come from; each can only narrow what the ones before it allow."""

    SETTINGS = "settings"
    TARGET = "target"
    ROLE = "role"
    GRANT = "grant"


@dataclass(frozen=True, slots=True)
class Allow:
    pass


_ALLOWED = Allow()


class Prefix(NamedTuple):
    """A network as numbers, since making a network takes longer than finding it."""

    first: int
    length: int
    bits: int

    @property
    def network(self) -> Network:
        kind = IPv4Network if self.bits == _BITS[_V4] else IPv6Network
        return kind((self.first, self.length))


@dataclass(frozen=True, slots=True)
class Deny:
    """`layer` refuses. `prefix` is what denies, or None if nothing there allows."""

    layer: Layer
    prefix: Prefix | None

    @property
    def rule(self) -> Network | None:
        return self.prefix and self.prefix.network


class NetworkSet:
    """Networks of both families. One inside another is forgotten: it makes no difference."""

    __slots__ = ("_ranges",)

    def __init__(self, networks: Iterable[Network]) -> None:
        prefixes: tuple[list[tuple[int, int]], ...] = ([], [])
        for network in networks:
            family, first = _place(network.network_address)
            # IPv4 written as IPv6 has a longer prefix than it means.
            length = network.prefixlen - (network.max_prefixlen - _BITS[family])
            prefixes[family].append((first, length))
        self._ranges = tuple(map(_Ranges, prefixes, _BITS))

    def __bool__(self) -> bool:
        return any(ranges.firsts for ranges in self._ranges)

    def find(self, address: Address) -> Prefix | None:
        """Return the widest network of the set that holds `address`."""
        family, number = _place(address)
        return self._ranges[family].find(number)

    def of_family(self, family: int) -> "_Ranges":
        return self._ranges[family]


class _Ranges:
    """The addresses of one family's networks, as ranges in order that do not overlap."""

    __slots__ = ("bits", "firsts", "lasts")

    def __init__(self, prefixes: Iterable[tuple[int, int]], bits: int) -> None:
        self.bits = bits
        self.firsts: list[int] = []
        self.lasts: list[int] = []
        end = -1
        # In this order a network comes after all that hold it, and networks never overlap in part.
        for first, length in sorted(prefixes):
            if first > end:
                end = first + (1 << (bits - length)) - 1
                self.firsts.append(first)
                self.lasts.append(end)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self.firsts, number) - 1
        return index >= 0 and number <= self.lasts[index]

    def find(self, number: int) -> Prefix | None:
        index = bisect_right(self.firsts, number) - 1
        if index < 0 or number > self.lasts[index]:
            return None
        first = self.firsts[index]
        length = self.bits - (self.lasts[index] - first).bit_length()
        return Prefix(first, length, self.bits)


class IpFilter:
    """One layer: deny wins over allow, and what is not allowed is denied. 100,000 networks take
    some tenths of a second to put in.

    Nothing allowed at all means nobody where the settings say so, who speak for everybody; a
    target, a role or a grant without a list of its own adds no restriction.
    """

    __slots__ = ("_allow", "_deny", "_layer", "_narrows")

    def __init__(
        self, *, allow: Iterable[Network], deny: Iterable[Network], layer: Layer = Layer.SETTINGS
    ) -> None:
        self._layer = layer
        self._allow = NetworkSet(allow)
        self._deny = NetworkSet(deny)
        self._narrows = layer is Layer.SETTINGS or bool(self._allow)

    def decide(self, address: Address) -> Allow | Deny:
        family, number = _place(address)
        denied = self._deny.of_family(family).find(number)
        if denied is None and (not self._narrows or number in self._allow.of_family(family)):
            return _ALLOWED
        return Deny(self._layer, denied)


def decide(address: Address, layers: Sequence[IpFilter]) -> Allow | Deny:
    """Allow what every layer allows, or name the first that does not."""
    for layer in layers:
        decision = layer.decide(address)
        if isinstance(decision, Deny):
            return decision
    return _ALLOWED


def peer_address(text: str) -> Address:
    """Return a socket's peer address; IPv4 that came in over an IPv6 socket is IPv4."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _place(address: Address) -> tuple[int, int]:
    """Return the family that the address counts for, and its number there."""
    number = int(address)
    if isinstance(address, IPv4Address):
        return _V4, number
    if number >> _BITS[_V4] == _MAPPED:
        return _V4, number & _V4_MASK
    return _V6, number
