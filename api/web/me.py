"""/me: who people are here, and until when."""

from aiohttp import web

from api.keys import BROKER, SIGNED_IN
from api.routes.me import me_view
from api.visitor import require_visitor
from api.web.me_page import Stay, me_page

routes = web.RouteTableDef()


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    del request
    raise web.HTTPSeeOther("/me")


@routes.get("/me")
async def me(request: web.Request) -> web.Response:
    signed_in = request.get(SIGNED_IN)
    idle = request.app[BROKER].sign_ins.terms.idle
    stay = Stay(signed_in.sign_in, idle) if signed_in is not None else None
    return me_page(me_view(request), stay, require_visitor(request))
