"""/targets: which answer, what may be asked for there, and what is wrong with them."""

from aiohttp import web

from api.keys import ACTOR, BROKER
from api.operating_schemas import CheckupView
from api.paths import in_path
from api.routes.targets import target_views
from api.schemas import TargetView
from api.web.rendering import page
from broker.domain.errors import NotFound

routes = web.RouteTableDef()


@routes.get("/targets")
async def list_targets(request: web.Request) -> web.Response:
    return await page(request, "targets.html", targets=target_views(request))


@routes.get("/targets/{name}")
async def show(request: web.Request) -> web.Response:
    target = _target(request)
    sees_everything = request.app[BROKER].context.authority.sees_everything(request[ACTOR])
    return await page(request, "target.html", target=target, sees_everything=sees_everything)


@routes.get("/targets/{name}/findings")
async def findings(request: web.Request) -> web.Response:
    """Look the target over now: that takes as long as the target takes to answer."""
    target = _target(request)
    checkup = await request.app[BROKER].doctor.check(target.name)
    return await page(request, "findings.html", target=target, checkup=CheckupView.of(checkup))


def _target(request: web.Request) -> TargetView:
    """Raises NotFound for one that is not there, or of which the visitor may have nothing."""
    name = in_path(request)
    for each in target_views(request):
        if each.name == name:
            return each
    raise NotFound("target", name)
