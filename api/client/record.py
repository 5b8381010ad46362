"""The audit trail, and the record as it grows and to take along."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import aiohttp

from api.client.calls import TIMEOUT_OF_STREAM, Calls, query_of
from api.failures import ApiError, ApiUnreachable
from api.schemas import Page
from api.schemas.events import EVENT, EventView
from api.schemas.operating import AuditEventView, VerificationView
from api.schemas.statements import STREAM_LINE, StreamLine
from api.schemas.statements import EndLine as StreamEnd
from api.server_sent import EventParser
from broker.domain.hints.hint import Topic

# A sign of life comes every 15 s.
_TIMEOUT_OF_EVENTS = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=45.0)
# For how long a server may be away in the middle, as when it is restarted, and how often it is
# tried meanwhile.
_LONGEST_ABSENCE_S = 60.0
_COME_BACK_S, _LONGEST_WAIT_S = 1.0, 8.0
_TOPICS = frozenset(Topic)
_AWAY = {429, 502, 503, 504}


class RecordCalls(Calls):
    async def list_audit_events(
        self,
        *,
        grant_id: str | None = None,
        request_id: str | None = None,
        person: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[AuditEventView]:
        """Return events of the audit trail, the newest first."""
        query = query_of(
            grant=grant_id,
            request=request_id,
            person=person,
            kind=kind,
            since=since,
            after=after,
            limit=limit,
        )
        return await self._get(Page[AuditEventView], "/v1/audit", query)

    async def verify_record(self, *, since: int | None = None) -> VerificationView:
        """Check the record, from a checkpoint on if one is given, for as long as is bearable."""
        query = query_of(since=since)
        return await self._get(VerificationView, "/v1/audit/verification", query)

    async def follow_record(
        self,
        *,
        what: str | None = None,
        grant_id: str | None = None,
        session_id: str | None = None,
        person: str | None = None,
        target: str | None = None,
        after: str | None = None,
        follow: bool = True,
    ) -> AsyncIterator[StreamLine]:
        """Yield what comes, line by line. The last is an EndLine, which says whether to come back
        with the newest position; ApiUnreachable if it breaks off."""
        query = query_of(
            what=what,
            grant=grant_id,
            session=session_id,
            person=person,
            target=target,
            after=after,
            follow="true" if follow else "false",
        )
        path = "/v1/audit/stream"
        line: StreamLine | None = None
        async with self._open("GET", path, query=query, timeout=TIMEOUT_OF_STREAM) as response:
            async for each in response.content:
                line = STREAM_LINE.validate_json(each)
                yield line
        if not isinstance(line, StreamEnd):
            raise ApiUnreachable("the stream broke off")

    async def follow_events(self, *, after: str | None = None) -> AsyncIterator[EventView]:
        """Yield hints of what happens, for ever, from now on or after an event with an `id`.

        The first is a `hello`. What was cut is gone on with, and a `reset` says where that was not
        possible. ApiUnreachable if nobody answers in the beginning, or for a minute in the middle.
        """
        clock = asyncio.get_running_loop().time
        heard_at: float | None = None
        wait_s = _COME_BACK_S
        while True:
            parser = EventParser()
            try:
                async with self._open(
                    "GET", "/v1/events", query=query_of(after=after), timeout=_TIMEOUT_OF_EVENTS
                ) as response:
                    async for piece in response.content.iter_any():
                        for each in parser.feed(piece):
                            if each.event in _TOPICS:  # newer servers may know others
                                yield EVENT.validate_json(each.data)
                        after = parser.last_id or after
                        heard_at, wait_s = clock(), _COME_BACK_S
            except (ApiError, ApiUnreachable) as error:
                is_away = isinstance(error, ApiUnreachable) or error.status in _AWAY
                if heard_at is None or not is_away or clock() - heard_at >= _LONGEST_ABSENCE_S:
                    raise
            await asyncio.sleep((parser.retry_ms or 0) / 1000 or wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def export_record(  # noqa: PLR0913  (all that one may ask for)
        self,
        *,
        what: str | None = None,
        layout: str | None = None,
        grant_id: str | None = None,
        session_id: str | None = None,
        person: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[bytes]:
        """Yield an export, piece by piece. ApiUnreachable if it breaks off."""
        query = query_of(
            what=what,
            format=layout,
            grant=grant_id,
            session=session_id,
            person=person,
            target=target,
            since=since,
            until=until,
        )
        return self._take_along("/v1/audit/export", query)
