"""Bits by something that is measured: numbers and durations, hours, networks."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from operator import or_, xor
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

from broker.domain.network import Network
from broker.domain.policy.hours import WeeklyHours, minute_of_week

Value = TypeVar("Value", int, timedelta)


@dataclass(frozen=True, slots=True)
class Scale(Generic[Value]):
    """`sums[n]` are the bits of the n smallest values."""

    values: tuple[Value, ...]
    sums: tuple[int, ...]

    @classmethod
    def of(cls, steps: Iterable[tuple[Value, int]]) -> "Scale[Value]":
        found: defaultdict[Value, int] = defaultdict(int)
        for value, bits in steps:
            found[value] |= bits
        values = tuple(sorted(found))
        return cls(values, tuple(accumulate((found[value] for value in values), or_, initial=0)))

    def below(self, value: Value) -> int:
        return self.sums[bisect_left(self.values, value)]

    def up_to(self, value: Value) -> int:
        return self.sums[bisect_right(self.values, value)]

    def greatest(self, bits: int) -> int:
        """Return those of `bits`, which are on the scale, that have the greatest value."""
        # All of them are in from some sum on: what that one adds is the greatest.
        first_with_all = bisect_left(self.sums, True, key=lambda seen: not bits & ~seen)
        return bits & ~self.sums[first_with_all - 1]


@dataclass(frozen=True, slots=True)
class HoursIndex:
    """The week of each zone in pieces, during each of which the same policies are open: the minutes
    at which the pieces begin, and the bits of each."""

    bounded: int
    weeks: tuple[tuple[ZoneInfo, tuple[int, ...], tuple[int, ...]], ...]

    @classmethod
    def of(cls, hours: Iterable[tuple[WeeklyHours, int]]) -> "HoursIndex":
        bounded = 0
        changes: defaultdict[ZoneInfo, defaultdict[int, int]] = defaultdict(
            lambda: defaultdict(int)
        )
        for each, bits in hours:
            bounded |= bits
            for minute in (minute for stretch in each.stretches for minute in stretch):
                changes[each.zone][minute] ^= bits
        weeks = []
        for zone, of_zone in changes.items():
            minutes = sorted(of_zone)
            weeks.append(
                (
                    zone,
                    tuple(minutes),
                    tuple(accumulate((of_zone[minute] for minute in minutes), xor, initial=0)),
                )
            )
        return cls(bounded, tuple(weeks))

    def closed(self, now: datetime) -> int:
        found = self.bounded
        for zone, minutes, within in self.weeks:
            minute = minute_of_week(now.astimezone(zone))
            found &= ~within[bisect_right(minutes, minute)]
        return found


@dataclass(frozen=True, slots=True)
class NetworkIndex:
    """Bits by network, for each length of prefix that there is."""

    bounded: int
    prefixes: tuple[tuple[int, int, dict[int, int]], ...]  # version, length, networks

    @classmethod
    def of(cls, bounds: Iterable[tuple[Iterable[Network], int]]) -> "NetworkIndex":
        bounded = 0
        prefixes: defaultdict[tuple[int, int], defaultdict[int, int]] = defaultdict(
            lambda: defaultdict(int)
        )
        for networks, bits in bounds:
            for network in networks:
                bounded |= bits
                prefixes[network.version, network.prefixlen][_key(network, network.prefixlen)] |= (
                    bits
                )
        return cls(
            bounded,
            tuple((*prefix, dict(networks)) for prefix, networks in prefixes.items()),
        )

    def outside(self, network: Network) -> int:
        """Return those in none of whose networks all of this one lies."""
        found = self.bounded
        for version, length, networks in self.prefixes:
            if version == network.version and length <= network.prefixlen:
                found &= ~networks.get(_key(network, length), 0)
        return found


def _key(network: Network, length: int) -> int:
    return int(network.network_address) >> (network.max_prefixlen - length)
