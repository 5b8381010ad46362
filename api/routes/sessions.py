"""/v1/sessions: who is, and was, connected, and putting an end to it."""

from aiohttp import web

from api.keys import ACTOR, BROKER, REACH
from api.routes import (
    choice,
    id_in_query,
    limit_of,
    number_in_query,
    page_of,
    path_id,
    render,
)
from api.schemas import Page, SessionView
from api.statement_schemas import StatementPage, StatementView
from broker.domain.ids import IdKind

routes = web.RouteTableDef()


@routes.get("/v1/sessions")
async def list_sessions(request: web.Request) -> web.Response:
    after, limit = page_of(request)
    status = choice(request, "status", ["open", "ended"])
    broker = request.app[BROKER]
    found = await broker.watch_sessions(
        request[ACTOR],
        grant_id=id_in_query(request, "grant"),
        is_open=None if status is None else status == "open",
        before=after,
        limit=limit,
    )
    now = broker.context.now()
    views = tuple(SessionView.of_watched(each, now) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == limit else None))


@routes.get("/v1/sessions/{id}")
async def get(request: web.Request) -> web.Response:
    session_id = path_id(request, IdKind.SESSION, "session")
    broker = request.app[BROKER]
    watched = await broker.watch_session(session_id, request[ACTOR])
    return render(SessionView.of_watched(watched, broker.context.now()))


@routes.get("/v1/sessions/{id}/statements")
async def list_statements(request: web.Request) -> web.Response:
    """The oldest first, and `after` is the number of one: a session is read from its beginning."""
    session_id = path_id(request, IdKind.SESSION, "session")
    after, limit = number_in_query(request, "after"), limit_of(request)
    found, more = await request.app[BROKER].statements.page(
        session_id, request[ACTOR], after=after or 0, limit=limit
    )
    views = tuple(StatementView.of(each) for each in found)
    return render(StatementPage(items=views, next=views[-1].seq if more else None))


@routes.delete("/v1/sessions/{id}")
async def kill(request: web.Request) -> web.Response:
    """202 while its proxy is still ending it, 200 once it is over."""
    session_id = path_id(request, IdKind.SESSION, "session")
    row = await request.app[BROKER].kill_session(session_id, request[ACTOR], reach=request[REACH])
    return render(SessionView.of(row), status=202 if row.ended_at is None else 200)


@routes.delete("/v1/grants/{id}/sessions")
async def kill_all(request: web.Request) -> web.Response:
    """202 while a proxy is still ending one of them, 200 once all are over."""
    grant_id = path_id(request, IdKind.GRANT, "grant")
    rows = await request.app[BROKER].kill_sessions(grant_id, request[ACTOR], reach=request[REACH])
    views = tuple(SessionView.of(each) for each in rows)
    some_left = any(each.ended_at is None for each in rows)
    return render(Page(items=views, next=None), status=202 if some_left else 200)
