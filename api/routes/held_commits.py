"""/v1/held-commits: transactions that wait for somebody to confirm them."""

from aiohttp import web

from api.keys import ACTOR, BROKER, REACH
from api.routes import choice, page_of, path_id, render
from api.schemas import HeldCommitView, Page
from broker.domain.ids import IdKind

routes = web.RouteTableDef()


@routes.get("/v1/held-commits")
async def list_held_commits(request: web.Request) -> web.Response:
    after, limit = page_of(request)
    status = choice(request, "status", ["open", "decided", "all"]) or "open"
    found = await request.app[BROKER].held_commits.list(
        request[ACTOR],
        is_open=None if status == "all" else status == "open",
        before=after,
        limit=limit,
    )
    views = tuple(HeldCommitView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == limit else None))


@routes.post("/v1/held-commits/{id}/confirmation")
async def confirm(request: web.Request) -> web.Response:
    held_id = path_id(request, IdKind.HELD_COMMIT, "held commit")
    row = await request.app[BROKER].held_commits.confirm(
        held_id, request[ACTOR], reach=request[REACH]
    )
    return render(HeldCommitView.of(row))


@routes.post("/v1/held-commits/{id}/rollback")
async def roll_back(request: web.Request) -> web.Response:
    held_id = path_id(request, IdKind.HELD_COMMIT, "held commit")
    row = await request.app[BROKER].held_commits.roll_back(
        held_id, request[ACTOR], reach=request[REACH]
    )
    return render(HeldCommitView.of(row))
