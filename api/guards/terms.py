"""What the operator decides about callers, and what is kept of them in this process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from broker.domain.network import Network
from broker.domain.quota import Quota, Quotas

# Of whom a count is kept. Somebody who is forgotten begins anew.
_MOST_PEOPLE = 20_000
_MOST_ADDRESSES = 50_000
_MOST_KNOWN = 20_000


@dataclass(frozen=True, slots=True)
class Terms:
    """Without a quota, nobody of the kind is counted. `body_patience_s` is for a whole body."""

    people: Quota | None = None
    strangers: Quota | None = None
    trusted_proxies: tuple[Network, ...] = ()
    cors_origins: frozenset[str] = frozenset()
    body_patience_s: float = 60.0


class Known:
    """The proofs of identity that were good here lately, by their digests."""

    def __init__(self, most: int = _MOST_KNOWN) -> None:
        self._most = most
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def add(self, digest: bytes) -> None:
        self._digests[digest] = None
        self._digests.move_to_end(digest)
        if len(self._digests) > self._most:
            self._digests.popitem(last=False)

    def discard(self, digest: bytes) -> None:
        self._digests.pop(digest, None)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests


class Guards:
    """`now` is in seconds, of a clock that never goes back."""

    def __init__(
        self, terms: Terms | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.terms = terms or Terms()
        self.now = now
        self.known = Known()
        people, strangers = self.terms.people, self.terms.strangers
        self.people: Quotas[str] | None = Quotas(people, _MOST_PEOPLE) if people else None
        self.strangers: Quotas[int] | None = (
            Quotas(strangers, _MOST_ADDRESSES) if strangers else None
        )
