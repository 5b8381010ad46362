"""/alarms: what somebody has to look at, or decide at once: transactions that wait at COMMIT,
alarms, and who is shut out."""

from aiohttp import web

from api.input.paths import in_path
from api.keys import ACTOR, BROKER
from api.schemas import AlarmView, BanView, HeldCommitView
from api.web.rendering import lead_to, page

routes = web.RouteTableDef()

_SHOWN = 100


@routes.get("/alarms")
async def look(request: web.Request) -> web.Response:
    broker, actor = request.app[BROKER], request[ACTOR]
    cleared_too = request.query.get("status") == "all"
    found = await broker.alarms.list(actor, cleared_too=cleared_too, before=None, limit=_SHOWN)
    held = await broker.held_commits.list(actor, is_open=True, before=None, limit=_SHOWN)
    authority = broker.context.authority
    bans = await broker.bans.list() if authority.sees_everything(actor) else ()
    return await page(
        request,
        "alarms.html",
        alarms=tuple(map(AlarmView.of, found)),
        held=tuple(map(HeldCommitView.of, held)),
        bans=tuple(map(BanView.of, bans)),
        cleared_too=cleared_too,
        most=_SHOWN,
        operates=authority.operates(actor),
    )


@routes.post("/bans/{key}/lifting")
async def lift(request: web.Request) -> web.Response:
    await request.app[BROKER].bans.lift(in_path(request), actor=request[ACTOR].email)
    return lead_to("/alarms")
