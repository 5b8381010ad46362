"""/v1/credentials: access in one call, for those whom a policy gives it at once."""

from aiohttp import web

from api.keys import ACTOR, BROKER
from api.routes import read_body, render, source_of
from api.schemas import NewRequest, ObtainedView
from broker.service.asking import Wish

routes = web.RouteTableDef()


@routes.post("/v1/credentials")
async def obtain(request: web.Request) -> web.Response:
    body = await read_body(request, NewRequest)
    wish = Wish(source=source_of(request), **dict(body))
    obtained = await request.app[BROKER].obtain(wish, request[ACTOR])
    response = render(ObtainedView.of(obtained), status=201)
    response.headers["Cache-Control"] = "no-store"
    return response
