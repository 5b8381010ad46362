"""/targets: which answer, what may be asked for there, and what is wrong with them."""

from aiohttp import web

from api.input.paths import in_path
from api.keys import ACTOR, BROKER
from api.routes.targets import role_views, target_views
from api.schemas.insight import (
    LeftoversView,
    MembersView,
    RoleInsightView,
    TargetDetailsView,
)
from api.schemas.operating import CheckupView
from api.web.rendering import page

routes = web.RouteTableDef()


@routes.get("/targets")
async def list_targets(request: web.Request) -> web.Response:
    return await page(request, "targets.html", targets=target_views(request))


@routes.get("/targets/{name}")
async def show(request: web.Request) -> web.Response:
    """What roles may do, and for who sees everything the way to the rest: that is looked at on the
    target, so that it may take a while."""
    target = _target(request)
    insights = await request.app[BROKER].role_insights.roles(target.name, request[ACTOR])
    return await page(
        request, "target.html", target=target, roles=tuple(map(RoleInsightView.of, insights))
    )


@routes.get("/targets/{name}/findings")
async def findings(request: web.Request) -> web.Response:
    target = _target(request)
    checkup = CheckupView.of(await request.app[BROKER].doctor.check(target.name))
    return await page(request, "findings.html", target=target, checkup=checkup)


@routes.get("/targets/{name}/members")
async def members(request: web.Request) -> web.Response:
    target = _target(request)
    found = MembersView.of(await request.app[BROKER].role_insights.members(target.name))
    return await page(request, "members.html", target=target, found=found)


@routes.get("/targets/{name}/leftovers")
async def leftovers(request: web.Request) -> web.Response:
    target = _target(request)
    found = LeftoversView.of(await request.app[BROKER].leftovers.of(target.name))
    return await page(request, "leftovers.html", target=target, found=found)


def _target(request: web.Request) -> TargetDetailsView:
    """Raises NotFound for one that is not there, or of which the visitor may have nothing."""
    details = request.app[BROKER].targets.get(in_path(request), request[ACTOR])
    roles = role_views(details.catalog, details.roles, details.health)
    return TargetDetailsView.with_details(details, roles)
