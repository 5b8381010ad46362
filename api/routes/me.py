"""/v1/me: who the caller is, as we see them."""

from aiohttp import web

from api.keys import BROKER, CREDENTIAL, WHO
from api.operations import Operations
from api.routes import render
from api.schemas import MeView
from broker.domain.authorization import Standing

routes = Operations("oneself")


@routes.get("/v1/me", "get_me", answers={200: MeView})
async def me(request: web.Request) -> web.Response:
    return render(me_view(request))


def me_view(request: web.Request) -> MeView:
    actor = request[WHO]
    approves = request.app[BROKER].context.policies.approvable_by(actor.person)
    # Until a request is at hand everybody may turn out to be a reviewer, which tells nobody much.
    standings = actor.standings if approves else actor.standings - {Standing.REVIEWER}
    return MeView.of(request[CREDENTIAL], standings)
