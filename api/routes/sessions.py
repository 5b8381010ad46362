"""/v1/sessions: who is, and was, connected, and putting an end to it."""

from aiohttp import web

from api.input.paths import in_path
from api.input.queries import NumberedQuery, SessionsQuery
from api.keys import ACTOR, BROKER, REACH
from api.operations import Operations
from api.routes import render
from api.schemas import Page, SessionView
from api.schemas.statements import StatementPage, StatementView

routes = Operations("sessions")


@routes.get("/v1/sessions", "list_sessions", query=SessionsQuery, answers={200: Page[SessionView]})
async def list_sessions(request: web.Request, query: SessionsQuery) -> web.Response:
    broker = request.app[BROKER]
    found = await broker.watch_sessions(
        request[ACTOR],
        grant_id=query.grant,
        is_open=None if query.status is None else query.status == "open",
        before=query.after,
        limit=query.limit,
    )
    now = broker.context.now()
    views = tuple(SessionView.of_watched(each, now) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == query.limit else None))


@routes.get("/v1/sessions/{id}", "get_session", answers={200: SessionView})
async def get(request: web.Request) -> web.Response:
    session_id = in_path(request)
    broker = request.app[BROKER]
    watched = await broker.watch_session(session_id, request[ACTOR])
    return render(SessionView.of_watched(watched, broker.context.now()))


@routes.get(
    "/v1/sessions/{id}/statements",
    "list_statements",
    query=NumberedQuery,
    answers={200: StatementPage},
)
async def list_statements(request: web.Request, query: NumberedQuery) -> web.Response:
    """The oldest first, and `after` is the number of one: a session is read from its beginning."""
    session_id = in_path(request)
    found, more = await request.app[BROKER].statements.page(
        session_id, request[ACTOR], after=query.after or 0, limit=query.limit
    )
    views = tuple(StatementView.of(each) for each in found)
    return render(StatementPage(items=views, next=views[-1].seq if more else None))


@routes.delete("/v1/sessions/{id}", "kill_session", answers={200: SessionView, 202: SessionView})
async def kill(request: web.Request) -> web.Response:
    """202 while its proxy is still ending it, 200 once it is over."""
    session_id = in_path(request)
    row = await request.app[BROKER].kill_session(session_id, request[ACTOR], reach=request[REACH])
    return render(SessionView.of(row), status=202 if row.ended_at is None else 200)


@routes.delete(
    "/v1/grants/{id}/sessions",
    "kill_sessions",
    answers={200: Page[SessionView], 202: Page[SessionView]},
)
async def kill_all(request: web.Request) -> web.Response:
    """202 while a proxy is still ending one of them, 200 once all are over."""
    grant_id = in_path(request)
    rows = await request.app[BROKER].kill_sessions(grant_id, request[ACTOR], reach=request[REACH])
    views = tuple(SessionView.of(each) for each in rows)
    some_left = any(each.ended_at is None for each in rows)
    return render(Page(items=views, next=None), status=202 if some_left else 200)
