"""/v1/credentials: access in one call, for those whom a policy gives it at once."""

from aiohttp import web

from api.keys import ACTOR, BROKER
from api.operations import Operations
from api.routes import render, source_of
from api.schemas import NewRequest, ObtainedView
from broker.service.asking import Wish

routes = Operations("requests")


@routes.post("/v1/credentials", "obtain_credential", body=NewRequest, answers={201: ObtainedView})
async def obtain(request: web.Request, body: NewRequest) -> web.Response:
    wish = Wish(source=source_of(request), **dict(body))
    obtained = await request.app[BROKER].obtain(wish, request[ACTOR])
    response = render(ObtainedView.of(obtained), status=201)
    response.headers["Cache-Control"] = "no-store"
    return response
