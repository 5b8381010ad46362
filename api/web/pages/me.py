"""/me: who people are here, and until when; and the way out."""

from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from api.keys import BROKER, SIGNED_IN
from api.routes.me import me_view
from api.web.rendering import page
from broker.domain.authorization import Action
from broker.domain.identity.sign_in import SignIn

routes = web.RouteTableDef()


@dataclass(frozen=True, slots=True)
class Stay:
    """How long somebody stays signed in."""

    sign_in: SignIn
    idle: timedelta


@routes.get("/me")
async def me(request: web.Request) -> web.Response:
    """Who came without signing in, with a token, has no stay that could end."""
    view, signed_in = me_view(request), request.get(SIGNED_IN)
    idle = request.app[BROKER].sign_ins.terms.idle
    return await page(
        request,
        "me.html",
        me=view,
        stay=Stay(signed_in.sign_in, idle) if signed_in is not None else None,
        signs=view.scopes is None or Action.SIGN in view.scopes,
    )
