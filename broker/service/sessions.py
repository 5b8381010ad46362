"""Who is connected, ending sessions, and tidying up after proxies that died."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from broker.domain.authorization import EVERY_REACH, Reach
from broker.domain.errors import SessionOver
from broker.domain.events import CommitDecided, SessionClosed, SessionKilled
from broker.domain.person import SYSTEM, Person
from broker.domain.statement.held_commit import CommitDecision
from broker.ledger import audit, held_commits, sessions
from broker.ledger.channel import notify_session
from broker.ledger.connection import Db, reading, searching, transaction
from broker.ledger.sessions import SessionRow
from broker.service.context import Context
from broker.service.visible import find_session, require_ender, visible_to

# Workers say that they live every few seconds (proxy.gate); this many missed means dead.
_WORKER_SILENCE = timedelta(seconds=30)
# Proxies end what somebody wants to end, and write that down, well within this.
_ENDED_S = 1.0
_POLL_S = 0.02


class Sessions:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(
        self,
        person: Person,
        *,
        grant_id: str | None,
        is_open: bool | None,
        before: str | None,
        limit: int,
    ) -> list[SessionRow]:
        """Return the sessions that the person may see, newest first."""
        visible = await visible_to(self._context, person)
        async with searching(self._context.ledger) as db:
            return await sessions.fetch_page(
                db,
                visible,
                grant_id=grant_id,
                is_open=is_open,
                before=before,
                limit=limit,
            )

    async def get(self, session_id: str, person: Person) -> SessionRow:
        """Raises NotFound for a session that is not there or not this person's to see."""
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            row, _grant = await find_session(db, visible, session_id)
            return row

    async def kill(
        self, session_id: str, person: Person, *, reach: frozenset[Reach] = EVERY_REACH
    ) -> None:
        """Ask for the end of a session, as its holder, an approver or an operator; its grant lives
        on.

        Raises NotFound, NotApprover, or SessionOver for one that has ended.
        """
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            row, _grant = await find_session(db, visible, session_id)
            await require_ender(db, visible, row.grant_id, reach)
            if not await self._mark_killed(db, [session_id], person):
                raise SessionOver(session_id)

    async def kill_all(
        self, grant_id: str, person: Person, *, reach: frozenset[Reach] = EVERY_REACH
    ) -> Sequence[str]:
        """Ask for the end of the grant's open sessions, as `kill` does.

        Returns their ids, which may be none. Raises NotFound or NotApprover.
        """
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            grant = await require_ender(db, visible, grant_id, reach)
            return await self._mark_killed(db, await sessions.fetch_open(db, grant.id), person)

    async def await_ends(self, ids: Sequence[str]) -> Sequence[SessionRow]:
        """Return the sessions, oldest first, once they have ended, or as they are in a while."""
        for _ in range(round(_ENDED_S / _POLL_S)):
            async with reading(self._context.ledger) as db:
                rows = await sessions.fetch(db, list(ids))
            if all(row.ended_at is not None for row in rows):
                break
            await asyncio.sleep(_POLL_S)
        return rows

    async def close_lost(self) -> None:
        """Record the end of sessions whose proxy worker has died, and of the commits that they, or
        others that have ended, held."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            lost = await sessions.close_lost(db, seen_before=now - _WORKER_SILENCE, now=now)
            for session_id, grant_id in lost:
                event = SessionClosed(
                    session_id=session_id, grant_id=grant_id, reason="worker lost"
                )
                await audit.append(db, event, actor=SYSTEM, now=now)
            for held in await held_commits.settle_lost(db, now):
                decided = CommitDecided(
                    session_id=held.session_id,
                    grant_id=held.grant_id,
                    held_id=held.id,
                    decision=CommitDecision.LOST.value,
                )
                await audit.append(db, decided, actor=SYSTEM, now=now)

    async def _mark_killed(self, db: Db, ids: Sequence[str], person: Person) -> Sequence[str]:
        """Tell the proxies and record who wants it. Returns which of them were open."""
        now = self._context.now()
        killed = sorted(await sessions.mark_killed(db, list(ids), person.email, now))
        for session_id, grant_id in killed:
            await notify_session(db, session_id)
            event = SessionKilled(session_id=session_id, grant_id=grant_id)
            await audit.append(db, event, actor=person.email, now=now)
        return [session_id for session_id, _ in killed]
