"""Who is, and was, connected, and what they did."""

from collections.abc import AsyncIterator
from datetime import datetime

from api.client.calls import Calls, query_of
from api.schemas import HeldCommitView, Page, SessionView
from api.schemas.statements import FoundStatementPage, StatementPage, StatementView


class SessionCalls(Calls):
    async def list_sessions(
        self,
        *,
        grant_id: str | None = None,
        status: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[SessionView]:
        query = query_of(grant=grant_id, status=status, after=after, limit=limit)
        return await self._get(Page[SessionView], "/v1/sessions", query)

    async def get_session(self, session_id: str) -> SessionView:
        return await self._get(SessionView, f"/v1/sessions/{session_id}")

    async def list_statements(
        self, session_id: str, *, after: int = 0, limit: int = 50
    ) -> StatementPage:
        """Return statements of a session, the oldest first, after number `after`."""
        query = query_of(after=after, limit=limit)
        return await self._get(StatementPage, f"/v1/sessions/{session_id}/statements", query)

    async def read_statements(
        self, session_id: str, *, at_once: int = 200
    ) -> AsyncIterator[StatementView]:
        """Yield all statements of a session, page by page."""
        after: int | None = 0
        while after is not None:
            page = await self.list_statements(session_id, after=after, limit=at_once)
            for each in page.items:
                yield each
            after = page.next

    async def find_statements(  # noqa: PLR0913  (all that one may ask for)
        self,
        *,
        text: str | None = None,
        grant_id: str | None = None,
        session_id: str | None = None,
        person: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> FoundStatementPage:
        """Return statements, the newest first; of the last day, unless a time, a session or a grant
        is given."""
        query = query_of(
            text=text,
            grant=grant_id,
            session=session_id,
            person=person,
            target=target,
            since=since,
            until=until,
            after=after,
            limit=limit,
        )
        return await self._get(FoundStatementPage, "/v1/statements", query)

    async def kill_session(self, session_id: str) -> SessionView:
        """End a session. Without `ended_at` its proxy is still at it."""
        return await self._delete(SessionView, f"/v1/sessions/{session_id}")

    async def kill_sessions(self, grant_id: str) -> Page[SessionView]:
        """End the open sessions of a grant, and return them."""
        return await self._delete(Page[SessionView], f"/v1/grants/{grant_id}/sessions")

    async def list_held_commits(
        self, *, status: str = "open", after: str | None = None, limit: int = 50
    ) -> Page[HeldCommitView]:
        """Return transactions that wait for somebody to confirm them."""
        query = query_of(status=status, after=after, limit=limit)
        return await self._get(Page[HeldCommitView], "/v1/held-commits", query)

    async def confirm_commit(self, held_id: str) -> HeldCommitView:
        """Let a held transaction commit."""
        return await self._post(HeldCommitView, f"/v1/held-commits/{held_id}/confirmation")

    async def roll_back_commit(self, held_id: str) -> HeldCommitView:
        return await self._post(HeldCommitView, f"/v1/held-commits/{held_id}/rollback")
