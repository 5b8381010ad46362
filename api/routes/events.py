"""/v1/events: what happens, for those who may look at it. Pages and programs wait for it here."""

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncGenerator
from functools import partial

from aiohttp import hdrs, web

from api.callers.auth import bearer_of
from api.input.queries import EventsQuery
from api.keys import BROKER, SIGNED_IN
from api.operations import Media, Operations
from api.routes.streaming import PATIENCE_S, cut_off
from api.schemas.events import EVENT, EventView
from api.server_sent import LAST_EVENT_ID, MEDIA_TYPE, frame, retry_after, sign_of_life
from broker.domain.errors import BrokerError
from broker.service.event_stream import Told
from broker.service.listener import Look

routes = Operations("events")

# What waits for a reader, here and in the kernel, which would take megabytes by itself.
_MOST_WAITING = 65_536  # bytes
# After a restart all come back: not at the same moment.
_RETRY_MS, _RETRY_SPREAD_MS = 1_000, 2_000

_log = logging.getLogger(__name__)


@routes.get(
    "/v1/events",
    "follow_events",
    query=EventsQuery,
    answers={200: Media(MEDIA_TYPE, EVENT, live=True)},
    allow_head=False,
)
async def follow(request: web.Request, query: EventsQuery) -> web.StreamResponse:
    """Server-sent events: a hint for everything that happens and that the caller may look at. The
    stream goes on from the `Last-Event-ID` header, or from `after`; otherwise it begins now. It
    ends from time to time, and with what the caller came with."""
    after = request.headers.get(LAST_EVENT_ID, query.after)
    events = request.app[BROKER].events
    async with events.follow(_look(request), after, lambda: request.transport is None) as told:
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: MEDIA_TYPE,
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        response.force_close()
        await response.prepare(request)
        _bound(request)
        try:
            await _tell(response, told)
        except ConnectionError:
            pass  # whoever followed has gone
        except TimeoutError:
            _log.warning("a follower of what happens takes nothing: cut off")
            cut_off(request)
    return response


async def _tell(response: web.StreamResponse, told: AsyncGenerator[Told, None]) -> None:
    """Write what is told until that ends. Whoever comes back then is told why, if it was for a
    reason."""
    try:
        await _write(response, retry_after(_RETRY_MS + secrets.randbelow(_RETRY_SPREAD_MS)))
        async for each in told:
            await _write(response, _text(each))
    except BrokerError as error:
        _log.info("somebody follows what happens no longer: %s", error)
    await response.write_eof()


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await response.write(text.encode())


def _text(told: Told) -> str:
    if not told.hints:
        return sign_of_life(str(told.place))
    views = [EventView.of(place, hint) for place, hint in told.hints]
    return "".join(frame(each.topic, each.model_dump_json(), each.id) for each in views)


def _look(request: web.Request) -> Look:
    """Return how to look again at what the caller came with."""
    broker, signed_in = request.app[BROKER], request.get(SIGNED_IN)
    if signed_in is not None:
        return partial(broker.sign_ins.presence, signed_in.shown)
    bearer = bearer_of(request.headers[hdrs.AUTHORIZATION])
    return partial(broker.authentication.presence, bearer)


def _bound(request: web.Request) -> None:
    transport = request.transport
    if isinstance(transport, asyncio.WriteTransport):
        transport.set_write_buffer_limits(high=_MOST_WAITING)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_WAITING)
