"""/v1/sessions: who is, and was, connected."""

from aiohttp import web

from api.keys import ACTOR, BROKER
from api.routes import choice, id_in_query, page_of, render
from api.schemas import Page, SessionView

routes = web.RouteTableDef()


@routes.get("/v1/sessions")
async def list_sessions(request: web.Request) -> web.Response:
    after, limit = page_of(request)
    status = choice(request, "status", ["open", "ended"])
    found = await request.app[BROKER].sessions.list(
        request[ACTOR],
        grant_id=id_in_query(request, "grant"),
        is_open=None if status is None else status == "open",
        before=after,
        limit=limit,
    )
    views = tuple(SessionView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == limit else None))
