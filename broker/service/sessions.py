"""Who is connected, and tidying up after proxies that died."""

from datetime import timedelta

from broker.domain.events import SessionClosed
from broker.domain.person import SYSTEM, Person
from broker.ledger import audit, sessions
from broker.ledger.connection import transaction
from broker.ledger.sessions import SessionRow
from broker.service.context import Context

# Workers say that they live every few seconds (proxy.gate); this many missed means dead.
_WORKER_SILENCE = timedelta(seconds=30)


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
        """Return the person's sessions, and those of grants they approve, newest first."""
        async with transaction(self._context.ledger) as db:
            return await sessions.fetch_page(
                db,
                person_id=person.id,
                policies=self._context.approvable_by(person),
                grant_id=grant_id,
                is_open=is_open,
                before=before,
                limit=limit,
            )

    async def close_lost(self) -> None:
        """Record the end of sessions whose proxy worker has died."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            lost = await sessions.close_lost(db, seen_before=now - _WORKER_SILENCE, now=now)
            for session_id, grant_id in lost:
                event = SessionClosed(
                    session_id=session_id, grant_id=grant_id, reason="worker lost"
                )
                await audit.append(db, event, actor=SYSTEM, now=now)
