"""What was shown and does not prove who somebody is, on record.

Whoever sends rubbish chooses how often, so the record is rationed: some rows at once and then one a
minute for each address (a /64 of IPv6), some more and then six a minute for all of them. What is
left out is counted, and the count is in the next row.
"""

import logging
import time
from collections.abc import Callable
from ipaddress import ip_address

from broker.domain.buckets import PerAddressBuckets, TokenBucket
from broker.domain.errors import LedgerUnavailable, NotIdentified
from broker.domain.events import IdentityRefused
from broker.domain.identity.unverified import safe_to_print
from broker.domain.person import SYSTEM
from broker.ledger import audit
from broker.ledger.connection import transaction
from broker.service.context import Context

_OF_ONE, _OF_ONE_PER_S = 10, 1 / 60
_OF_ALL, _OF_ALL_PER_S = 100, 1 / 10
_MOST_ADDRESSES = 10_000
_LONGEST_REASON = 1000  # characters

_log = logging.getLogger(__name__)


class Refusals:
    """`clock` is in seconds and never goes back."""

    def __init__(self, context: Context, clock: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._clock = clock
        self._each = PerAddressBuckets(_OF_ONE_PER_S, _OF_ONE, _MOST_ADDRESSES)
        self._all = TokenBucket(_OF_ALL_PER_S, _OF_ALL)
        self._unrecorded = 0

    async def record(self, refused: NotIdentified, source: str | None) -> None:
        """Write the refusal down, if it is its source's turn.

        A ledger that is down stops no answer: nobody is let in.
        """
        if not self._may_record(source):
            self._unrecorded += 1
            return
        event = IdentityRefused(
            reason=safe_to_print(refused.reason, _LONGEST_REASON),
            source=source,
            unrecorded=self._unrecorded,
            **refused.unverified.for_the_record(),
        )
        self._unrecorded = 0
        try:
            async with transaction(self._context.ledger) as db:
                await audit.append(db, event, actor=SYSTEM, now=self._context.now())
        except LedgerUnavailable:
            self._unrecorded += event.unrecorded + 1
            _log.warning("not recorded: somebody at %s was refused: %s", source, event.reason)

    def _may_record(self, source: str | None) -> bool:
        now = self._clock()
        if source is not None and not self._each.take(ip_address(source), now):
            return False
        return self._all.take(now)
