"""/v1/alarms: what an approver or an operator has to look at."""

from aiohttp import web

from api.keys import ACTOR, BROKER, REACH
from api.routes import choice, page_of, path_id, render
from api.schemas import AlarmView, Page
from broker.domain.ids import IdKind

routes = web.RouteTableDef()


@routes.get("/v1/alarms")
async def list_alarms(request: web.Request) -> web.Response:
    after, limit = page_of(request)
    found = await request.app[BROKER].alarms.list(
        request[ACTOR],
        cleared_too=choice(request, "status", ["open", "all"]) == "all",
        before=after,
        limit=limit,
    )
    views = tuple(AlarmView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == limit else None))


@routes.post("/v1/alarms/{id}/acknowledgement")
async def acknowledge(request: web.Request) -> web.Response:
    alarm_id = path_id(request, IdKind.ALARM, "alarm")
    alarm = await request.app[BROKER].alarms.acknowledge(
        alarm_id, request[ACTOR], reach=request[REACH]
    )
    return render(AlarmView.of(alarm))
