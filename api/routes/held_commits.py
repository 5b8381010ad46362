"""/v1/held-commits: transactions that wait for somebody to confirm them."""

from aiohttp import web

from api.input.paths import in_path
from api.input.queries import HeldCommitsQuery
from api.keys import ACTOR, BROKER, REACH
from api.operations import Operations
from api.routes import render
from api.schemas import HeldCommitView, Page

routes = Operations("held-commits")


@routes.get(
    "/v1/held-commits",
    "list_held_commits",
    query=HeldCommitsQuery,
    answers={200: Page[HeldCommitView]},
)
async def list_held_commits(request: web.Request, query: HeldCommitsQuery) -> web.Response:
    found = await request.app[BROKER].held_commits.list(
        request[ACTOR],
        is_open=None if query.status == "all" else query.status == "open",
        before=query.after,
        limit=query.limit,
    )
    views = tuple(HeldCommitView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == query.limit else None))


@routes.post("/v1/held-commits/{id}/confirmation", "confirm_commit", answers={200: HeldCommitView})
async def confirm(request: web.Request) -> web.Response:
    held_id = in_path(request)
    row = await request.app[BROKER].held_commits.confirm(
        held_id, request[ACTOR], reach=request[REACH]
    )
    return render(HeldCommitView.of(row))


@routes.post("/v1/held-commits/{id}/rollback", "roll_back_commit", answers={200: HeldCommitView})
async def roll_back(request: web.Request) -> web.Response:
    held_id = in_path(request)
    row = await request.app[BROKER].held_commits.roll_back(
        held_id, request[ACTOR], reach=request[REACH]
    )
    return render(HeldCommitView.of(row))
