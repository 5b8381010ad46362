"""/v1/overview: how much of everything there is and was, and what needs attention."""

from aiohttp import web

from api.input.queries import OverviewQuery
from api.keys import ACTOR, BROKER
from api.operations import Operations
from api.routes import render
from api.schemas.overview import OverviewView

routes = Operations("overview")


@routes.get("/v1/overview", "get_overview", query=OverviewQuery, answers={200: OverviewView})
async def get(request: web.Request, query: OverviewQuery) -> web.Response:
    overview = await request.app[BROKER].overview.of(request[ACTOR], query.days)
    return render(OverviewView.of(overview))
