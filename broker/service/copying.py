"""The audit trail to whoever else wants it, at least once and in the order of its blocks.

One of the brokers sends. Statements are sent by the proxies, from their spools.
"""

import json
from datetime import timedelta
from secrets import token_hex
from typing import Any

from broker.ledger import record, sink_place
from broker.ledger.connection import reading, transaction
from broker.ledger.record import SealedEvent, Span
from broker.service.context import Context
from broker.service.exports import EVERYTHING, canonical_audit_row

_BLOCKS_AT_ONCE = 20
_HELD_FOR = timedelta(minutes=1)  # longer than a sink may take to answer


class Copying:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._holder = token_hex(8)

    async def send_events(self) -> None:
        """Send all that is sealed. Raises LedgerUnavailable, or what the sink raises."""
        if self._context.sink is not None:
            while await self._send_next():
                pass

    async def _send_next(self) -> bool:
        context, now = self._context, self._context.now()
        assert context.sink is not None
        async with transaction(context.ledger) as db:
            after = await sink_place.claim(db, self._holder, now, now + _HELD_FOR)
        if after is None:
            return False
        async with reading(context.ledger) as db:
            newest = (await record.fetch_heads(db)).events
            span = Span(after, newest, _BLOCKS_AT_ONCE)
            blocks = await record.fetch_audit_blocks(db, span, EVERYTHING)
            events = await record.fetch_sealed_events(db, blocks)
        if not blocks:
            return False
        await context.sink.send([_line(each) for each in events])
        async with transaction(context.ledger) as db:
            await sink_place.move(db, self._holder, blocks[-1].block.number)
        return True


def _line(sealed: SealedEvent) -> dict[str, Any]:
    """Return what the event's canonical text says, and whose grant it is about."""
    facts: dict[str, Any] = json.loads(canonical_audit_row(sealed.event))
    return {**facts, "person": sealed.person}
