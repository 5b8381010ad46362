"""/request/ID: what has become of a request."""

from aiohttp import web

from api.keys import ACTOR, BROKER
from api.routes import path_id
from api.schemas import RequestView
from api.visitor import require_visitor
from api.web.request_page import request_page
from broker.domain.ids import IdKind

routes = web.RouteTableDef()


@routes.get("/request/{id}")
async def show(request: web.Request) -> web.Response:
    request_id = path_id(request, IdKind.REQUEST, "request")
    details = await request.app[BROKER].requests.get(request_id, request[ACTOR])
    return request_page(RequestView.with_details(details), require_visitor(request))
