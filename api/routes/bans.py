"""/v1/bans: whom wrong secrets have shut out, for operators."""

from aiohttp import web

from api.input.paths import in_path
from api.keys import ACTOR, BROKER
from api.operations import Operations
from api.routes import render
from api.schemas import BanView, Page

routes = Operations("bans")


@routes.get("/v1/bans", "list_bans", answers={200: Page[BanView]})
async def list_bans(request: web.Request) -> web.Response:
    """The proxies, too, keep no more than these: there is no second page."""
    views = tuple(BanView.of(each) for each in await request.app[BROKER].bans.list())
    return render(Page(items=views, next=None))


@routes.delete("/v1/bans/{key}", "lift_ban", answers={204: None})
async def lift(request: web.Request) -> web.Response:
    key = in_path(request)
    await request.app[BROKER].bans.lift(key, actor=request[ACTOR].email)
    return web.Response(status=204)
