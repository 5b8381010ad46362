"""How often something is done for somebody: for each person, or for strangers by their address.
Pure: `now` is in seconds, of any clock that never goes back.

Memory is bounded, whoever comes. IPv6 is counted per /64, since that is what one customer gets, who
has 2^64 addresses in it.
"""

from collections import OrderedDict
from ipaddress import IPv4Address
from typing import Generic, TypeVar

from broker.domain.network import Address

# Whom an IPv6 address counts for: a site gets a /64 at least, and can change within it at will
# (RFC 6177).
SUBSCRIBER_LENGTH = 64

_WHOLE_TOKEN = 1 - 1e-6  # who comes exactly at the rate is not to be refused for a rounding error


class TokenBucket:
    """Allows `burst` at once, and `rate_per_s` in the long run."""

    __slots__ = ("_burst", "_rate_per_s", "_tokens", "_updated_at")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._updated_at: float | None = None

    def take(self, now: float) -> bool:
        """Use one token, if there is a whole one."""
        self._tokens = self.tokens(now)
        self._updated_at = now
        if self._tokens < _WHOLE_TOKEN:
            return False
        self._tokens -= 1
        return True

    def tokens(self, now: float) -> float:
        """Return how many there are now, parts of one included."""
        if self._updated_at is None:
            return self._tokens
        gained = (now - self._updated_at) * self._rate_per_s
        return min(self._burst, self._tokens + gained)


KeyType = TypeVar("KeyType")


class Buckets(Generic[KeyType]):
    """A bucket for each of the `most` that came last.

    One that is forgotten starts anew with a full bucket: who can be that many has as many bursts
    anyway. Where that matters, a TokenBucket for all of them bounds the sum.
    """

    def __init__(self, rate_per_s: float, burst: float, most: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[KeyType, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: KeyType, now: float) -> bool:
        """Use one token of this one's, if there is a whole one."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate_per_s, self._burst)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now)

    def tokens(self, key: KeyType, now: float) -> float:
        """Return how many this one has, parts of one included."""
        bucket = self._buckets.get(key)
        return self._burst if bucket is None else bucket.tokens(now)


class PerAddressBuckets:
    """A bucket for each of the `max_addresses` addresses that came last."""

    def __init__(self, rate_per_s: float, burst: float, max_addresses: int) -> None:
        self._buckets: Buckets[int] = Buckets(rate_per_s, burst, max_addresses)

    def take(self, address: Address, now: float) -> bool:
        """Use one token of this address, if it has a whole one."""
        return self._buckets.take(counted_as(address), now)


def counted_as(address: Address) -> int:
    """Return a number for the address, or for its /64; the families never share one."""
    number = int(address)
    if isinstance(address, IPv4Address):
        return number
    return (1 << SUBSCRIBER_LENGTH) + (number >> (address.max_prefixlen - SUBSCRIBER_LENGTH))
