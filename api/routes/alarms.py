"""/v1/alarms: what an approver or an operator has to look at."""

from aiohttp import web

from api.input.paths import in_path
from api.input.queries import AlarmsQuery
from api.keys import ACTOR, BROKER, REACH
from api.operations import Operations
from api.routes import render
from api.schemas import AlarmView, Page

routes = Operations("alarms")


@routes.get("/v1/alarms", "list_alarms", query=AlarmsQuery, answers={200: Page[AlarmView]})
async def list_alarms(request: web.Request, query: AlarmsQuery) -> web.Response:
    found = await request.app[BROKER].alarms.list(
        request[ACTOR],
        cleared_too=query.status == "all",
        before=query.after,
        limit=query.limit,
    )
    views = tuple(AlarmView.of(each) for each in found)
    return render(Page(items=views, next=views[-1].id if len(views) == query.limit else None))


@routes.post("/v1/alarms/{id}/acknowledgement", "acknowledge_alarm", answers={200: AlarmView})
async def acknowledge(request: web.Request) -> web.Response:
    alarm_id = in_path(request)
    alarm = await request.app[BROKER].alarms.acknowledge(
        alarm_id, request[ACTOR], reach=request[REACH]
    )
    return render(AlarmView.of(alarm))
