"""Sealed tickets that there are: listed, revoked, their logins made and removed."""

import asyncio
import logging

from broker.domain.errors import (
    NotFound,
)
from broker.domain.grant import GrantEvent
from broker.ledger import grants, tickets
from broker.ledger.connection import reading, transaction
from broker.ledger.tickets import SealedTicket
from broker.service.context import Context
from broker.service.grants import end_grant
from broker.service.work import Work

_PATIENCE_S = 10.0

_log = logging.getLogger(__name__)


class Tickets:
    def __init__(self, context: Context, work: Work) -> None:
        self._context = context
        self._work = work

    async def list(self) -> list[SealedTicket]:
        async with reading(self._context.ledger) as db:
            return await tickets.fetch_all(db)

    async def revoke(self, ticket_id: str, *, actor: str, reason: str) -> SealedTicket:
        """End the ticket's grant, and with it the login. Raises NotFound, or IllegalTransition for
        one that has ended."""
        async with reading(self._context.ledger) as db:
            ticket = await tickets.fetch(db, ticket_id)
        if ticket is None:
            raise NotFound("ticket", ticket_id)
        await self.end(ticket.grant_id, actor, reason)
        async with reading(self._context.ledger) as db:
            found = await tickets.fetch(db, ticket_id)
        assert found is not None
        return found

    async def end(self, grant_id: str, actor: str, comment: str) -> None:
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            grant = await grants.lock(db, grant_id)
            assert grant is not None
            await end_grant(
                db,
                grant,
                GrantEvent.REVOKED,
                actor=actor,
                comment=comment,
                now=now,
                attended=True,
            )
        await self.attend(grant_id)

    async def attend(self, grant_id: str) -> None:
        """Make or remove the login now; what is not done in time, the reaper finishes."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._work.work_on(grant_id)
        except TimeoutError:
            _log.warning("grant %s: the target is slow; the reaper goes on", grant_id)
