"""The whole life of a request, and of the grant that came of it."""

from aiohttp import web

from api.input.paths import in_path
from api.keys import ACTOR, BROKER
from api.operations import Operations
from api.routes import render
from api.schemas.timeline import TimelineView

routes = Operations("timelines")


@routes.get("/v1/requests/{id}/timeline", "get_request_timeline", answers={200: TimelineView})
async def of_request(request: web.Request) -> web.Response:
    timelines = request.app[BROKER].timelines
    return render(TimelineView.of(await timelines.of(in_path(request), request[ACTOR])))


@routes.get("/v1/grants/{id}/timeline", "get_grant_timeline", answers={200: TimelineView})
async def of_grant(request: web.Request) -> web.Response:
    timelines = request.app[BROKER].timelines
    return render(TimelineView.of(await timelines.of_grant(in_path(request), request[ACTOR])))
