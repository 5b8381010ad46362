"""How much somebody may call, and what is left of it. `now` is in seconds, of any clock that never
goes back."""

import math
from dataclasses import dataclass
from typing import Generic

from broker.domain.buckets import Buckets, KeyType

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Quota:
    """So many calls in the long run, and so many at once, which are never none."""

    per_minute: int
    burst: int

    @property
    def rate_per_s(self) -> float:
        return self.per_minute / _MINUTE_S

    @property
    def window_s(self) -> int:
        """In how many seconds a burst is there again."""
        return math.ceil(self.burst / self.rate_per_s)


@dataclass(frozen=True, slots=True)
class Standing:
    """What one caller has left. `wait_s` is when there is the next call for them, in whole seconds:
    none if there is one now; `full_s` is when there is a whole burst."""

    quota: Quota
    is_within: bool
    left: int
    wait_s: int
    full_s: int


class Quotas(Generic[KeyType]):
    """The same quota for each of the `most` callers that came last."""

    def __init__(self, quota: Quota, most: int) -> None:
        self._quota = quota
        self._buckets: Buckets[KeyType] = Buckets(quota.rate_per_s, quota.burst, most)

    def take(self, key: KeyType, now: float) -> Standing:
        """Count one call. It is `is_within` what the caller may, or is not counted."""
        return self._standing(key, now, is_within=self._buckets.take(key, now))

    def look(self, key: KeyType, now: float) -> Standing:
        """Say how one call would be taken."""
        left = self._buckets.tokens(key, now)
        return self._standing(key, now, is_within=left >= 1)

    def _standing(self, key: KeyType, now: float, *, is_within: bool) -> Standing:
        tokens = self._buckets.tokens(key, now)
        rate = self._quota.rate_per_s
        return Standing(
            quota=self._quota,
            is_within=is_within,
            left=int(tokens),
            wait_s=math.ceil(max(0.0, 1 - tokens) / rate),
            full_s=math.ceil((self._quota.burst - tokens) / rate),
        )
