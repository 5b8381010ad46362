"""Who has guessed too often: names for what is banned, and a worker's picture of the bans.

The ledger counts failures and decides on bans, so that all workers and nodes agree; a worker only
keeps a copy, in order to turn people away without asking. Pure: `now` is an argument.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from heapq import nlargest
from ipaddress import IPv4Address, IPv6Network

from broker.domain.buckets import SUBSCRIBER_LENGTH
from broker.domain.network import Address
from broker.ledger.bans import ThrottleRules

MAX_BANS = 100_000
MAX_COUNTS = 10_000

_LONGEST_NAME = 128  # bytes; a name may have 10,000, and come from anybody
_HASHED = "sha256:"


class Bans:
    """What is banned, by key: as the ledger said last, of which MAX_BANS are held, those that last
    longest; and what this worker has counted by itself, while the ledger could not."""

    def __init__(self) -> None:
        self._until: dict[str, datetime] = {}
        self._own = OwnCounts()

    def count_failure(self, key: str, rules: ThrottleRules, now: datetime) -> datetime | None:
        """Count a wrong secret here. Returns until when the key is banned, if that led to it."""
        return self._own.count(key, rules, now)

    def replace(self, bans: Iterable[tuple[str, datetime]]) -> None:
        """Forget all, and learn these: keys and until when each is banned."""
        self._until = dict(nlargest(MAX_BANS, bans, key=lambda ban: ban[1]))

    def is_banned(self, key: str, now: datetime) -> datetime | None:
        """Return until when the key is banned, or None if it is not."""
        until = self._until.get(key)
        if until is not None and now < until:
            return until
        return self._own.banned_until(key, now)


class OwnCounts:
    """Wrong secrets that only this worker knows of. Holds MAX_COUNTS keys, those counted last."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def count(self, key: str, rules: ThrottleRules, now: datetime) -> datetime | None:
        count = self._counts.pop(key, None)
        if count is None or count.is_stale(rules, now):
            count = _Count(now)
        count.failures += 1
        if count.failures >= rules.failures:
            count.banned_until = now + rules.ban
        self._counts[key] = count
        if len(self._counts) > MAX_COUNTS:
            self._counts.popitem(last=False)
        return count.banned_until

    def banned_until(self, key: str, now: datetime) -> datetime | None:
        count = self._counts.get(key)
        until = count.banned_until if count is not None else None
        return until if until is not None and now < until else None


@dataclass(slots=True)
class _Count:
    since: datetime
    failures: int = 0
    banned_until: datetime | None = None

    def is_stale(self, rules: ThrottleRules, now: datetime) -> bool:
        """Say whether its window or its ban is over, so that counting begins anew."""
        if self.banned_until is not None:
            return self.banned_until <= now
        return self.since <= now - rules.window


def address_key(address: Address) -> str:
    """Return what wrong secrets from this address count for: IPv6 counts per /64."""
    if isinstance(address, IPv4Address):
        return f"address {address}"
    return f"address {IPv6Network((address, SUBSCRIBER_LENGTH), strict=False)}"


def login_key(user: str) -> str:
    """Return what wrong secrets for this user name count for, whether or not it exists.

    Short names stay readable, for whoever lifts the ban. Others are hashed, and so is what looks
    like a hash.
    """
    encoded = user.encode(errors="surrogatepass")
    if len(encoded) <= _LONGEST_NAME and user.isprintable() and not user.startswith(_HASHED):
        return f"login {user}"
    return f"login {_HASHED}{sha256(encoded).hexdigest()}"
