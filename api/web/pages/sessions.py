"""/sessions: who is connected and runs what, what past sessions did, and putting an end to one."""

from aiohttp import web

from api.input.paths import in_path
from api.input.queries import NumberedQuery, SessionsQuery, StatementsQuery
from api.keys import ACTOR, BROKER, REACH
from api.routes.record import find_statements
from api.schemas import SessionView
from api.schemas.statements import StatementView
from api.web.filters import read_filters, turned
from api.web.rendering import lead_to, page

routes = web.RouteTableDef()

_MOST_OPEN = 200


@routes.get("/sessions")
async def list_sessions(request: web.Request) -> web.Response:
    """What is open, live, above what is over, page by page."""
    filters = read_filters(request, SessionsQuery)
    query = filters.query or SessionsQuery(limit=1)
    is_first = query.after is None
    open_ones = await _watched(request, query, is_open=True) if filters.query and is_first else ()
    ended = await _watched(request, query, is_open=False) if filters.query else ()
    more = len(ended) == query.limit
    return await page(
        request,
        "sessions.html",
        status=filters.status,
        filters=filters,
        is_first=is_first,
        open_ones=open_ones,
        ended=ended,
        older=turned(request, after=ended[-1].id) if more and ended else None,
    )


async def _watched(
    request: web.Request, query: SessionsQuery, *, is_open: bool
) -> tuple[SessionView, ...]:
    broker = request.app[BROKER]
    found = await broker.watch_sessions(
        request[ACTOR],
        grant_id=query.grant,
        is_open=is_open,
        before=None if is_open else query.after,
        limit=_MOST_OPEN if is_open else query.limit,
    )
    now = broker.context.now()
    return tuple(SessionView.of_watched(each, now) for each in found)


@routes.get("/sessions/statements")
async def search(request: web.Request) -> web.Response:
    """Find statements, of whichever session."""
    filters = read_filters(request, StatementsQuery)
    found = await find_statements(request, filters.query) if filters.query else None
    following = found.next if found else None
    return await page(
        request,
        "statements.html",
        status=filters.status,
        filters=filters,
        found=found.items if found else (),
        older=turned(request, after=following) if following else None,
    )


@routes.get("/sessions/{id}")
async def show(request: web.Request) -> web.Response:
    """One session, and what it did, from its beginning."""
    session_id = in_path(request)
    broker, actor = request.app[BROKER], request[ACTOR]
    filters = read_filters(request, NumberedQuery)
    query = filters.query or NumberedQuery()
    watched = await broker.watch_session(session_id, actor)
    found, more = await broker.statements.page(
        session_id, actor, after=query.after or 0, limit=query.limit
    )
    statements = tuple(StatementView.of(each) for each in found)
    return await page(
        request,
        "session.html",
        status=filters.status,
        session=SessionView.of_watched(watched, broker.context.now()),
        is_own=watched.row.person == actor.email,
        is_first=not query.after,
        statements=statements,
        later=turned(request, after=str(statements[-1].seq)) if more else None,
    )


@routes.post("/sessions/{id}/end")
async def end(request: web.Request) -> web.Response:
    session_id = in_path(request)
    await request.app[BROKER].kill_session(session_id, request[ACTOR], reach=request[REACH])
    return lead_to(f"/sessions/{session_id}")
