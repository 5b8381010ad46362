"""Whom wrong secrets have shut out, and letting them in again. Proxies count and ban."""

from datetime import timedelta

from broker.domain.errors import NotFound
from broker.domain.events import BanLifted
from broker.ledger import audit, bans
from broker.ledger.bans import Ban
from broker.ledger.channel import notify_bans
from broker.ledger.connection import reading, transaction
from broker.service.context import Context

# The settings allow no longer window to count in.
_LONGEST_WINDOW = timedelta(days=1)


class Bans:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(self) -> list[Ban]:
        """Return the bans in force, the longest first."""
        async with reading(self._context.ledger) as db:
            return await bans.fetch_live(db, self._context.now())

    async def lift(self, key: str, *, actor: str) -> None:
        """End a ban on every proxy and forget what led to it. Raises NotFound."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            if not key.isprintable() or not await bans.lift(db, key, now):
                raise NotFound("ban", f"of {key!r}")
            await notify_bans(db)
            await audit.append(db, BanLifted(whom=key), actor=actor, now=now)

    async def forget_old(self) -> None:
        """Drop counts of wrong secrets that can no longer lead to a ban."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            await bans.forget(db, counted_before=now - _LONGEST_WINDOW, now=now)
